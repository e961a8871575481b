"""Files of any place that fsspec knows: this machine, s3://, gs://, https://, memory://."""

from __future__ import annotations

import contextlib
import errno
import importlib.util
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mien.errors import InputError, MissingExtraError, OutputError, UsageError
from mien.files import write_atomically
from mien.source.name import shown_name

__all__ = [
    "Folder",
    "before_magic",
    "check_extra",
    "forward",
    "is_local",
    "local_path",
    "open_address",
    "read_address",
    "reason",
    "split_address",
]

# A put into these is seen whole or not at all; elsewhere a file is written beside its place and moved there.
_WHOLE_PUTS = frozenset(("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oci", "memory"))


def check_extra() -> None:
    """Raise a MissingExtraError if a library that a batch needs is not installed; none is loaded."""
    for library in ("fsspec", "pyarrow", "ray"):
        if importlib.util.find_spec(library) is None:
            raise MissingExtraError("mien batch", library, "cluster")


def split_address(address: str) -> tuple[Any, str]:
    """The fsspec file system of an address, and the path within it.

    Raises
    ------
    UsageError
        If no library for the scheme of the address is installed.
    """
    import fsspec

    try:
        system, path = fsspec.core.url_to_fs(address)
    except (ImportError, ValueError) as error:
        # fsspec names the library: s3fs, gcsfs, aiohttp.
        raise UsageError(f"{shown_name(address)}: cannot be opened ({error})") from error
    return system, str(path)


def is_local(address: str) -> bool:
    """Whether an address is a path of this machine."""
    return "://" not in address or address.startswith("file://")


def local_path(address: str) -> str:
    """The path of a local address."""
    return address.removeprefix("file://") if address.startswith("file://") else address


def forward(path: str) -> str:
    """A path of this machine with forward slashes, as all addresses have them: Windows takes these as well."""
    return path.replace(os.sep, "/")


def before_magic(path: str) -> str:
    """The beginning of a pattern, up to its first wildcard; a path without any as it is."""
    return re.split(r"[*?[]", path, maxsplit=1)[0]


def read_address(address: str, most_bytes: int) -> bytes:
    """The bytes of a file; of a larger one the first `most_bytes` and one more."""
    system, path = split_address(address)
    try:
        # One request, where opening a file of a bucket takes two.
        return bytes(system.cat_file(path, end=most_bytes + 1))
    except (FileNotFoundError, PermissionError):
        raise
    except Exception:  # noqa: BLE001 - such as of an empty file, of which no range can be had
        with system.open(path, "rb") as file:
            return bytes(file.read(most_bytes + 1))


def open_address(address: str) -> Any:
    """Open a file to read its bytes; what is compressed stays so."""
    system, path = split_address(address)
    return system.open(path, "rb")


def reason(error: BaseException) -> str:
    """What an error of a file system says, in one line, without passwords."""
    if isinstance(error, InputError):
        return error.problem
    if isinstance(error, FileNotFoundError):
        return "no such file or folder"
    if isinstance(error, PermissionError):
        return "no permission"
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return shown_name(" ".join(str(text).split()))[:300]


class Folder:
    """The folder at an address, for results: files in it are written whole or not at all.

    Parameters
    ----------
    address : str
        A path of this machine, or an address that fsspec knows.
    """

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/") or "/"
        self.local = Path(local_path(self.address)) if is_local(self.address) else None
        self._system: Any = None
        if self.local is None:
            self._system, self._root = split_address(self.address)

    def names(self, below: str = "") -> list[str]:
        """Names of the files and folders in a folder, sorted; empty where there is none."""
        if self.local is not None and self.local.is_file():
            raise UsageError(f"{self.address}: is a file; expected a folder")
        with self._wrapped("listed"):
            if self.local is not None:
                folder = self.local / below
                return sorted(path.name for path in folder.iterdir()) if folder.exists() else []
            path = self._path(below) if below else self._root
            self._system.invalidate_cache()
            try:
                found = self._system.ls(path, detail=False)
            except FileNotFoundError:
                return []
            return sorted(str(name).rstrip("/").rpartition("/")[2] for name in found)

    def make(self) -> None:
        """Make a folder of this machine, if it is not there.

        Raises
        ------
        OutputError
            If it cannot be made.
        """
        if self.local is not None:
            with self._wrapped("written"):
                self.local.mkdir(parents=True, exist_ok=True)

    def read(self, name: str) -> bytes | None:
        """The bytes of a file; None where there is none."""
        with self._wrapped("read"), contextlib.suppress(FileNotFoundError):
            if self.local is not None:
                return (self.local / name).read_bytes()
            return bytes(self._system.cat_file(self._path(name)))
        return None

    def open(self, name: str) -> Any:
        """A file to read from, which can seek."""
        with self._wrapped("read"):
            return (self.local / name).open("rb") if self.local is not None else self._system.open(self._path(name))

    def write(self, name: str, content: bytes) -> None:
        """Write a file; one of that name is replaced.

        Raises
        ------
        OutputError
            If it cannot be written; one of that name that was there before stays.
        """
        with self._wrapped("written"):
            if self.local is not None:
                path = self.local / name
                path.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(path, content)
                return
            place = self._path(name)
            if self._protocols() & _WHOLE_PUTS:
                # There are no folders there; and to make one would make a bucket of a name that is mistyped.
                self._system.pipe_file(place, content)
                return
            self._system.makedirs(place.rpartition("/")[0], exist_ok=True)
            partial = f"{place}.{secrets.token_hex(4)}.partial"
            self._system.pipe_file(partial, content)
            self._system.mv(partial, place)

    def tidy(self, below: str) -> None:
        """Delete what a killed writer left half written; a path of this machine only."""
        if self.local is not None:
            for path in (self.local / below).glob(".*.parquet.*"):
                with contextlib.suppress(OSError):
                    path.unlink()

    def _path(self, name: str) -> str:
        return f"{self._root.rstrip('/')}/{name}"

    def _protocols(self) -> set[str]:
        protocol = self._system.protocol
        return {protocol} if isinstance(protocol, str) else set(protocol)

    @contextlib.contextmanager
    def _wrapped(self, what: str) -> Iterator[None]:
        try:
            yield
        except OutputError:
            raise
        except Exception as error:  # every file system has errors of its own
            full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
            hint = ": the disk is full; make room there" if full else ""
            said = os.strerror(error.errno) if full and isinstance(error, OSError) and error.errno else reason(error)
            raise OutputError(f"{shown_name(self.address)}: cannot be {what} ({said}){hint}") from error
