"""CK+ as it is given out: sequences of frames from neutral to the peak of an expression, and one label a sequence."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from mien.data.layouts.base import Contents, Item, ReadOptions, attempt, register
from mien.data.layouts.names import ordered_classes
from mien.data.layouts.places import folders_in, images_in, load_image
from mien.errors import InputError

__all__ = ["CohnKanade"]

_IMAGES = "cohn-kanade-images"
_LABELS = ("Emotion", "Emotion_labels/Emotion", "Emotion_labels")
_LANDMARKS = ("Landmarks", "Landmarks/Landmarks")
_CODES = ("neutral", "angry", "contempt", "disgust", "fear", "happy", "sad", "surprise")
_PEAK_FRAMES = 3
_LEFT_OUT = "left out for the place: between the first and the last three frames, or in a sequence without a label"
_POINTS = 68
# The points start at the brows: the forehead is added to the box, in shares of their height.
_FOREHEAD = 0.25


class CohnKanade:
    """The folder with ``cohn-kanade-images/`` and ``Emotion/`` (Lucey et al., 2010).

    Of each sequence that has a label, the last three frames show the expression and the first one shows none (neutral),
    as is usual with this dataset; the other frames, and sequences without a label, are left out and counted. There are
    no official splits: all rows are ``train``; the attribute ``person`` tells who it is, for splits of one's own. With
    ``Landmarks/`` every face has a box around its 68 points.
    """

    name = "cohn-kanade"
    summary = f"the folder with CK+'s {_IMAGES}/ and Emotion/"

    def matches(self, path: Path) -> bool:
        """A folder with both."""
        return (path / _IMAGES).is_dir() and _first(path, _LABELS) is not None

    def read(self, path: Path, options: ReadOptions) -> Contents:  # noqa: ARG002 - as all layouts are read
        """Read the sequences by person and number."""
        labels, landmarks = _first(path, _LABELS), _first(path, _LANDMARKS)
        if labels is None or not (path / _IMAGES).is_dir():
            raise InputError(str(path), f"has no {_IMAGES}/ with Emotion/ beside it; expected {self.summary}")
        excluded = {_LEFT_OUT: 0}
        rows: list[tuple[Path, str, str] | InputError] = []
        for person in folders_in(path / _IMAGES):
            for sequence in folders_in(person):
                frames = list(images_in(sequence))
                try:
                    expression = _expression(labels / person.name / sequence.name)
                except InputError as error:
                    rows.append(error)
                    continue
                chosen = [] if expression is None else _chosen(frames, expression)
                excluded[_LEFT_OUT] += len(frames) - len(chosen)
                rows += [(frame, name, person.name) for frame, name in chosen]
        found = {row[1] for row in rows if not isinstance(row, InputError)}
        if not found:
            raise InputError(str(path), f"no frames with a label in {_IMAGES}/ and {labels.name}/")
        own = ordered_classes(found)
        return Contents(
            labels=own,
            items=_items(path, rows, own, landmarks),
            total=len(rows),
            attribute_names=("person",),
            columns=("box_xyxy",) if landmarks else (),
            excluded={reason: count for reason, count in excluded.items() if count},
        )


def _first(path: Path, places: tuple[str, ...]) -> Path | None:
    """The first of these folders that has folders in it."""
    return next((path / place for place in places if folders_in(path / place)), None)


def _expression(folder: Path) -> str | None:
    """What the one file of a sequence says, such as ``3.0000000e+00``; None without one."""
    file = next(iter(sorted(folder.glob("*_emotion.txt"))), None)
    if file is None:
        return None
    where = f"{folder.parent.name}/{folder.name}/{file.name}"
    try:
        number = float(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(where, f"cannot be read ({error}); expected a number from 0 to {len(_CODES) - 1}") from error
    if number not in range(len(_CODES)):
        raise InputError(where, f"{number:g}; expected a whole number from 0 to {len(_CODES) - 1}")
    return _CODES[int(number)]


def _chosen(frames: list[Path], expression: str) -> list[tuple[Path, str]]:
    peak = [(frame, expression) for frame in frames[1:][-_PEAK_FRAMES:]]
    return [*((frame, "neutral") for frame in frames[:1]), *peak]


def _items(
    root: Path, rows: list[tuple[Path, str, str] | InputError], labels: tuple[str, ...], landmarks: Path | None
) -> Iterator[Item | InputError]:
    def item(frame: Path, expression: str, person: str) -> Item:
        relative = frame.relative_to(root).as_posix()
        places = landmarks / person / frame.parent.name / f"{frame.stem}_landmarks.txt" if landmarks else None
        return Item(
            where=relative,
            load=partial(load_image, frame, relative),
            label=labels.index(expression),
            split="train",
            source=relative,
            box_xyxy=None if places is None else _box(places),
            attributes={"person": person},
        )

    for row in rows:
        yield row if isinstance(row, InputError) else attempt(item, *row)


def _box(file: Path) -> list[float] | None:
    """Around the points, with the forehead, and within the frame at least to the left and above."""
    if not file.is_file():
        return None
    try:
        values = [float(word) for word in file.read_text(encoding="utf-8").split()]
    except (OSError, ValueError) as error:
        raise InputError(file.name, f"cannot be read ({error}); expected {_POINTS} pairs of numbers") from error
    if len(values) != 2 * _POINTS:
        raise InputError(file.name, f"{len(values)} numbers; expected {_POINTS} pairs")
    x, y = values[::2], values[1::2]
    top = min(y) - _FOREHEAD * (max(y) - min(y))
    return [max(min(x), 0.0), max(top, 0.0), max(x), max(y)]


register(CohnKanade())
