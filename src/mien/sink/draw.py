"""Annotated copies of photos: a box, the face's number, its expression and confidence."""

from __future__ import annotations

import math
import os
from pathlib import Path, PurePosixPath
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from mien.errors import UsageError
from mien.files import file_key, numbered, write_atomically
from mien.result import Face, Reading, checked_reading
from mien.sink.base import Sink
from mien.sink.lettering import put_text, text_size
from mien.sink.palette import color_rgb, text_rgb
from mien.sink.tags import Tag, place_tags
from mien.source import Frame, ImageLike, load_image

__all__ = ["DrawSink", "draw_reading", "drawn_kind"]

_KEPT_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
_JPEG_QUALITY = 92


def drawn_kind(name: str) -> Literal["folder", "photo", "video"]:
    """Whether a name to draw into is that of a folder, a photo or a video; it need not exist.

    A folder is one that is there, or a name without a suffix, or with a slash at its end.

    Raises
    ------
    UsageError
        If it has a suffix of which nothing is written.
    """
    path = Path(name)
    suffix = path.suffix.lower()
    if not suffix or name.endswith(("/", os.sep)) or path.is_dir():
        return "folder"
    if suffix == ".mp4":
        return "video"
    if suffix in _KEPT_SUFFIXES:
        return "photo"
    raise UsageError(
        f"--draw {name}: '{suffix}' cannot be drawn; expected a video (.mp4), a photo ({', '.join(_KEPT_SUFFIXES)}), "
        "or a folder (with a slash at its end, where its name has a dot)"
    )


def draw_reading(image: ImageLike, reading: Reading) -> npt.NDArray[np.uint8]:
    """Draw the faces of a reading onto a copy of its image.

    Parameters
    ----------
    image : path, bytes, array or PIL image
        The image that was read, as `mien.recognize` takes it.
    reading : Reading
        What was read in it; its boxes are in pixels of this image.

    Returns
    -------
    uint8 array of shape (H, W, 3)
        BGR. Lines and letters grow with the image and with each face. Of several faces each has its number, its
        place in `reading.faces` from 1 (in a video its `track_id`), in its label. A label covers no other face and
        is never cut off: where there is no room, it is the number alone, or there is only the coloured box.

    Raises
    ------
    InputError
        If the image cannot be read.
    UsageError
        If it is of a type that is no image, or the reading is none.
    """
    # Of any size: what was allowed to be read may be drawn.
    canvas = np.array(load_image(image, math.inf).bgr, np.uint8, copy=True)
    reading = checked_reading(reading, "draw_reading")
    lines_px = [_line_px(face, canvas.shape) for face in reading.faces]
    # The best find is drawn last, where boxes overlap; and the labels over all boxes.
    for face, line_px in reversed(list(zip(reading.faces, lines_px, strict=True))):
        _rounded_rectangle(canvas, face.box_xyxy, _color(face)[::-1], line_px)
    tags = place_tags(reading, (canvas.shape[1], canvas.shape[0]), lines_px, text_size)
    for face, tag in zip(reading.faces, tags, strict=True):
        if tag is not None:
            _draw_tag(canvas, tag, _color(face))
    return canvas


def _color(face: Face) -> tuple[int, int, int]:
    return color_rgb(face.expression, face.probabilities)


def _line_px(face: Face, shape: tuple[int, ...]) -> int:
    """How thick the line around a face is: with the picture, but thin around a small face."""
    width = face.box_xyxy[2] - face.box_xyxy[0]
    return round(max(1.0, min(max(2.0, max(shape[:2]) / 360), width / 24)))


def _draw_tag(canvas: npt.NDArray[np.uint8], tag: Tag, color: tuple[int, int, int]) -> None:
    left, top, right, bottom = tag.box_xyxy
    canvas[top:bottom, left:right] = color[::-1]
    put_text(canvas, tag.text, (left + tag.pad_px, top + tag.pad_px), tag.font_px, text_rgb(color)[::-1])


def _rounded_rectangle(
    canvas: npt.NDArray[np.uint8],
    box_xyxy: tuple[float, float, float, float],
    color: tuple[int, int, int],
    line_px: int,
) -> None:
    # A thin dark rim keeps the line visible on a background of its own colour; of a small face it must cover nothing.
    if line_px == 1:
        cv2.polylines(canvas, [_outline(box_xyxy, 1)], True, (32, 32, 32), 1)
        cv2.polylines(canvas, [_outline(box_xyxy)], True, color, 1)
        return
    outline = _outline(box_xyxy)
    cv2.polylines(canvas, [outline], True, (32, 32, 32), line_px + 2, cv2.LINE_AA)
    cv2.polylines(canvas, [outline], True, color, line_px, cv2.LINE_AA)


def _outline(box_xyxy: tuple[float, float, float, float], grown_px: int = 0) -> npt.NDArray[np.int32]:
    """The corners of a box, rounded, as points; `grown_px` farther out on each side."""
    left, top = (round(value) - grown_px for value in box_xyxy[:2])
    right, bottom = (round(value) + grown_px for value in box_xyxy[2:])
    radius = max(0, round(min(right - left, bottom - top) * 0.08))
    points = []
    corners = ((right, bottom, 0), (left, bottom, 90), (left, top, 180), (right, top, 270))
    for x, y, start in corners:
        centre = (x - radius if x == right else x + radius, y - radius if y == bottom else y + radius)
        points += np.asarray(cv2.ellipse2Poly(centre, (radius, radius), 0, start, start + 90, 6)).tolist()
    return np.array(points, np.int32)


class DrawSink(Sink):
    """Writes annotated copies into a folder, below it under the same relative names.

    Parameters
    ----------
    folder : path
        Made where it is missing. Existing files of the same name are replaced, the photos themselves never.
    relative : dict of str to str
        For each source its name below the folder; other sources go by their file name.

    Raises
    ------
    UsageError
        If the folder cannot be made, or a copy would take the place of one of the photos.
    """

    def __init__(self, folder: str | os.PathLike[str], relative: dict[str, str] | None = None) -> None:
        self._folder = Path(folder)
        self._relative = relative or {}
        # By what they are: to some file systems "A.jpg" and "a.jpg" are one name.
        self._written: set[tuple[int, int]] = set()
        # A copy may have the name of another photo, which is still to be read.
        self._photos = {key for source in self._relative if (key := file_key(source)) is not None}
        for source in self._relative:
            self._check_free(self._folder / self._name(source))
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"{folder}: cannot make this folder ({error.strerror}); choose another --draw") from error

    def write(self, reading: Reading, frame: Frame | None = None) -> None:
        """Draw one reading; images that could not be read are passed over."""
        if frame is not None:
            self.save(reading.source, draw_reading(frame.image, reading))

    def save(self, source: str, picture: npt.NDArray[np.uint8]) -> None:
        """Write a picture of a photo.

        Parameters
        ----------
        source : str
            The photo; its copy has its name.
        picture : uint8 array of shape (H, W, 3)
            What is written, in BGR.

        Raises
        ------
        UsageError, OutputError
            If it cannot be written, or would take the place of the photo itself.
        """
        target = self._target(source)
        suffix = target.suffix.lower()
        parameters = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY] if suffix in (".jpg", ".jpeg") else []
        done, encoded = cv2.imencode(suffix, picture, parameters)
        if not done:
            raise UsageError(f"{target}: OpenCV cannot write this format")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            # Many in a row, and each can be drawn again: none waits for the disk.
            write_atomically(target, encoded.tobytes(), durable=False)
            if (key := file_key(target)) is not None:
                self._written.add(key)
        except OSError as error:
            raise UsageError(f"{target}: cannot be written ({error.strerror})") from error

    def _name(self, source: str) -> PurePosixPath:
        """The name of a copy below the folder."""
        name = PurePosixPath(self._relative.get(source) or Path(source).name)
        return name if name.suffix.lower() in _KEPT_SUFFIXES else name.with_name(name.name + ".png")

    def _target(self, source: str) -> Path:
        target = numbered(self._folder / self._name(source), self._written)
        self._check_free(target, source)
        return target

    def _check_free(self, target: Path, source: str | None = None) -> None:
        there = file_key(target)
        if there is not None and (there in self._photos or (source is not None and there == file_key(source))):
            raise UsageError(f"{target}: --draw would overwrite the photo itself; choose another folder")
