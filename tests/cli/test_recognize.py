"""The command as a person runs it: on real files, in a process of its own where that may matter."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from mien.opencv import turned
from tests.cli.mien_in_process import runner

# As `-m mien`, but a moment's work is enough for a bar (how much it takes otherwise is in test_late_bar.py).
BAR_AT_ONCE = (
    "import mien.cli.late_bar as late\nlate._APPEARS_AFTER_S = late._REFRESH_S = 0\nfrom mien.cli import main\nmain()\n"
)


def run(*arguments, cwd=None, stdin=None, **environment):
    return subprocess.run(
        [sys.executable, "-m", "mien", *map(str, arguments)],
        capture_output=True,
        cwd=cwd,
        stdin=stdin,
        env={**os.environ, "PYTHONIOENCODING": "utf-8", "COLUMNS": "100", **environment},
        encoding="utf-8",
        timeout=120,
    )


@pytest.fixture
def mien(monkeypatch, capsys):
    return runner(monkeypatch, capsys)


@pytest.fixture(scope="module")
def album(tmp_path_factory, astronaut_bgr):
    """A folder with a good photo, one in a subfolder, and many bad ones."""
    folder = tmp_path_factory.mktemp("album")
    good = cv2.imencode(".jpg", astronaut_bgr[:256, 100:400])[1].tobytes()
    (folder / "a good ü.jpg").write_bytes(good)
    (folder / "sub").mkdir()
    (folder / "sub" / "two.png").write_bytes(
        cv2.imencode(".png", np.hstack([astronaut_bgr[:256, 100:356], astronaut_bgr[:256, 100:356]]))[1].tobytes()
    )
    (folder / "text.jpg").write_text("not a photo")
    (folder / "cut.jpg").write_bytes(good[: len(good) // 2])
    (folder / "zero.png").touch()
    (folder / "pixel.png").write_bytes(cv2.imencode(".png", np.zeros((1, 1, 3), np.uint8))[1].tobytes())
    (folder / "empty").mkdir()
    return folder


def test_a_photo_gives_a_table(astronaut_path):
    done = run("recognize", astronaut_path)
    assert (done.returncode, done.stderr) == (0, "")
    header, row, summary = done.stdout.splitlines()
    assert header.split()[:3] == ["file", "face", "expression"]
    assert "astronaut.jpg" in row
    assert "happy" in row
    assert summary.startswith("1 photo, 1 face in ")


def test_bad_inputs_are_named_and_cost_nothing_else(album):
    done = run("recognize", album, album / "empty", album / "missing.jpg", "nothing*.jpg", "--json")
    assert done.returncode == 1
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert [record["source"] for record in records] == [str(album / "a good ü.jpg")]
    said = done.stderr.splitlines()
    for name, reason in [
        ("text.jpg", "is not an image (text"),
        ("cut.jpg", "truncated"),
        ("zero.png", "0 bytes"),
        ("empty", "no photos in this folder"),
        ("missing.jpg", "no such file"),
        ("nothing*.jpg", "matches no file"),
    ]:
        assert any(name in line and reason in line and line.startswith("mien: cannot read ") for line in said), name
    assert len(said) == 6


def test_json_lines_follow_the_contract(astronaut_path):
    done = run("recognize", astronaut_path, "--json")
    (record,) = map(json.loads, done.stdout.splitlines())
    assert {
        "source", "frame", "time_s", "turned_deg", "face", "track_id", "box_xyxy", "score",
        "landmarks_xy", "expression", "confidence", "probabilities",
    } <= set(record)  # fmt: skip
    assert record["expression"] == "happy"
    assert sum(record["probabilities"].values()) == pytest.approx(1, abs=1e-4)


def test_photos_that_lie_on_their_sides_are_said_once(mien, astronaut_bgr, tmp_path):
    """Each had a line on stderr: thousands of scans flooded it."""
    for name, clockwise_deg in (("a", 90), ("b", 90), ("c", 0), ("d", 180)):
        cv2.imwrite(str(tmp_path / f"{name}.png"), turned(astronaut_bgr, clockwise_deg))
    done = mien("recognize", ".", "--json", cwd=tmp_path)
    records = map(json.loads, done.out.splitlines())
    assert [(record["source"][2], record["turned_deg"], record["face"]) for record in records] == [
        ("a", 270, 1), ("b", 270, 1), ("c", 0, 1), ("d", 180, 1),
    ]  # fmt: skip
    first, other = done.err.replace("\\", "/").splitlines()
    assert first == "mien: note: 2 photos, such as ./a.png: upright when turned by 270 degrees clockwise"
    assert other == "mien: note: ./d.png: upright when turned by 180 degrees clockwise"


def test_recursive_out_and_draw(album, tmp_path):
    out, drawn = tmp_path / "faces.csv", tmp_path / "drawn"
    done = run("recognize", album, "-r", "--out", out, "--draw", drawn, "--labels", "valence3", "-q")
    assert done.returncode == 1
    assert done.stdout == ""
    lines = out.read_text(encoding="utf-8").splitlines()
    assert len(lines) == 1 + 1 + 2
    assert "probability_positive" in lines[0]
    assert {p.relative_to(drawn).as_posix() for p in drawn.rglob("*.*")} == {
        "a good ü.jpg", "sub/two.png", "pixel.png",
    }  # fmt: skip


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("name", ["missing.jpg", "broken.mp4"])
def test_where_nothing_can_be_read_an_older_file_stays(mien, name, suffix, tmp_path):
    (tmp_path / "broken.mp4").write_bytes(b"no video" * 9)
    keep = tmp_path / f"keep.{suffix}"
    keep.write_bytes(b"rows of yesterday")
    done = mien("recognize", name, "--out", keep.name, cwd=tmp_path)
    assert (done.code, keep.read_bytes()) == (1, b"rows of yesterday")
    refused, told = done.err.splitlines()
    assert refused.startswith(f"mien: cannot read {name}: ")
    assert told == f"mien: {keep.name}: not written, since nothing could be read"
    assert {path.name for path in tmp_path.iterdir()} == {"broken.mp4", keep.name}


def test_images_without_a_face_are_said_when_asked(mien, album):
    done = mien("recognize", album / "pixel.png", "--json", "--include-empty")
    record = json.loads(done.out)
    assert (record["source"], record["faces"], record["expression"]) == (str(album / "pixel.png"), 0, None)
    assert "no face" in mien("recognize", album / "pixel.png").out


def test_a_table_of_all_photos_that_could_be_read(mien, astronaut_path, album, tmp_path):
    out = tmp_path / "faces.csv"
    done = mien(
        "recognize", astronaut_path, album / "pixel.png", "missing.jpg", "--out", out, "--include-empty", cwd=tmp_path
    )
    assert done.code == 1  # of the one that is missing, which has no row
    assert "2 photos, 1 face, 1 not read in" in done.out
    with out.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["source"], row["expression"], row["box_x1"]) for row in rows][1:] == [
        (str(album / "pixel.png"), "", "")
    ]
    assert rows[0]["expression"] == "happy"


def test_cropped_faces(mien, album, astronaut_bgr, tmp_path):
    crop = tmp_path / "crop.png"
    cv2.imwrite(str(crop), astronaut_bgr[60:200, 155:295])
    (record,) = map(json.loads, mien("recognize", crop, "--detector", "none", "--json").out.splitlines())
    assert record["expression"] == "happy"
    assert (record["score"], record["landmarks_xy"]) == (None, [])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Missing argument"),
        (["x.jpg", "--model", "giant"], "unknown expression model 'giant'; expected one of"),
        (["x.jpg", "--labels", "happi,sad"], "did you mean 'happy'"),
        (["x.jpg", "--out", "faces.xlsx"], "expected .jsonl, .csv or .parquet"),
        (["x.jpg", "--detector", "nothing.onnx"], "no such file"),
        (["x.jpg", "--threads", "0"], "at least 1"),
        (["x.jpg", "--include-empty"], "add --json or --out FILE"),
        (["x.jpg", "--colour"], "No such option"),
    ],
)
def test_wrong_usage_is_status_2_and_one_clear_message(mien, arguments, message, tmp_path):
    done = mien("recognize", *arguments, cwd=tmp_path)
    assert done.code == 2
    assert message in done.err
    assert "Traceback" not in done.err
    assert done.out == ""


def test_a_bomb_is_refused_and_the_limit_is_a_flag(mien, astronaut_path):
    done = mien("recognize", astronaut_path, "--max-megapixels", "0.1")
    assert done.code == 1
    assert "the limit is 0.1" in done.err


def test_animations_are_said(tmp_path, astronaut_bgr):
    from PIL import Image

    frames = [Image.fromarray(astronaut_bgr[:256, 100:400, ::-1]), Image.new("RGB", (300, 256))]
    path = tmp_path / "x.gif"
    frames[0].save(path, save_all=True, append_images=frames[1:])
    assert "read the first of 2 frames" in run("recognize", path).stdout
    done = run("recognize", path, "--json")
    assert "read the first of 2 frames" in done.stderr
    assert json.loads(done.stdout)["expression"] == "happy"


def test_a_reader_that_goes_away_is_no_error(astronaut_path):
    command = f'"{sys.executable}" -m mien recognize {" ".join([str(astronaut_path)])} --json | true'
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60, check=False)
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="needs file names that are any bytes")
def test_names_that_are_no_text(tmp_path, astronaut_path):
    photo = astronaut_path.read_bytes()
    folder = tmp_path / "odd"
    folder.mkdir()
    for name in (b"bad\xff.jpg", b"new\nline.jpg", b"[red]x\x1b[31m.jpg"):
        (folder / os.fsdecode(name)).write_bytes(photo)
    table = run("recognize", folder).stdout
    assert table.count("happy") == 3
    assert "\x1b[31m" not in table
    assert "new?line.jpg" in table
    records = [json.loads(line) for line in run("recognize", folder, "--json").stdout.splitlines()]
    assert os.fsdecode(b"bad\xff.jpg") in {Path(record["source"]).name for record in records}
    for suffix in ("csv", "jsonl", "parquet"):
        done = run("recognize", folder, "-q", "--out", tmp_path / f"x.{suffix}", "--draw", tmp_path / "drawn")
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_read(tmp_path, astronaut_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(["cp", str(astronaut_path), str(pipe)]):
        (record,) = map(json.loads, run("recognize", pipe, "--json").stdout.splitlines())
    assert record["expression"] == "happy"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_told(astronaut_path):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "mien", "recognize", str(astronaut_path), "--json"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
        )
    assert done.returncode == 2
    assert "No space left" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="needs a pseudo-terminal")
def test_work_shows_a_bar_on_a_terminal_only(tmp_path, astronaut_path):
    import pty

    for number in range(12):
        (tmp_path / f"{number:02d}.jpg").write_bytes(astronaut_path.read_bytes())
    command = [sys.executable, "-c", BAR_AT_ONCE, "recognize", str(tmp_path), "--threads", "1", "-q"]
    terminal, end = pty.openpty()
    shown = b""
    with subprocess.Popen(command, stdin=end, stdout=end, env={**os.environ, "TERM": "xterm-256color"}) as child:
        os.close(end)
        try:
            while block := os.read(terminal, 65536):
                shown += block
        except OSError:  # the other end is closed
            pass
    os.close(terminal)
    assert child.returncode == 0
    assert b"photos/s" in shown
    assert b"/12" in shown
    done = subprocess.run([*command, "-q"], capture_output=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_version_and_help():
    assert run("--version").stdout.startswith("mien ")
    shown = run("recognize", "--help", NO_COLOR="1").stdout
    for flag in ("--out", "--draw", "--labels", "--detector", "--min-face", "--json", "--recursive", "--threads"):
        assert flag in shown
    assert run().returncode in (0, 2)


def test_nothing_touches_the_network(astronaut_path, tmp_path):
    """The default configuration works where every socket is forbidden."""
    code = (
        "import socket, sys\n"
        "def forbidden(*a, **k): raise AssertionError('a socket was opened')\n"
        "socket.socket = socket.create_connection = socket.getaddrinfo = forbidden\n"
        "from mien.cli import main\n"
        "sys.argv = ['mien', 'recognize', sys.argv[1], '--draw', sys.argv[2]]\n"
        "main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(astronaut_path), str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "happy" in done.stdout


def test_a_photo_on_stdin_is_a_dash(astronaut_path):
    with astronaut_path.open("rb") as photo:
        done = run("recognize", "-", "--json", stdin=photo)
    assert (done.returncode, done.stderr) == (0, "")
    record = json.loads(done.stdout)
    assert (record["source"], record["expression"]) == ("-", "happy")
    done = run("recognize", "-", stdin=subprocess.DEVNULL)
    assert (done.returncode, done.stderr) == (1, "mien: cannot read -: the file is empty (0 bytes)\n")


def test_a_video_on_stdin_is_told_where_it_should_be(tmp_path):
    """It said that 'mien recognize', which was running, reads videos."""
    (tmp_path / "clip.mp4").write_bytes(b"\0\0\0\x20ftypisom" + bytes(100))
    with (tmp_path / "clip.mp4").open("rb") as clip:
        done = run("recognize", "-", stdin=clip)
    said = "is a video (MP4); from stdin only a photo is read: write it to a file, and name that"
    assert (done.returncode, done.stderr) == (1, f"mien: cannot read -: {said}\n")


def test_one_photo_is_drawn_into_a_file_that_is_named(mien, astronaut_path, tmp_path):
    assert mien("recognize", astronaut_path, "--draw", "seen.jpg", cwd=tmp_path).code == 0
    assert cv2.imread(str(tmp_path / "seen.jpg")).shape == (512, 512, 3)
    done = mien("recognize", astronaut_path, "other.jpg", "--draw", "new.png", cwd=tmp_path)
    assert (done.code, done.out) == (2, "")
    assert done.err == "mien: --draw new.png is one photo; for other inputs name a folder\n"
    assert [path.name for path in tmp_path.iterdir()] == ["seen.jpg"]


@pytest.mark.parametrize("inputs", [["-r", "."], ["-r", "shots"], ["shots/**/*.jpg"]])
def test_annotated_copies_are_not_read_as_photos(mien, inputs, astronaut_path, tmp_path):
    (tmp_path / "shots" / "sub").mkdir(parents=True)
    for name in ("one.jpg", "sub/two.jpg"):
        (tmp_path / "shots" / name).write_bytes(astronaut_path.read_bytes())
    said = []
    for _ in range(2):
        done = mien("recognize", *inputs, "--draw", "shots/out", "--json", cwd=tmp_path)
        sources = [Path(json.loads(line)["source"]).name for line in done.out.splitlines()]
        assert (done.code, sorted(sources)) == (0, ["one.jpg", "two.jpg"])
        said.append(done.err)
    assert said == ["", "mien: note: 2 files in shots/out left out, since --draw writes there\n"]
    done = mien("recognize", "shots/out", "-r", "--draw", "again", "--json", cwd=tmp_path)  # named: they are read
    assert len({json.loads(line)["source"] for line in done.out.splitlines()}) == 2
    assert done.err == ""


@pytest.mark.parametrize("name", ["seen.mkv", "seen.webm", "seen.GIF", "seen.txt", "seen.avif"])
def test_a_drawing_of_a_kind_that_is_not_written_is_wrong_usage(mien, name, tmp_path):
    done = mien("recognize", "missing.jpg", "--draw", name, cwd=tmp_path)
    assert (done.code, done.out) == (2, "")
    assert f"--draw {name}: '{name[4:].lower()}' cannot be drawn; expected a video (.mp4), a photo (" in done.err
    assert "missing.jpg" not in done.err
    assert list(tmp_path.iterdir()) == []


def test_names_of_folders_to_draw_into(mien, astronaut_path, tmp_path):
    (tmp_path / "there.v2").mkdir()
    for name in ("plain", "new.v2/", "there.v2", "seen.jpg/"):
        assert mien("recognize", astronaut_path, "--draw", name, "-q", cwd=tmp_path).code == 0
        assert (tmp_path / name / "astronaut.jpg").is_file()


def test_videos_of_a_folder_are_left_out_and_that_is_said(mien, astronaut_bgr, tmp_path):
    cv2.imwrite(str(tmp_path / "one.jpg"), astronaut_bgr)
    (tmp_path / "deep").mkdir()
    for name in ("two.mp4", "THREE.MOV", "deep/four.mkv"):
        (tmp_path / name).touch()
    done = mien("recognize", tmp_path)
    assert done.code == 0
    said = f"mien: note: {tmp_path}: 2 videos left out; of folders only photos are read: name videos\n"
    assert done.err == said
