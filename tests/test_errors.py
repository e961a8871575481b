"""Messages of errors that are read by people."""

import base64
import copy
import multiprocessing
import pickle
import sys
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest

import mien
from mien.data.layouts.base import DamagedFolderError
from mien.errors import InputError, MienWarning, MissingExtraError, warn


def test_a_name_of_any_length_has_a_message_that_can_be_read(astronaut_path):
    """As of a base64 text that is given as a path."""
    text = base64.b64encode(astronaut_path.read_bytes()).decode()
    assert len(text) > 10_000
    with pytest.raises(InputError, match=r"base64\.b64decode\(text\)") as caught:
        mien.recognize(text)
    assert len(str(caught.value)) < 600
    assert str(caught.value).startswith(f"{text[:200]}…{text[-100:]} ({len(text):,} characters): cannot be read (")
    assert caught.value.source == text
    with pytest.warns(MienWarning, match="characters") as told:
        (reading,) = mien.recognize([text])
    assert len(str(told[0].message)) < 600
    assert reading.source == text
    with pytest.raises(InputError) as caught:
        mien.Recognizer().stream(text)
    assert len(str(caught.value)) < 600
    assert str(InputError("a" * 400, "is bad")) == "a" * 400 + ": is bad"


def test_an_error_comes_back_from_another_process():
    """A missing photo ended a `ProcessPoolExecutor`, and a `multiprocessing.Pool` waited for ever."""
    with (
        ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool,
        pytest.raises(InputError, match=r"^missing\.jpg: no such file or folder$") as caught,
    ):
        pool.submit(mien.recognize, "missing.jpg").result()
    assert (caught.value.source, caught.value.problem) == ("missing.jpg", "no such file or folder")


@pytest.mark.parametrize(
    "error",
    [
        InputError("a.jpg", "is bad"),
        DamagedFolderError("folder", "is bad", 3),
        MissingExtraError("Drawing", "av", "video"),
        mien.UsageError("is wrong"),
    ],
)
def test_errors_can_be_pickled_and_copied(error):
    for again in (pickle.loads(pickle.dumps(error)), copy.deepcopy(error)):
        assert type(again) is type(error)
        assert str(again) == str(error)
        assert vars(again) == vars(error)


def test_a_library_that_is_broken_is_not_said_to_be_missing(monkeypatch, tmp_path):
    """cleanlab beside a scikit-learn of another numpy was 'not installed', and installing it again changed nothing."""
    (tmp_path / "supervision.py").write_text("import another_numpy\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "supervision", raising=False)
    with pytest.raises(
        MissingExtraError,
        match=r"cannot be imported \(No module named 'another_numpy'\).*mien\[supervision\]",
    ):
        mien.recognize(np.zeros((64, 64, 3), np.uint8)).to_supervision()


def test_a_warning_is_told_at_the_line_of_whoever_called_mien():
    """However deep it comes from: at a line of ours, a notebook shows our own source."""
    inside = {"__name__": "mien.made", "warn": warn}
    exec("def deep(): warn('look')\ndef called(): deep()", inside)
    with pytest.warns(MienWarning, match="look") as told:
        inside["called"]()
    assert told[0].filename == __file__
