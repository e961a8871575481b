"""What a `Recognizer` can be told. Apart from it, so that the command line starts without loading the stages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from mien.errors import UsageError
from mien.options import check_options, document_options, option

if TYPE_CHECKING:
    from mien.classify import Classifier
    from mien.detect import Detector

__all__ = ["RecognizerOptions"]

_VIEWS = (1, 2, 10)


@document_options
@dataclass(frozen=True, kw_only=True)
class RecognizerOptions:
    """What a `Recognizer` can be told; each is also a flag of the command line."""

    HEADLINE: ClassVar[str] = "Models and faces"

    model: str | Path | Classifier = option(
        "base",
        "Expression model: a name from 'mien models', or the path of an exported .onnx file.",
        cli_type=str,
        metavar="NAME",
    )
    detector: str | Path | Detector = option(
        "mien",
        "Face detector: 'mien' (shipped), 'yunet' (fetched once on request), the path of a YuNet .onnx file, "
        "or 'none' for images that are cropped to the face already.",
        cli_type=str,
        metavar="NAME",
    )
    labels: str | Sequence[str] = option(
        "auto",
        "Label scheme: fer7, ferplus8, valence3, basic3, or expressions such as happy,sad,neutral. "
        "'auto' is fer7 where the model knows it, else the model's own classes.",
        cli_type=str,
        metavar="SCHEME",
    )
    min_face_px: float | None = option(
        None,
        "Smallest face to look for, in pixels of the photo. Smaller costs time. "
        "Default: 20, or larger on large photos.",
        flag="--min-face",
        metavar="PX",
        minimum=1,
    )
    views: int = option(
        1,
        "Views of each face whose mean answer is read: 1, 2 (its mirror image too), or 10 (shifted, too). More are "
        "right a little more often, and take as many times longer to read.",
        metavar="N",
    )
    max_not_face: float = option(
        0.5,
        "A find that the expression model takes for no face with more than this probability is dropped, if its crop "
        "spans at least 40 px of the photo (1 keeps all).",
        metavar="P",
        minimum=0,
        maximum=1,
    )
    max_megapixels: float = option(
        200.0,
        "Larger images are refused before they are decoded.",
        metavar="MP",
        minimum=0,
    )
    threads: int | None = option(
        None,
        "Threads to use. Default: all cores that this process may use.",
        metavar="N",
        minimum=1,
    )

    def __post_init__(self) -> None:
        check_options(self)
        if self.views not in _VIEWS:
            raise UsageError(f"views is {self.views}; expected one of {', '.join(map(str, _VIEWS))}")
