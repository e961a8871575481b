"""Frames of one's own get the numbers and times of a video's."""

import cv2
import numpy as np
import pytest

from mien.errors import InputError, UsageError
from mien.source import Frame, FrameSource
from tests.clips import plain


def test_numbers_and_times_go_by_the_rate():
    frames = list(FrameSource(iter(plain(5)), 25))
    assert [(frame.index, frame.source) for frame in frames] == [(n, "<frames>") for n in range(5)]
    assert [frame.time_s for frame in frames] == pytest.approx([0, 0.04, 0.08, 0.12, 0.16])
    assert [frame.until_s for frame in frames] == pytest.approx([0.04, 0.08, 0.12, 0.16, 0.2])
    for frame, picture in zip(frames, plain(5), strict=True):
        assert (frame.image == picture).all()


def test_an_image_sequence_is_given_as_paths(tmp_path):
    for number, picture in enumerate(plain(3)):
        cv2.imwrite(str(tmp_path / f"{number:03}.png"), picture)
    frames = list(FrameSource(sorted(tmp_path.glob("*.png")), 10))
    assert [(frame.index, frame.time_s, frame.size_wh) for frame in frames] == [
        (0, 0.0, (160, 120)),
        (1, 0.1, (160, 120)),
        (2, 0.2, (160, 120)),
    ]


def test_what_is_thinned_out_is_not_decoded(tmp_path):
    """Only the frames of whole half seconds are pictures at all."""
    data = cv2.imencode(".png", plain(1)[0])[1].tobytes()
    source = FrameSource((data if n % 15 == 0 else b"no picture" for n in range(60)), 30, every_s=0.5)
    assert source.info.size_wh == (160, 120)
    assert (source.info.frame_rate, source.info.duration_s, source.info.live) == (30, None, False)
    frames = list(source)
    assert [frame.index for frame in frames] == [0, 15, 30, 45]
    assert [frame.until_s for frame in frames] == pytest.approx([0.5, 1, 1.5, 2])


def test_images_are_turned_clockwise():
    picture = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    source = FrameSource([picture, picture], 10, rotate_deg=90)
    assert source.info.size_wh == (20, 30)
    for frame in source:
        assert (frame.image == cv2.rotate(picture, cv2.ROTATE_90_CLOCKWISE)).all()


def test_of_a_part_only_its_frames_are_decoded():
    picture = plain(1)[0]
    source = FrameSource([picture, *[b"no picture"] * 9, *[picture] * 10, b"no picture"], 10, start_s=1.0, end_s=2.0)
    assert [frame.index for frame in source] == list(range(10, 20))
    source = FrameSource([picture] * 30, 10, every_s=0.5, start_s=0.7)
    assert [(frame.index, frame.until_s) for frame in source] == [(7, 1), (10, 1.5), (15, 2), (20, 2.5), (25, 3)]


def test_all_that_are_images_are_frames(tmp_path):
    path = tmp_path / "x.png"
    path.write_bytes(cv2.imencode(".png", plain(1)[0])[1].tobytes())
    given = [path, path.read_bytes(), plain(1)[0], Frame("mine", plain(1)[0], index=70, time_s=9.0)]
    frames = list(FrameSource(given, 10))
    assert [(frame.index, frame.source) for frame in frames] == [(n, "<frames>") for n in range(4)]
    assert all((frame.image == frames[0].image).all() for frame in frames)


def test_a_frame_that_cannot_be_read_is_the_last_one():
    good, *rest, problem = FrameSource([plain(1)[0], plain(1)[0], "missing.png", plain(1)[0]], 10)
    assert good.index == 0
    assert len(rest) == 1
    assert str(problem) == "<frames>: frame 2: missing.png: no such file or folder"
    with pytest.raises(InputError, match="frame 0: <array>: an array of shape"):
        FrameSource([np.zeros(3)], 10)
    with pytest.raises(InputError, match="holds no frames"):
        FrameSource([], 10)
    with pytest.raises(UsageError, match="from int"):
        FrameSource([3], 10)


def test_frames_are_read_once_and_a_generator_is_closed():
    closed = []

    def made():
        try:
            yield from plain(5)
        finally:
            closed.append(True)

    source = FrameSource(made(), 10)
    next(iter(source))
    with pytest.raises(UsageError, match="read once"):
        next(iter(source))
    source.close()
    assert closed == [True]


def test_streams_that_are_open_together_have_names_of_their_own():
    """In one table their rows could not be told apart, and one page plotted them as one."""
    first, second = FrameSource(plain(3), 10), FrameSource(plain(3), 10)
    assert (first.info.source, second.info.source) == ("<frames>", "<frames 2>")
    assert {frame.source for frame in second} == {"<frames 2>"}
    third = FrameSource(plain(3), 10)  # the second one has ended
    assert third.info.source == "<frames 2>"
    first.close()
    assert FrameSource(plain(3), 10).info.source == "<frames>"
    del third
    assert FrameSource(plain(3), 10).info.source == "<frames>"


def test_a_name_of_ones_own():
    source = FrameSource([*plain(2), b"no picture"], 10, name="left")
    *frames, problem = source
    assert [source.info.source, *(frame.source for frame in frames)] == ["left"] * 3
    assert str(problem).startswith("left: frame 2: ")
    with pytest.raises(InputError, match="right: holds no frames"):
        FrameSource([], 10, name="right")
