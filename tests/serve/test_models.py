"""What clients may choose from, and what it costs."""

import itertools

import pytest

from mien.serve.models import Models
from mien.serve.options import ServeOptions
from mien.serve.problem import Problem
from mien.zoo.session import open_session


def test_however_much_is_chosen_each_model_is_opened_once(monkeypatch, astronaut_bgr):
    """A service that had read nothing yet opened detector and model anew for each choice of labels, 20 MB each time."""
    opened = []

    def opening(model, *arguments):
        opened.append(model.card.name)
        return open_session(model, *arguments)

    for user in ("mien.classify.onnx", "mien.detect.mien"):
        monkeypatch.setattr(f"{user}.open_session", opening)
    models = Models(ServeOptions())
    choices = [",".join(names) for names in itertools.permutations(("happy", "sad", "neutral"))]
    for name, labels in [*itertools.product((None, "tiny"), choices), ("tiny", None)]:
        recognizer = models.find(name, labels)
        (reading,) = recognizer.classify([recognizer.prepare(astronaut_bgr)])
        assert len(reading.faces) == 1
        assert models.find(name, labels) is recognizer
    assert sorted(opened) == ["base", "mien", "tiny"]


def test_names_are_those_of_the_zoo_and_no_paths():
    models = Models(ServeOptions())
    for name in ("giant", "/etc/passwd", "tiny.onnx"):
        with pytest.raises(Problem, match="unknown model .*; expected one of") as refused:
            models.find(name, None)
        assert refused.value.status == 422


def test_labels_are_short():
    """They are kept; blanks between them made two megabytes of each choice."""
    models = Models(ServeOptions())
    assert models.find(None, "happy, " + " " * 100 + "sad").scheme.labels == ("happy", "sad")
    with pytest.raises(Problem, match="1,003 characters; expected at most 200"):
        models.find(None, "happy" + " " * 994 + ",sad")
