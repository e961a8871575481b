"""Very many images: a plan of parts, read on Ray, each part written whole or not at all."""

from mien.cluster.options import BatchOptions

__all__ = ["BatchOptions"]
