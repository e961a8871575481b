"""Weights that are not in the package: fetched once, on request, and checked."""

from __future__ import annotations

import hashlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from mien.errors import DownloadError, OutputError
from mien.files import write_atomically

__all__ = ["RemoteFile", "cache_dir", "fetch"]

TIMEOUT_S = 30.0
CHUNK_BYTES = 1 << 16


@dataclass(frozen=True)
class RemoteFile:
    """A file on the network that is known by its checksum.

    Attributes
    ----------
    url : str
        Where it lies (http or https).
    sha256 : str
        Its checksum in hexadecimal digits.
    name : str
        Its name in the cache folder.
    max_bytes : int
        More is never read.
    without_network : str
        What a user can do where it cannot be fetched, as a sentence.
    """

    url: str
    sha256: str
    name: str
    max_bytes: int
    without_network: str


def cache_dir() -> Path:
    """The folder for fetched files (it may not exist yet).

    ``MIEN_CACHE_DIR`` if that is set; else ``mien`` in the user's cache folder: ``XDG_CACHE_HOME`` or ``~/.cache``,
    ``~/Library/Caches`` on macOS, ``LOCALAPPDATA`` on Windows.

    Raises
    ------
    DownloadError
        If none of them is set and the user has no home, as in a container that runs with any number for a user.
    """
    own = os.environ.get("MIEN_CACHE_DIR")
    if own:
        return Path(own)
    try:
        if sys.platform == "win32":
            base = os.environ.get("LOCALAPPDATA") or str(Path.home() / "AppData" / "Local")
        elif sys.platform == "darwin":
            base = str(Path.home() / "Library" / "Caches")
        else:
            base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    except RuntimeError as error:
        raise DownloadError(
            "no folder is known for what is fetched, since this user has no home; set MIEN_CACHE_DIR to a folder that "
            "can be written"
        ) from error
    return Path(base) / "mien"


def fetch(file: RemoteFile, *, timeout_s: float = TIMEOUT_S) -> Path:
    """The path of a file in the cache; fetched first if it is not there or is damaged.

    Parameters
    ----------
    file : RemoteFile
        What to fetch.
    timeout_s : float
        How long the server may stay silent.

    Raises
    ------
    DownloadError
        If it cannot be fetched, is not the expected file, or cannot be written. The cache then is as before.
    """
    path = cache_dir() / file.name
    try:
        if hashlib.sha256(path.read_bytes()).hexdigest() == file.sha256:
            return path
    except OSError:
        pass  # not there yet, or unreadable: fetching it says what is wrong
    data = _download(file, timeout_s)
    found = hashlib.sha256(data).hexdigest()
    if found != file.sha256:
        raise DownloadError(
            f"{file.url}: received {len(data)} bytes with sha256 {found}; expected {file.sha256}. "
            f"The file was changed or cut off on the way: try again. {file.without_network}"
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, data)
    except (OSError, OutputError) as error:
        raise DownloadError(f"{error}. Set MIEN_CACHE_DIR to a folder that can be written") from error
    return path


def _download(file: RemoteFile, timeout_s: float) -> bytes:
    # Imported here: mien starts faster without them, and hardly anybody fetches anything.
    import http.client
    import urllib.error
    import urllib.request

    if not file.url.startswith(("https://", "http://")):
        raise DownloadError(f"{file.url}: expected an address that starts with https:// or http://")
    request = urllib.request.Request(file.url, headers={"User-Agent": "mien"})  # noqa: S310 - checked above
    received = bytearray()
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as response:  # noqa: S310 - checked above
            announced = response.headers.get("Content-Length")
            while chunk := response.read(CHUNK_BYTES):
                received += chunk
                if len(received) > file.max_bytes:
                    raise DownloadError(
                        f"{file.url}: sends more than {file.max_bytes} bytes; this is not the expected file. "
                        f"{file.without_network}"
                    )
    except urllib.error.HTTPError as error:
        problem = f"the server answers {error.code} {error.reason}"
        error.close()
        raise DownloadError(f"{file.url}: cannot fetch it: {problem}. {file.without_network}") from error
    except (OSError, http.client.HTTPException) as error:
        problem = str(getattr(error, "reason", None) or error)
        raise DownloadError(f"{file.url}: cannot fetch it: {problem}. {file.without_network}") from error
    if announced is not None and announced.isdigit() and int(announced) != len(received):
        raise DownloadError(
            f"{file.url}: the connection broke after {len(received)} of {announced} bytes: try again. "
            f"{file.without_network}"
        )
    return bytes(received)
