"""What a dataset says of itself: classes, splits, votes, and what was done to it. Kept in the Parquet file."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mien.data.parquet_file import load_pyarrow
from mien.errors import InputError
from mien.files import json_text, parse_json

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["OPTIONAL_COLUMNS", "REQUIRED_COLUMNS", "TRAIN", "USUAL_SPLITS", "DatasetInfo"]

TRAIN = "train"
"""Name of the split that models learn from; every other split is for evaluation."""

USUAL_SPLITS = (TRAIN, "validation", "test")
"""The splits that the field has names for, in the order in which they are shown."""

METADATA_KEY = b"mien"
PHOTOS_KEY = b"mien-photos"
"""What datasets of photos with boxes have in its place."""
HUGGINGFACE_KEY = b"huggingface"
FORMAT_VERSION = 1

REQUIRED_COLUMNS = ("image", "label", "split", "source", "row")
OPTIONAL_COLUMNS = (
    "votes", "distribution", "box_xyxy", "landmarks_xy", "valence", "arousal", "attributes", "leaked", "mirrored",
    "weight", "fold",
)  # fmt: skip


@dataclass(frozen=True)
class DatasetInfo:
    """The description of a dataset.

    Attributes
    ----------
    labels : tuple of str
        The classes in the order of the column ``label``.
    name : str
        What the dataset is, such as ``"fer2013"``.
    vote_labels : tuple of str
        What annotators could choose, in the order of the column ``votes``; empty without votes. May hold
        ``"unknown"`` and ``"not_face"``.
    attribute_names : tuple of str
        What is known of a face besides its expression (``"gender"``, ``"age"``), the fields of the column
        ``attributes``; empty without.
    protocol : str
        How labels came from votes; empty where they did not.
    columns : tuple of str
        The optional columns that are present, in the order of `OPTIONAL_COLUMNS`.
    splits : mapping of str to str
        The name of each split here, and what its source called it.
    history : tuple of dict
        What was done, oldest first: each step's name, options and counts.
    """

    labels: tuple[str, ...]
    name: str = ""
    vote_labels: tuple[str, ...] = ()
    attribute_names: tuple[str, ...] = ()
    protocol: str = ""
    columns: tuple[str, ...] = ()
    splits: Mapping[str, str] = field(default_factory=dict)
    history: tuple[dict[str, Any], ...] = ()

    def __post_init__(self) -> None:
        unknown = set(self.columns) - set(OPTIONAL_COLUMNS)
        if unknown or len(set(self.labels)) != len(self.labels):
            raise ValueError(f"no dataset has columns {sorted(unknown)} and labels {self.labels}")
        object.__setattr__(self, "columns", tuple(name for name in OPTIONAL_COLUMNS if name in self.columns))

    def after(self, step: str, **facts: Any) -> DatasetInfo:
        """The same description with one more step in its history: its name, and `facts` that JSON can hold."""
        return dataclasses.replace(self, history=(*self.history, {"step": step, **facts}))

    def with_columns(self, *names: str) -> DatasetInfo:
        """The same description with more of the optional columns, by their `names`."""
        return dataclasses.replace(self, columns=tuple({*self.columns, *names}))

    def to_json(self) -> str:
        """The text that is kept in the file's metadata under the key ``mien``."""
        return json_text({"version": FORMAT_VERSION, **dataclasses.asdict(self)})

    @classmethod
    def from_json(cls, text: str | bytes, source: str) -> DatasetInfo:
        """Read the `text` of `to_json` back; `source` is what errors call the file.

        Raises
        ------
        InputError
            If the text is not of this form, or of a newer version.
        """
        try:
            values = parse_json(text)
            version = values.pop("version")
            if version != FORMAT_VERSION:
                raise InputError(
                    source, f"its metadata is of version {version}; expected {FORMAT_VERSION}: use a newer mien"
                )
            for name in ("labels", "vote_labels", "columns", "history"):
                values[name] = tuple(values[name])
            values["attribute_names"] = tuple(values.get("attribute_names", ()))
            return cls(**values)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise InputError(source, f"its metadata under the key 'mien' cannot be read ({error})") from error

    def schema(self) -> pa.Schema:
        """The Arrow schema, with the metadata from which Hugging Face `datasets` knows images and class names."""
        pa = load_pyarrow()
        kinds = self._kinds(pa)
        fields = [pa.field(name, kind) for name, (kind, _) in kinds.items()]
        features = {name: feature for name, (_, feature) in kinds.items()}
        huggingface = json.dumps({"info": {"features": features}})
        return pa.schema(fields, metadata={HUGGINGFACE_KEY: huggingface.encode()})

    def _kinds(self, pa: Any) -> dict[str, tuple[Any, dict[str, Any]]]:
        """Each column's Arrow type and its description for Hugging Face `datasets`."""

        def value(dtype: str) -> dict[str, Any]:
            return {"dtype": dtype, "_type": "Value"}

        # Without a length: pyarrow before 26 cannot read lists of one length again if some rows have none.
        def list_of(feature: dict[str, Any]) -> dict[str, Any]:
            return {"feature": feature, "length": -1, "_type": "Sequence"}

        every: dict[str, tuple[Any, dict[str, Any]]] = {
            "image": (pa.struct([("bytes", pa.binary()), ("path", pa.string())]), {"_type": "Image"}),
            "label": (pa.int64(), {"names": list(self.labels), "_type": "ClassLabel"}),
            "split": (pa.string(), value("string")),
            "source": (pa.string(), value("string")),
            "row": (pa.int64(), value("int64")),
            "votes": (pa.list_(pa.uint8()), list_of(value("uint8"))),
            "distribution": (pa.list_(pa.float32()), list_of(value("float32"))),
            "box_xyxy": (pa.list_(pa.float32()), list_of(value("float32"))),
            "landmarks_xy": (pa.list_(pa.list_(pa.float32())), list_of(list_of(value("float32")))),
            "valence": (pa.float32(), value("float32")),
            "arousal": (pa.float32(), value("float32")),
            "attributes": (
                pa.struct([(name, pa.string()) for name in self.attribute_names]),
                {name: value("string") for name in self.attribute_names},
            ),
            "leaked": (pa.bool_(), value("bool")),
            "mirrored": (pa.bool_(), value("bool")),
            "weight": (pa.float32(), value("float32")),
            "fold": (pa.int64(), value("int64")),
        }
        return {name: every[name] for name in (*REQUIRED_COLUMNS, *self.columns)}
