"""`mien.recognize`: reading photos in one call, with models that stay open for the next one."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from mien.options import options_from_dict
from mien.recognizer import OnError, Recognizer
from mien.recognizer_options import RecognizerKeywords, RecognizerOptions
from mien.result import Reading
from mien.source import ImageLike
from mien.zoo.store import model_files

if TYPE_CHECKING:
    from typing_extensions import Unpack  # in typing from Python 3.11 on

__all__ = ["recognize"]


@overload
def recognize(
    images: ImageLike, *, on_error: OnError | None = None, **options: Unpack[RecognizerKeywords]
) -> Reading: ...
@overload
def recognize(
    images: list[Any] | tuple[Any, ...], *, on_error: OnError | None = None, **options: Unpack[RecognizerKeywords]
) -> list[Reading]: ...
def recognize(
    images: ImageLike | list[Any] | tuple[Any, ...],
    *,
    on_error: OnError | None = None,
    **options: Any,
) -> Reading | list[Reading]:
    """Read one image or a list of images. The models stay open for the next call with the same options.

    Parameters
    ----------
    images : path, bytes, array or PIL image, or a list of them
        Arrays are gray (H, W), BGR (H, W, 3) or BGRA (H, W, 4).
    on_error : {"raise", "record"}, optional
        What to do with an input that cannot be read: see `Recognizer.recognize`.
    **options
        Those of `mien.RecognizerOptions`, such as ``model="small"``, ``labels="valence3"`` or ``detector="none"``.

    Returns
    -------
    Reading, or list of Reading
        One reading for one image; for a list, as many readings in the same order.

    Raises
    ------
    InputError
        If a single image cannot be read. In a list its reading has `Reading.error`, unless `on_error` is ``"raise"``.
    UsageError
        If an option does not exist or has a wrong value, or something is not an image at all, such as a number.
    ModelError
        If a model is unknown, damaged, or does not know the classes that `labels` needs.

    Examples
    --------
    >>> import mien
    >>> reading = mien.recognize("examples/astronaut.jpg", labels="valence3")
    >>> [(face.expression, round(face.confidence, 2)) for face in reading.faces]
    [('positive', 0.96)]
    """
    chosen = options_from_dict(RecognizerOptions, options)
    try:
        hash(chosen)
    except TypeError:  # a model or a detector of one's own that cannot be looked up, and is not ours to keep
        return Recognizer(**vars(chosen)).recognize(images, on_error=on_error)
    files = [file for spec in (chosen.model, chosen.detector) for file in model_files(spec)]
    stamps = tuple((file, file.stat().st_mtime_ns, file.stat().st_size) for file in files)
    return _kept_recognizer(chosen, stamps).recognize(images, on_error=on_error)


@functools.lru_cache(maxsize=4)
def _kept_recognizer(options: RecognizerOptions, _stamps: tuple[tuple[Path, int, int], ...]) -> Recognizer:
    """Kept by the options and by the models' files: a path may be relative, and a file be replaced."""
    return Recognizer(**vars(options))
