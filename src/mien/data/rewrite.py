"""One batch of rows on its way from a dataset to the next: chosen, with new values, mirrored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mien.data.info import DatasetInfo
from mien.data.parquet_file import load_pyarrow
from mien.data.pixels import decode_gray_or_color
from mien.opencv import encode_png

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["rewrite_table"]


def rewrite_table(
    table: pa.Table,
    index: npt.NDArray[np.int64],
    info: DatasetInfo,
    replace: Mapping[str, Sequence[Any] | npt.NDArray[Any]],
    mirror: npt.NDArray[np.bool_] | None,
) -> pa.Table:
    """Choose rows of a table, give columns new values, mirror some, and bring all into the schema of `info`."""
    pa = load_pyarrow()
    schema = info.schema()
    chosen = table.take(pa.array(index))
    columns: dict[str, Any] = {}
    for item in schema:
        if item.name in replace:
            columns[item.name] = pa.array(list(replace[item.name]), item.type)
        elif item.name in chosen.column_names:
            columns[item.name] = chosen.column(item.name)
        else:
            columns[item.name] = pa.nulls(len(index), item.type)
    if mirror is not None and mirror.any():
        _mirror(columns, np.flatnonzero(mirror), pa, schema)
    return pa.table([columns[item.name] for item in schema], schema=schema)


def _mirror(columns: dict[str, Any], rows: npt.NDArray[np.intp], pa: Any, schema: Any) -> None:
    from mien.detect.base import MIRRORED_LANDMARKS  # here, since it loads ONNX Runtime

    values = {
        name: columns[name].to_pylist() for name in ("image", "box_xyxy", "landmarks_xy", "mirrored") if name in columns
    }
    for row in rows.tolist():
        image = values["image"][row]
        pixels = decode_gray_or_color(image["bytes"], str(image["path"]))
        width = pixels.shape[1]
        values["image"][row] = {"bytes": encode_png(np.ascontiguousarray(pixels[:, ::-1])), "path": image["path"]}
        if values.get("box_xyxy") and values["box_xyxy"][row] is not None:
            left, top, right, bottom = values["box_xyxy"][row]
            values["box_xyxy"][row] = [width - right, top, width - left, bottom]
        if values.get("landmarks_xy") and values["landmarks_xy"][row] is not None:
            points = [[width - x, y] for x, y in values["landmarks_xy"][row]]
            # The order of other sets of points is not known here.
            values["landmarks_xy"][row] = [points[i] for i in MIRRORED_LANDMARKS] if len(points) == 5 else None
        if "mirrored" in values:
            values["mirrored"][row] = not values["mirrored"][row]
    for name, column in values.items():
        columns[name] = pa.array(column, schema.field(name).type)
