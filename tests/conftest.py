"""What several tests share: the photo that is free to ship, and the dataset where a machine has it."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import cv2
import hypothesis
import numpy as np
import pytest

# A shell's background job starts with Ctrl-C ignored, and every process of the tests would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# As `mien.train` says it to torch, which some tests load before: a fifth of their time on a machine with other work.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# An example that is slow because the machine is busy is no failure.
hypothesis.settings.register_profile("mien", deadline=None)
hypothesis.settings.load_profile("mien")

ROOT = Path(__file__).parent.parent
ASTRONAUT = ROOT / "examples" / "astronaut.jpg"


@pytest.fixture(scope="session")
def astronaut_path() -> Path:
    """A photo of one smiling person, 512 x 512."""
    return ASTRONAUT


@pytest.fixture(scope="session")
def astronaut_bgr() -> np.ndarray:
    image = cv2.imread(str(ASTRONAUT))
    assert image is not None
    image.setflags(write=False)
    return image


@pytest.fixture(scope="session")
def fer2013_dir() -> Path:
    """The folder of FER2013's Parquet files, named by the environment; tests that need it skip without it."""
    folder = Path(os.environ.get("MIEN_TEST_DATA", "")) / "fer2013"
    if not os.environ.get("MIEN_TEST_DATA") or not folder.is_dir():
        pytest.skip("MIEN_TEST_DATA does not name a folder that holds fer2013/")
    return folder
