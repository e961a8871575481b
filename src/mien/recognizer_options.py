"""What a `Recognizer` can be told. Apart from it, so that the command line starts without loading the stages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypedDict

from mien.errors import UsageError
from mien.labels import LabelScheme
from mien.options import Options, option

if TYPE_CHECKING:
    from mien.classify import Classifier
    from mien.detect import Detector

__all__ = ["RecognizerKeywords", "RecognizerOptions"]

_VIEWS = (1, 2, 10)
_LONGEST_REPR = 200


@dataclass(frozen=True, kw_only=True)
class RecognizerOptions(Options):
    """Options of a `Recognizer`; each is also a flag of the command line."""

    HEADLINE: ClassVar[str] = "Models and faces"

    model: str | Path | Classifier = option(
        "base",
        "Expression model: a name from 'mien models', or the path of an exported .onnx file.",
        cli_type=str,
        metavar="NAME",
    )
    detector: str | Path | Detector = option(
        "mien",
        "Face detector: 'mien' (shipped), 'yunet' (fetched once on request), the path of an exported .onnx file or of "
        "YuNet's, or 'none' for images that are cropped to the face already.",
        cli_type=str,
        metavar="NAME",
    )
    labels: str | Sequence[str] | LabelScheme = option(
        "auto",
        "Label scheme: fer7, ferplus8, valence3, basic3, or expressions such as happy,sad,neutral. "
        "'auto' is fer7 if the model knows these, else the model's own classes.",
        cli_type=str,
        metavar="SCHEME",
    )
    min_face_px: float | None = option(
        None,
        "Smallest face to look for, in pixels of the photo. Smaller takes longer. Default: 20, more on large photos.",
        flag="--min-face",
        metavar="PX",
        minimum=1,
    )
    min_score: float | None = option(
        None,
        "Lowest detector score that counts as a face. Lower values find more hidden and turned faces, "
        "and more false ones. Default: the detector's own, 0.5 for 'mien' and 0.7 for 'yunet'.",
        metavar="SCORE",
        minimum=0.01,
        maximum=0.99,
    )
    upright: bool = option(
        False,
        "All photos stand upright, and all faces in them. Else photos in which no face is sure are searched turned by "
        "90, 180 and 270 degrees, too, and large ones for faces on their sides; a photo without a face takes up to "
        "twice as long for it.",
    )
    views: int = option(
        1,
        "Average the answer over this many views of each face: 1, 2 (with its mirror image) or 10 (also "
        "shifted). A little more accurate; reading a face takes that many times as long.",
        metavar="N",
    )
    max_not_face: float = option(
        0.5,
        "Drop a detection if the expression model says 'not a face' with more than this probability, and"
        " its crop spans at least 40 px of the photo. 1 keeps all.",
        metavar="P",
        minimum=0,
        maximum=1,
    )
    max_megapixels: float = option(
        200.0,
        "Refuse larger images before they are decoded.",
        metavar="MP",
        minimum=0,
    )
    threads: int | None = option(
        None,
        "Threads to use. Default: all cores that this process may use, 8 at most.",
        metavar="N",
        minimum=1,
        maximum=1024,
    )

    def __post_init__(self) -> None:
        if self.detector is None:
            raise UsageError(
                "detector is None; leave it out for its default, 'mien', or give 'none' for images that are cropped to "
                "the face already"
            )
        super().__post_init__()
        object.__setattr__(self, "labels", _checked_labels(self.labels))
        _check_stage("model", self.model, "a name of mien.list_models()", "mien.classify.Classifier", "card", "logits")
        names = "'mien', 'yunet', 'none'"
        _check_stage("detector", self.detector, names, "mien.detect.Detector", "wants_gray", "detect")
        if self.views not in _VIEWS:
            raise UsageError(f"views is {self.views}; expected one of {', '.join(map(str, _VIEWS))}")


class RecognizerKeywords(TypedDict, total=False):
    """The fields of `RecognizerOptions` once more, as type checkers and editors need them to see into ``**options``."""

    model: str | Path | Classifier
    detector: str | Path | Detector
    labels: str | Sequence[str] | LabelScheme
    min_face_px: float | None
    min_score: float | None
    upright: bool
    views: int
    max_not_face: float
    max_megapixels: float
    threads: int | None


def _checked_labels(labels: Any) -> str | tuple[str, ...] | LabelScheme:
    if isinstance(labels, (str, LabelScheme)):
        return labels
    ordered = isinstance(labels, Iterable) and not isinstance(labels, (Set, Mapping))
    names = tuple(labels) if ordered else (labels,)
    if not all(isinstance(name, str) for name in names):
        raise UsageError(
            f"labels is {labels!r}; expected the name of a scheme, such as 'valence3', expressions, such as "
            "'happy,sad,neutral' or a list of them, or a mien.LabelScheme"
        )
    return names


def _check_stage(name: str, stage: object, names: str, protocol: str, *members: str) -> None:
    """Refuse what is neither a name, nor a path, nor an object that has the members of the Protocol."""
    made = not isinstance(stage, type) and all(hasattr(stage, member) for member in members)
    if not made and not isinstance(stage, (str, Path)):
        came = repr(stage)
        if len(came) > _LONGEST_REPR:  # a network of torch is told layer by layer
            came = f"an object of type {type(stage).__name__}"
        raise UsageError(
            f"{name} is {came}; expected {names}, the path of an .onnx file, or an object that follows {protocol} "
            f"(it has {' and '.join(members)})"
        )
