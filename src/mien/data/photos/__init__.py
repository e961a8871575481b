"""Photos with boxed faces, for training and measuring a detector: layouts of the field in, one Parquet form out.

`sources` reads layouts, `importer` writes them in the form of `form`, with a split whose sides share no picture.
"""

from mien.data.photos.form import Photo, PhotoDataset, write_photos
from mien.data.photos.importer import PhotoImportSummary, import_photos
from mien.data.photos.options import PhotoImportOptions

__all__ = ["Photo", "PhotoDataset", "PhotoImportOptions", "PhotoImportSummary", "import_photos", "write_photos"]
