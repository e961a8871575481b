"""Fetching, from a real server on this machine that behaves well and badly."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from mien.errors import DownloadError
from mien.zoo.fetch import RemoteFile, cache_dir, fetch

CONTENT = bytes(range(256)) * 400
ADVICE = "Without a network, carry it by hand."


class Handler(BaseHTTPRequestHandler):
    requests: list[str]

    def do_GET(self) -> None:
        self.server.requests.append(self.path)
        if self.path == "/missing":
            self.send_error(404, "Not Found")
            return
        self.send_response(200)
        if self.path != "/endless":
            self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        if self.path == "/half":
            self.wfile.write(CONTENT[: len(CONTENT) // 2])
        elif self.path == "/changed":
            self.wfile.write(CONTENT[::-1])
        elif self.path == "/endless":
            self.wfile.write(CONTENT * 20)
        elif self.path == "/silent":
            self.server.released.wait(5)
        else:
            self.wfile.write(CONTENT)

    def log_message(self, *args: object) -> None:
        """Keep the test's output clean."""


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[str] = []
        self.released = threading.Event()

    def handle_error(self, *args: object) -> None:
        """A client that hangs up is part of the test."""

    def file(self, path: str) -> RemoteFile:
        url = f"http://127.0.0.1:{self.server_address[1]}{path}"
        return RemoteFile(url, hashlib.sha256(CONTENT).hexdigest(), "weights.onnx", 500_000, ADVICE)


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield running
    running.released.set()
    running.shutdown()
    thread.join()
    running.server_close()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MIEN_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_fetches_once_and_keeps(server: Server, cache: Path) -> None:
    path = fetch(server.file("/good"))
    assert path == cache / "weights.onnx"
    assert path.read_bytes() == CONTENT
    assert fetch(server.file("/good")) == path
    assert server.requests == ["/good"]


def test_a_damaged_file_in_the_cache_is_replaced(server: Server, cache: Path) -> None:
    cache.mkdir()
    (cache / "weights.onnx").write_bytes(b"damaged")
    assert fetch(server.file("/good")).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/changed", "expected .* changed or cut off"),
        ("/half", "51200 of 102400 bytes|cannot fetch"),
        ("/missing", "404 Not Found"),
        ("/endless", "more than 500000 bytes"),
        ("/silent", "timed out"),
    ],
)
def test_what_goes_wrong_is_told_and_leaves_no_file(server: Server, cache: Path, path: str, says: str) -> None:
    with pytest.raises(DownloadError, match=says) as caught:
        fetch(server.file(path), timeout_s=0.3)
    assert ADVICE in str(caught.value)
    assert server.file(path).url in str(caught.value)
    assert not cache.exists() or list(cache.iterdir()) == []


def test_a_failed_fetch_leaves_the_old_file(server: Server, cache: Path) -> None:
    cache.mkdir()
    (cache / "weights.onnx").write_bytes(b"old")
    with pytest.raises(DownloadError):
        fetch(server.file("/half"))
    assert (cache / "weights.onnx").read_bytes() == b"old"


def test_connection_refused(server: Server, cache: Path) -> None:
    file = RemoteFile("http://127.0.0.1:9/x", "0" * 64, "x", 10, ADVICE)
    with pytest.raises(DownloadError, match="cannot fetch it: .*refused"):
        fetch(file)


def test_only_http_is_fetched(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(CONTENT)
    with pytest.raises(DownloadError, match="https://"):
        fetch(RemoteFile((tmp_path / "x").as_uri(), "0" * 64, "x", 10, ADVICE))


def test_a_cache_that_cannot_be_written(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("MIEN_CACHE_DIR", str(tmp_path / "file"))
    with pytest.raises(DownloadError, match="MIEN_CACHE_DIR"):
        fetch(server.file("/good"))


@pytest.mark.parametrize(
    ("platform", "variable", "expected"),
    [
        ("linux", "XDG_CACHE_HOME", "base/mien"),
        ("win32", "LOCALAPPDATA", "base/mien"),
        ("linux", None, "home/.cache/mien"),
        ("darwin", None, "home/Library/Caches/mien"),
    ],
)
def test_the_cache_folder_follows_the_platform(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, platform: str, variable: str | None, expected: str
) -> None:
    for name in ("MIEN_CACHE_DIR", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("mien.zoo.fetch.sys.platform", platform)
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    if variable:
        monkeypatch.setenv(variable, str(tmp_path / "base"))
    assert cache_dir() == tmp_path / expected


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a container has one that runs with any number for a user."""
    for name in ("MIEN_CACHE_DIR", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    with pytest.raises(DownloadError, match="no home; set MIEN_CACHE_DIR"):
        cache_dir()


def no_home() -> Path:
    raise RuntimeError("Could not determine home directory.")
