"""What `mien batch` can be told. Apart from the rest, so that the command line starts without loading Ray."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from typing import Any

from mien.errors import UsageError
from mien.labels import LabelScheme, find_scheme
from mien.options import option, option_facts
from mien.recognizer_options import RecognizerOptions
from mien.video_options import VideoOptions

__all__ = ["BatchOptions"]


@dataclass(frozen=True, kw_only=True)
class BatchOptions(RecognizerOptions, VideoOptions):
    """What a batch can be told: what a `Recognizer` and a video can be told, and how the work is shared out."""

    address: str | None = option(
        None,
        "Address of a Ray cluster, such as HOST:6379. Default: RAY_ADDRESS if it is set, else this machine.",
        metavar="ADDRESS",
    )
    workers: int | None = option(
        None,
        "Workers, with one core each. Default: one for each core of this machine, or of the cluster.",
        metavar="N",
        minimum=1,
    )
    gpus_per_worker: float = option(
        0.0,
        "GPUs per worker, such as 0.25: the expression model runs there (needs onnxruntime-gpu); 0 for none.",
        metavar="SHARE",
        minimum=0,
        maximum=8,
    )
    column: str | None = option(
        None,
        "Tables: the column with paths or image bytes. Default: image, path, file, url or the like.",
        metavar="NAME",
    )
    key_column: str | None = option(
        None,
        "Tables: the column that identifies each image in the result. Default: its path, or its row.",
        metavar="NAME",
    )
    part_size: int = option(
        512,
        "Most photos in a part: what a worker reads in one go, and what is read again after a crash.",
        metavar="N",
        minimum=1,
        maximum=100_000,
    )
    segment_s: float = option(
        60.0,
        "Read videos in segments of this length, each a part of its own.",
        flag="--segment",
        metavar="SECONDS",
        minimum=1,
    )
    timeout_s: float = option(
        60.0,
        "Give up an image that takes longer.",
        flag="--timeout",
        metavar="SECONDS",
        minimum=0.1,
    )
    retries: int = option(
        2,
        "How often to retry an image on which the reader crashed or hung.",
        metavar="N",
        minimum=0,
        maximum=100,
    )
    # No options here: a worker is one core, and batches read whole videos and no live streams.
    threads: int | None = 1
    start_s: float = 0.0
    end_s: float | None = None
    give_up_s: float = 30.0

    def __post_init__(self) -> None:
        super().__post_init__()
        for item in fields(self):
            if option_facts(item) is None and getattr(self, item.name) != item.default:
                raise UsageError(
                    f"a batch has no option '{item.name}': each worker is one core, and reads videos from their "
                    "beginning to their end"
                )
        for name in ("model", "detector"):
            if not isinstance(getattr(self, name), (str, os.PathLike)):
                raise UsageError(f"{name} is an object; expected a name or a path, which other machines can open too")

    def recognizer_options(self) -> dict[str, Any]:
        """The keyword arguments of `Recognizer` but for its threads, as plain values for JSON."""
        labels = self.labels if isinstance(self.labels, (str, LabelScheme)) else list(self.labels)
        if isinstance(labels, LabelScheme):
            if find_scheme(labels.name) != labels:
                raise UsageError(
                    f"labels is a scheme of your own, '{labels.name}'; expected one of mien's, or expressions by name"
                )
            labels = labels.name
        plain = {item.name: getattr(self, item.name) for item in fields(RecognizerOptions) if item.name != "threads"}
        return {**plain, "model": _place(str(self.model)), "detector": _place(str(self.detector)), "labels": labels}

    def video_options(self) -> dict[str, Any]:
        """The keyword arguments of `VideoOptions`, as plain values for JSON."""
        named = ("rotate_deg", "smooth_s", "max_gap_s")
        return {"every_s": self.interval_s, **{name: getattr(self, name) for name in named}}

    def job(self) -> dict[str, Any]:
        """All that the rows depend on: a destination is only continued where this is the same."""
        cut = {name: getattr(self, name) for name in ("column", "key_column", "part_size", "segment_s")}
        return {**self.recognizer_options(), **self.video_options(), **cut}


def _place(name: str) -> str:
    """The name of a shipped model, or the whole path of another: workers run in folders of their own."""
    return os.path.abspath(name) if name.lower().endswith(".onnx") else name  # noqa: PTH100 - Path.resolve follows links
