"""Photos with boxed faces, for training and measuring a detector: layouts of the field in, one Parquet form out.

`sources` reads layouts, `importer` writes them in the form of `form`, with a split whose sides share no picture;
`change` is what happens to photos in training and measuring alike.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mien.data.photos.form import Photo, PhotoDataset, write_photos
    from mien.data.photos.importer import PhotoImportSummary, import_photos
    from mien.data.photos.options import PhotoImportOptions

__all__ = ["Photo", "PhotoDataset", "PhotoImportOptions", "PhotoImportSummary", "import_photos", "write_photos"]

_HOME_OF = {
    "Photo": "form", "PhotoDataset": "form", "write_photos": "form", "PhotoImportOptions": "options",
    "PhotoImportSummary": "importer", "import_photos": "importer",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    # Loaded at first use, so that the command line starts without OpenCV and pyarrow.
    if name in _HOME_OF:
        return getattr(importlib.import_module(f"mien.data.photos.{_HOME_OF[name]}"), name)
    raise AttributeError(f"module 'mien.data.photos' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
