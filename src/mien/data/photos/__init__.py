"""Photos with boxed faces, for training and measuring a detector: layouts of the field in, one Parquet form out.

`sources` reads layouts, `importer` writes them in the form of `dataset`, with a split whose sides share no picture;
`change` is what happens to photos in training and measuring alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mien.lazy import lazy_names

if TYPE_CHECKING:
    from mien.data.photos.dataset import Photo, PhotoDataset, write_photos
    from mien.data.photos.importer import PhotoImportSummary, import_photos
    from mien.data.photos.options import PhotoImportOptions

__all__ = ["Photo", "PhotoDataset", "PhotoImportOptions", "PhotoImportSummary", "import_photos", "write_photos"]

if not TYPE_CHECKING:
    # So that the command line starts without OpenCV and pyarrow.
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "dataset": ["Photo", "PhotoDataset", "write_photos"],
            "importer": ["PhotoImportSummary", "import_photos"],
            "options": ["PhotoImportOptions"],
        },
    )
