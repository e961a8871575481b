"""Writing files so that they are there complete, or not at all; and JSON that can be written anywhere."""

from __future__ import annotations

import codecs
import contextlib
import json
import os
import re
import sys
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from mien.errors import MienError, OutputError, UsageError

__all__ = [
    "check_destination",
    "file_key",
    "json_text",
    "move_into_place",
    "numbered",
    "parse_json",
    "read_json",
    "replaced_file",
    "text_encoding",
    "utf8_text",
    "write_atomically",
    "write_json",
]

_HIGH_CONTROLS = re.compile(r"[\x7f-\x9f]")
_KEPT_LETTERS = 50
"""Of at most four bytes each."""
_PAUSES_S = (0.02, 0.05, 0.1, 0.2, 0.4)


@contextlib.contextmanager
def replaced_file(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """A new file beside `path`, to be filled in the block; at its end, if there was no error, it takes that place.

    Parameters
    ----------
    path : Path
    durable : bool
        Whether to wait until the content is on the disk, so that the file is whole even after a power failure; takes
        some milliseconds.

    Raises
    ------
    OutputError
        If it cannot be written, whatever in the block found that out. Nothing is left behind, and a file that was
        there before stays.
    """
    # Not all of a long name: with what is added it would be longer than a file system takes.
    part = path.with_name(f".{path.name[:_KEPT_LETTERS]}.{os.urandom(4).hex()}.part")
    try:
        # Made here and not by tempfile, whose files only their owner may read: so the user's umask decides.
        part.touch(exist_ok=False)
        yield part
        if durable:
            _flush(part)
        move_into_place(part, path)
    except OSError as error:
        # pyarrow puts a whole story where others have the reason.
        reason = os.strerror(error.errno) if error.errno else error
        held = sys.platform == "win32" and isinstance(error, PermissionError) and path.exists()
        hint = "; is it open in another program, or as a dataset in this one?" if held else ""
        raise OutputError(f"{path}: cannot be written ({reason}){hint}") from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def move_into_place(part: Path, path: Path) -> None:
    """Give a file that is complete its name; one of that name is replaced (OSError).

    Windows refuses while another program has one of the two open, as those that look for viruses do with every new
    file, for a moment.
    """
    for pause_s in _PAUSES_S:
        with contextlib.suppress(PermissionError):
            part.replace(path)
            return
        time.sleep(pause_s)
    part.replace(path)


def _flush(path: Path) -> None:
    """Some file systems move a file into its place before they have written what is in it."""
    # Opened for writing, without which Windows refuses.
    descriptor = os.open(path, os.O_RDWR | getattr(os, "O_BINARY", 0))
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomically(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Write a file beside its place and move it there; a file of that name is replaced (OutputError)."""
    with replaced_file(path, durable=durable) as part:
        part.write_bytes(content)


def json_text(value: Any, encoding: str | None = None, *, indent: int | None = None, finite: bool = False) -> str:
    """Plain values as JSON that every decoder reads, whatever bytes a file name holds.

    Parameters
    ----------
    value : plain values
    encoding : str, optional
        Encoding of the stream that the text goes to. Unless it is UTF-8, all that is not ASCII is written as escapes.
    indent : int, optional
        As in `json.dumps`.
    finite : bool
        Whether NaN and infinity, which JSON does not have, raise ValueError.
    """
    if codecs.lookup(encoding or "utf-8").name == "utf-8":
        text = json.dumps(value, ensure_ascii=False, allow_nan=not finite, indent=indent)
        # Which terminals obey, as they do the codes below the blank: of those JSON makes escapes by itself.
        text = _HIGH_CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
        with contextlib.suppress(UnicodeEncodeError):
            text.encode()
            return text
    return json.dumps(value, allow_nan=not finite, indent=indent)


def make_folder(path: Path) -> None:
    """Make a folder, unless it is there (OutputError)."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{path}: cannot be made ({error.strerror})") from error


def write_json(path: Path, value: Any) -> None:
    """Write plain values as JSON, indented, whole or not at all (OutputError)."""
    write_atomically(path, (json_text(value, indent=2) + "\n").encode())


def parse_json(text: str | bytes) -> Any:
    """What JSON says; ValueError for what is none, and for what is nested deeper than can be read."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def read_json(path: Path, error: type[MienError] = UsageError) -> dict[str, Any]:
    """The values that `write_json` wrote by their names; an `error` says why a file cannot be read so."""
    try:
        values = parse_json(path.read_text(encoding="utf-8"))
    except OSError as problem:
        raise error(f"{path}: cannot be read ({problem.strerror})") from problem
    except ValueError as problem:
        raise error(f"{path}: cannot be read as JSON ({problem})") from problem
    if not isinstance(values, dict):
        raise error(f"{path}: cannot be read: it holds {type(values).__name__}, and no values by their names")
    return values


def utf8_text(text: str) -> str:
    """A text that can be written as UTF-8: other bytes of a file name (old archives have such) become escapes."""
    return text.encode("utf-8", "backslashreplace").decode()


def text_encoding(path: Path) -> str:
    """How a text file says that it is written: UTF-16 by its mark at the beginning, else UTF-8."""
    with path.open("rb") as file:
        return "utf-16" if file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"


def check_destination(path: str | os.PathLike[str], *suffixes: str) -> Path:
    """The path, if a file may be written there: with one of the suffixes, which is ``.parquet`` by default.

    Raises
    ------
    UsageError
        If the suffix is another, it is a folder, or its folder does not exist.
    """
    path = Path(path)
    suffixes = suffixes or (".parquet",)
    if path.suffix.lower() not in suffixes:
        raise UsageError(f"{path}: expected a name that ends in {' or '.join(suffixes)}")
    if path.is_dir():
        raise UsageError(f"{path}: is a folder; expected the name of a file to write")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"{path}: its folder does not exist; make it first")
    return path


def refuse_source(dest: Path, source: Path, what: str) -> None:
    """Refuse to write over a file that is read; `what` is how the message calls it (UsageError)."""
    if dest.exists() and source.exists() and dest.samefile(source):
        raise UsageError(f"{dest}: is {what}, which is never changed; give another name")


def file_key(path: str | Path) -> tuple[int, int] | None:
    """The identity of a file, whatever its name: device and inode; None where there is no file."""
    try:
        status = Path(path).stat()
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino


def numbered(path: Path, taken: Collection[tuple[int, int]]) -> Path:
    """The path, or the first of ``NAME-2.suffix``, ``NAME-3.suffix``, ... that is none of the files that are taken.

    Parameters
    ----------
    path : Path
    taken : collection of (int, int)
        By their `file_key`: to some file systems "A.jpg" and "a.jpg" are one name.
    """
    target, number = path, 2
    while file_key(target) in taken:
        target = path.with_name(f"{path.stem}-{number}{path.suffix}")
        number += 1
    return target
