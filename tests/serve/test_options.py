import pytest

from mien.errors import UsageError
from mien.serve.options import ServeOptions


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"port": 70000}, "at most 65535"),
        ({"max_faces": 0}, "at least 1"),
        ({"max_upload_mb": 300, "max_held_mb": 256}, "at least one request's worth"),
        ({"token": " "}, "printable ASCII"),
        ({"token": "schön"}, "printable ASCII"),
        ({"allow_origin": "app.example"}, "is no origin"),
        ({"allow_origin": "https://a.example/path"}, "is no origin"),
        ({"threads": 0}, "at least 1"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(UsageError, match=message):
        ServeOptions(**options)


def test_loopback_is_the_default():
    assert ServeOptions().on_loopback
    assert ServeOptions(host="localhost").on_loopback
    assert ServeOptions(host="::1").on_loopback
    assert not ServeOptions(host="0.0.0.0").on_loopback
    assert not ServeOptions(host="192.0.2.1").on_loopback


def test_lists_are_split_and_lowered():
    options = ServeOptions(allow_origin="https://A.example/, http://b.example:8080", allow_host="Face.example,")
    assert options.allowed_origins == {"https://a.example", "http://b.example:8080"}
    assert options.allowed_hosts == {"face.example"}
