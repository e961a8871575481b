"""Every error that mien raises on purpose.

The tree::

    MienError
    ├── InputError          a photo, folder or stream that cannot be read (costs that input only)
    ├── OutputError         a file that cannot be written, such as on a full disk
    ├── UsageError          arguments that are wrong or do not fit together; nothing was done
    ├── ModelError          a card or a weight file that is missing, damaged or of another model
    ├── DownloadError       a file that could not be downloaded, or is not the expected one
    ├── TrainingError       a training run that cannot continue, for example because the loss is NaN
    └── MissingExtraError   a feature needs a library that is not installed, or broken

A message says what came, what was expected and what to do. Errors of other libraries are wrapped at the place
where mien calls them, with the original as ``__cause__``.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Callable
from types import FrameType
from typing import Any

__all__ = [
    "DownloadError",
    "InputError",
    "MienError",
    "MienWarning",
    "MissingExtraError",
    "ModelError",
    "OutputError",
    "TrainingError",
    "UsageError",
]


_LONGEST_NAME = 400


class MienError(Exception):
    """Base class of all errors that mien raises on purpose."""

    def __reduce__(self) -> tuple[Callable[..., MienError], tuple[Any, ...]]:
        # By default an exception is unpickled by calling its class with the message alone, which some do not take.
        return _unpickled, (type(self), self.args, vars(self))


def _unpickled(kind: type[MienError], args: tuple[Any, ...], attributes: dict[str, Any]) -> MienError:
    error = kind.__new__(kind, *args)
    vars(error).update(attributes)
    return error


class InputError(MienError):
    """An input that cannot be read.

    Attributes
    ----------
    source : str
        The input as it was named by the caller; the message shortens a name of more than 400 characters.
    problem : str
        What is wrong with it, without the name.
    """

    def __init__(self, source: str, problem: str) -> None:
        # What is given as a path may be a text of any length.
        name = (
            source if len(source) <= _LONGEST_NAME else f"{source[:200]}…{source[-100:]} ({len(source):,} characters)"
        )
        super().__init__(f"{name}: {problem}")
        self.source = source
        self.problem = problem


class OutputError(MienError):
    """A file that cannot be written, for example on a full disk; what was written before stays readable."""


class TrainingError(MienError):
    """A training run that cannot continue: the loss is NaN, or one of its processes was lost."""


class UsageError(MienError):
    """Arguments that are wrong or do not fit together; raised before any work is done."""


class ModelError(MienError):
    """A model card or a weight file that is missing, damaged, or does not fit."""


class DownloadError(MienError):
    """A file could not be downloaded, or its sha256 is not the expected one."""


class MissingExtraError(MienError, ImportError):
    """A feature needs a library that is not installed, or that cannot be imported.

    Parameters
    ----------
    feature : str
        What was asked for, as the start of a sentence.
    library : str
        The import name of the missing library.
    extra : str
        The extra of mien that brings it.
    """

    def __init__(self, feature: str, library: str, extra: str) -> None:
        failed = sys.exc_info()[1]  # raised while an import's error is handled, this says what is wrong
        absent = not isinstance(failed, ImportError) or (
            isinstance(failed, ModuleNotFoundError) and failed.name == library
        )
        why, how = (
            ("is not installed", "Install it with: pip install")
            if absent
            else (
                f"cannot be imported ({failed})",
                "Renew what it needs with: pip install --upgrade --upgrade-strategy eager",
            )
        )
        # In double quotes, which all shells know.
        super().__init__(f"{feature} needs the library '{library}', which {why}. {how} \"mien[{extra}]\"")
        self.library = library
        self.extra = extra


def import_extra(feature: str, library: str, extra: str) -> Any:
    """A library that an extra brings; with a dot in it ("pyarrow.parquet") this part of it is loaded, too.

    The parameters are those of `MissingExtraError`, which is raised where it cannot be imported.
    """
    whole = library.partition(".")[0]
    try:
        module = importlib.import_module(whole)
        importlib.import_module(library)
    except ImportError as error:
        raise MissingExtraError(feature, whole, extra) from error
    return module


class MienWarning(UserWarning):
    """Something that the caller should know, though the work goes on."""


def warn(message: str) -> None:
    """Give a MienWarning, at the line of whoever called mien, from however deep inside."""
    frame: FrameType | None = sys._getframe()
    level = 1
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "mien":
        frame, level = frame.f_back, level + 1
    warnings.warn(message, MienWarning, stacklevel=level)
