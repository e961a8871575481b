"""The service in the test's own process, and as a process of its own."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from starlette.testclient import TestClient

from mien.serve.app import create_app
from mien.serve.options import ServeOptions

FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--use-fake-device-for-media-stream",
]  # fmt: skip
"""What a Chromium of the tests is started with."""


def open_client(**options) -> TestClient:
    """A client of a new service; rates are out of the way unless the test is about them."""
    options = {"max_requests_per_s": 1e6, "threads": 1, **options}
    return TestClient(create_app(ServeOptions(**options)), base_url="http://localhost")


@pytest.fixture(scope="session")
def client() -> Iterator[TestClient]:
    with open_client(max_upload_mb=2, max_megapixels=2, max_images=4, max_frame_mb=1) as opened:
        yield opened


@pytest.fixture(scope="session")
def photo(astronaut_path) -> bytes:
    return astronaut_path.read_bytes()


@pytest.fixture(scope="session")
def chromium_path() -> str:
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    pytest.skip("no Chromium here: scripts/install-browser installs it where it can")


@dataclass
class Server:
    process: subprocess.Popen
    url: str
    host: str
    port: int

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """The exit status and what it wrote."""
        self.process.send_signal(number)
        said = self.process.communicate(timeout=30)[1]
        return self.process.returncode, said


@contextlib.contextmanager
def run_server(*flags: object, **environment: str) -> Iterator[Server]:
    """`mien serve` as a process, on a free port of loopback."""
    command = [sys.executable, "-m", "mien", "serve", "--port", "0", "--no-open", "--threads", "1", *map(str, flags)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment})
    try:
        said = ""
        while not (found := re.search(r"serving on (http://([^/:]+):(\d+))", said)):
            line = process.stderr.readline()
            if not line:
                raise AssertionError(f"the service did not start: {said}")
            said += line
        yield Server(process, found[1], found[2], int(found[3]))
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    fast = ("--max-requests-per-s", 100_000, "--max-frames-per-s", 100_000)
    with run_server("--client-timeout-s", 0.5, "--max-connections", 20, *fast) as started:
        yield started
