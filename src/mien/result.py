"""What mien says about an image: one `Reading` per image or frame, with one `Face` for each face in it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mien.errors import UsageError, import_extra
from mien.files import utf8_text
from mien.labels import PROBABILITY_PREFIX

if TYPE_CHECKING:
    import pandas
    import supervision

__all__ = ["Face", "Reading", "checked_reading", "to_pandas"]

WHOLE_COLUMNS = ("frame", "turned_deg", "face", "track_id")
"""The columns of `Reading.to_rows` that hold whole numbers."""

LANDMARK_NAMES = ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth")
"""Names of the five landmarks in tables; left and right as one sees them in the image."""


@dataclass(frozen=True)
class Face:
    """One face and its expression. Values are validated when it is created.

    Attributes
    ----------
    box_xyxy : (float, float, float, float)
        Left, top, right, bottom in pixels of the upright image (EXIF orientation applied).
    score : float or None
        The detector's confidence that this is a face, in [0, 1]; None if no detector was used.
    landmarks_xy : tuple of five (float, float), or empty
        Eye, eye, nose tip, mouth corner, mouth corner in pixels, from the image's left to its right within each
        pair for an upright face. Empty if no detector was used.
    probabilities : dict of str to float
        The label scheme's labels in its order; sums to 1.
    coverage : float
        How much of the model's probability lay on these labels before it was renormalised, in [0, 1]. A low
        value means that the face shows something the scheme has no label for.
    not_face, unknown : float or None
        The model's probability that this is not a face at all, and that people could not name the expression, in
        [0, 1]. None for a model that was not trained on such votes.
    track_id : int or None
        The person's number within a video; None for photos.
    """

    box_xyxy: tuple[float, float, float, float]
    score: float | None
    landmarks_xy: tuple[tuple[float, float], ...]
    probabilities: dict[str, float] = field(hash=False)  # so that a face can be the key of a dict
    coverage: float = 1.0
    not_face: float | None = None
    unknown: float | None = None
    track_id: int | None = None

    def __post_init__(self) -> None:
        if len(self.box_xyxy) != 4 or not all(map(math.isfinite, self.box_xyxy)):
            raise ValueError(f"Face.box_xyxy is {self.box_xyxy}; expected four finite numbers")
        if self.box_xyxy[2] < self.box_xyxy[0] or self.box_xyxy[3] < self.box_xyxy[1]:
            raise ValueError(f"Face.box_xyxy is {self.box_xyxy}; expected left <= right and top <= bottom")
        if len(self.landmarks_xy) not in (0, 5) or any(len(point) != 2 for point in self.landmarks_xy):
            raise ValueError(f"Face.landmarks_xy is {self.landmarks_xy}; expected no point or five of (x, y)")
        if not self.probabilities:
            raise ValueError("Face.probabilities is empty; expected one probability a label")
        shares = {"score": self.score, "coverage": self.coverage, "not_face": self.not_face, "unknown": self.unknown}
        for name, value in [*shares.items(), *self.probabilities.items()]:
            if value is not None and not -1e-6 <= value <= 1 + 1e-6:
                raise ValueError(f"Face: {name} is {value}; expected a number in [0, 1]")
        total = sum(self.probabilities.values())
        if abs(total - 1.0) > 1e-3:
            raise ValueError(f"Face.probabilities sum to {total:.4f}; expected 1")

    def __repr__(self) -> str:
        who = "" if self.track_id is None else f", track_id={self.track_id}"
        box = ", ".join(f"{value:.0f}" for value in self.box_xyxy)
        return f"Face({self.expression} {self.confidence:.0%}, box_xyxy=({box}){who})"

    @property
    def expression(self) -> str:
        """The most probable label."""
        return max(self.probabilities, key=self.probabilities.__getitem__)

    @property
    def confidence(self) -> float:
        """The probability of `expression`, in [0, 1]; calibrated as the model's card says."""
        return self.probabilities[self.expression]

    def to_dict(self) -> dict[str, Any]:
        """The face as plain Python values, ready for JSON."""
        return {
            "track_id": self.track_id,
            "box_xyxy": [round(value, 2) for value in self.box_xyxy],
            "score": _rounded(self.score),
            "landmarks_xy": [[round(x, 2), round(y, 2)] for x, y in self.landmarks_xy],
            "expression": self.expression,
            "confidence": _rounded(self.confidence),
            "probabilities": {label: _rounded(value) for label, value in self.probabilities.items()},
            "coverage": _rounded(self.coverage),
            "not_face": _rounded(self.not_face),
            "unknown": _rounded(self.unknown),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Face:
        """The face that `to_dict` gave; also from a record of `Reading.to_records`, as in a JSON line.

        Raises
        ------
        ValueError
            If a value is missing or makes no sense, or the record is of an image without a face.
        """
        try:
            if values["box_xyxy"] is None:
                raise TypeError("it is of an image without a face")
            return cls(
                box_xyxy=tuple(values["box_xyxy"]),
                landmarks_xy=tuple(map(tuple, values["landmarks_xy"])),
                probabilities=dict(values["probabilities"]),
                **{name: values[name] for name in ("score", "coverage", "not_face", "unknown", "track_id")},
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"Face.from_dict: {_wrong(error)}; expected what Face.to_dict gives") from error


@dataclass(frozen=True)
class Reading:
    """All faces of one image or video frame.

    Attributes
    ----------
    source : str
        The input as it was named (a path, or ``"<bytes>"``, ``"<array>"``, ``"<PIL image>"``).
    size_wh : (int, int)
        Width and height of the image in pixels; (0, 0) if it could not be read.
    faces : list of Face
        Best detector score first; empty if there is no face.
    frame : int or None
        Number of the frame in its video, from 0; None for photos.
    time_s : float or None
        Time of the frame from the start of its video, in seconds; None for photos.
    turned_deg : int
        By how many degrees clockwise the photo was turned to be read upright: 0, 90, 180 or 270. What is said of its
        faces is said in pixels of the photo as it lies.
    note : str or None
        Something to know about how the input was read, for example that it was animated.
    error : str or None
        Why the input could not be read; None if it was. A single image raises InputError instead.
    labels : tuple of str
        The labels of the scheme, in its order: those of each face's `probabilities`, known without a face too.
    """

    source: str
    size_wh: tuple[int, int]
    faces: list[Face] = field(default_factory=list, hash=False)
    frame: int | None = None
    time_s: float | None = None
    turned_deg: int = 0
    note: str | None = None
    error: str | None = None
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.size_wh) != 2 or min(self.size_wh) < 0:
            raise ValueError(f"Reading.size_wh is {self.size_wh}; expected width and height in pixels")
        if self.turned_deg not in (0, 90, 180, 270):
            raise ValueError(f"Reading.turned_deg is {self.turned_deg}; expected 0, 90, 180 or 270")
        if not all(isinstance(face, Face) for face in self.faces):
            raise ValueError("Reading.faces holds something else than Face")
        if self.error is not None and self.faces:
            raise ValueError("Reading with an error cannot have faces")

    def __repr__(self) -> str:
        beside = {"time_s": _rounded(self.time_s), "note": self.note, "error": self.error}
        said = "".join(f", {name}={value!r}" for name, value in beside.items() if value is not None)
        return f"Reading({self.source!r}, size_wh={self.size_wh}, faces={self.faces}{said})"

    def to_dict(self) -> dict[str, Any]:
        """The reading as plain Python values, ready for JSON, with its faces nested."""
        return {
            "source": self.source,
            "frame": self.frame,
            "time_s": _rounded(self.time_s),
            "size_wh": list(self.size_wh),
            "turned_deg": self.turned_deg,
            "faces": [face.to_dict() for face in self.faces],
            "note": self.note,
            "error": self.error,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Reading:
        """The reading that `to_dict` gave, such as one out of an answer of the service.

        Its `labels` are those of its faces, so without a face there are none.

        Raises
        ------
        ValueError
            If a value is missing or makes no sense.
        """
        try:
            faces = [Face.from_dict(face) for face in values["faces"]]
            return cls(
                size_wh=tuple(values["size_wh"]),
                faces=faces,
                labels=tuple(faces[0].probabilities) if faces else (),
                **{name: values[name] for name in ("source", "frame", "time_s", "turned_deg", "note", "error")},
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"Reading.from_dict: {_wrong(error)}; expected what Reading.to_dict gives") from error

    def to_records(self, *, include_empty: bool = False) -> list[dict[str, Any]]:
        """One plain dict per face, as in a JSON line.

        First come `source`, `frame`, `time_s` and `turned_deg`; then `face`, its number within the image, from 1 in the
        order of `faces`; then the face's own values.

        Parameters
        ----------
        include_empty : bool
            Whether an image without a face gives one too, in which all of the face's values are None. An input that
            could not be read gives none.
        """
        where = {
            "source": self.source,
            "frame": self.frame,
            "time_s": _rounded(self.time_s),
            "turned_deg": self.turned_deg,
        }
        if include_empty and not self.faces and self.error is None:
            return [{**where, "face": None, **_NO_FACE}]
        return [{**where, "face": number, **face.to_dict()} for number, face in enumerate(self.faces, start=1)]

    def to_rows(self, *, include_empty: bool = False) -> list[dict[str, Any]]:
        """One flat dict per face, as in a CSV file: like `to_records`, with a column for each number.

        Parameters
        ----------
        include_empty : bool
            As for `to_records`.
        """
        return [_flat(record, self.labels) for record in self.to_records(include_empty=include_empty)]

    def to_pandas(self, *, include_empty: bool = False) -> pandas.DataFrame:
        """A table with one row per face and the columns of `to_rows`; see `mien.to_pandas`.

        Parameters
        ----------
        include_empty : bool
            Whether an image without a face has a row, too.

        Raises
        ------
        MissingExtraError
            If pandas is not installed.
        """
        return to_pandas(self, include_empty=include_empty)

    def to_supervision(self) -> supervision.Detections:
        """The faces as `supervision.Detections`, for its trackers and annotators.

        `confidence` is that of the expression and `class_id` its index in the label scheme; ``data`` holds
        ``class_name``, ``score`` (of the detector) and ``landmarks_xy`` of shape (N, 5, 2).

        Raises
        ------
        MissingExtraError
            If supervision is not installed.
        """
        import_extra("Reading.to_supervision", "supervision", "supervision")
        import numpy as np
        import supervision

        labels = list(self.faces[0].probabilities) if self.faces else []
        tracks = [face.track_id for face in self.faces]
        landmarks = np.full((len(self.faces), 5, 2), np.nan, np.float32)
        for index, face in enumerate(self.faces):
            if face.landmarks_xy:
                landmarks[index] = face.landmarks_xy
        return supervision.Detections(
            xyxy=np.array([face.box_xyxy for face in self.faces], np.float32).reshape(-1, 4),
            confidence=np.array([face.confidence for face in self.faces], np.float32),
            class_id=np.array([labels.index(face.expression) for face in self.faces], int),
            tracker_id=None if None in tracks or not tracks else np.array(tracks, int),
            data={
                "class_name": np.array([face.expression for face in self.faces], str),
                "score": np.array([math.nan if f.score is None else f.score for f in self.faces], np.float32),
                "landmarks_xy": landmarks,
            },
        )


def to_pandas(readings: Reading | Iterable[Reading], *, include_empty: bool = False) -> pandas.DataFrame:
    """A table of the faces of one reading or several, with one row per face.

    The columns are those of `Reading.to_rows`: text, or numbers, with NaN where there is none. Those of whole numbers
    are int64 where all rows have one: `turned_deg`, `face`, and of videos `frame` and `track_id`. Bytes of a file name
    that are no UTF-8 are escapes in `source`, as in a CSV file.

    Parameters
    ----------
    readings : Reading, or iterable of Reading
        Such as a list of `mien.recognize`, or what `Recognizer.stream` gives.
    include_empty : bool
        Whether an image without a face gives a row too, with NaN for all that is said of a face. An input that could
        not be read gives none.

    Raises
    ------
    MissingExtraError
        If pandas is not installed.
    UsageError
        If something else than readings came, such as the faces of one.
    """
    pandas = import_extra("to_pandas", "pandas", "pandas")
    rows: list[dict[str, Any]] = []
    labels: tuple[str, ...] = ()
    # Text is iterable, too, but nobody means its letters.
    several = isinstance(readings, Iterable) and not isinstance(readings, (str, bytes, Mapping))
    for item in readings if several else [readings]:  # type: ignore[union-attr]
        reading = checked_reading(item, "to_pandas")
        rows += [{**row, "source": utf8_text(row["source"])} for row in reading.to_rows(include_empty=include_empty)]
        labels = labels or reading.labels or tuple(reading.faces[0].probabilities if reading.faces else ())
    table = pandas.DataFrame(rows)
    table = table.reindex(columns=list(dict.fromkeys([*columns(labels), *table.columns])))
    known = table["expression"].notna()
    # What is None in all rows, as the times of photos, and tables without a row would else be of no type, and those of
    # other tables would lose theirs beside them (pandas.concat).
    kinds = {"source": "str", "expression": "str"}
    kinds |= {name: "int64" for name in WHOLE_COLUMNS if table[name].notna().all()}
    table = table.astype({name: kinds.get(name, "float64") for name in table.columns})
    table["expression"] = table["expression"].where(known)  # before pandas 3 no text became the text "None"
    return table


def checked_reading(reading: object, caller: str) -> Reading:
    """The reading that a function was given.

    Raises
    ------
    UsageError
        If it is none: the faces of one, say, or the answer to several photos. The message names the `caller`.
    """
    if isinstance(reading, Reading):
        return reading
    several = isinstance(reading, (list, tuple))
    if any(isinstance(item, Face) for item in (reading if several else [reading])):  # type: ignore[attr-defined]
        hint = ", not its faces alone"
    else:
        hint = ": of a list of photos, one for each" if several else ""
    came = type(reading).__name__
    raise UsageError(f"{caller} is given {came}; expected a mien.Reading, as recognize gives it{hint}")


def columns(labels: Sequence[str]) -> tuple[str, ...]:
    """The columns of `Reading.to_rows` for a label scheme."""
    empty = Face((0, 0, 0, 0), None, (), {label: 1 / len(labels) for label in labels} or {"": 1.0})
    row = Reading("", (0, 0), [empty]).to_rows()[0]
    return tuple(name for name in row if name != PROBABILITY_PREFIX)


def _flat(record: dict[str, Any], labels: Sequence[str]) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for name, value in record.items():
        if name == "box_xyxy":
            row.update(zip(("box_x1", "box_y1", "box_x2", "box_y2"), value or [None] * 4, strict=True))
        elif name == "landmarks_xy":
            points = value or [(None, None)] * len(LANDMARK_NAMES)
            for point, (x, y) in zip(LANDMARK_NAMES, points, strict=True):
                row[f"{point}_x"], row[f"{point}_y"] = x, y
        elif name == "probabilities":
            named = value or dict.fromkeys(labels)
            row.update({f"{PROBABILITY_PREFIX}{label}": probability for label, probability in named.items()})
        else:
            row[name] = value
    return row


def _wrong(error: Exception) -> str:
    return f"there is no {error}" if isinstance(error, KeyError) else str(error)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(float(value), 6)


_NO_FACE = dict.fromkeys(Face((0, 0, 0, 0), None, (), {"": 1.0}).to_dict())
"""What `Face.to_dict` would say of no face: None of everything."""
