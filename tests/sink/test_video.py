"""Annotated videos: what a browser plays, with the sound, readable at any time."""

import itertools
import resource
import signal
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from mien.errors import MissingExtraError, OutputError, UsageError
from mien.sink.video import VideoSink
from mien.source import Frame, VideoSource
from tests.clips import plain, write_clip
from tests.fakes import make_face, make_reading


def copy(source, target, face=None, sound=True, every_s=None):
    """Annotate a video, as the command does."""
    with VideoSink(target, source if sound else None) as sink:
        for frame in VideoSource(str(source), every_s=every_s):
            sink.write(make_reading(*([face] if face else []), frame=frame.index, time_s=frame.time_s), frame)


def test_of_a_video_that_is_thinned_out_the_sound_goes_on_to_its_end(tmp_path):
    source = write_clip(tmp_path / "source.mp4", plain(60), sound="aac")
    copy(source, tmp_path / "seen.mp4", every_s=0.75)
    assert [time_s for time_s, _ in pictures_of(tmp_path / "seen.mp4")] == pytest.approx([0, 0.77, 1.5], abs=0.02)
    with av.open(str(tmp_path / "seen.mp4")) as container:
        packets = [packet for packet in container.demux(audio=0) if packet.pts is not None]
        assert float(packets[-1].pts * packets[-1].time_base) == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize(("suffix", "sound"), [(".mp4", "aac"), (".mkv", "flac")])
def test_the_copy_of_a_part_begins_with_it_and_sounds_as_it_does(tmp_path, suffix, sound):
    source = write_clip(tmp_path / f"source{suffix}", plain(90), sound=sound)
    with VideoSink(tmp_path / "seen.mp4", source, start_s=1.0) as sink:
        for frame in VideoSource(str(source), start_s=1.0, end_s=2.0):
            sink.write(make_reading(frame=frame.index, time_s=frame.time_s), frame)
    pictures = pictures_of(tmp_path / "seen.mp4")
    assert [time_s for time_s, _ in pictures] == pytest.approx([n / 30 for n in range(30)], abs=2e-3)
    assert float(pictures[0][1].mean()) == pytest.approx(float(pictures_of(source)[30][1].mean()), abs=2.5)
    with av.open(str(tmp_path / "seen.mp4")) as container:
        assert container.duration / av.time_base == pytest.approx(1.0, abs=0.15)
        times_s = [
            float(packet.pts * packet.time_base) for packet in container.demux(audio=0) if packet.pts is not None
        ]
    assert (times_s[0], times_s[-1]) == (pytest.approx(0, abs=0.05), pytest.approx(1.0, abs=0.15))


def test_the_last_frame_is_shown_until_the_video_ends(tmp_path):
    """It was for a thirtieth of a second, of slides and of a video that is thinned out, too."""
    slides = write_clip(tmp_path / "slides.mp4", plain(3), rate=0.2)
    walk = write_clip(tmp_path / "walk.mp4", plain(60))
    for source, every_s, seconds in [(slides, None, 15.0), (walk, 0.5, 2.0), (walk, None, 2.0)]:
        copy(source, tmp_path / "seen.mp4", every_s=every_s)
        with av.open(str(tmp_path / "seen.mp4")) as container:
            assert container.duration / av.time_base == pytest.approx(seconds, abs=0.01)


def pictures_of(path):
    with av.open(str(path)) as container:
        return [(frame.time, frame.to_ndarray(format="bgr24")) for frame in container.decode(video=0)]


@pytest.mark.parametrize(("suffix", "sound"), [(".mp4", "aac"), (".mkv", "flac"), (".mp4", "mp3"), (".mkv", "libopus")])
def test_pictures_and_sound_are_those_of_the_original(tmp_path, suffix, sound):
    source = write_clip(tmp_path / f"source{suffix}", plain(45), sound=sound)
    target = tmp_path / "seen.mp4"
    copy(source, target)
    pictures = pictures_of(target)
    # With PyAV before 18, both begin after the 6.5 ms that Opus skips.
    late_s = pictures[0][0] if sound == "libopus" else 0
    assert late_s <= 0.01
    assert [time_s - late_s for time_s, _ in pictures] == pytest.approx([n / 30 for n in range(45)], abs=2e-3)
    for (_, picture), (_, original) in zip(pictures, pictures_of(source), strict=True):
        assert float(picture.mean()) == pytest.approx(float(original.mean()), abs=2.5)
    with av.open(str(target)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        assert (video.codec_context.name, video.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert audio.codec_context.name in ("aac", "mp3float", "mp3")
        wave = [part for part in container.decode(audio) if part.time is not None and part.time >= 0]
        seconds = sum(part.samples for part in wave) / wave[0].sample_rate
        loud = np.concatenate([np.abs(part.to_ndarray().astype(np.float32)).ravel() for part in wave[4:-4]])
    assert seconds == pytest.approx(1.5, abs=0.12)
    assert loud.mean() > 0.1 * loud.max() > 0
    # The index comes first, so that a browser starts at once.
    data = target.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    assert {path.name for path in tmp_path.iterdir()} == {source.name, target.name}


@pytest.mark.skipif(sys.platform == "win32", reason="such names are no names there")
def test_files_that_are_called_as_addresses_are_files(tmp_path, monkeypatch):
    write_clip(tmp_path / "source.mp4", plain(9), sound="aac").rename(tmp_path / "tcp:127.0.0.1:9?source.mp4")
    monkeypatch.chdir(tmp_path)
    copy("tcp:127.0.0.1:9?source.mp4", "tcp:127.0.0.1:9?seen.mp4")
    with av.open("file:tcp:127.0.0.1:9?seen.mp4") as container:
        assert (len(container.streams.audio), sum(1 for _ in container.decode(video=0))) == (1, 9)


def test_faces_are_drawn(tmp_path):
    source = write_clip(tmp_path / "source.mp4", plain(5, (320, 240)))
    copy(source, tmp_path / "seen.mp4", make_face(box_xyxy=(100.0, 80.0, 200.0, 180.0), track_id=1))
    for (_, picture), original in zip(pictures_of(tmp_path / "seen.mp4"), plain(5, (320, 240)), strict=True):
        changed = np.abs(picture.astype(int) - original).max(axis=2) > 30
        assert changed[100:160, 97:104].mean() > 0.3  # the left line of the box
        assert not changed[:40].any()


def test_uneven_times_and_odd_sizes_are_kept(tmp_path):
    times_s = np.cumsum([0, *itertools.islice(itertools.cycle([0.02, 0.5, 0.1]), 11)]).tolist()
    with VideoSink(tmp_path / "seen.mp4") as sink:
        for number, time_s in enumerate(times_s):
            picture = np.full((75, 101, 3), 20 * number, np.uint8)
            sink.write(make_reading(time_s=time_s), Frame("camera:0", picture, number, time_s))
    pictures = pictures_of(tmp_path / "seen.mp4")
    assert [time_s for time_s, _ in pictures] == pytest.approx(times_s, abs=2e-3)
    assert pictures[0][1].shape == (76, 102, 3)
    with av.open(str(tmp_path / "seen.mp4")) as container:
        assert not container.streams.audio


def test_a_source_that_changes_its_size_is_fitted(tmp_path):
    with VideoSink(tmp_path / "seen.mp4") as sink:
        for number, side in enumerate((64, 64, 128, 64)):
            sink.write(
                make_reading(time_s=number / 10),
                Frame("x", np.full((side, side, 3), 90, np.uint8), number, number / 10),
            )
    assert [picture.shape for _, picture in pictures_of(tmp_path / "seen.mp4")] == [(64, 64, 3)] * 4


def test_a_source_that_changes_its_shape_is_not_squeezed(tmp_path):
    """As a camera that comes back upright."""
    with VideoSink(tmp_path / "seen.mp4") as sink:
        for number, (width, height) in enumerate([(64, 48), (48, 64), (32, 18)]):
            picture = np.full((height, width, 3), 200, np.uint8)
            sink.write(make_reading(time_s=number / 10), Frame("x", picture, number, number / 10))
    seen = [picture[..., 0] > 100 for _, picture in pictures_of(tmp_path / "seen.mp4")]
    assert [shown.shape for shown in seen] == [(48, 64)] * 3
    assert [(shown.any(axis=1).sum(), shown.any(axis=0).sum()) for shown in seen] == [
        (48, 64),
        (48, pytest.approx(36, abs=2)),
        (pytest.approx(36, abs=2), 64),
    ]


def test_no_frame_makes_no_file(tmp_path):
    with VideoSink(tmp_path / "seen.mp4"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_an_error_elsewhere_keeps_what_was_drawn(tmp_path):
    with pytest.raises(KeyboardInterrupt), VideoSink(tmp_path / "seen.mp4") as sink:
        for number in range(10):
            sink.write(
                make_reading(time_s=number / 10), Frame("x", np.zeros((64, 64, 3), np.uint8), number, number / 10)
            )
        raise KeyboardInterrupt
    assert len(pictures_of(tmp_path / "seen.mp4")) == 10


def test_wrong_names_are_refused(tmp_path):
    source = write_clip(tmp_path / "source.mp4", plain(3))
    with pytest.raises(UsageError, match=r"written as \.mp4"):
        VideoSink(tmp_path / "seen.avi")
    with pytest.raises(UsageError, match="overwrite the video itself"):
        VideoSink(source, source)
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"):
        VideoSink(tmp_path / "file" / "seen.mp4")


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs a folder that nobody may write into")
def test_a_video_that_is_gone_has_no_sound(tmp_path):
    """Where an older copy was to be replaced, it was an error of Python's."""
    for _ in range(2):
        with VideoSink(tmp_path / "seen.mp4", tmp_path / "gone.mp4") as sink:
            sink.write(make_reading(frame=0, time_s=0.0), Frame("x", np.zeros((64, 64, 3), np.uint8), 0, 0.0))
    assert len(pictures_of(tmp_path / "seen.mp4")) == 1


def test_where_nothing_can_be_written_is_told_before_anything_is_read():
    """PyAV makes its file when the first frames are coded: of a slow source many minutes had been read by then."""
    with pytest.raises(OutputError, match="cannot be written"):
        VideoSink("/proc/seen.mp4")


def test_without_pyav_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingExtraError, match=r'pip install "mien\[video\]"'):
        VideoSink(tmp_path / "seen.mp4")


WRITER = """
import os, signal, sys
import numpy as np
from mien.sink.video import VideoSink
from mien.source import Frame
from mien.result import Reading
rng = np.random.default_rng(0)
with VideoSink(sys.argv[1]) as sink:
    for number in range(int(sys.argv[2])):
        picture = rng.integers(0, 255, (240, 320, 3), np.uint8)
        sink.write(Reading("x", (320, 240), time_s=number / 30), Frame("x", picture, number, number / 30))
    if sys.argv[3] == "die":
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_kill_leaves_what_can_be_played(tmp_path):
    target = tmp_path / "seen.mp4"
    done = subprocess.run([sys.executable, "-c", WRITER, str(target), "150", "die"], check=False)
    assert done.returncode == -signal.SIGKILL
    assert not target.exists()
    # What the encoder holds back, and the fragment that was under way, are lost.
    assert len(pictures_of(tmp_path / "seen.mp4.partial.mp4")) >= 60


def test_a_disk_that_was_full_before_leaves_no_file_without_pictures(tmp_path):
    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))

    done = subprocess.run(
        [sys.executable, "-c", WRITER, str(tmp_path / "seen.mp4"), "5", "live"],
        capture_output=True,
        text=True,
        preexec_fn=limit,
        check=False,
    )
    assert done.stderr.splitlines()[-1].endswith("seen.mp4: cannot be written (File too large)")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_said_and_what_was_written_can_be_played(tmp_path):
    """A limit on the size of files stands for the disk."""

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))

    target = tmp_path / "seen.mp4"
    done = subprocess.run(
        [sys.executable, "-c", WRITER, str(target), "300", "live"],
        capture_output=True,
        text=True,
        preexec_fn=limit,
        check=False,
    )
    assert "mien.errors.OutputError" in done.stderr.splitlines()[-1]
    assert "cannot be written (File too large)" in done.stderr
    assert "seen.mp4.partial.mp4 holds the pictures so far" in done.stderr
    assert not target.exists()
    # Read as a player does, which takes no offence at a broken end.
    left = VideoSource(str(tmp_path / "seen.mp4.partial.mp4"))
    assert sum(isinstance(item, Frame) for item in left) >= 20
