"""Faces become persons: numbered, steady, and forgotten when they are gone."""

import dataclasses
import math

import pytest

from mien.track import Persons
from tests.fakes import make_face, make_reading
from tests.track.test_tracker import scene


def update(persons, places, label, time_s):
    """One frame in which all persons show one expression."""
    image, faces = scene(places)
    shown = make_face(label, 0.9).probabilities
    faces = [dataclasses.replace(face, probabilities=shown) for face in faces]
    return persons.update(make_reading(*faces, time_s=time_s), image, time_s)


def test_each_face_has_its_number_and_what_is_read_of_it_is_steady():
    persons = Persons(max_gap_s=1.0, smooth_s=0.2)
    update(persons, {1: (20, 90), 2: (300, 90)}, "happy", 0.0)
    reading = update(persons, {2: (305, 90), 1: (22, 90)}, "sad", 0.03)
    assert reading.time_s == 0.03
    assert [face.track_id for face in reading.faces] == [2, 1]
    left = math.exp(-0.03 / 0.2)
    for face in reading.faces:
        assert face.expression == "happy"
        assert face.probabilities["happy"] == pytest.approx(0.9 * left + 0.1 / 6 * (1 - left))


def test_nothing_is_kept_of_persons_who_are_gone():
    """A camera that runs for days sees thousands."""
    persons = Persons(max_gap_s=1.0, smooth_s=0.2)
    for number in range(9):
        reading = update(persons, {number: (100, 90)}, "happy", 2.0 * number)
        assert [face.track_id for face in reading.faces] == [number + 1]
    assert sorted(persons._steady._averages) == [7, 8, 9]  # frames come rarely: two more persons may come back
