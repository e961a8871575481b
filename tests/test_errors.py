"""Messages of errors that are read by people."""

import base64

import pytest

import mien
from mien.errors import InputError, MienWarning


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
