"""Small pictures with a face, and a reader that some of them crash."""

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from mien.cluster.guard import GuardedReader
from mien.cluster.options import BatchOptions

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def jpegs(astronaut_bgr):
    """Forty JPEG files of 300 x 240 pixels; three of four have a face, no two are alike."""
    rng = np.random.default_rng(0)
    head = astronaut_bgr[20:250, 110:340]
    files = []
    for number in range(40):
        canvas = cv2.resize(rng.integers(60, 200, (4, 5, 3), np.uint8), (300, 240), interpolation=cv2.INTER_CUBIC)
        if number % 4:
            size_px = int(rng.integers(80, 200))
            x, y = int(rng.integers(0, 300 - size_px)), int(rng.integers(0, 240 - size_px))
            face = cv2.resize(head, (size_px, size_px), interpolation=cv2.INTER_AREA)
            canvas[y : y + size_px, x : x + size_px] = cv2.convertScaleAbs(face, alpha=float(rng.uniform(0.6, 1.2)))
        files.append(cv2.imencode(".jpg", canvas, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes())
    return files


@pytest.fixture
def album(tmp_path, jpegs):
    """A folder of forty photos, some in a subfolder, and one text that is called a photo."""
    folder = tmp_path / "album"
    (folder / "sub").mkdir(parents=True)
    for number, data in enumerate(jpegs):
        place = folder / "sub" if number % 5 == 0 else folder
        (place / f"photo{number:02d}.jpg").write_bytes(data)
    (folder / "text.jpg").write_text("not a photo")
    (folder / ".hidden.jpg").write_bytes(jpegs[0])
    (folder / "notes.md").write_text("no photo either")
    return folder


@pytest.fixture(scope="session")
def crashing_command():
    """Starts a reader that crashes or hangs on certain images: see `crashing_child.py`."""
    return [sys.executable, str(HERE / "crashing_child.py")]


@pytest.fixture
def crashing_reader(crashing_command):
    options = BatchOptions().recognizer_options()
    with GuardedReader(options, timeout_s=3.0, retries=1, command=crashing_command) as reader:
        yield reader
