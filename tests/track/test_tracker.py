"""A track id stays with its person. Faces are painted patches here; tests/test_video.py has real ones."""

import time

import cv2
import numpy as np
import pytest

from mien.track import Tracker
from tests.fakes import make_face

RATE = 30


def patch(seed, size_px=60):
    """What a person looks like."""
    rng = np.random.default_rng(seed)
    return cv2.resize(rng.integers(0, 255, (6, 6, 3), np.uint8), (size_px, size_px), interpolation=cv2.INTER_CUBIC)


def scene(places, size_wh=(640, 240), rng=None):
    """A picture and the faces of it: ``{person: (x, y)}``, the later ones in front."""
    image = np.full((size_wh[1], size_wh[0], 3), 128, np.uint8)
    faces = []
    for person, (x, y) in places.items():
        left, top = round(x), round(y)
        image[top : top + 60, left : left + 60] = patch(person)
        shake = np.zeros(2) if rng is None else rng.normal(0, 1.0, 2)
        box = (left + shake[0], top + shake[1], left + 60 + shake[0], top + 60 + shake[1])
        points = tuple(
            (box[0] + 60 * a, box[1] + 60 * b)
            for a, b in ((0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.35, 0.8), (0.65, 0.8))
        )
        faces.append(make_face(box_xyxy=tuple(map(float, box)), landmarks_xy=points))
    return image, faces


def follow(frames, tracker=None, start_s=0.0):
    """The ids of each frame, as ``{person: id}``; `frames` yields places and the persons that are visible."""
    tracker = tracker or Tracker()
    rng = np.random.default_rng(0)
    seen = []
    for number, (places, visible) in enumerate(frames):
        image, faces = scene(places, rng=rng)
        shown = [(person, one) for person, one in zip(places, faces, strict=True) if person in visible]
        ids = tracker.update([one for _, one in shown], image, start_s + number / RATE)
        seen.append(dict(zip([person for person, _ in shown], ids, strict=True)))
    return seen


def always_same(seen):
    """The one id of each person; fails where a person had two."""
    ids = {}
    for frame in seen:
        for person, track_id in frame.items():
            assert ids.setdefault(person, track_id) == track_id, f"person {person}"
    assert len(set(ids.values())) == len(ids)
    return ids


def test_persons_who_cross_keep_their_numbers():
    def frames():
        for n in range(60):
            places = {1: (20 + 9 * n, 90), 2: (560 - 9 * n, 90)}
            hidden = abs(places[1][0] - places[2][0]) < 30
            yield places, [2] if hidden else [1, 2]

    assert always_same(follow(frames())) == {1: 1, 2: 2}


def test_persons_who_meet_and_turn_back_keep_their_numbers():
    """The place alone would swap them: each goes on where the other would have gone."""

    def frames():
        for n in range(60):
            x = min(n, 59 - n) * 9
            places = {1: (20 + x, 90), 2: (560 - x, 90)}
            hidden = abs(places[1][0] - places[2][0]) < 50
            yield places, [2] if hidden else [1, 2]

    always_same(follow(frames()))


@pytest.mark.parametrize("gap_s", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("speed_px", [0, 2])
def test_a_short_gap_costs_nothing(gap_s, speed_px):
    def frames():
        for n in range(90):
            yield {1: (20 + speed_px * n, 90)}, [] if 30 <= n < 30 + round(gap_s * RATE) else [1]

    assert always_same(follow(frames())) == {1: 1}


@pytest.mark.parametrize("apart_px", [30, 40])
def test_who_was_half_covered_for_long_and_then_hidden_is_known_again(apart_px):
    """What was seen of the one in front is not remembered as the looks of the one behind."""

    def frames():
        behind = {1: (300, 90)}
        for x in range(100, 300 - apart_px, 20):
            yield {**behind, 2: (x, 90)}, [1, 2]
        for _ in range(45):
            yield {**behind, 2: (300 - apart_px, 90)}, [1, 2]
        for _ in range(15):
            yield {**behind, 2: (300, 90)}, [2]
        for x in range(320, 500, 20):
            yield {**behind, 2: (x, 90)}, [1, 2] if x >= 380 else [2]

    assert always_same(follow(frames())) == {1: 1, 2: 2}


@pytest.mark.parametrize("left_px", [-22, 602])
def test_who_comes_back_half_behind_the_border_is_known_again(left_px):
    """What is still seen of the face is compared in its place, not widened to a whole one."""
    tracker = Tracker()
    ids = []
    for number in range(40):
        image = np.full((240, 800, 3), 128, np.uint8)
        x = left_px + np.sign(320 - left_px) * max(0, 20 - number) * 2
        image[90:150, x + 80 : x + 140] = patch(1)
        face = make_face(box_xyxy=(float(x), 90.0, x + 60.0, 150.0), landmarks_xy=())
        frame = np.ascontiguousarray(image[:, 80:720])
        ids += tracker.update([] if 10 <= number < 25 else [face], frame, number / RATE)
    assert ids == [1] * 25


def test_who_changes_slowly_is_known_again_after_a_gap():
    tracker = Tracker()
    ids = []
    for number in range(120):
        image, faces = scene({1: (100, 90)})
        share = min(number / 90, 1)
        image[90:150, 100:160] = cv2.addWeighted(patch(1), 1 - share, patch(2), share, 0)
        ids += tracker.update([] if 100 <= number < 115 else faces, image, number / RATE)
    assert ids == [1] * 105


def test_who_moves_fast_is_found_again_where_the_way_leads():
    """Before a background that shows that it is not the camera that moves."""
    tracker = Tracker()
    behind = np.random.default_rng(0).integers(0, 255, (240, 640, 3), np.uint8)
    ids = []
    for number in range(45):
        image, faces = scene({1: (20 + 12 * number, 90)})
        image = np.where(image == 128, behind, image)
        ids += tracker.update([] if 20 <= number < 29 else faces, image, number / RATE)
    assert ids == [1] * 36


def test_a_long_gap_makes_a_new_number():
    tracker = Tracker(max_gap_s=1.0)
    assert follow([({1: (20, 90)}, [1])], tracker)[-1] == {1: 1}
    follow([({1: (20, 90)}, [])] * 2, tracker, start_s=0.5)
    assert follow([({1: (20, 90)}, [1])], tracker, start_s=1.5)[-1] == {1: 2}
    assert tracker.track_ids == {2}


@pytest.mark.parametrize(("after", "number"), [(1, 1), (2, 2)])
def test_a_pause_between_two_frames_makes_nobody_another(after, number):
    """As of a busy server, of a stream that stalls, of a recorded screen: in each frame the person was there."""
    tracker = Tracker(max_gap_s=1.0)
    ids = []
    for person, time_s in [(1, 0.0), (1, 0.1), (after, 3.0), (after, 3.1)]:
        image, (face,) = scene({person: (100, 90)})
        ids += tracker.update([face], image, time_s)
    assert ids == [1, 1, number, number]


@pytest.mark.parametrize("interval_s", [1.2, 5.0])
def test_a_slow_network_keeps_the_number(interval_s):
    tracker = Tracker(max_gap_s=1.0)
    image, faces = scene({1: (100, 90)})
    shown = [faces, faces, faces, [], faces, [], [], [], faces]
    ids = [tracker.update(some, image, n * interval_s) for n, some in enumerate(shown)]
    # The first interval may still be a pause; three frames without the person are an end.
    assert ids[2:] == [ids[1], [], ids[1], [], [], [], [ids[1][0] + 1]]


def crowd(shift_xy, size_wh=(640, 360)):
    """Eight persons side by side in two rows before a background, seen by a camera that looks elsewhere."""
    rng = np.random.default_rng(9)
    canvas = cv2.resize(rng.integers(0, 255, (18, 32, 3), np.uint8), (1280, 720), interpolation=cv2.INTER_CUBIC)
    left, top = 320 + shift_xy[0], 180 + shift_xy[1]
    faces = []
    for person in range(8):
        x, y = 450 + 90 * (person % 4), 260 + 90 * (person // 4)
        canvas[y : y + 60, x : x + 60] = patch(person)
        faces.append(make_face(box_xyxy=(float(x - left), float(y - top), float(x - left + 60), float(y - top + 60))))
    return np.ascontiguousarray(canvas[top : top + size_wh[1], left : left + size_wh[0]]), faces


@pytest.mark.parametrize("interval_s", [1 / 30, 0.1, 0.5])
@pytest.mark.parametrize("shift_xy", [(90, 0), (-90, 0), (0, 90), (90, 90), (60, -30)])
def test_a_camera_that_turns_mixes_up_nobody(interval_s, shift_xy):
    """Each is then where another one was."""
    tracker = Tracker()
    for number, (x, y) in enumerate([(0, 0), (0, 0), shift_xy, shift_xy, (0, 0), shift_xy]):
        image, faces = crowd((x, y))
        assert tracker.update(faces, image, number * interval_s) == list(range(1, 9))


def test_a_camera_that_turns_while_nobody_is_seen():
    tracker = Tracker()
    image, faces = crowd((0, 0))
    ids = tracker.update(faces, image, 0.0)
    for number, x in enumerate((90, 170)):
        image, faces = crowd((x, 0))
        tracker.update([], image, 0.1 * (number + 1))
    image, faces = crowd((180, 0))
    assert tracker.update(faces, image, 0.3) == ids


def test_a_large_face_that_moves_before_a_plain_wall_mixes_up_nobody():
    """The picture as a whole seems to move, by as much as the others are apart from each other."""
    tracker = Tracker()
    for number in range(4):
        image = np.full((360, 640, 3), 60, np.uint8)
        left = 40.0 + 80 * number
        image[20:240, int(left) : int(left) + 220] = patch(50, 220)
        faces = [make_face(box_xyxy=(left, 20.0, left + 220, 240.0))]
        for person in range(6):
            x = 20 + 80 * person
            image[270:330, x : x + 60] = 50 + patch(person) // 12
            faces.append(make_face(box_xyxy=(float(x), 270.0, x + 60.0, 330.0)))
        assert tracker.update(faces, image, number / 10) == list(range(1, 8))


def in_the_dark(*places):
    """Faces whose looks say nothing, each at its place and turned to a side: ``(x, turned)``."""
    points = ((0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.35, 0.8), (0.65, 0.8))
    return np.zeros((240, 640, 3), np.uint8), [
        make_face(
            box_xyxy=(float(x), 90.0, x + 60.0, 150.0),
            landmarks_xy=tuple((x + 60 * (a + turned), 90 + 60 * b) for a, b in points),
        )
        for x, turned in places
    ]


def test_who_cannot_be_told_by_looks_is_told_by_place():
    tracker = Tracker()
    for number in range(10):
        image, faces = in_the_dark((100 + 5 * number, 0), (180 + 5 * number, 0))
        order = slice(None, None, -1 if number % 2 else 1)
        assert tracker.update(faces[order], image, number / RATE) == [1, 2][order]


def test_and_by_how_the_head_is_turned():
    tracker = Tracker()
    for places in ([(100, -0.15), (130, 0.15)], [(117, -0.15), (113, 0.15)]):
        image, faces = in_the_dark(*places)
        assert tracker.update(faces, image, places[0][0] / 1000) == [1, 2]


def test_it_is_the_newest_pose_that_counts():
    """Both turn round before they change places."""
    tracker = Tracker()
    before = [[(100, 0.15 - step), (130, step - 0.15)] for step in (0.0, 0.1, 0.2, 0.3)]
    for number, places in enumerate([*before, [(117, -0.15), (113, 0.15)]]):
        image, faces = in_the_dark(*places)
        assert tracker.update(faces, image, number / RATE) == [1, 2]


@pytest.mark.parametrize("box_xyxy", [(400.0, 90.0, 460.0, 150.0), (40.0, 30.0, 220.0, 210.0)])
def test_a_face_far_away_or_of_another_size_is_another_person(box_xyxy):
    tracker = Tracker()
    image, faces = in_the_dark((100, 0))
    assert tracker.update(faces, image, 0.0) == [1]
    assert tracker.update([make_face(box_xyxy=box_xyxy)], image, 1 / RATE) == [2]


def test_another_person_in_the_same_place_is_another_one():
    tracker = Tracker()
    follow([({1: (100, 90)}, [1])] * 10, tracker)
    seen = follow([({2: (100, 90)}, [2])] * 5, tracker, start_s=0.9)
    assert all(frame == {2: 2} for frame in seen)


def test_from_one_frame_to_the_next_too():
    """As where a video leaves something out, and the background stays."""
    tracker = Tracker()
    follow([({1: (100, 90), 3: (400, 90)}, [1, 3])] * 10, tracker)
    seen = follow([({2: (100, 90), 3: (400, 90)}, [2, 3])] * 5, tracker, start_s=10 / RATE)
    assert all(frame == {2: 3, 3: 2} for frame in seen)


def test_a_cut_to_another_scene_starts_new_numbers():
    tracker = Tracker()
    follow([({1: (100, 90), 2: (400, 90)}, [1, 2])] * 10, tracker)
    seen = follow([({3: (130, 110), 4: (370, 70)}, [3, 4])] * 5, tracker, start_s=10 / RATE)
    assert all(set(frame.values()) == {3, 4} for frame in seen)


@pytest.mark.parametrize("back", [False, True])
def test_a_cut_to_another_person_in_the_same_place_starts_a_new_number(back):
    """As in an interview, where each has the middle of the picture in turn."""

    def shot(person):
        image = patch(person + 10, 240)
        image[90:150, 100:160] = patch(person)
        return image

    tracker = Tracker()
    face = make_face(box_xyxy=(100.0, 90.0, 160.0, 150.0))
    persons = [1] * 9 + [2] * 9 + [1] * 9 * back
    assert [tracker.update([face], shot(person), n / RATE) for n, person in enumerate(persons)] == [
        [p] for p in persons
    ]


def test_a_cut_to_another_view_of_a_person_keeps_the_number():
    tracker = Tracker()
    face = make_face(box_xyxy=(100.0, 90.0, 160.0, 150.0))
    for n, background in enumerate([11] * 5 + [12] * 5):
        image = patch(background, 240)
        image[80:160, 90:170] = patch(1, 80)
        assert tracker.update([face], image, n / RATE) == [1]


def test_fast_motion_is_followed():
    def frames():
        for n in range(20):
            yield {1: (20 + 28 * n, 90)}, [1]  # half a face in each frame

    assert always_same(follow(frames())) == {1: 1}


def test_few_frames_a_second_are_followed():
    tracker = Tracker(max_gap_s=3.0)
    ids = []
    for n in range(10):
        image, faces = scene({1: (100 + 4 * n, 90), 2: (400 - 4 * n, 90)})
        ids.append(tracker.update(faces, image, float(n)))
    assert ids == [[1, 2]] * 10


def test_faces_without_landmarks_and_gray_frames_are_followed():
    tracker = Tracker()
    whole = make_face(landmarks_xy=(), score=None, box_xyxy=(0.0, 0.0, 48.0, 48.0))
    gray = np.random.default_rng(0).integers(0, 255, (48, 48), np.uint8)
    assert [tracker.update([whole], gray, n / RATE) for n in range(3)] == [[1]] * 3
    assert tracker.update([], gray, 0.2) == []


def test_gray_and_coloured_frames_in_turn_are_followed():
    tracker = Tracker()
    colour, faces = scene({1: (100, 90)})
    gray = cv2.cvtColor(colour, cv2.COLOR_BGR2GRAY)
    assert [tracker.update(faces, image, n / RATE) for n, image in enumerate([gray, colour, gray])] == [[1]] * 3


def test_boxes_past_the_border_and_flat_pictures_are_no_trouble():
    tracker = Tracker()
    image = np.zeros((100, 100, 3), np.uint8)
    out = make_face(box_xyxy=(-80.0, -60.0, 5.0, 10.0))
    far = make_face(box_xyxy=(300.0, 300.0, 300.0, 300.0))
    assert len(set(tracker.update([out, far], image, 0.0))) == 2


def test_a_crowd_costs_little():
    tracker = Tracker()
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (720, 1280, 3), np.uint8)
    places = [(x, y) for x in range(20, 1200, 110) for y in range(20, 640, 110)]
    faces = [make_face(box_xyxy=(x, y, x + 60.0, y + 60.0)) for x, y in places]
    tracker.update(faces, image, 0.0)
    start_s = time.process_time()
    assert tracker.update(faces, image, 0.03) == list(range(1, len(faces) + 1))
    assert time.process_time() - start_s < 0.5
