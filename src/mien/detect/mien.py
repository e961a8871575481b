"""The shipped face detector: a small anchor-free network with five landmarks, on gray."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mien.detect.base import Detections, FloatArray, ImageArray
from mien.detect.image import brighten_dark, check_image, check_options, resize
from mien.detect.pyramid import PyramidSettings, concatenate, detect_in_levels, face_size_px, plan_levels
from mien.detect.second_look import look_again, look_upright
from mien.detect.suppression import suppress
from mien.errors import ModelError, UsageError
from mien.opencv import as_gray, turned
from mien.zoo.card import InputSpec
from mien.zoo.session import open_session
from mien.zoo.store import StoredModel

__all__ = ["MienDetector", "MienSettings", "decode"]

STRIDES_PX = (8, 16, 32)
# The longer side of the small version of a photo in which faces that lie on their sides are looked for, and the score
# that they must reach: false finds reached 0.61 (benchmarks/lying_faces.py).
_LYING_LOOK_PX = 320
_SURE_LYING = 0.65


@dataclass(frozen=True)
class MienSettings(PyramidSettings):
    """The numbers around the network, as the model card gives them in ``settings``.

    Attributes
    ----------
    score_threshold : float
        Faces below are not reported.
    candidate_threshold : float
        What the first look must give for a second look, which every face gets.
    default_min_face_px : float
        Where no smallest face is asked for: faces well below this size, in pixels of the photo, are not
        reported, since nobody reads an expression from them.
    sure_score : float
        What a face must reach for its photo to be turned: see `mien.detect.any_way_up`. Of 1,121 photos with faces 93 %
        reach it as they stand; turned by a quarter, 0.2 %; standing on their heads, 2 %, but of larger faces, as in
        portraits, one in six (benchmarks/turned_photos.py).
    upright_score : float
        A photo with such a face is not searched turned. Of the 1,121 photos 85 % reach it as they stand, and none
        standing on its head.
    """

    score_threshold: float = 0.5
    candidate_threshold: float = 0.3
    default_min_face_px: float = 20.0
    sure_score: float = 0.7
    upright_score: float = 0.76

    @classmethod
    def from_card(cls, name: str, settings: dict[str, float]) -> MienSettings:
        """The settings of a card; what it does not name has its default.

        Raises
        ------
        ModelError
            If the card names a setting that does not exist.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        unknown = sorted(set(settings) - known)
        if unknown:
            raise ModelError(f"card '{name}': unknown detector settings {unknown}; known are {sorted(known)}")
        return cls(**settings)


class MienDetector:
    """Find faces with the shipped network.

    The photo is looked at in a few sizes (`mien.detect.pyramid`); the faces found there are cut out of the photo and
    looked at again, the tilted ones turned upright (`mien.detect.second_look`). Photos without light are brightened
    before. Safe to call from several threads.

    Parameters
    ----------
    model : StoredModel
        Card and weights of a detector of the zoo.
    threads : int
        Threads for one run of the network.
    min_face_px : float, optional
        The smallest face to be found, in pixels of the photo. By default as small as the time allows that decoding
        the photo takes: 20 px in a photo of up to three quarters of a megapixel, 24 px in one of 1, 44 px in one of
        12, 80 px in one of 50.
    score_threshold : float, optional
        Faces below are not reported; by default what the card says.

    Raises
    ------
    UsageError
        If `min_face_px`, `threads` or `score_threshold` make no sense.
    ModelError
        If the weights cannot be loaded, or the card does not fit.
    """

    wants_gray = True

    def __init__(
        self,
        model: StoredModel,
        *,
        threads: int = 1,
        min_face_px: float | None = None,
        score_threshold: float | None = None,
    ) -> None:
        if threads < 1:
            raise UsageError(f"threads is {threads}; expected at least 1")
        settings = MienSettings.from_card(model.card.name, model.card.settings)
        self._prepare(settings, model.card.input, min_face_px, score_threshold)
        # Not of self, which would hold the session until the garbage collector comes.
        session, name = open_session(model, threads), model.card.input.name
        self._run: Callable[[FloatArray], FloatArray] = lambda values: session.run(None, {name: values})[0]

    @classmethod
    def with_network(
        cls,
        run: Callable[[FloatArray], FloatArray],
        input_spec: InputSpec,
        settings: MienSettings | None = None,
        *,
        min_face_px: float | None = None,
        score_threshold: float | None = None,
    ) -> MienDetector:
        """The same way of looking at photos around any network, such as one in training.

        Parameters
        ----------
        run : callable
            Takes float32 (1, 1, H, W), normalised and padded, and gives float32 (1, 15, A); see `decode`.
        input_spec : InputSpec
        settings : MienSettings, optional
        min_face_px, score_threshold : float, optional
            As for the class.
        """
        detector = cls.__new__(cls)
        detector._prepare(settings or MienSettings(), input_spec, min_face_px, score_threshold)
        detector._run = run
        return detector

    @property
    def sure_score(self) -> float:
        """The score that shows a face: a photo is turned to where it has one."""
        return self._settings.sure_score

    @property
    def upright_score(self) -> float:
        """The score from which a face shows that its photo stands upright."""
        return self._settings.upright_score

    def _prepare(
        self, settings: MienSettings, input_spec: InputSpec, min_face_px: float | None, score_threshold: float | None
    ) -> None:
        check_options(min_face_px, score_threshold)
        if score_threshold is not None:
            settings = dataclasses.replace(
                settings,
                score_threshold=score_threshold,
                candidate_threshold=min(settings.candidate_threshold, score_threshold),
            )
        self._settings = settings
        self._min_face_px = min_face_px
        self._input = input_spec

    def detect(self, image: ImageArray) -> Detections:
        """Find the faces of one image, best first.

        Parameters
        ----------
        image : uint8 array of shape (H, W) or (H, W, 3)
            Gray, or colour in OpenCV's order (BGR), of any size.

        Raises
        ------
        UsageError
            If the array is no such image.
        """
        check_image(image)
        return self._search(image, self._min_face_px)

    def glance(self, image: ImageArray) -> bool:
        """Whether a face shows in a small version of a photo: see `mien.detect.base.UprightDetector`."""
        check_image(image)
        return len(self._search(image, None)) > 0

    def with_lying(self, image: ImageArray, found: Detections) -> Detections:
        """The faces of an upright photo, and those that lie there on their sides: `mien.detect.base.LyingDetector`.

        The photo is looked at once in small, turned to either side. What may be a face there is looked at again in the
        photo itself, upright, and counts if it is surer than what was found in its place.
        """
        check_image(image)
        gray = brighten_dark(as_gray(image))
        factor = np.float32(max(1.0, max(gray.shape) / _LYING_LOOK_PX))
        small = resize(gray, (max(1, round(gray.shape[1] / factor)), max(1, round(gray.shape[0] / factor))))
        size_wh = (small.shape[1], small.shape[0])
        looks = [self._find(turned(small, deg)).turned_back(deg, size_wh) for deg in (90, 270)]
        seen = concatenate(looks)
        seen = Detections(seen.box_xyxy * factor, seen.score, seen.landmarks_xy * factor)
        sure = found.box_xyxy[found.score >= self._settings.sure_score]
        seen = self._one_a_face(seen.select(~_within(seen.box_xyxy, sure)))
        lying = look_upright(gray, seen, self._find)
        least = max(_SURE_LYING, self._settings.score_threshold)
        lying = lying.select(self._wanted(lying, self._min_face_px, least) & ~_within(lying.box_xyxy, sure))
        return _surer_in_place(found, lying) if len(lying) else found

    def _search(self, image: ImageArray, min_face_px: float | None) -> Detections:
        gray = brighten_dark(as_gray(image))
        settings = self._settings
        levels = plan_levels((gray.shape[1], gray.shape[0]), min_face_px, settings)
        found, seen_px = detect_in_levels(gray, levels, self._find, settings)
        well_seen = (seen_px >= settings.best_face_min_px) & (seen_px <= settings.best_face_max_px)
        found = look_again(gray, found, well_seen, self._find)
        found = look_upright(gray, found, self._find)
        return self._one_a_face(found.select(self._wanted(found, min_face_px, settings.score_threshold)))

    def _wanted(self, found: Detections, min_face_px: float | None, least_score: float) -> npt.NDArray[np.bool_]:
        # Below, a face is too small for what was asked; a third less, because sizes are uncertain.
        smallest_px = (min_face_px or self._settings.default_min_face_px) * 0.7
        wanted: npt.NDArray[np.bool_] = (found.score >= least_score) & (face_size_px(found.box_xyxy) >= smallest_px)
        return wanted

    def _one_a_face(self, found: Detections) -> Detections:
        """Of several finds of one face the best; best first."""
        settings = self._settings
        keep = suppress(
            found.box_xyxy,
            found.score,
            iou_threshold=settings.iou_threshold,
            inside_threshold=settings.inside_threshold,
        )
        return found.select(keep)

    def _find(self, gray: ImageArray) -> Detections:
        """Candidates in an image that fits into memory, before suppression."""
        height, width = gray.shape
        multiple = self._input.multiple_of_px
        padded_wh = (-(-width // multiple) * multiple, -(-height // multiple) * multiple)
        # Zeros on the right and below: the middle gray of the normalised input.
        network_input = np.zeros((1, 1, padded_wh[1], padded_wh[0]), np.float32)
        view = network_input[0, :, :height, :width]
        mean, std = self._input.mean_and_std
        np.multiply(gray, (1 / (255 * std)).astype(np.float32), out=view)
        view -= (mean / std).astype(np.float32)
        output = self._run(network_input)
        return decode(output[0], padded_wh, self._settings.candidate_threshold)


def _surer_in_place(found: Detections, others: Detections) -> Detections:
    """Finds, and others that are surer than what was found in their place; best first.

    A face that is askew has boxes that overlap too little for `suppress`, as an upright find and a lying one of it.
    """
    for index in np.argsort(-others.score, kind="stable"):
        other = others.select(np.asarray([index]))
        same = _within(found.box_xyxy, other.box_xyxy)
        if np.all(found.score[same] < other.score):
            found = concatenate([found.select(~same), other])
    return found.select(np.argsort(-found.score, kind="stable"))


def _within(box_xyxy: FloatArray, others_xyxy: FloatArray) -> npt.NDArray[np.bool_]:
    """Which boxes (N, 4) have their middle in another one (M, 4), or the middle of one in them: bool (N,)."""
    mine, others = box_xyxy[:, None], others_xyxy[None]
    inside = np.zeros(len(box_xyxy), np.bool_)
    for inner, outer in ((mine, others), (others, mine)):
        middle_xy = (inner[..., :2] + inner[..., 2:]) / 2
        held = (middle_xy > outer[..., :2]) & (middle_xy < outer[..., 2:])
        inside |= np.any(np.all(held, axis=-1), axis=1)
    return inside


def decode(output: FloatArray, size_wh: tuple[int, int], score_threshold: float) -> Detections:
    """Turn the network's output into candidates, before suppression.

    Parameters
    ----------
    output : float32 array of shape (15, A)
        Score; dx, dy; log w, log h; five points: in units of the stride, from the cell's own corner. A runs over
        strides 8, 16 and 32, each row by row.
    size_wh : (int, int)
        Width and height of the network's input, multiples of 32.
    score_threshold : float
        Candidates below are not decoded.
    """
    index = np.flatnonzero(output[0] >= score_threshold)
    if not len(index):
        return Detections.empty()
    width, height = size_wh
    cells = np.asarray([(width // s) * (height // s) for s in STRIDES_PX])
    ends = np.cumsum(cells)
    level = np.searchsorted(ends, index, side="right")
    stride_px = np.asarray(STRIDES_PX)[level]
    row, column = np.divmod(index - (ends - cells)[level], width // stride_px)
    values = output[:, index].T
    cell_xy = np.stack((column, row), axis=1).astype(np.float32)
    scale = stride_px.astype(np.float32)[:, None]
    centre_xy = (cell_xy + values[:, 1:3]) * scale
    # Damaged weights must not overflow: no face is larger than e^8 strides.
    half_wh = np.exp(np.minimum(values[:, 3:5], 8.0)) * scale / 2
    landmarks_xy = (cell_xy[:, None] + values[:, 5:].reshape(-1, 5, 2)) * scale[:, None]
    return Detections(
        np.concatenate((centre_xy - half_wh, centre_xy + half_wh), axis=1).astype(np.float32),
        values[:, 0].astype(np.float32),
        landmarks_xy.astype(np.float32),
    )
