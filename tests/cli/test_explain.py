"""`mien explain` as a person runs it."""

import json

import cv2
import numpy as np
import pytest

from tests.cli.mien_in_process import runner


@pytest.fixture
def mien(monkeypatch, capsys):
    return runner(monkeypatch, capsys)


@pytest.fixture
def album(tmp_path, astronaut_bgr):
    """A photo with a face, the same in a subfolder with another one, one without a face, and what is no photo."""
    folder = tmp_path / "album"
    (folder / "sub").mkdir(parents=True)
    cv2.imwrite(str(folder / "one.png"), astronaut_bgr[:256, 100:356])
    cv2.imwrite(str(folder / "sub" / "two.png"), np.hstack([astronaut_bgr[:256, 100:356]] * 2))
    cv2.imwrite(str(folder / "none.png"), np.zeros((64, 64, 3), np.uint8))
    (folder / "text.jpg").write_text("not a photo")
    return folder


def test_each_photo_with_a_face_is_drawn(mien, album, tmp_path):
    out = tmp_path / "maps"
    done = mien("explain", album, "-r", "--draw", out, "--model", "tiny")
    assert done.code == 1
    assert "cannot read" in done.err
    assert "text.jpg" in done.err
    assert sorted(str(path.relative_to(out)) for path in out.rglob("*.*")) == ["one.png", "sub/two.png"]
    one, two = (cv2.imread(str(out / name)) for name in ("one.png", "sub/two.png"))
    assert two.shape[0] > 1.5 * one.shape[0]
    assert done.out.splitlines()[-2].startswith("3 photos, 3 faces, 1 not read in ")
    assert done.out.splitlines()[-1] == f"wrote {out}"


def test_one_photo_and_one_file(mien, album, tmp_path):
    done = mien("explain", album / "one.png", "--draw", tmp_path / "seen.jpg", "--quiet", "--model", "tiny")
    assert (done.code, done.out, done.err) == (0, "", "")
    assert cv2.imread(str(tmp_path / "seen.jpg")).shape[2] == 3


def test_json_lines_hold_the_reading_and_the_map(mien, album):
    done = mien(
        "explain", album / "sub" / "two.png", album / "none.png", "--json", "--expression", "Sadness", "--model", "tiny"
    )
    assert (done.code, done.err) == (0, "")
    first, second = map(json.loads, done.out.splitlines())
    assert (first["face"], second["face"]) == (1, 2)
    assert (first["expression"], first["explained"]) == ("happy", "sad")
    assert first["probability"] == pytest.approx(first["probabilities"]["sad"], abs=1e-3)
    assert np.array(first["drop"]).shape == (8, 8)
    assert np.array(first["corners_xy"]).shape == (4, 2)
    read = json.loads(mien("recognize", album / "sub" / "two.png", "--json", "--model", "tiny").out.splitlines()[0])
    assert {key: first[key] for key in read} == read


def test_where_nothing_can_be_drawn_it_is_said(mien, album, tmp_path):
    done = mien("explain", album / "none.png", "--draw", tmp_path / "maps")
    assert done.code == 0
    assert "no face" in done.out
    assert done.err == f"mien: {tmp_path / 'maps'}: nothing drawn, since no face was found\n"
    done = mien("explain", tmp_path / "gone.png", "--draw", tmp_path / "maps")
    assert done.code == 1
    assert done.err == f"mien: cannot read {tmp_path / 'gone.png'}: no such file or folder\n"
    video = tmp_path / "clip.mp4"
    video.write_bytes(b"\0\0\0\x18ftypmp42")
    done = mien("explain", video, "--json")
    assert (done.code, done.out) == (1, "")
    assert done.err == f"mien: cannot read {video}: is a video; explain reads photos: save one of its frames\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "an explanation is a picture, or numbers: add --draw DIR or --json"),
        (["--json", "--expression", "hapy"], "did you mean 'happy'?"),
        (["--json", "--labels", "valence3", "--expression", "happy"], "expected one of positive, neutral, negative"),
        (["--draw", "seen.mp4"], "--draw seen.mp4 is one video; explain draws photos"),
        (["--draw", "seen.png", "two.png"], "--draw seen.png is one photo; explain draws photos: for several inputs"),
    ],
    ids=["neither", "label", "scheme", "video", "several"],
)
def test_wrong_usage_is_told_before_any_work(mien, album, tmp_path, arguments, said):
    done = mien("explain", album / "one.png", *arguments, cwd=tmp_path)
    assert (done.code, done.out) == (2, "")
    assert said in done.err


def test_the_photo_itself_is_never_replaced(mien, album):
    before = (album / "one.png").read_bytes()
    assert mien("explain", album / "one.png", "--draw", album / "one.png").code == 2
    assert mien("explain", album / "one.png", "--draw", album).code == 2
    assert (album / "one.png").read_bytes() == before


def test_pictures_of_an_earlier_run_are_not_explained(mien, album):
    out = album / "maps"
    assert mien("explain", album / "one.png", "--draw", out, "--model", "tiny").code == 0
    done = mien("explain", album, "-r", "--draw", out, "--model", "tiny")
    assert f"note: 1 file in {out} left out" in done.err
    assert sorted(path.name for path in out.rglob("*.*")) == ["one.png", "two.png"]
