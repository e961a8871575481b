"""Labels lie over no face and no other label, within the picture, and tell which face is which."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mien.sink import draw_reading
from mien.sink.lettering import text_size
from mien.sink.tags import place_tags
from tests.fakes import make_face, make_reading

NUMBERS = st.floats(-20, 420)


def tags_of(faces, size_wh=(400, 300)):
    return place_tags(make_reading(*faces), size_wh, [2] * len(faces), text_size)


def overlap(a, b):
    return max(a[0], b[0]) < min(a[2], b[2]) and max(a[1], b[1]) < min(a[3], b[3])


def inner(box, share=0.09):
    width, height = box[2] - box[0], box[3] - box[1]
    return (box[0] + share * width, box[1] + share * height, box[2] - share * width, box[3] - share * height)


def crowd(rows=5, columns=12, face_px=24, step=(32, 50)):
    return [
        make_face(box_xyxy=(8.0 + step[0] * x, 20.0 + step[1] * y, 8.0 + step[0] * x + face_px, 50.0 + step[1] * y))
        for y, x in itertools.product(range(rows), range(columns))
    ]


@given(st.lists(st.tuples(NUMBERS, NUMBERS, st.floats(0, 300), st.floats(0, 300)), max_size=12))
def test_no_label_hides_another_face_or_label_or_is_cut_off(places):
    faces = [make_face(box_xyxy=(x, y, x + width, y + height)) for x, y, width, height in places]
    tags = tags_of(faces)
    boxes = [tag.box_xyxy for tag in tags if tag is not None]
    for left, top, right, bottom in boxes:
        assert 0 <= left < right <= 400
        assert 0 <= top < bottom <= 300
    assert not any(overlap(a, b) for a, b in itertools.combinations(boxes, 2))
    for (index, tag), (other, face) in itertools.product(enumerate(tags), enumerate(faces)):
        if tag is not None and index != other:
            assert not overlap(tag.box_xyxy, inner(face.box_xyxy))


SPANS = st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted)


@given(SPANS, SPANS, st.sampled_from([(400, 300), (400, 50), (90, 300)]))
def test_a_label_lies_at_its_face_and_covers_little_of_it(across, down, size_wh):
    (left, right), (top, bottom) = (np.multiply(pair, size) for pair, size in zip((across, down), size_wh, strict=True))
    (tag,) = tags_of([make_face(box_xyxy=tuple(map(float, (left, top, right, bottom))))], size_wh)
    assert tag is not None or max(left, size_wh[0] - right) < 100
    if tag is not None:
        label = tag.box_xyxy
        assert max(label[0] - right, left - label[2], label[1] - bottom, top - label[3]) <= 2
        if overlap(label, (left + 1, top + 1, right - 1, bottom - 1)):
            assert label[3] - label[1] <= 0.2 * (bottom - top)
            assert left - 2 <= label[0] < label[2] <= right + 2


def test_labels_carry_the_number_of_the_face_where_there_are_several():
    one, two = make_face(box_xyxy=(50, 100, 130, 200)), make_face("sad", box_xyxy=(250, 100, 330, 200))
    assert [tag.text for tag in tags_of([one])] == ["happy 70%"]
    assert [tag.text for tag in tags_of([one, two])] == ["1  happy 70%", "2  sad 70%"]
    persons = [make_face(box_xyxy=face.box_xyxy, track_id=track) for face, track in ((one, 7), (two, 0))]
    assert [tag.text for tag in tags_of(persons)] == ["7  happy 70%", "0  happy 70%"]
    assert [tag.text for tag in tags_of(persons[:1])] == ["7  happy 70%"]


def test_a_label_stands_above_its_face_where_there_is_room():
    (tag,) = tags_of([make_face(box_xyxy=(50, 100, 130, 200))])
    assert tag.box_xyxy[3] == 99
    (tag,) = tags_of([make_face(box_xyxy=(50, 2, 130, 100))])
    assert tag.box_xyxy[1] == 101
    (tag,) = tags_of([make_face(box_xyxy=(0, 0, 400, 300))])  # the whole picture: inside, at its top
    assert tag.box_xyxy[1] < 5
    (tag,) = tags_of([make_face(box_xyxy=(0, 0, 150, 150))], (150, 150))
    assert tag.box_xyxy[1] < 5


def test_letters_follow_the_photo_and_the_face():
    far, near = make_face(box_xyxy=(1000, 500, 1100, 630)), make_face(box_xyxy=(2000, 800, 2800, 1900))
    small, large = tags_of([far, near], (4000, 3000))
    assert 4000 / 60 < large.font_px < 4000 / 30
    assert 12 < small.font_px < 30
    assert {tag.text.split("  ")[1] for tag in (small, large)} == {"happy 70%"}


def test_labels_stay_where_they_were_when_faces_are_found_in_another_order():
    """Both want the place between the two, which has room for one."""
    persons = [make_face(box_xyxy=(100, 100 * n, 180, 80 + 100 * n), track_id=n) for n in (0, 1)]
    first, second = tags_of(persons), tags_of(persons[::-1])
    assert first == second[::-1]


def test_a_face_without_room_for_its_label_has_none():
    assert tags_of([make_face(box_xyxy=(10, 10, 50, 50))], (60, 60)) == [None]
    assert tags_of([make_face(box_xyxy=(40, 5, 360, 45))], (400, 50)) == [None]  # it would cover a third


def test_in_a_crowd_every_face_is_free_and_has_its_number():
    faces = crowd()
    assert [tag.text for tag in tags_of(faces)] == [str(number + 1) for number in range(len(faces))]
    drawn = draw_reading(np.full((300, 400, 3), 90, np.uint8), make_reading(*faces))
    for face in faces:
        left, top, right, bottom = (round(value) for value in inner(face.box_xyxy, 0.2))
        assert (drawn[top:bottom, left:right] == 90).all()


@pytest.mark.parametrize("size", [20, 48, 60])
def test_a_small_crop_has_its_coloured_box_alone(size):
    drawn = draw_reading(np.full((size, size, 3), 90, np.uint8), make_reading(make_face(box_xyxy=(0, 0, size, size))))
    border = max(4, size // 10)
    assert (drawn[border:-border, border:-border] == 90).all()
    assert not (drawn == 90).all()
