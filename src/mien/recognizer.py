"""The main entry of the library: one object that takes images through all stages."""

from __future__ import annotations

import dataclasses
import functools
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, overload

import numpy as np
import numpy.typing as npt

from mien.classify import Classifier, OnnxClassifier, face_batch, whole_batch
from mien.classify.calibration import softmax
from mien.detect import Detections, Detector, open_detector
from mien.errors import InputError, MienWarning, ModelError, UsageError
from mien.labels import FER7, LabelScheme, find_scheme
from mien.options import options_from_dict
from mien.parallel import ordered_map
from mien.recognizer_options import RecognizerOptions
from mien.result import Face, Reading
from mien.source import Frame, ImageLike, load_image
from mien.video import VideoReadings
from mien.video_options import VideoOptions
from mien.zoo import Head, ModelCard, find_model

__all__ = ["Recognizer", "recognize"]

_A = TypeVar("_A")

# A batch for the classifier is closed at whichever comes first. More faces bring no speed; more images only memory.
_BATCH_FACES = 32
_BATCH_IMAGES = 16
_BATCH_KEPT_BYTES = 128 << 20


def count_threads(wanted: int | None) -> int:
    """The threads to use: as many as wanted, else one for each core that this process may use (8 at most)."""
    if wanted is not None:
        return wanted
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, min(cores, 8))


@dataclass
class _Prepared:
    """One image after detection and alignment, waiting for the classifier."""

    source: str
    frame: Frame | None = None
    size_wh: tuple[int, int] = (0, 0)
    detections: Detections | None = None
    batch: npt.NDArray[Any] | None = None
    error: InputError | None = None
    index: int | None = None
    time_s: float | None = None
    note: str | None = None

    @property
    def faces(self) -> int:
        return 0 if self.batch is None else len(self.batch)


@dataclass(frozen=True, kw_only=True, eq=False)
class Recognizer(RecognizerOptions):
    """Finds the faces of images and reads their expressions. Safe to use from several threads.

    Parameters are those of `RecognizerOptions`, by keyword. `model` and `detector` may also be objects of one's own
    that follow the `mien.classify.Classifier` and `mien.detect.Detector` protocols.

    Raises
    ------
    UsageError
        If an option does not fit.
    ModelError
        If a model is unknown, damaged, or does not know the classes that `labels` needs.

    Examples
    --------
    >>> import mien
    >>> recognizer = mien.Recognizer(labels="basic3")
    >>> reading = recognizer.recognize("examples/astronaut.jpg")
    >>> [face.expression for face in reading.faces]
    ['happy']
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        # Stages are opened now, so that a wrong name is told at once and not at the first photo.
        self._classifier(self._threads)
        self._detector(self._threads)
        self._scheme  # noqa: B018

    @functools.cached_property
    def _threads(self) -> int:
        return count_threads(self.threads)

    @functools.cached_property
    def _stages(self) -> dict[tuple[str, int], Any]:
        return {}

    def _classifier(self, threads: int) -> Classifier:
        if isinstance(self.model, (str, Path)):
            spec = self.model
            return self._stage("classifier", threads, lambda n: OnnxClassifier(find_model(spec, "expression"), n))
        return self.model

    def _detector(self, threads: int) -> Detector | None:
        """The detector; None where images are cropped already."""
        if self.detector == "none":
            return None
        if isinstance(self.detector, (str, Path)):
            spec = self.detector
            return self._stage("detector", threads, lambda n: open_detector(spec, n, self.min_face_px))
        return self.detector

    def _stage(self, name: str, threads: int, build: Callable[[int], _A]) -> _A:
        """One instance for each number of threads.

        A single image is read with all threads inside each stage; of many images, each is read with one thread,
        several at a time.
        """
        key = (name, threads)
        if key not in self._stages:
            self._stages[key] = build(threads)
        stage: _A = self._stages[key]
        return stage

    @functools.cached_property
    def _scheme(self) -> tuple[LabelScheme, Head]:
        """The label scheme, and the model's head that serves it."""
        heads = self._classifier(self._threads).card.heads
        if self.labels == "auto":
            own = [name for name in heads[0].labels if name not in ("not_face", "unknown")]
            names: str | list[str] = "fer7" if set(FER7) <= set(own) else own
            # A model's own classes may be none of the expressions that mien has names for.
            scheme = find_scheme(names) if isinstance(names, str) else LabelScheme.of(names)
        else:
            scheme = find_scheme(self.labels if isinstance(self.labels, str) else tuple(self.labels))
        for head in heads:
            if scheme.classes <= set(head.labels):
                return scheme, head
        known = "; ".join(", ".join(head.labels) for head in heads)
        missing = ", ".join(sorted(scheme.classes - set(heads[0].labels)))
        raise ModelError(
            f"labels '{scheme.name}' need the classes {missing}, which model "
            f"'{self._classifier(self._threads).card.name}' does not have; it knows {known}"
        )

    @property
    def scheme(self) -> LabelScheme:
        """The label scheme of all readings."""
        return self._scheme[0]

    @property
    def card(self) -> ModelCard:
        """The card of the expression model."""
        return self._classifier(self._threads).card

    def replace(self, **changes: Any) -> Recognizer:
        """A recognizer with some options changed; detector and model are shared where they are not."""
        shared = {"model": self._classifier(self._threads), "detector": self._detector(self._threads) or "none"}
        return dataclasses.replace(self, **{**shared, **changes})

    @overload
    def recognize(self, images: list[Any] | tuple[Any, ...], *, on_error: Any = None) -> list[Reading]: ...
    @overload
    def recognize(self, images: ImageLike, *, on_error: Any = None) -> Reading: ...
    def recognize(
        self,
        images: ImageLike | list[Any] | tuple[Any, ...],
        *,
        on_error: Literal["raise", "record"] | None = None,
    ) -> Reading | list[Reading]:
        """Read one image, or a list of them in real batches.

        Parameters
        ----------
        images : path, bytes, array or PIL image, or a list of them
            Arrays are gray (H, W), BGR (H, W, 3) or BGRA (H, W, 4).
        on_error : {"raise", "record"}, optional
            What to do with an input that cannot be read. ``"raise"`` (the default for one image) raises
            InputError. ``"record"`` (the default for a list) warns, gives it a reading with `Reading.error` and
            no faces, and goes on with the rest.

        Returns
        -------
        Reading, or list of Reading in the order of the list
        """
        if on_error not in (None, "raise", "record"):
            raise UsageError(f"on_error is {on_error!r}; expected 'raise' or 'record'")
        if isinstance(images, (list, tuple)):
            readings = list(self.stream(images, on_error=on_error or "record"))
            for reading in readings:
                if reading.error is not None:
                    warnings.warn(f"not read: {reading.source}: {reading.error}", MienWarning, stacklevel=2)
            return readings
        (reading,) = self.stream([images], on_error=on_error or "raise", threads=1)
        return reading

    @overload
    def stream(self, images: str | os.PathLike[str], **options: Any) -> VideoReadings: ...
    @overload
    def stream(self, images: Iterable[Any], *, on_error: Any = "record", threads: Any = None) -> Iterator[Reading]: ...
    def stream(
        self,
        images: str | os.PathLike[str] | Iterable[ImageLike | Frame | InputError],
        **options: Any,
    ) -> Iterator[Reading]:
        """Read a video, or images as they come, in order; memory stays flat however many there are.

        Parameters
        ----------
        images : path or str, or iterable
            A video file, ``camera:0`` or the address of a stream: each reading has `Reading.frame` and
            `Reading.time_s`, each face its `Face.track_id`. Or images as for `recognize`, also as
            `mien.source.Frame`, or an InputError in the place of an input that is known to be unreadable.
        **options
            For a video those of `mien.video_options.VideoOptions`; for images `on_error` and `threads`.
        """
        if isinstance(images, (str, os.PathLike)):
            return VideoReadings(self, images, options_from_dict(VideoOptions, options))
        return (reading for _, reading in self.stream_frames(images, keep_frames=False, **options))

    def stream_frames(
        self,
        images: Iterable[ImageLike | Frame | InputError],
        *,
        on_error: Literal["raise", "record"] = "record",
        threads: int | None = None,
        keep_frames: bool = True,
        live: bool = False,
    ) -> Iterator[tuple[Frame | None, Reading]]:
        """Like `stream` of images, with the decoded image beside each reading (None where it could not be read).

        A `live` source is read one image at a time, each before the next one is taken.
        """
        several = 1 if live else self._threads if threads is None else threads
        inner = 1 if several > 1 else self._threads
        prepared = ordered_map(functools.partial(self._prepare, threads=inner, keep=keep_frames), images, several)
        for group in _groups(prepared, 1 if live else _BATCH_IMAGES):
            for item, reading in zip(group, self._classify(group, inner), strict=True):
                if item.error is not None and on_error == "raise":
                    raise item.error
                yield item.frame, reading

    def prepare(self, image: ImageLike | Frame) -> _Prepared:
        """Decode, detect and align one image on the calling thread: for those who batch by themselves, as a server."""
        return self._prepare(image, 1, keep=False)

    def classify(self, prepared: list[_Prepared]) -> list[Reading]:
        """Read the faces of several images that `prepare` gave, in one batch."""
        return list(self._classify(prepared, 1))

    def _prepare(self, image: ImageLike | Frame | InputError, threads: int, keep: bool) -> _Prepared:
        """Decode, detect, align."""
        if isinstance(image, InputError):
            return _Prepared(image.source, error=image)
        try:
            frame = image if isinstance(image, Frame) else load_image(image, self.max_megapixels)
        except InputError as error:
            return _Prepared(error.source, error=error)
        spec = self._classifier(threads).card.input
        pixels = frame.gray if spec.channels == "gray" else frame.image
        detector = self._detector(threads)
        if detector is None:
            detections = None
            batch = whole_batch([pixels], spec)
        else:
            detections = detector.detect(frame.gray if getattr(detector, "wants_gray", False) else frame.image)
            batch = face_batch(pixels, detections.landmarks_xy, spec)
        kept = frame if keep else None
        return _Prepared(
            frame.source, kept, frame.size_wh, detections, batch, None, frame.index, frame.time_s, frame.note
        )

    def _classify(self, group: list[_Prepared], threads: int) -> Iterator[Reading]:
        """Read the faces of several images in one batch."""
        classifier = self._classifier(threads)
        batches = [item.batch for item in group if item.batch is not None and len(item.batch)]
        logits = classifier.logits(np.concatenate(batches)) if batches else {}
        probabilities = {
            head.output: softmax(logits[head.output], head.temperature)
            for head in classifier.card.heads
            if head.output in logits
        }
        start = 0
        for item in group:
            count = 0 if item.batch is None else len(item.batch)
            rows = {name: values[start : start + count] for name, values in probabilities.items()}
            start += count
            yield Reading(
                source=item.source,
                size_wh=item.size_wh,
                faces=self._faces(item, rows) if count else [],
                frame=item.index,
                time_s=item.time_s,
                note=item.note,
                error=None if item.error is None else item.error.problem,
            )

    def _faces(self, item: _Prepared, probabilities: dict[str, npt.NDArray[np.floating]]) -> list[Face]:
        scheme, head = self._scheme
        shares, coverage = scheme.project(probabilities[head.output], head.labels)
        beside = {name: self._beside(name, probabilities) for name in ("not_face", "unknown")}
        faces = []
        for index, row in enumerate(shares):
            aside = {name: None if values is None else float(values[index]) for name, values in beside.items()}
            if item.detections is not None and (aside["not_face"] or 0.0) > self.max_not_face:
                continue
            faces.append(
                Face(
                    **_place(item, index),
                    probabilities=dict(zip(scheme.labels, row.tolist(), strict=True)),
                    coverage=float(coverage[index]),
                    not_face=aside["not_face"],
                    unknown=aside["unknown"],
                )
            )
        return faces

    def _beside(self, name: str, probabilities: dict[str, npt.NDArray[np.floating]]) -> npt.NDArray[np.floating] | None:
        """The probability of an answer that is no expression, from the first head that has it."""
        for head in self._classifier(self._threads).card.heads:
            if name in head.labels:
                column: npt.NDArray[np.floating] = probabilities[head.output][:, head.labels.index(name)]
                return column
        return None


@overload
def recognize(images: list[Any] | tuple[Any, ...], **options: Any) -> list[Reading]: ...
@overload
def recognize(images: ImageLike, **options: Any) -> Reading: ...
def recognize(images: ImageLike | list[Any] | tuple[Any, ...], **options: Any) -> Reading | list[Reading]:
    """Read one image or a list of them with a recognizer that is kept for the next call.

    Parameters
    ----------
    images : path, bytes, array or PIL image, or a list of them
        See `Recognizer.recognize`.
    **options
        See `RecognizerOptions`.
    """
    if isinstance(options.get("labels"), list):
        options["labels"] = tuple(options["labels"])
    return _kept_recognizer(RecognizerOptions(**options)).recognize(images)


@functools.lru_cache(maxsize=4)
def _kept_recognizer(options: RecognizerOptions) -> Recognizer:
    return Recognizer(**vars(options))


def _place(item: _Prepared, index: int) -> dict[str, Any]:
    """Where a face is: as the detector said, or the whole of an image that is cropped already."""
    if item.detections is None:
        return {
            "box_xyxy": (0.0, 0.0, float(item.size_wh[0]), float(item.size_wh[1])),
            "score": None,
            "landmarks_xy": (),
        }
    found = item.detections
    return {
        "box_xyxy": tuple(found.box_xyxy[index].tolist()),
        "score": float(found.score[index]),
        "landmarks_xy": tuple((float(x), float(y)) for x, y in found.landmarks_xy[index]),
    }


def _groups(items: Iterable[_Prepared], most_images: int) -> Iterator[list[_Prepared]]:
    """Cut the stream into batches for the classifier; the last one as it comes."""
    group: list[_Prepared] = []
    faces = kept_bytes = 0
    for item in items:
        group.append(item)
        faces += 0 if item.batch is None else len(item.batch)
        kept_bytes += 0 if item.frame is None else item.frame.image.nbytes
        if faces >= _BATCH_FACES or len(group) >= most_images or kept_bytes >= _BATCH_KEPT_BYTES:
            yield group
            group, faces, kept_bytes = [], 0, 0
    if group:
        yield group
