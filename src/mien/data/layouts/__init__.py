"""Readers of the field's layouts, one file a layout; importing this registers them, in the order of recognition."""

from mien.data.layouts import (  # noqa: I001 - order of recognition
    pixels_csv,
    rafdb,
    affectnet,
    expw,
    cohn_kanade,
    parquet,
    folders,
    table,
    lab,
    yolo,
    coco,
    voc,
    own_folders,
)
from mien.data.layouts.base import (
    LAYOUTS,
    Contents,
    DamagedFolderError,
    Item,
    Layout,
    ReadOptions,
    find_layout,
    register,
)
from mien.data.layouts.names import parse_attributes, parse_classes

__all__ = [
    "LAYOUTS",
    "Contents",
    "DamagedFolderError",
    "Item",
    "Layout",
    "ReadOptions",
    "affectnet",
    "coco",
    "cohn_kanade",
    "expw",
    "find_layout",
    "folders",
    "lab",
    "own_folders",
    "parquet",
    "parse_attributes",
    "parse_classes",
    "pixels_csv",
    "rafdb",
    "register",
    "table",
    "voc",
    "yolo",
]
