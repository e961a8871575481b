"""A video read in segments is the video."""

import struct

import av
import cv2
import numpy as np
import pandas
import pytest

from mien.cluster.destination import plan_destination
from mien.cluster.options import BatchOptions
from mien.cluster.segment import read_segment
from mien.cluster.source import list_sources
from mien.errors import InputError
from mien.recognizer import Recognizer
from tests.clips import add_tone, plain, stand_still, write_clip
from tests.cluster.test_destination import read_all


@pytest.fixture(scope="module")
def clip(tmp_path_factory, astronaut_bgr):
    """Five seconds at 10 frames a second, with a face that goes to the right."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 10.0, (320, 240))
    head = cv2.resize(astronaut_bgr[20:250, 110:340], (120, 120), interpolation=cv2.INTER_AREA)
    for number in range(50):
        canvas = np.full((240, 320, 3), (150, 140, 120), np.uint8)
        canvas[60:180, 20 + 3 * number : 140 + 3 * number] = head
        writer.write(canvas)
    writer.release()
    return path


def test_segments_together_are_the_whole(clip, tmp_path):
    sources = list(list_sources(str(clip), BatchOptions(segment_s=2.0)))
    assert [source.key for source in sources] == ["clip.mp4#t=0,2", "clip.mp4#t=2,4", "clip.mp4#t=4,"]
    assert [(source.start, source.stop) for source in sources] == [(0.0, 2.0), (2.0, 4.0), (4.0, None)]
    read_all(clip, tmp_path / "out", segment_s=2.0, smooth_s=0.0)
    faces = pandas.read_parquet(tmp_path / "out" / "faces")
    inputs = pandas.read_parquet(tmp_path / "out" / "inputs")
    assert inputs["frames"].tolist() == [20, 20, 10]
    assert inputs["status"].tolist() == ["ok"] * 3
    with Recognizer(threads=1).stream(clip, smooth_s=0.0) as readings:
        expected = pandas.DataFrame([row for reading in readings for row in reading.to_rows()])
    assert faces["frame"].tolist() == list(range(50))
    columns = [name for name in expected.columns if name not in ("track_id", "source")]
    pandas.testing.assert_frame_equal(faces[columns], expected[columns], check_exact=True, check_dtype=False)


def test_a_video_that_is_cut_says_so_in_its_segments(clip, tmp_path):
    damaged = tmp_path / "damaged.mp4"
    damaged.write_bytes(clip.read_bytes()[:4000])
    read_all(damaged, tmp_path / "out")
    inputs = pandas.read_parquet(tmp_path / "out" / "inputs")
    assert inputs["status"].tolist() == ["unreadable"]
    assert "damaged" in inputs["error"][0]


def index_in_front(clip, whole):
    """Where such a video is cut, it is planned by the length that it should have."""
    with av.open(str(clip)) as source, av.open(str(whole), "w", options={"movflags": "faststart"}) as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    return whole


def test_segments_beyond_the_end_of_a_cut_video_are_empty(clip, tmp_path):
    whole, cut = index_in_front(clip, tmp_path / "whole.mp4"), tmp_path / "cut.mp4"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 5])
    read_all(cut, tmp_path / "out", segment_s=1.0)
    inputs = pandas.read_parquet(tmp_path / "out" / "inputs")
    assert inputs["status"].tolist() == ["ok", "unreadable", "unreadable", "unreadable", "unreadable"]
    assert "breaks off at 1." in inputs["error"][1]
    assert inputs["error"][3] == "holds no frames from 3 s on: the file is cut or damaged"


@pytest.mark.parametrize("start_s", [None, 2.0])
def test_a_video_that_is_cut_in_its_last_segment_says_so(clip, tmp_path, start_s):
    whole, cut = index_in_front(clip, tmp_path / "whole.mp4"), tmp_path / "cut.mp4"
    with av.open(str(whole)) as source:
        places = [packet.pos for packet in source.demux(video=0) if packet.dts is not None]
    cut.write_bytes(whole.read_bytes()[: places[30]])
    times_s = []
    readings = read_segment(Recognizer(threads=1), str(cut), "clip.mp4", start_s, None, {"every_s": 0.4})
    with pytest.raises(InputError, match=r"breaks off at 2\.9 s of 5\.0 s"):
        times_s.extend(reading.time_s for reading in readings)
    assert times_s == pytest.approx(np.arange(start_s or 0.0, 2.95, 0.4))


def test_whole_videos_whose_frames_end_early_or_are_rare_are_not_called_cut(tmp_path):
    """Two seconds of NTSC are 60 frames, of which the last begins before the end and none after it."""
    videos = tmp_path / "videos"
    videos.mkdir()
    write_clip(videos / "a.mp4", plain(60), rate=30000 / 1001)
    often = [number / 10 for number in range(10)]
    write_clip(videos / "b.mp4", plain(20), times_s=[*often, *(5 + time_s for time_s in often)])
    with av.open(str(videos / "c.mkv"), "w") as container:  # the sound goes on
        sound, stream = container.add_stream("aac", rate=48000, layout="mono"), container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for picture in plain(32):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode())
        add_tone(container, sound, 5.0)
    write_clip(videos / "d.mp4", plain(3), rate=1 / 3)  # slides
    stand_still(write_clip(tmp_path / "e.mp4", plain(10), rate=10, codec="mpeg4"), videos / "e.mp4", 10, 5.0)
    read_all(videos, tmp_path / "out", segment_s=2.0)
    inputs = pandas.read_parquet(tmp_path / "out" / "inputs").sort_values("key")
    assert dict(zip(inputs["key"], inputs["frames"], strict=True)) == {
        "a.mp4": 60, "b.mp4#t=0,2": 10, "b.mp4#t=2,4": 0, "b.mp4#t=4,": 10,
        "c.mkv#t=0,2": 20, "c.mkv#t=2,4": 12, "c.mkv#t=4,": 0,
        "d.mp4#t=0,2": 1, "d.mp4#t=2,4": 1, "d.mp4#t=4,6": 0, "d.mp4#t=6,": 1,
        "e.mp4": 10,
    }  # fmt: skip
    assert inputs["status"].tolist() == ["no face"] * 12


def test_fewer_frames_where_asked_for(clip, tmp_path):
    read_all(clip, tmp_path / "out", segment_s=2.0, every_s=0.5)
    faces = pandas.read_parquet(tmp_path / "out" / "faces")
    assert faces["frame"].tolist() == list(range(0, 50, 5))
    assert plan_destination(str(clip), str(tmp_path / "out"), BatchOptions(segment_s=2.0, fps=2.0)).manifest.parts == 3


def test_pictures_are_turned_where_asked_for(clip, astronaut_bgr, tmp_path):
    hung = write_clip(tmp_path / "hung.mp4", [cv2.rotate(astronaut_bgr, cv2.ROTATE_90_COUNTERCLOCKWISE)] * 20, rate=10)
    read_all(hung, tmp_path / "out", segment_s=1.0, rotate_deg=90)
    inputs = pandas.read_parquet(tmp_path / "out" / "inputs")
    assert inputs["faces"].tolist() == [10, 10]


@pytest.mark.parametrize("every_s", [0.3, 0.7, 1.25, 3.0])
def test_the_same_frames_as_of_the_whole_where_some_are_left_out(clip, every_s):
    recognizer = Recognizer(threads=1)
    segments = [(None, 2.0), (2.0, 4.0), (4.0, None)]
    parts = [
        reading.frame
        for start_s, stop_s in segments
        for reading in read_segment(recognizer, str(clip), "clip.mp4", start_s, stop_s, {"every_s": every_s})
    ]
    with recognizer.stream(clip, every_s=every_s) as whole:
        assert parts == [reading.frame for reading in whole]


def test_a_length_that_cannot_be_is_not_believed(tmp_path):
    """Five frames that say they are 9,000 million seconds were planned as 150 million parts."""
    path = write_clip(tmp_path / "clip.mkv", plain(5), rate=1.0)
    data = bytearray(path.read_bytes())
    length = data.index(b"\x44\x89\x88") + 3  # Matroska's element Duration, of eight bytes
    data[length : length + 8] = struct.pack(">d", 9e12)
    path.write_bytes(data)
    (source,) = list_sources(str(path), BatchOptions())
    assert (source.key, source.start, source.stop) == ("clip.mkv", None, None)
