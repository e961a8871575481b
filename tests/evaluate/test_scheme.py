from __future__ import annotations

import numpy as np
import pytest

from mien.errors import InputError, ModelError, UsageError
from mien.evaluate.scheme import choose_task
from mien.labels import EXPRESSIONS, FER7
from mien.zoo import Head
from tests.fakes import make_card

CARD = make_card()


def task(spec, labels, cards=(CARD,), label=None):
    rows = np.arange(len(labels)) if label is None else np.array(label)
    return choose_task(spec, cards, tuple(labels), rows, "set")


def test_the_output_of_just_these_classes_serves_them() -> None:
    assert task(None, FER7).heads[0].output == "fer7"
    assert task(None, EXPRESSIONS).heads[0].output == "ferplus"
    # By name: a dataset may order its classes as it likes.
    mixed = task(None, FER7[::-1])
    assert (mixed.scheme.name, mixed.target.tolist()) == ("fer7", [6, 5, 4, 3, 2, 1, 0])


def test_rows_of_no_label_are_left_out_and_counted() -> None:
    found = task("happy,sad", FER7, label=[3, 3, 4, 0, 6])
    assert found.target.tolist() == [0, 0, 1, -1, -1]
    assert found.left_out == {"angry": 1, "neutral": 1}


def test_merged_labels_are_counted_from_classes_or_by_their_own_name() -> None:
    assert task("valence3", FER7).target.tolist() == [2, 2, 2, 0, 2, -1, 1]
    merged = task(None, ("negative", "neutral", "positive"))
    assert (merged.scheme.name, merged.target.tolist()) == ("valence3", [2, 1, 0])


def test_what_does_not_fit_is_named() -> None:
    with pytest.raises(InputError, match="lacks the classes disgust, fear of model 'fake'.*--labels angry,happy"):
        task(None, [name for name in FER7 if name not in ("disgust", "fear")])
    with pytest.raises(InputError, match="lacks the classes angry, .*--labels happy,sad,neutral"):
        task(None, ("happy", "sad", "neutral"))
    with pytest.raises(InputError, match="lacks the class contempt of the label scheme 'ferplus8'"):
        task("ferplus8", FER7)
    seven = make_card(name="seven", heads=(Head("fer7", FER7),))
    with pytest.raises(ModelError, match="contempt, which model 'seven' does not have"):
        task(None, EXPRESSIONS, cards=(CARD, seven))
    with pytest.raises(InputError, match="no row has one of the labels happy, sad; its rows are fear"):
        task("happy,sad", FER7, label=[2, 2])
    assert task("happy,sad", FER7, label=[3, 3, 2]).target.tolist() == [0, 0, -1], "rows of the first label are enough"
    with pytest.raises(UsageError, match="unknown expression"):
        task("happy,sadd", FER7)
