"""What the reading of a video can be told. Apart from the rest, so that the command line starts without loading it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, TypedDict

from mien.errors import UsageError
from mien.options import Options, option

__all__ = ["FrameOptions", "VideoKeywords", "VideoOptions"]


@dataclass(frozen=True, kw_only=True)
class VideoOptions(Options):
    """Options of `Recognizer.stream` for a video; each is also a flag of the command line."""

    HEADLINE: ClassVar[str] = "Videos, cameras, streams"

    every_s: float | None = option(
        None,
        "Read one frame every so many seconds. Default: all frames.",
        flag="--every",
        metavar="SECONDS",
        minimum=0.001,
    )
    fps: float | None = option(
        None,
        "Read at most this many frames a second (the same as --every 1/N).",
        metavar="N",
        minimum=0.001,
    )
    start_s: float = option(
        0.0,
        "Begin so many seconds into a video; what lies before is decoded, but not read.",
        flag="--start",
        metavar="SECONDS",
        minimum=0,
    )
    end_s: float | None = option(
        None,
        "Stop at this second of a video, or of a camera or stream. Default: at its end.",
        flag="--end",
        metavar="SECONDS",
        minimum=0.001,
    )
    rotate_deg: int = option(
        0,
        "Turn the pictures clockwise by 90, 180 or 270 degrees first, as of a camera that hangs upside down.",
        flag="--rotate",
        metavar="DEGREES",
        minimum=0,
        maximum=270,
    )
    smooth_s: float = option(
        0.2,
        "Average each person's probabilities over time with this time constant, and keep the expression "
        "from flickering. 0 reports each frame by itself.",
        flag="--smooth",
        metavar="SECONDS",
        minimum=0,
        maximum=60,
    )
    max_gap_s: float = option(
        1.0,
        "A person who is out of view for longer than this, and for at least two frames that were read, "
        "gets a new track id.",
        flag="--max-gap",
        metavar="SECONDS",
        minimum=0,
    )
    give_up_s: float = option(
        30.0,
        "Cameras and network streams: how long to try to reopen one that broke off.",
        flag="--give-up",
        metavar="SECONDS",
        minimum=0,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.every_s is not None and self.fps is not None:
            raise UsageError(f"both every_s ({self.every_s:g}) and fps ({self.fps:g}) are given; expected one of them")
        if self.end_s is not None and self.end_s <= self.start_s:
            raise UsageError(f"start_s ({self.start_s:g}) and end_s ({self.end_s:g}) leave nothing between them")
        if self.rotate_deg % 90:
            raise UsageError(f"rotate_deg is {self.rotate_deg}; expected 0, 90, 180 or 270")

    @property
    def interval_s(self) -> float | None:
        """Seconds between the frames to read; None for every frame."""
        return 1.0 / self.fps if self.fps is not None else self.every_s


class VideoKeywords(TypedDict, total=False):
    """The fields of `VideoOptions` once more, as type checkers and editors need them to see into ``**options``."""

    every_s: float | None
    fps: float | None
    start_s: float
    end_s: float | None
    rotate_deg: int
    smooth_s: float
    max_gap_s: float
    give_up_s: float


@dataclass(frozen=True, kw_only=True)
class FrameOptions(VideoOptions):
    """Options of `Recognizer.stream` for frames of your own, which come with their rate."""

    frame_rate: float = option(30.0, "Frames a second.", minimum=0.001, maximum=1000)
    name: str | None = option(
        None,
        "What the readings call their source. Default: <frames>; where such a stream is open already, <frames 2>.",
    )
