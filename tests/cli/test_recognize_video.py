"""Videos on the command line, as a person runs it."""

import contextlib
import csv
import itertools
import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import time

import av
import numpy as np
import pytest

from mien.cli.recognize_video import VideoRun, video_target
from mien.files import file_key
from mien.source import SourceFile
from mien.video_options import VideoOptions
from tests.cli.mien_in_process import runner
from tests.cli.test_recognize import BAR_AT_ONCE, run
from tests.clips import background, head_of, moving, paste, plain, write_clip
from tests.source.test_video_live import Server


@pytest.fixture
def mien(monkeypatch, capsys):
    return runner(monkeypatch, capsys)


@pytest.fixture(scope="module")
def head(astronaut_bgr):
    return head_of(astronaut_bgr)


@pytest.fixture(scope="module")
def clip(tmp_path_factory, head):
    """Two seconds of one person who walks, with sound."""
    path = tmp_path_factory.mktemp("clips") / "walk.mp4"
    return write_clip(path, moving(head, 60, lambda share: (120 + 300 * share, 180)), sound="aac")


def test_a_clip_gives_rows_a_video_a_page_and_a_summary(clip, tmp_path):
    out, drawn, page = tmp_path / "rows.csv", tmp_path / "seen.mp4", tmp_path / "page.html"
    done = run("recognize", clip, "--out", out, "--draw", drawn, "--timeline", page)
    assert (done.returncode, done.stderr) == (0, "")
    heading, rate, header, row, *wrote = done.stdout.splitlines()
    assert wrote == [f"wrote {out}", f"wrote {page}", f"wrote {drawn}"]
    assert heading == f"{clip}: 2.0 s, 640 x 360, 30 frames a second"
    assert rate.startswith("60 frames in ")
    assert header.split()[:2] == ["track", "seen"]
    assert row.split() == ["1", "0.0", "to", "2.0", "s", "2.0", "happy", "2.0"]
    with out.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["frame"]) for row in rows] == list(range(60))
    assert [float(row["time_s"]) for row in rows] == pytest.approx([n / 30 for n in range(60)], abs=1e-3)
    assert {(row["track_id"], row["expression"]) for row in rows} == {("1", "happy")}
    with av.open(str(drawn)) as container:
        assert container.streams.audio
        assert sum(1 for _ in container.decode(video=0)) == 60
    assert "Person 1" in page.read_text(encoding="utf-8")
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("name", ["clip[final].mp4", "[/b]:smile:.mp4", "two\nlines\x1b[31m.mp4"])
def test_the_name_of_a_video_is_said_as_it_is(mien, clip, tmp_path, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).symlink_to(clip)
    done = mien("recognize", name, "--fps", 1, cwd=tmp_path)
    assert done.err == ""
    shown = name.replace("\n", "?").replace("\x1b", "?")
    assert done.out.splitlines()[0] == f"{shown}: 2.0 s, 640 x 360, 30 frames a second"


def test_a_folder_to_draw_into_may_be_called_as_a_video_is(clip, astronaut_path, tmp_path):
    done = run("recognize", clip, astronaut_path, "--fps", 1, "--draw", "seen.mp4/", "-q", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert {path.name for path in (tmp_path / "seen.mp4").iterdir()} == {"walk.mp4", "astronaut.jpg"}
    assert run("recognize", clip, "--fps", 1, "--draw", "seen.mp4", "-q", cwd=tmp_path).stderr == ""


def test_videos_of_one_name_are_drawn_into_one_folder(clip, tmp_path):
    """By what the files are: where "A.mp4" and "a.mp4" are one, as on macOS, the second copy replaced the first."""
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        write_clip(tmp_path / folder / "walk.mp4", plain(3))
    done = run("recognize", tmp_path / "a" / "walk.mp4", tmp_path / "b" / "walk.mp4", "--draw", tmp_path / "seen", "-q")
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(path.name for path in (tmp_path / "seen").iterdir()) == ["walk-2.mp4", "walk.mp4"]
    (tmp_path / "seen" / "Walk.mp4").hardlink_to(tmp_path / "seen" / "walk.mp4")
    videos = VideoRun(None, [], tmp_path / "seen", True, None, None, VideoOptions())
    videos._taken.add(file_key(tmp_path / "seen" / "walk.mp4"))
    assert videos._target(SourceFile("Walk.mp4", "Walk.mp4")) == tmp_path / "seen" / "Walk-2.mp4"
    assert videos._target(SourceFile("run.avi", "run.avi")) == tmp_path / "seen" / "run.mp4"


def test_no_video_that_is_read_is_overwritten(clip, tmp_path):
    """The copy of an AVI has the name of an MP4 that was still to be read."""
    (tmp_path / "walk.mp4").write_bytes(clip.read_bytes())
    write_clip(tmp_path / "walk.avi", plain(3), codec="mpeg4")
    done = run("recognize", "walk.avi", "walk.mp4", "--draw", ".", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "walk.mp4: --draw would overwrite a video that is read" in done.stderr
    assert (tmp_path / "walk.mp4").read_bytes() == clip.read_bytes()


def test_what_cannot_be_drawn_is_told_before_anything_is_read(clip, tmp_path, astronaut_path):
    script = "import sys; sys.modules['av'] = None; from mien.cli import main; main()"
    command = [sys.executable, "-c", script, "recognize", str(astronaut_path), str(clip), "--draw", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (2, "")
    assert 'pip install "mien[video]"' in done.stderr
    done = run("recognize", clip, "--draw", clip)
    assert (done.returncode, done.stdout) == (2, "")
    assert "would overwrite the video itself" in done.stderr


def test_json_lines_and_thinning(clip):
    done = run("recognize", clip, "--json", "--every", "0.5")
    assert (done.returncode, done.stderr) == (0, "")
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(record["frame"], record["track_id"]) for record in records] == [(0, 1), (15, 1), (30, 1), (45, 1)]
    same = run("recognize", clip, "--json", "--fps", "2")
    assert [json.loads(line)["frame"] for line in same.stdout.splitlines()] == [0, 15, 30, 45]


def test_frames_without_a_face_are_said_when_asked(mien, tmp_path):
    path = write_clip(tmp_path / "plain.mp4", plain(3))
    done = mien("recognize", path, "--json", "--include-empty")
    where = [("frame", n, "time_s", pytest.approx(n / 30, abs=1e-3), "faces", 0) for n in range(3)]
    found = [json.loads(line) for line in done.out.splitlines()]
    assert [("frame", f["frame"], "time_s", f["time_s"], "faces", f["faces"]) for f in found] == where
    assert {(record["track_id"], record["expression"], record["probabilities"]) for record in found} == {(None,) * 3}
    out = tmp_path / "faces.csv"
    assert mien("recognize", path, "--out", out, "--include-empty").code == 0
    rows = out.read_text(encoding="utf-8").splitlines()
    assert [row.split(",")[:5] for row in rows[1:]] == [
        [str(path), str(found[n]["frame"]), str(found[n]["time_s"]), "0", ""] for n in range(3)
    ]
    assert "no face" in mien("recognize", path).out


def test_photos_and_videos_together(clip, astronaut_path, tmp_path):
    done = run(
        "recognize",
        clip,
        astronaut_path,
        clip.parent / "*.mp4",
        "--out",
        tmp_path / "all.parquet",
        "--draw",
        tmp_path / "drawn",
    )
    assert (done.returncode, done.stderr) == (0, "")
    _, row, summary, heading = done.stdout.splitlines()[:4]  # the photos are done with before the video begins
    assert "happy" in row
    assert summary.startswith("1 photo, 1 face in ")
    assert heading.startswith(f"{clip}: ")
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(tmp_path / "all.parquet").to_pylist()
    assert len(table) == 61
    assert {row["track_id"] for row in table} == {1, None}
    assert {path.name for path in (tmp_path / "drawn").iterdir()} == {"astronaut.jpg", "walk.mp4"}
    assert {path.name for path in tmp_path.iterdir()} == {"all.parquet", "drawn"}


def test_bad_videos_are_named_and_cost_nothing_else(clip, tmp_path):
    text = tmp_path / "text.mp4"
    text.write_text("no film at all")
    whole = write_clip(tmp_path / "whole.mkv", np.random.default_rng(0).integers(0, 255, (90, 64, 80, 3), np.uint8))
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    rows, drawn = tmp_path / "rows.jsonl", tmp_path / "drawn"
    done = run("recognize", text, cut, "camera:0", clip, "--out", rows, "--draw", drawn, "-q")
    assert done.returncode == 1
    assert done.stdout == ""
    said = done.stderr.splitlines()
    assert len(said) == 3
    for line, name, reason in zip(
        said, (text, cut, "camera:0"), ("is not a video", "breaks off", "no camera"), strict=True
    ):
        assert line.startswith(f"mien: cannot read {name}: ")
        assert reason in line
    assert len(rows.read_text(encoding="utf-8").splitlines()) == 60
    # What could be read of the cut one was drawn.
    with av.open(str(drawn / "cut.mp4")) as container:
        assert 30 <= sum(1 for _ in container.decode(video=0)) <= 60


def test_an_older_page_stays_where_no_video_could_be_read(mien, astronaut_path, tmp_path):
    (tmp_path / "text.mp4").write_text("no film at all")
    (tmp_path / "page.html").write_text("of yesterday")
    done = mien(
        "recognize", "text.mp4", astronaut_path, "--timeline", "page.html", "--out", "x.csv", "-q", cwd=tmp_path
    )
    assert done.code == 1
    assert done.err.splitlines()[1:] == ["mien: page.html: not written, since no video could be read"]
    assert (tmp_path / "page.html").read_text() == "of yesterday"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{clip}", "--every", "1", "--fps", "2"], "both --every (1) and --fps (2)"),
        (["{clip}", "--timeline", "page.pdf"], "written as .html"),
        (["{clip}", "{clip}2.mp4", "--draw", "seen.mp4"], "name a folder"),
        (["{photo}", "--timeline", "page.html"], "no input is one"),
        (["{photo}", "--fps", "2"], "no input is one"),
        (["{photo}", "--end", "2"], "no input is one"),
        (["{clip}", "--start", "2", "--end", "2"], "--start (2) and --end (2) leave nothing between them"),
        (["{photo}", "--rotate", "180"], "no input is one"),
        (["{clip}", "--rotate", "45"], "--rotate is 45; expected 0, 90, 180 or 270"),
        (["camera:front"], "camera:0"),
        (["{clip}", "--smooth", "-1"], "at least 0"),
    ],
)
def test_wrong_usage_is_status_2(mien, clip, astronaut_path, tmp_path, arguments, message):
    filled = [argument.format(clip=clip, photo=astronaut_path) for argument in arguments]
    done = mien("recognize", *filled, cwd=tmp_path)
    assert done.code == 2
    assert message in done.err
    assert "Traceback" not in done.err
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_one_clear_message(mien, clip, tmp_path):
    for suffix in ("jsonl", "csv"):
        link = tmp_path / f"rows.{suffix}"
        link.symlink_to("/dev/full")
        done = mien("recognize", clip, "--out", link, "-q")
        assert done.code == 2
        assert (
            done.err.strip()
            == f"mien: {link}: cannot be written (No space left on device); what was written so far stays readable"
        )


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory, head):
    """So long that a kill comes in the middle: 40 s at 30 frames a second."""
    picture = background((320, 240))
    paste(picture, head, (160, 120), 180)
    return write_clip(tmp_path_factory.mktemp("long") / "long.mp4", [picture] * 1200)


def complete_rows(path):
    """Rows of a file that was left in the middle of a line."""
    lines = path.read_bytes().split(b"\n")[:-1]
    if path.suffix == ".csv":
        return [dict(zip(lines[0].decode().split(","), line.decode().split(","), strict=True)) for line in lines[1:]]
    return [json.loads(line) for line in lines]


@pytest.mark.parametrize(
    ("name", "left"),
    [("rows.jsonl", "rows.jsonl"), ("rows.csv", "rows.csv"), ("rows.parquet", "rows.parquet.partial.jsonl")],
)
def test_a_kill_loses_at_most_the_last_second(long_clip, tmp_path, name, left):
    """The rows on the disk at the time of the kill are compared with those that were printed by then."""
    code = (
        "import sys, time\n"
        "from mien.recognizer import Recognizer\n"
        "from mien.sink import open_row_sink\n"
        "recognizer = Recognizer(threads=1)\n"
        "with open_row_sink(sys.argv[2], recognizer.scheme) as sink:\n"
        "    for reading in recognizer.stream(sys.argv[1]):\n"
        "        sink.write(reading)\n"
        "        print(reading.frame, time.monotonic(), flush=True)\n"
        "        time.sleep(0.002)\n"
    )
    command = [sys.executable, "-c", code, str(long_clip), str(tmp_path / name)]
    written = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        for line in child.stdout:
            frame, time_s = line.split()
            written.append((int(frame), float(time_s)))
            if written[-1][1] - written[0][1] > 2.6:
                break
        child.kill()
        rest = [line.split() for line in child.stdout.read().splitlines()]
        written += [(int(pair[0]), float(pair[1])) for pair in rest if len(pair) == 2]
    assert child.returncode == -signal.SIGKILL
    rows = complete_rows(tmp_path / left)
    assert rows
    kept = {int(row["frame"]) for row in rows}
    end_s = written[-1][1]
    lost = [end_s - time_s for frame, time_s in written if frame not in kept]
    # Rows are flushed with the first write after a second; on a busy machine that write may come late.
    pause_s = max(b - a for (_, a), (_, b) in itertools.pairwise(written))
    assert max(lost, default=0.0) <= 1.05 + pause_s
    assert len(kept) < 1200


def test_ctrl_c_keeps_what_was_read(long_clip, tmp_path):
    out, drawn = tmp_path / "rows.parquet", tmp_path / "seen.mp4"
    child = subprocess.Popen(
        [sys.executable, "-m", "mien", "recognize", str(long_clip), "--out", str(out), "--draw", str(drawn)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    partial = tmp_path / "seen.mp4.partial.mp4"
    deadline_s = time.monotonic() + 120
    while not (partial.exists() and partial.stat().st_size > 5000) and time.monotonic() < deadline_s:
        time.sleep(0.05)
    child.send_signal(signal.SIGINT)
    printed, said = child.communicate(timeout=60)
    assert child.returncode == 130
    assert "interrupted; what was read so far is written" in said
    assert "happy" in printed
    import pyarrow.parquet

    count = pyarrow.parquet.read_table(out).num_rows
    with av.open(str(drawn)) as container:
        pictures = sum(1 for _ in container.decode(video=0))
    assert 0 < count < 1200
    assert abs(count - pictures) <= 1


def test_a_network_camera_until_ctrl_c():
    server = Server()
    address = f"http://127.0.0.1:{server.port}/live"
    child = subprocess.Popen(
        [sys.executable, "-m", "mien", "recognize", address, "--json", "--include-empty"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    lines = [child.stdout.readline() for _ in range(3)]
    child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=60)
    server.stop()
    assert [json.loads(line)["faces"] for line in lines] == [0, 0, 0]
    assert child.returncode == 0
    assert re.search(r"note: .*/live: times count from 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} UTC", said)
    assert "Traceback" not in said


def test_what_is_named_after_a_camera_is_said_to_wait_for_ctrl_c(clip):
    """Nothing told why it gave no rows."""
    server = Server()
    address = f"http://127.0.0.1:{server.port}/live"
    command = [sys.executable, "-m", "mien", "recognize", address, str(clip), "--fps", "1", "--json", "--include-empty"]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    child.stdout.readline()
    child.send_signal(signal.SIGINT)
    printed, said = child.communicate(timeout=60)
    server.stop()
    assert said.startswith(f"mien: note: {address}: what was named after it waits for Ctrl-C")
    assert child.returncode == 0
    assert [json.loads(line)["frame"] for line in printed.splitlines()][-2:] == [0, 30]


@pytest.fixture
def silent():
    """The port of a server that takes every connection, and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def interrupted(child):
    """What a command says that Ctrl-C ends, and how long that takes."""
    start_s = time.monotonic()
    child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=60)
    return said, time.monotonic() - start_s


def test_ctrl_c_ends_a_command_that_waits_for_a_stream(silent):
    """An address with a typing error: FFmpeg waits for ten seconds."""
    address = f"rtsp://127.0.0.1:{silent.getsockname()[1]}/live"
    command = [sys.executable, "-m", "mien", "recognize", address, "--json"]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    connection, _ = silent.accept()
    with connection:
        said, seconds = interrupted(child)
    assert (child.returncode, said) == (130, "mien: interrupted\n")
    assert seconds < 4


def test_ctrl_c_ends_a_stream_that_hangs_and_keeps_what_was_read(tmp_path):
    """Nothing comes any more: FFmpeg waits for five seconds."""
    server, out = Server(pictures=40), tmp_path / "rows.csv"
    address = f"http://127.0.0.1:{server.port}/live"
    command = [sys.executable, "-m", "mien", "recognize", address, "--include-empty", "--out", out, "-q"]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline_s = time.monotonic() + 60
    while server.sent < 40 and time.monotonic() < deadline_s:
        time.sleep(0.05)
    time.sleep(1.0)
    said, seconds = interrupted(child)
    server.stop()
    assert (child.returncode, said.count("\n")) == (0, 1)
    assert "times count from" in said
    assert seconds < 3
    assert len(out.read_text(encoding="utf-8").splitlines()) > 3


def on_terminal(*arguments, stdout=None):
    """What a terminal of its own shows, and the exit status; stdout may go elsewhere."""
    screen, end = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-c", BAR_AT_ONCE, *map(str, arguments)],
        stdout=stdout or end, stderr=end, stdin=subprocess.DEVNULL,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
    )  # fmt: skip
    os.close(end)
    shown = b""
    with contextlib.suppress(OSError):  # the end of a terminal
        while part := os.read(screen, 65536):
            shown += part
    os.close(screen)
    return shown.decode(errors="replace"), child.wait(timeout=60)


def test_a_terminal_has_a_progress_bar(clip):
    """With frames a second and the time that is left."""
    text, status = on_terminal("recognize", clip)
    assert status == 0
    assert "a second" in text
    assert "0:00:" in text
    assert "happy" in text


@pytest.mark.parametrize("as_json", [True, False])
def test_rows_that_go_into_a_file_leave_the_bar_on_the_terminal(clip, tmp_path, as_json):
    with (tmp_path / "rows").open("wb") as rows:
        text, status = on_terminal("recognize", clip, *(["--json"] if as_json else []), stdout=rows)
    assert status == 0
    assert "a second" in text
    assert "happy" not in text
    lines = (tmp_path / "rows").read_text(encoding="utf-8").splitlines()
    assert all(json.loads(line)["expression"] for line in lines) if as_json else lines[-1].startswith("    1  0.")


@pytest.mark.parametrize(
    ("path", "relative", "copy"),
    [
        ("camera:0", "camera:0", "camera-0.mp4"),
        ("Camera:1", "Camera:1", "Camera-1.mp4"),
        ("rtsp://me:secret@door/a", "rtsp://me:***@door/a", "rtsp---me-----door-a.mp4"),
        ("clips/a.mov", "a.mov", "a.mp4"),
    ],
)
def test_the_copy_of_a_live_source_has_a_name_that_windows_takes_too(tmp_path, path, relative, copy):
    assert video_target(tmp_path, SourceFile(path, relative)) == tmp_path / copy
