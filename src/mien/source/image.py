"""One image from whatever the caller has: a path, bytes, an array, a PIL image."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from mien.errors import InputError, UsageError
from mien.opencv import quiet_opencv
from mien.source.container import beginning, container_kind
from mien.source.frame import Frame
from mien.source.header import ImageHeader, read_header
from mien.source.name import A_PIPE, camera_hint, is_pipe, why_unreadable

__all__ = ["ImageLike", "decode_image", "load_image", "own_image"]


class PILImage(Protocol):
    """An image of Pillow, by what it can: type checkers know it where Pillow is not installed, too."""

    @property
    def mode(self) -> str:
        """Such as ``"RGB"``."""
        ...

    def convert(self, mode: str) -> Any:
        """A copy in another mode."""
        ...


ImageLike: TypeAlias = str | os.PathLike[str] | bytes | bytearray | memoryview | npt.NDArray[Any] | PILImage
"""What mien takes as one image. Arrays are gray (H, W) or in OpenCV's order BGR (H, W, 3), BGRA (H, W, 4)."""

DEFAULT_MAX_MEGAPIXELS = 200.0
# Programs write about ten. Each takes as long as the whole picture, and but a few bytes.
MOST_SCANS = 100
_BLOCK_PIXELS = 1 << 18
_MOST_BYTES = (1 << 31) - 1
"""Of a file: OpenCV takes no more."""
_WITH_ALPHA = ("PNG", "WebP", "GIF", "TIFF")
_WITH_16_BITS = ("PNG", "TIFF", "JPEG 2000", "PNM")
_AVIF_ALPHA = b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha"


def load_image(image: ImageLike, max_megapixels: float = DEFAULT_MAX_MEGAPIXELS) -> Frame:
    """Turn one image of any kind into a `Frame`.

    Parameters
    ----------
    image : path, bytes, array or PIL image
        Arrays are gray of shape (H, W) or (H, W, 1), BGR (H, W, 3) or BGRA (H, W, 4); uint8, uint16, bool, or
        float in [0, 1]. Transparent pixels are laid over white.
    max_megapixels : float
        Files that would decode to more are refused.

    Raises
    ------
    InputError
        If it cannot be read, with the reason.
    UsageError
        If it is of a type that is no image.
    """
    if isinstance(image, (str, os.PathLike)):
        name = str(os.fspath(image))  # of numpy's str_ a plain one
        return decode_image(read_file(name, pipe=True), name, max_megapixels)
    if isinstance(image, (bytes, bytearray, memoryview)):
        return decode_image(bytes(image), "<bytes>", max_megapixels)
    if isinstance(image, np.ndarray):
        return Frame("<array>", array_to_image(image, "<array>"), note=_unused_bits(image))
    # By the names of its classes, without importing PIL; those of its plugins have modules of their own.
    if any(kind.__module__.partition(".")[0] == "PIL" for kind in type(image).__mro__):
        return _from_pil(image)
    if image is None:
        raise InputError("<None>", "is no image; cv2.imread gives None for a file that it cannot read: pass the path")
    hint = ""
    if callable(getattr(image, "numpy", None)):
        hint = (
            "; of a tensor pass tensor.numpy(), as height x width x 3, BGR, uint8 (of channels first "
            "tensor.permute(1, 2, 0).numpy(), of RGB [..., ::-1])"
        )
    elif hasattr(image, "grab"):  # of OpenCV
        hint = '; of a camera or video give its name to Recognizer.stream ("camera:0", "clip.mp4"), or pass its frames'
    elif hasattr(image, "read"):
        hint = "; of an open file pass the bytes: file.read()"
    elif isinstance(image, Iterable):
        hint = "; of other iterables make a list, or give them to Recognizer.stream"
    raise UsageError(
        f"cannot read an image from {type(image).__name__}; expected a path, bytes, a numpy array (gray or BGR), "
        f"a PIL image, or a list of them{hint}"
    )


def own_image(image: Any) -> Any:
    """A copy of an image that may change before it is read; others are returned as they are.

    Programs read a camera into the same array again and again, and Pillow gives the frames of an animation as one
    object.
    """
    if isinstance(image, np.ndarray):
        return image.copy()
    if isinstance(image, (bytearray, memoryview)):
        return bytes(image)
    if getattr(image, "is_animated", False):
        with contextlib.suppress(Exception):  # one that cannot be decoded is told of when it is read
            copied = image.copy()
            copied.format, copied.n_frames = image.format, image.n_frames if image.tell() == 0 else 1
            return copied
    return image


def read_file(name: str, most_bytes: int = _MOST_BYTES, pipe: bool = False) -> bytes:
    """The bytes of a file, or an InputError that says why not.

    Parameters
    ----------
    name : str
    most_bytes : int
        A larger file is not read.
    pipe : bool
        Whether a pipe is waited for: a person may name one, and in a folder it would stop all that comes after it.
    """
    if not name:  # to the file system it is the folder we are in
        raise InputError("<empty>", "is no name of a file; expected the path of an image")
    if not pipe and is_pipe(name):
        raise InputError(name, A_PIPE)
    try:
        with Path(name).open("rb") as file:
            status = os.fstat(file.fileno())
            if stat.S_ISCHR(status.st_mode):  # a link to one that never ends, such as /dev/zero
                raise InputError(name, f"is a device; expected an image file{camera_hint(name)}")
            if status.st_size > most_bytes:
                raise InputError(name, f"has {status.st_size / 1e6:,.0f} MB; expected an image file")
            return file.read()
    except (OSError, ValueError) as error:
        raise InputError(name, why_unreadable(name, error, "an image file, or a list of them")) from error


def decode_image(data: bytes, source: str, max_megapixels: float = DEFAULT_MAX_MEGAPIXELS) -> Frame:
    """Decode the bytes of an image file.

    EXIF orientation is applied, transparent pixels are laid over white, 16-bit images are scaled to 8 bits, and of
    an animation, or a TIFF of several pages, the first picture is taken (`Frame.note` says so).

    Raises
    ------
    InputError
        If the bytes are no whole image, or one of more than `max_megapixels`.
    """
    if not data:
        raise InputError(source, "the file is empty (0 bytes)")
    header = read_header(data)
    if header.size_wh is not None:
        _check_size(header.size_wh, source, max_megapixels)
    if header.truncated:
        raise InputError(source, f"the {header.format} file is truncated: its end is missing")
    if header.size_wh is None:  # OpenCV knows more formats, but what it will allocate for them nobody knows before
        raise InputError(source, _undecodable(header, data))
    if header.format == "HEIC":
        return _decode_heic(data, source, max_megapixels)
    if header.scans > MOST_SCANS:
        raise InputError(source, f"the {header.format} file has {header.scans:,} scans, which would take for ever")
    # OpenCV refuses WebP files of under 32 bytes, which a plain picture may well be; zeros at the end do no harm.
    buffer = np.frombuffer(data.ljust(32, b"\0"), np.uint8)
    try:
        with quiet_opencv():
            # OpenCV applies the orientation of all formats but AVIF, which is turned below.
            ignored = cv2.IMREAD_IGNORE_ORIENTATION if header.format == "AVIF" else 0
            image = cv2.imdecode(buffer, cv2.IMREAD_COLOR | ignored)
            with_alpha = (header.format in _WITH_ALPHA and not header.opaque) or _AVIF_ALPHA in data[:65536]
            if image is not None and with_alpha:  # decoded once more, which takes as long
                image = _decode_alpha(buffer, image, header.extra_sample)
    except (cv2.error, MemoryError) as error:
        raise InputError(source, _undecodable(header, data)) from error
    if image is None or image.size == 0:
        raise InputError(source, _undecodable(header, data))
    _check_size((image.shape[1], image.shape[0]), source, max_megapixels)  # should its header have lied
    if header.format == "AVIF":
        image = np.rot90(image, header.quarter_turns)
        image = np.ascontiguousarray(image if header.flip_axis is None else np.flip(image, header.flip_axis))
    note = _note(header.format, header.frames)
    if note is None and header.format in _WITH_16_BITS and image.max() <= 16:
        note = _unused_bits(_decode_deep(buffer))
    return Frame(source, np.asarray(image, np.uint8), note=note)


def _note(kind: str, frames: int) -> str | None:
    """What to say of a file of several pictures."""
    if frames < 2:
        return None
    if kind == "TIFF":
        return f"TIFF of {frames} pages: read the first"
    return f"animated {kind}: read the first of {frames} frames"


def _decode_deep(buffer: npt.NDArray[np.uint8]) -> Any:
    with quiet_opencv(), contextlib.suppress(cv2.error, MemoryError):
        return cv2.imdecode(buffer, cv2.IMREAD_ANYDEPTH)
    return None


def _unused_bits(image: Any) -> str | None:
    """What to say of 16 bits that are nearly black: cameras that have 10 or 12 leave the upper ones empty."""
    if image is None or image.dtype.newbyteorder("=") != np.uint16 or image.size == 0:
        return None
    brightest = int(image.max())
    if not 0 < brightest < 4096:
        return None
    bits = max(8, brightest.bit_length())
    return f"nearly black: at most {brightest} of 65535; multiply {bits}-bit pixels by {1 << 16 - bits} first"


def _decode_heic(data: bytes, source: str, max_megapixels: float) -> Frame:
    """A photo as iPhones save them. OpenCV has no decoder for these, pillow-heif has one."""
    try:
        from pillow_heif import HeifImageFile
    except ImportError as error:
        raise InputError(
            source, 'HEIC photos need a further library: pip install "mien[heic]"; or save it as JPEG or PNG'
        ) from error
    try:
        # Reads the header; pixels are decoded when they are asked for.
        image: Any = HeifImageFile(io.BytesIO(data))  # type: ignore[no-untyped-call]
    except Exception as error:  # libheif's remarks come as errors of several kinds
        raise InputError(
            source, f"the HEIC file is damaged or of a kind that cannot be decoded ({_one_line(error)})"
        ) from error
    _check_size(image.size, source, max_megapixels)
    pictures = int(image.n_frames)
    note = f"HEIC of {pictures} pictures: read the main one" if pictures > 1 else None
    return dataclasses.replace(_from_pil(image, source), note=note)


def _one_line(error: Exception) -> str:
    """What an error says; libheif ends some of its remarks with a line break."""
    return " ".join(str(error).split())


def _check_size(size_wh: tuple[int, int], source: str, max_megapixels: float) -> None:
    width, height = size_wh
    if width * height > max_megapixels * 1e6:
        raise InputError(
            source,
            f"{width} x {height} pixels are {width * height / 1e6:.5g} megapixels; the limit is "
            f"{max_megapixels:g} (raise it with --max-megapixels, in Python max_megapixels, if you trust the file)",
        )


def _decode_alpha(buffer: npt.NDArray[np.uint8], image: Any, extra_sample: int) -> Any:
    """The image over white if it has transparent pixels, else `image` as it is."""
    full: Any = cv2.imdecode(buffer, cv2.IMREAD_UNCHANGED)
    if full is None or full.ndim != 3 or full.shape[2] != 4:
        return image
    tolerance = 0
    if full.dtype == np.uint16:
        full >>= 8  # in its place: it is large
        full = full.astype(np.uint8)
        if extra_sample == 2:  # of such a TIFF libtiff has premultiplied `image`, but with 16 bits not `full`
            full[:, :, :3] = full[:, :, :3] * (full[:, :, 3:] / 255.0) + 0.5
            tolerance = 2
    # IMREAD_UNCHANGED does not turn the picture as EXIF says. Its colours tell how the other one was turned.
    for turns in range(4):
        for turned in (np.rot90(full, turns), np.rot90(full[:, ::-1], turns)):
            colors = np.ascontiguousarray(turned[:, :, :3])
            if colors.shape == image.shape and cv2.absdiff(colors, image).max() <= tolerance:
                return _over_white(image, turned[:, :, 3], premultiplied=extra_sample in (1, 2))
    return image


def _over_white(image_bgr: Any, alpha: Any, premultiplied: bool = False) -> Any:
    """The image over white; `premultiplied` colours are multiplied by their alpha already."""
    if alpha.min() == 255:
        return image_bgr
    over = np.empty_like(image_bgr)
    rows = max(1, _BLOCK_PIXELS // image_bgr.shape[1])
    for top in range(0, len(over), rows):  # at once, the floats of a large picture would take gigabytes
        part, opacity = image_bgr[top : top + rows], alpha[top : top + rows, :, None].astype(np.float32) / 255.0
        colors = part if premultiplied else part * opacity
        over[top : top + rows] = np.clip(colors + 255.0 * (1.0 - opacity) + 0.5, 0, 255)
    return over


def _undecodable(header: ImageHeader, data: bytes) -> str:
    if header.format:
        return f"the {header.format} file is damaged or of a kind that cannot be decoded"
    video = container_kind(data[:512])
    if video:
        return (
            f"is a video ({video}), not an image; 'mien recognize' reads videos, in Python Recognizer.stream: give it "
            "the path, by itself and not in a list"
        )
    return f"is not an image ({beginning(data[:16])}); expected JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF or HEIC"


def array_to_image(array: npt.NDArray[Any], source: str) -> npt.NDArray[np.uint8]:
    """Bring an array to uint8 gray (H, W) or BGR (H, W, 3).

    Raises
    ------
    InputError
        If shape, dtype or range are not those of an image.
    """
    expected = "expected (H, W), (H, W, 1), (H, W, 3) in BGR or (H, W, 4) in BGRA"
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)) or array.size == 0:
        hint = "; make a list of a batch: list(array)" if array.ndim == 4 or array.dtype.kind in "UO" else ""
        if array.ndim == 3 and array.shape[0] in (1, 3, 4):
            hint = "; of channels first array.transpose(1, 2, 0)"
        raise InputError(source, f"an array of shape {array.shape} is no image; {expected}{hint}")
    if array.dtype == np.bool_:
        array = array.astype(np.uint8) * 255
    elif array.dtype.newbyteorder("=") == np.uint16:  # big-endian, too, as big-endian TIFFs are read
        if 0 < (brightest := int(array.max())) <= 255:  # black, if it were one of 16 bits
            raise InputError(
                source,
                f"a uint16 array in [0, {brightest}] is no image of 16 bits, in which 65535 is white; if 255 is white, "
                "pass array.astype('uint8')",
            )
        array = (array >> 8).astype(np.uint8)
    elif np.issubdtype(array.dtype, np.floating):
        low, high = float(array.min()), float(array.max())
        # Changing colours or sizes leaves errors of rounding: a quarter of a gray level goes the same way.
        if not (low >= -0.001 and high <= 1.001):
            hint = "; if 255 is white, pass array.clip(0, 255).astype('uint8')" if high > 2 else ""
            raise InputError(
                source,
                f"a float array in [{low:g}, {high:g}] is no image; expected floats in [0, 1], or uint8 in [0, 255]"
                f"{hint}",
            )
        array = (array * 255.0 + 0.5).astype(np.uint8)
    elif array.dtype != np.uint8:
        raise InputError(
            source,
            f"an array of {array.dtype} is no image; expected uint8, uint16, bool or float: array.astype('uint8')",
        )
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim == 3 and array.shape[2] == 4:
        array = _over_white(array[:, :, :3], array[:, :, 3])
    return np.ascontiguousarray(array, np.uint8)


def _from_pil(image: Any, source: str = "<PIL image>") -> Frame:
    from PIL import ImageOps

    try:
        frames = int(getattr(image, "n_frames", 1)) if image.tell() == 0 else 1
        note = _note("TIFF" if image.format == "TIFF" else "image", frames)
        upright = ImageOps.exif_transpose(image)
        # 16 bits come as "I", too, as of a .pgm; as "RGB" all of it would be white.
        if upright.mode in ("I;16", "I;16B", "I;16L") or (upright.mode == "I" and np.asarray(upright).max() > 255):
            deep = np.clip(np.asarray(upright), 0, 65535).astype(np.uint16)
            return Frame(source, array_to_image(deep, source), note=note or _unused_bits(deep))
        if upright.mode in ("1", "L"):
            return Frame(source, array_to_image(np.asarray(upright.convert("L")), source), note=note)
        has_alpha = upright.mode in ("RGBA", "LA", "PA") or "transparency" in upright.info
        rgb = np.asarray(upright.convert("RGBA" if has_alpha else "RGB"))
    except InputError:
        raise
    except Exception as error:  # each of Pillow's plugins has errors of its own, and files are decoded here
        raise InputError(source, f"cannot be decoded ({_one_line(error)})") from error
    bgr = rgb[:, :, [2, 1, 0, 3]] if has_alpha else rgb[:, :, ::-1]
    return Frame(source, array_to_image(bgr, source), note=note)
