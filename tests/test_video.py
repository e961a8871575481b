"""From a clip to steady readings of persons, with the shipped models."""

import gc
import itertools
import threading
import time

import cv2
import numpy as np
import pytest

import mien
from mien.errors import InputError, UsageError
from mien.recognizer import Recognizer
from mien.video import VideoReadings
from tests.clips import another, background, frowning, head_of, moving, noisy, paste, plain, write_clip
from tests.fakes import FakeClassifier, FakeDetector, paint_face


@pytest.fixture(scope="module")
def recognizer():
    return Recognizer(threads=2)


@pytest.fixture(scope="module")
def head(astronaut_bgr):
    return head_of(astronaut_bgr)


def labels_of(readings):
    return [reading.faces[0].expression if reading.faces else None for reading in readings]


def changes(labels):
    return sum(a != b for a, b in itertools.pairwise(labels))


def test_each_frame_has_its_time_and_each_face_its_person(recognizer, head, tmp_path):
    path = write_clip(tmp_path / "walk.mp4", moving(head, 30, lambda share: (120 + 400 * share, 180)))
    readings = list(recognizer.stream(path))
    assert [reading.frame for reading in readings] == list(range(30))
    assert [reading.time_s for reading in readings] == pytest.approx([n / 30 for n in range(30)], abs=1e-3)
    assert [[face.track_id for face in reading.faces] for reading in readings] == [[1]] * 30
    assert set(labels_of(readings)) == {"happy"}
    centres = [sum(reading.faces[0].box_xyxy[::2]) / 2 for reading in readings]
    assert all(b > a for a, b in itertools.pairwise(centres))
    assert {reading.source for reading in readings} == {str(path)}


def crossing(head, other, turn_back):
    """Two persons walk towards each other, and past each other or back; one hides the other meanwhile."""
    behind = background((640, 360))
    for number in range(60):
        share = number / 60
        if turn_back:
            share = 0.95 * (0.5 - abs(share - 0.5))
        picture = behind.copy()
        paste(picture, other, (560 - 480 * share, 170), 160)
        paste(picture, head, (80 + 480 * share, 180), 180)
        yield picture


# Two who look the same and turn back behind each other could not be told apart by anyone.
@pytest.mark.parametrize(("turn_back", "alike"), [(False, False), (False, True), (True, False)])
def test_two_persons_who_cross_keep_their_numbers(recognizer, head, tmp_path, turn_back, alike):
    path = write_clip(tmp_path / "cross.mp4", crossing(head, head[:, ::-1] if alike else another(head), turn_back))
    readings = list(recognizer.stream(path))
    places = [{face.track_id: sum(face.box_xyxy[::2]) / 2 for face in reading.faces} for reading in readings]
    assert set(itertools.chain(*places)) == {1, 2}
    left, right = sorted(places[0], key=places[0].__getitem__)
    assert (places[-1][left] < places[-1][right]) == turn_back
    assert sum(len(place) == 2 for place in places) >= 45


def test_a_person_keeps_the_number_through_a_short_gap(recognizer, head, tmp_path):
    def pictures():
        for number, picture in enumerate(moving(head, 50, lambda share: (200 + 150 * share, 180))):
            yield picture if not 15 <= number < 35 else background((640, 360))

    readings = list(recognizer.stream(write_clip(tmp_path / "gap.mp4", pictures())))
    assert {face.track_id for reading in readings for face in reading.faces} == {1}
    assert not any(reading.faces for reading in readings[16:34])


def test_a_face_that_turns_and_grows_stays_one_person(recognizer, head, tmp_path):
    def pictures():
        for number in range(45):
            picture = background((480, 480))
            share = number / 45
            paste(picture, head, (240, 250), 130 + 200 * share, 25 * np.sin(2 * np.pi * share))
            yield picture

    readings = list(recognizer.stream(write_clip(tmp_path / "turn.mp4", pictures())))
    assert {face.track_id for reading in readings for face in reading.faces} == {1}
    assert sum(len(reading.faces) for reading in readings) >= 43


def test_a_still_face_with_noise_does_not_flicker(recognizer, head, tmp_path):
    """Ten seconds of a face that the model finds hard: without averaging its label changes again and again."""
    still = background((240, 240))
    paste(still, frowning(head, 1.5), (120, 120), 200)
    rng = np.random.default_rng(0)
    path = write_clip(tmp_path / "noise.mp4", (noisy(still, rng, 14) for _ in range(300)))
    assert changes(labels_of(recognizer.stream(path, smooth_s=0.0))) > 30
    assert changes(labels_of(recognizer.stream(path))) <= 1


@pytest.mark.parametrize("rate", [15, 30, 60])
def test_a_real_change_is_reported_within_400_ms(recognizer, head, tmp_path, rate):
    """To an expression that the model is sure of, which it is of the smile; what it is less sure of takes longer."""
    rng = np.random.default_rng(0)

    def pictures():
        for number in range(2 * rate):
            picture = background((240, 240))
            paste(picture, frowning(head, 12) if number < rate else head, (120, 120), 200)
            yield noisy(picture, rng, 4)

    readings = list(recognizer.stream(write_clip(tmp_path / "change.mp4", pictures(), rate=rate)))
    labels = labels_of(readings)
    assert set(labels[:rate]) == {"angry"}
    assert changes(labels) == 1
    first = labels.index("happy")
    assert readings[first].time_s - 1.0 <= 0.4


def test_a_stream_says_of_what_it_is(recognizer, tmp_path):
    path = write_clip(tmp_path / "plain.mp4", plain(2))
    with recognizer.stream(path) as stream:
        assert repr(stream) == f"VideoReadings({str(path)!r}, size_wh={stream.info.size_wh}, frame_rate=30)"


@pytest.mark.parametrize("what", ["video", "frames", "photos"])
def test_a_stream_is_closed_by_another_thread_than_reads_it(recognizer, tmp_path, what):
    """As by a window's button, or by a task of asyncio that is cancelled: it was 'generator already executing'."""
    frames = itertools.repeat(next(iter(plain(1))))
    if what == "video":
        stream = recognizer.stream(write_clip(tmp_path / "plain.mp4", plain(600)))
    else:
        stream = recognizer.stream((frame for frame in frames), **({"frame_rate": 30} if what == "frames" else {}))
    begun, read = threading.Event(), []

    def work():
        for reading in stream:
            read.append(reading)
            begun.set()

    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    assert begun.wait(30)
    stream.close()
    worker.join(30)
    assert not worker.is_alive()
    assert len(read) < 600
    assert next(stream, None) is None


def test_thinning_and_options_reach_the_stages(recognizer, tmp_path):
    path = write_clip(tmp_path / "plain.mp4", plain(60))
    assert len(list(recognizer.stream(path, every_s=0.5))) == 4
    assert len(list(recognizer.stream(path, fps=10))) == 20
    assert [reading.frame for reading in recognizer.stream(path, start_s=1.9)] == [57, 58, 59]
    assert [reading.frame for reading in recognizer.stream(plain(9), frame_rate=10, start_s=0.3, end_s=0.5)] == [3, 4]
    with pytest.raises(UsageError, match="did you mean 'every_s'"):
        recognizer.stream(path, every=1)
    with pytest.raises(UsageError, match="both every_s"):
        recognizer.stream(path, every_s=1, fps=2)
    with pytest.raises(UsageError, match="at least 0"):
        recognizer.stream(path, smooth_s=-1)


def test_persons_keep_their_numbers_when_frames_are_thinned_out(recognizer, head, tmp_path):
    def pictures():
        for number in range(50):
            picture = background((640, 360))
            paste(picture, head, (160 + 2 * number, 180), 170)
            paste(picture, another(head), (480 - number, 180), 150)
            yield picture

    path = write_clip(tmp_path / "slow.mp4", pictures(), rate=5)
    readings = list(recognizer.stream(path, every_s=2.0))
    assert len(readings) == 5
    places = [{face.track_id: sum(face.box_xyxy[::2]) / 2 for face in reading.faces} for reading in readings]
    assert all(set(place) == {1, 2} for place in places)
    assert len({min(place, key=place.__getitem__) for place in places}) == 1


def test_what_cannot_be_opened_is_said_at_once(recognizer, tmp_path):
    text = tmp_path / "text.mp4"
    text.write_text("no film")
    with pytest.raises(InputError, match="is not a video"):
        recognizer.stream(text)
    with pytest.raises(InputError, match="no camera"):
        recognizer.stream("camera:0")


def test_a_broken_tail_is_said_after_what_was_read(recognizer, tmp_path):
    rng = np.random.default_rng(0)
    whole = write_clip(tmp_path / "whole.mkv", rng.integers(0, 255, (90, 64, 80, 3), np.uint8))
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    stream = recognizer.stream(cut)
    readings = []
    with pytest.raises(InputError, match="breaks off"):
        readings.extend(stream)
    assert 30 <= len(readings) <= 60


class FakeCamera:
    """A person before a camera that gives 200 pictures a second."""

    def __init__(self):
        self.number = 0

    def grab(self):
        time.sleep(0.005)
        self.number += 1
        return self.number <= 400

    def retrieve(self):
        return True, cv2.cvtColor(paint_face(3, place_xy=(self.number % 60, 10)), cv2.COLOR_GRAY2BGR)

    def get(self, number):
        return 0.0

    def release(self):
        pass


def test_a_camera_is_read_frame_by_frame_and_what_is_dropped_is_counted():
    class Slow(FakeDetector):
        def detect(self, image):
            time.sleep(0.03)
            return super().detect(image)

    slow = Recognizer(model=FakeClassifier(), detector=Slow(), threads=2)
    readings = []
    with VideoReadings(slow, "camera:0", opener=lambda _: FakeCamera()) as stream:
        assert stream.info.live
        for reading in stream:
            readings.append(reading)
            # No batching: each reading is of a picture that came a moment ago.
            assert len(slow.model.batches) == len(readings)
            if len(readings) == 10:
                break
    assert stream.dropped > 5
    assert {face.track_id for reading in readings for face in reading.faces} == {1}
    assert {reading.faces[0].expression for reading in readings} == {"happy"}
    assert readings[-1].frame > 15


def test_leaving_early_lets_go_of_everything(recognizer, tmp_path):
    path = write_clip(tmp_path / "plain.mp4", plain(60))
    before = threading.active_count()
    with recognizer.stream(path) as stream:
        assert next(stream).frame == 0
    deadline_s = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < deadline_s:
        time.sleep(0.01)
    assert threading.active_count() <= before


def test_a_stream_that_nobody_holds_ends(recognizer, tmp_path):
    """Without waiting for the garbage collector: a loop that is left, or one frame that is taken."""
    path = write_clip(tmp_path / "plain.mp4", plain(60))
    before = threading.active_count()
    gc.disable()
    try:
        for _ in recognizer.stream(path):
            break
        next(recognizer.stream(path))
        assert threading.active_count() <= before
    finally:
        gc.enable()


def test_cropped_faces_are_one_person(head, tmp_path):
    path = write_clip(tmp_path / "crop.mp4", [head[60:200, 40:180]] * 5)
    readings = list(mien.Recognizer(detector="none").stream(path))
    assert [[face.track_id for face in reading.faces] for reading in readings] == [[1]] * 5


def test_images_are_still_a_stream(recognizer, astronaut_path):
    (reading,) = recognizer.stream([astronaut_path])
    assert reading.faces[0].track_id is None
    for name in ("every_s", "fps", "smooth_s"):
        with pytest.raises(UsageError, match=rf"stream of images has no option '{name}'; it has on_error and threads"):
            recognizer.stream([astronaut_path], **{name: 1})
    with pytest.raises(UsageError, match="on_error is 'ignore'; expected"):
        recognizer.stream([astronaut_path], on_error="ignore")
    with pytest.raises(UsageError, match="threads is 0; expected"):
        recognizer.stream([astronaut_path], threads=0)


def test_frames_of_ones_own_are_a_video_where_their_rate_is_given(recognizer, head, tmp_path):
    """The same persons, times and steady probabilities as of a file of these frames."""
    pictures = list(moving(head, 30, lambda share: (120 + 400 * share, 180)))
    path = write_clip(tmp_path / "walk.mp4", pictures)
    capture = cv2.VideoCapture(str(path))
    decoded = [image for _, image in iter(capture.read, (False, None))]
    for options in ({}, {"fps": 5}, {"smooth_s": 0}):
        wanted = list(recognizer.stream(path, **options))
        found = list(recognizer.stream(iter(decoded), frame_rate=np.float32(30), **options))
        assert [reading.frame for reading in found] == [reading.frame for reading in wanted]
        assert [reading.time_s for reading in found] == pytest.approx([reading.time_s for reading in wanted], abs=1e-3)
        for a, b in zip(found, wanted, strict=True):
            assert [face.track_id for face in a.faces] == [face.track_id for face in b.faces] == [1]
            assert a.faces[0].probabilities == pytest.approx(b.faces[0].probabilities, abs=0.02)
    with recognizer.stream(decoded, frame_rate=30) as stream:
        frame, reading = next(stream.frames())
    assert (frame.image == decoded[0]).all()
    assert (reading.source, stream.info.size_wh, stream.dropped, stream.reconnects) == ("<frames>", (640, 360), 0, 0)


def test_frames_of_ones_own_are_told_what_is_wrong(recognizer):
    for rate in (0, -5, "fast", np.nan):
        with pytest.raises(UsageError, match="frame_rate is .*; expected a number of at least 0.001"):
            recognizer.stream(plain(3), frame_rate=rate)
    with pytest.raises(UsageError, match=r"unknown option 'on_error'; expected one of .*frame_rate"):
        recognizer.stream(plain(3), frame_rate=30, on_error="record")
    with pytest.raises(UsageError, match=r"unknown option 'frame_rate'"):
        recognizer.stream("clip.mp4", frame_rate=30)
    readings = recognizer.stream([*plain(3), np.zeros(3)], frame_rate=30)
    with pytest.raises(InputError, match="<frames>: frame 3: <array>: an array of shape"):
        list(readings)
    assert [reading.frame for reading in recognizer.stream(plain(3), frame_rate=None)] == [None] * 3


def test_a_video_in_a_list_is_told_to_come_by_itself(recognizer, tmp_path):
    path = write_clip(tmp_path / "clip.mp4", plain(5))
    (reading,) = recognizer.stream([path])
    assert "in Python Recognizer.stream: give it the path, by itself and not in a list" in reading.error
