"""Commands that a message names."""

import shlex

import pytest

from mien.shell import shell_words


@pytest.mark.parametrize(
    ("platform", "shown"),
    [("linux", "mien recognize 'my photo.jpg' 'C:\\x.jpg'"), ("win32", 'mien recognize "my photo.jpg" C:\\x.jpg')],
)
def test_words_are_quoted_as_the_shell_wants_it(monkeypatch, platform, shown):
    monkeypatch.setattr("mien.shell.sys.platform", platform)
    words = ["mien", "recognize", "my photo.jpg", r"C:\x.jpg"]
    assert shell_words(*words) == shown
    assert platform == "win32" or shlex.split(shown) == words
