"""What `mien data photos` can be told."""

from __future__ import annotations

from dataclasses import dataclass

from mien.options import Options, option

__all__ = ["PhotoImportOptions"]


@dataclass(frozen=True, kw_only=True)
class PhotoImportOptions(Options):
    """How photos with boxed faces are imported."""

    layout: str | None = option(
        None,
        "Layout, if it is not recognised.",
        choices=("parquet", "wider", "coco", "yolo", "voc"),
    )
    validation: float = option(
        0.1,
        "Share of the photos of every source for the split 'validation', where the source has no splits of its own; "
        "near copies of one picture never sit on both sides.",
        minimum=0.0,
        maximum=0.5,
    )
    on_error: str = option("stop", "What to do with damaged photos.", choices=("stop", "skip"))
    seed: int = option(0, "Random seed.", minimum=0)
