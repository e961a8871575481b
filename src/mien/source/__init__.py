"""Where images come from: files, folders, patterns, bytes and arrays, all as a `Frame`."""

from mien.source.expand import SourceFile, expand_inputs
from mien.source.frame import Frame
from mien.source.image import ImageLike, load_image

__all__ = ["Frame", "ImageLike", "SourceFile", "expand_inputs", "load_image"]
