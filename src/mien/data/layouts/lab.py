"""Photos taken in a lab, whose names tell who shows what: KDEF, JAFFE and RaFD.

https://kdef.se/home/aboutKDEF, https://zenodo.org/records/3451524 and https://rafd.socsci.ru.nl/FAQ.html describe them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import islice
from pathlib import Path

from mien.data.layouts.base import Contents, Item, ReadOptions, register
from mien.data.layouts.names import ordered_classes, split_name
from mien.data.layouts.places import images_below, load_image, named_split
from mien.errors import InputError
from mien.labels import canonical_name

__all__ = ["NamedPhotos"]

_LOOKED_AT = 20
_CODES = {
    "AF": "fear", "FE": "fear", "AN": "angry", "DI": "disgust", "HA": "happy", "NE": "neutral", "SA": "sad",
    "SU": "surprise",
}  # fmt: skip
_SPOKEN = {
    "gender": {"F": "female", "M": "male"},
    "view": {"S": "front", "FL": "full left", "FR": "full right", "HL": "half left", "HR": "half right"},
}


class NamedPhotos:
    """A folder of photos, and folders inside it, whose names hold the expression; others are left out and counted.

    There are no official splits: every photo is ``train``, unless it lies in a folder that is named as another.

    Parameters
    ----------
    name : str
    summary : str
    pattern : str
        Of a file's name: the group ``code`` is the expression, other groups are attributes.
    """

    def __init__(self, name: str, summary: str, pattern: str) -> None:
        self.name = name
        self.summary = summary
        self._pattern = re.compile(pattern, re.IGNORECASE)

    def matches(self, path: Path) -> bool:
        """A folder in which most of the first photos are named like that."""
        names = [file.name for file in islice(images_below(path), _LOOKED_AT)] if path.is_dir() else []
        return 2 * sum(self._pattern.fullmatch(name) is not None for name in names) > len(names)

    def read(self, path: Path, options: ReadOptions) -> Contents:  # noqa: ARG002 - as all layouts are read
        """Read the photos in the order of their folders and names."""
        files = list(images_below(path)) if path.is_dir() else []
        told = [(file, match.groupdict()) for file in files if (match := self._pattern.fullmatch(file.name))]
        if not told:
            raise InputError(str(path), f"has no photos as {self.name.upper()} names them; expected {self.summary}")
        others = len(files) - len(told)
        return Contents(
            labels=ordered_classes(_expression(groups) for _, groups in told),
            items=self._items(path, told),
            total=len(told),
            attribute_names=tuple(name for name in self._pattern.groupindex if name != "code"),
            excluded={"left out for a name that tells no expression": others} if others else {},
        )

    def _items(self, root: Path, told: list[tuple[Path, dict[str, str]]]) -> Iterator[Item | InputError]:
        labels = ordered_classes(_expression(groups) for _, groups in told)
        for file, groups in told:
            relative = file.relative_to(root).as_posix()
            yield Item(
                where=relative,
                load=partial(load_image, file, relative),
                label=labels.index(_expression(groups)),
                split=split_name(named_split(root, file.parent) or "train"),
                source=relative,
                attributes=_attributes(groups),
            )


def _expression(groups: Mapping[str, str]) -> str:
    code = groups["code"]
    return _CODES.get(code.upper()) or canonical_name(code)


def _attributes(groups: Mapping[str, str]) -> dict[str, str]:
    return {name: _SPOKEN.get(name, {}).get(text.upper(), text) for name, text in groups.items() if name != "code"}


register(
    NamedPhotos(
        "kdef",
        "KDEF's photos (AF01ANS.JPG), in folders of persons or not",
        r"[AB](?P<person>(?P<gender>[FM])\d\d)(?P<code>AF|AN|DI|HA|NE|SA|SU)(?P<view>S|FL|FR|HL|HR)\.jpe?g",
    )
)
register(
    NamedPhotos(
        "jaffe", "JAFFE's photos (KA.AN1.39.tiff)", r"(?P<person>[A-Z]{2})\.(?P<code>AN|DI|FE|HA|NE|SA|SU)\d\.\d+\.\w+"
    )
)
register(
    NamedPhotos(
        "rafd",
        "RaFD's photos (Rafd090_28_Caucasian_male_angry_frontal.jpg)",
        r"Rafd(?P<view>\d{3})_(?P<person>\d+)_(?P<ethnicity>[a-z]+)_(?P<gender>female|male)_"
        r"(?P<code>angry|contemptuous|disgusted|fearful|happy|neutral|sad|surprised)_(?P<gaze>left|frontal|right)\.jpe?g",
    )
)
