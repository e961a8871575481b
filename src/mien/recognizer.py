"""The main entry of the library: one object that takes images through all stages."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar, overload

from mien.background import within_c
from mien.classify import Classifier, OnnxClassifier
from mien.detect import Detector, open_detector
from mien.errors import InputError, ModelError, UsageError, warn
from mien.explain.explanation import Explanation
from mien.explain.faces import explain_faces
from mien.labels import FER7, NO_EXPRESSION, LabelScheme, find_scheme
from mien.options import options_from_dict
from mien.parallel import Closable, Opened, count_threads, ordered_map
from mien.prepared import BATCH_IMAGES, Prepared, group_prepared, prepare_image, read_prepared
from mien.recognizer_options import RecognizerKeywords, RecognizerOptions
from mien.result import Reading
from mien.source import Frame, ImageLike, load_image, own_image
from mien.video import VideoReadings, frame_source
from mien.video_options import FrameOptions, VideoKeywords, VideoOptions
from mien.zoo import Head, ModelCard, find_model, list_models

if TYPE_CHECKING:
    from typing_extensions import Unpack  # in typing from Python 3.11 on

__all__ = ["OnError", "Recognizer"]

_A = TypeVar("_A")
OnError: TypeAlias = Literal["raise", "record"]
_MADE_OF = {"_classifier": {"model"}, "_detector": {"detector", "min_face_px", "min_score"}}
"""The options that each stage depends on."""
_IMAGE_OPTIONS = ("on_error", "threads")
"""What `Recognizer.stream` can be told where it is given images."""


def _check_on_error(on_error: object) -> None:
    if on_error not in ("raise", "record"):
        raise UsageError(f"on_error is {on_error!r}; expected 'raise' or 'record'")


def _check_iterable(images: object) -> None:
    """Refuse a single image, and what cannot be iterated over (UsageError)."""
    # Of one dimension are columns of names, such as those of pandas; an open file would give its lines.
    single = isinstance(images, (bytes, bytearray, memoryview)) or getattr(images, "ndim", 4) in (0, 2, 3)
    if single or hasattr(images, "read") or not isinstance(images, Iterable):
        raise UsageError(
            f"stream is given {type(images).__name__}; expected a video's path, 'camera:0', the address of a stream, "
            "or an iterable of images (a single image goes to recognize)"
        )


def _until_failure(images: Iterable[_A], failed: list[Exception]) -> Iterator[_A]:
    """What an iterable gives before it fails, for its error to be raised when all of that is read."""
    try:
        yield from images
    except Exception as error:  # noqa: BLE001 - the caller's own, whatever it is
        failed.append(error)


@dataclass(frozen=True, kw_only=True)
class Recognizer(RecognizerOptions):
    """Finds faces in images and videos and reads their expressions.

    It can be used from several threads at the same time. When it is pickled, for another process for example, only its
    options are stored, and the models are opened again there. `model` and `detector` may also be your own objects that
    follow the `mien.classify.Classifier` and `mien.detect.Detector` protocols.

    Raises
    ------
    UsageError
        If an option has a wrong value.
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
        # What can be wrong is told now and not at the first photo. The shipped models are opened when it is known
        # with how many threads; files, which may be damaged or no models at all, at once.
        self._scheme, self._classifier, self._detector  # noqa: B018
        if self.detector != "none" and not self.card.input.framing_xy:
            raise ModelError(
                f"model '{self.card.name}' only reads cropped faces: its card does not say where landmarks belong "
                "(framing_xy); give detector 'none'"
            )
        shipped = tuple(list_models())  # an object of one's own may have no hash
        if self.model not in shipped:
            self._classifier(self._threads)
        if self.detector not in shipped:
            self._detector(self._threads)

    def __getstate__(self) -> dict[str, Any]:
        # The options alone: another process opens the models for itself.
        return {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}

    @functools.cached_property
    def _threads(self) -> int:
        return count_threads(self.threads)

    @functools.cached_property
    def _classifier(self) -> Callable[[int], Classifier]:
        """Gives the classifier for a number of threads."""
        model = self.model
        if isinstance(model, (str, Path)):
            return Opened(lambda threads: OnnxClassifier(find_model(model, "expression"), threads))
        return lambda _: model

    @functools.cached_property
    def _detector(self) -> Callable[[int], Detector | None]:
        """Gives the detector for a number of threads; None where images are cropped already."""
        detector, least = self.detector, (self.min_face_px, self.min_score)
        if detector == "none":
            return lambda _: None
        if isinstance(detector, (str, Path)):
            return Opened(lambda threads: open_detector(detector, threads, *least))
        return lambda _: detector

    @functools.cached_property
    def _scheme(self) -> tuple[LabelScheme, Head]:
        """The label scheme, and the model's head that serves it."""
        # A model's own classes may be none of the expressions that mien has names for.
        own = [name for name in self.card.heads[0].labels if name not in NO_EXPRESSION]
        if isinstance(self.labels, LabelScheme):
            scheme = self.labels
        elif self.labels == "auto":
            scheme = find_scheme("fer7") if set(FER7) <= set(own) else LabelScheme.of(own)
        else:
            scheme = find_scheme(self.labels if isinstance(self.labels, str) else tuple(self.labels), own)
        return scheme, self.card.head_for(scheme)

    @property
    def scheme(self) -> LabelScheme:
        """The label scheme of all readings."""
        return self._scheme[0]

    @functools.cached_property
    def card(self) -> ModelCard:
        """The card of the expression model."""
        return find_model(self.model, "expression").card if isinstance(self.model, (str, Path)) else self.model.card

    def replace(self, **changes: Unpack[RecognizerKeywords]) -> Recognizer:
        """A recognizer with some options changed; each model that stays the same is opened once for both.

        Examples
        --------
        >>> import mien
        >>> mien.Recognizer().replace(labels="valence3").scheme.labels
        ('positive', 'neutral', 'negative')
        """
        other = dataclasses.replace(self, **changes)
        for stage, options in _MADE_OF.items():
            if not options & changes.keys():
                vars(other)[stage] = getattr(self, stage)
        return other

    # One image first: checkers take the first form of what is passed on, as in `pool.map(recognizer.recognize, paths)`.
    @overload
    def recognize(self, images: ImageLike, *, on_error: OnError | None = None) -> Reading: ...
    @overload
    def recognize(self, images: list[Any] | tuple[Any, ...], *, on_error: OnError | None = None) -> list[Reading]: ...
    def recognize(
        self,
        images: ImageLike | list[Any] | tuple[Any, ...],
        *,
        on_error: OnError | None = None,
    ) -> Reading | list[Reading]:
        """Read one image, or a list of images in batches.

        Parameters
        ----------
        images : path, bytes, array or PIL image, or a list of them
            Arrays are gray (H, W), BGR (H, W, 3) or BGRA (H, W, 4).
        on_error : {"raise", "record"}, optional
            What to do with an input that cannot be read. ``"raise"`` (the default for one image) raises
            InputError. ``"record"`` (the default for a list) gives it a reading with `Reading.error` and no faces;
            in a list, a MienWarning names it, and the rest is read.

        Returns
        -------
        Reading, or list of Reading
            One reading for one image; for a list, as many readings in the same order.

        Raises
        ------
        InputError
            If an image cannot be read and `on_error` is ``"raise"``.
        UsageError
            If something in the list is not an image at all, such as a number.
        """
        if on_error is not None:
            _check_on_error(on_error)
        if isinstance(images, (list, tuple)):
            readings = list(self.stream(images, on_error=on_error or "record"))
            for reading in readings:
                if reading.error is not None:
                    warn(f"not read: {InputError(reading.source, reading.error)}")
            return readings
        (reading,) = self.stream([images], on_error=on_error or "raise", threads=1)
        return reading

    @overload
    def stream(self, images: str | os.PathLike[str], **options: Unpack[VideoKeywords]) -> VideoReadings: ...
    @overload
    def stream(
        self, images: Iterable[Any], *, frame_rate: float, name: str | None = None, **options: Unpack[VideoKeywords]
    ) -> VideoReadings: ...
    @overload
    def stream(
        self, images: Iterable[Any], *, on_error: OnError = "record", threads: int | None = None
    ) -> Closable[Reading]: ...
    def stream(
        self,
        images: str | os.PathLike[str] | Iterable[ImageLike | Frame | InputError],
        **options: Any,
    ) -> VideoReadings | Closable[Reading]:
        """Read a video, or any number of images, one after the other and in constant memory.

        Parameters
        ----------
        images : path or str, or iterable
            A video file, ``camera:0`` or the address of a stream: each reading then has `Reading.frame` and
            `Reading.time_s`, and each face a `Face.track_id`. Or an iterable of images as for `recognize`: with a
            `frame_rate` they are read as the frames of a video, otherwise as unrelated photos. Items may also be
            `mien.source.Frame`, or an InputError in place of an input that is known to be unreadable.
        **options
            For a video, those of `mien.VideoOptions`; for frames of your own also `frame_rate`, in frames a second, and
            `name`, what their readings call their source. For photos `on_error` (as for `recognize`, ``"record"`` by
            default) and `threads`: how many are read at a time.

        Returns
        -------
        VideoReadings, or iterator of Reading
            One reading for each frame, or for each image, in order. Both can be left early: `close`, or the end of a
            ``with`` block, stops reading.

        Raises
        ------
        UsageError
            If an option does not exist or has a wrong value, or this is no video and no iterable of images.
        InputError
            If the video cannot be opened, at once; or when it breaks off. Of images only if `on_error` is ``"raise"``.
            An error of your own iterable is raised, too, after the readings of what it gave before.

        Examples
        --------
        >>> import mien
        >>> for reading in mien.Recognizer().stream(["examples/astronaut.jpg", "examples/missing.jpg"]):
        ...     print(reading.source, [face.expression for face in reading.faces], reading.error)
        examples/astronaut.jpg ['happy'] None
        examples/missing.jpg [] no such file or folder
        """
        if isinstance(images, (str, os.PathLike)):
            return VideoReadings(self, images, options_from_dict(VideoOptions, options))
        _check_iterable(images)
        frame_rate = options.pop("frame_rate", None)
        if frame_rate is not None:
            own = options_from_dict(FrameOptions, {**options, "frame_rate": frame_rate})
            return VideoReadings(self, frame_source(images, own, self.max_megapixels), own)
        for name in options:
            if name not in _IMAGE_OPTIONS:
                raise UsageError(
                    f"stream of images has no option '{name}'; it has {' and '.join(_IMAGE_OPTIONS)}. The options of a "
                    "video (mien.VideoOptions) go with its path: stream('clip.mp4'), and not in a list; or with the "
                    "frame_rate of frames of your own: stream(frames, frame_rate=30)"
                )
        on_error = options.get("on_error", "record")
        _check_on_error(on_error)
        threads = RecognizerOptions(threads=options.get("threads")).threads
        pairs = self.stream_frames(images, on_error=on_error, threads=threads, keep_frames=False)
        return Closable(reading for _, reading in pairs)

    def stream_frames(
        self,
        images: Iterable[ImageLike | Frame | InputError],
        *,
        on_error: OnError = "record",
        threads: int | None = None,
        keep_frames: bool = True,
        live: bool = False,
    ) -> Iterator[tuple[Frame | None, Reading]]:
        """Like `stream` of images, with the decoded image beside each reading.

        Parameters
        ----------
        images : iterable
            As for `stream`; also a `mien.source.VideoSource`, or a list.
        on_error : {"raise", "record"}
            As for `recognize`.
        threads : int, optional
            How many images are read at a time, from 1 on; by default as many as the recognizer has threads.
        keep_frames : bool
            Give the images, too. Without them more readings can wait for whoever takes them.
        live : bool
            Read one image at a time, each before the next one is taken, as a camera wants it.

        Yields
        ------
        (Frame or None, Reading)
            In the order of the images. None in the place of an image that could not be read, or is not kept.
        """
        several = 1 if live else self._threads if threads is None else threads
        inner = 1 if several > 1 else self._threads
        # Opened here, so that an error of a model is not taken for one of an image.
        self._classifier(inner)
        self._detector(inner)
        if several > 1 and not isinstance(images, (list, tuple)):
            images = map(own_image, images)  # some are taken while those before are still to be read
        failed: list[Exception] = []
        images = _until_failure(images, failed)
        prepare = functools.partial(self._prepare, threads=inner, keep=keep_frames)
        # Without their images prepared photos are small: so many wait that no thread stops while the classifier runs.
        prepared = ordered_map(prepare, images, several, ahead=2 if keep_frames else 8)
        for group in group_prepared(prepared, 1 if live else BATCH_IMAGES):
            for item, reading in zip(group, self._read(group, inner), strict=True):
                if item.error is not None and on_error == "raise":
                    raise item.error
                yield item.frame, reading
        if failed:
            raise failed[0]

    def explain(
        self, image: ImageLike | Frame, reading: Reading | None = None, *, expression: str | None = None
    ) -> list[Explanation]:
        """Find out what the answers to one image's faces rest on: which parts speak for an expression, which against.

        Half of each face is hidden, in 256 ways, and what is left is read; see `mien.explain.occlusion`.

        Parameters
        ----------
        image : path, bytes, array or PIL image
            One photo, as `recognize` takes it, or a `mien.source.Frame`.
        reading : Reading, optional
            What `recognize` said of this image, which is then not searched again. Of some of its faces, with
            ``dataclasses.replace(reading, faces=reading.faces[:1])``.
        expression : str, optional
            The label to explain. By default of each face the one that it is read as.

        Returns
        -------
        list of Explanation
            One for each face, in the order of the reading.

        Raises
        ------
        InputError
            If the image cannot be read.
        UsageError
            If `expression` is no label of the scheme, or the reading is of another image or another scheme.

        Examples
        --------
        >>> import mien
        >>> (found,) = mien.Recognizer().explain("examples/astronaut.jpg")
        >>> found.expression, found.drop.shape
        ('happy', (8, 8))
        >>> bool(found.drop[4:].sum() > found.drop[:4].sum())  # the smile, more than eyes and brows
        True
        """
        if isinstance(image, (list, tuple)):
            raise UsageError("explain is given several images; expected one: call it for each")
        frame = image if isinstance(image, Frame) else load_image(image, self.max_megapixels)
        if reading is None:
            ((_, reading),) = self.stream_frames([frame], on_error="raise", threads=1)
        classifier = self._classifier(self._threads)
        return explain_faces(frame, reading, classifier, self._scheme, expression, views=self.views)

    def prepare(self, image: ImageLike | Frame) -> Prepared:
        """Decode, detect and align one image on the calling thread: for those who batch by themselves, as a server.

        It raises nothing for an image that cannot be read: the reading that `classify` gives has the error.
        """
        return self._prepare(image, 1, keep=False)

    def classify(self, prepared: list[Prepared]) -> list[Reading]:
        """Read the faces of several images that `prepare` gave, in one batch: a reading for each, in their order."""
        return self._read(prepared, 1)

    def _prepare(self, image: ImageLike | Frame | InputError, threads: int, keep: bool) -> Prepared:
        with within_c():
            return prepare_image(
                image,
                self._detector(threads),
                self.card.input,
                max_megapixels=self.max_megapixels,
                upright=self.upright,
                keep=keep,
            )

    def _read(self, group: list[Prepared], threads: int) -> list[Reading]:
        with within_c():
            return list(read_prepared(group, self._classifier(threads), self._scheme, self.max_not_face, self.views))
