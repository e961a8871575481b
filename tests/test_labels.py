"""Label schemes go by name and renormalise honestly."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mien.errors import UsageError
from mien.labels import EXPRESSIONS, FER7, SCHEMES, LabelScheme, canonical_name, find_scheme, scheme_of

HEADS = st.permutations([*EXPRESSIONS, "unknown", "not_face"])


def probabilities(draw, count):
    weights = np.array(draw(st.lists(st.floats(1e-3, 1.0), min_size=count, max_size=count)))
    return (weights / weights.sum())[None]


@given(st.data(), HEADS, st.sampled_from(sorted(SCHEMES)))
def test_projection_sums_to_one_and_follows_names_in_any_order(data, head, name):
    scheme = SCHEMES[name]
    given_p = probabilities(data.draw, len(head))
    shares, coverage = scheme.project(given_p, head)
    assert shares.sum() == pytest.approx(1.0)
    expected = [sum(given_p[0, head.index(c)] for c in classes) for classes in scheme.members.values()]
    assert coverage[0] == pytest.approx(sum(expected))
    np.testing.assert_allclose(shares[0] * coverage[0], expected, rtol=1e-9)


def test_a_scheme_is_a_value():
    """It goes into sets and other processes, and nobody changes it from outside."""
    members = {"well": ["happy"], "not": ["sad", "fear"]}
    scheme = LabelScheme("mine", members)
    members["well"].append("neutral")
    assert scheme.members == {"well": ("happy",), "not": ("sad", "fear")}
    assert pickle.loads(pickle.dumps(scheme)) == scheme
    assert {scheme, *SCHEMES.values(), pickle.loads(pickle.dumps(scheme))} == {scheme, *SCHEMES.values()}
    assert scheme != LabelScheme("mine", {"not": ("sad", "fear"), "well": ("happy",)})
    with pytest.raises(TypeError):
        scheme.members["other"] = ()
    assert eval(repr(scheme)) == scheme


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({}, "'mine' has no labels"),
        ({"well": "happy", "not": "sad"}, r"'well' stands for 'happy'; expected classes in a tuple or list"),
        ({"well": ("happy",), "not": ()}, r"'not' stands for \(\); expected classes"),
        ({"well": ("happy", "surprise"), "not": ("sad", "surprise")}, "names 'surprise' 2 times"),
    ],
)
def test_a_scheme_that_means_nothing_is_refused(members, message):
    """A text in the place of a tuple was taken for the classes h, a, p and y; no labels divided by zero."""
    with pytest.raises(UsageError, match=message):
        LabelScheme("mine", members)


def test_a_subset_keeps_the_ratios_and_says_how_much_it_covers():
    head = FER7
    p = np.array([[0.0, 0.0, 0.0, 0.02, 0.01, 0.95, 0.02]])
    shares, coverage = find_scheme("happy,sad,neutral").project(p, head)
    np.testing.assert_allclose(shares[0], [0.4, 0.2, 0.4])
    assert coverage[0] == pytest.approx(0.05)


def test_no_probability_at_all_becomes_uniform():
    p = np.zeros((1, 7))
    p[0, FER7.index("surprise")] = 1.0
    shares, coverage = find_scheme("basic3").project(p, FER7)
    np.testing.assert_allclose(shares, 1 / 3)
    assert coverage[0] == 0.0


def test_schemes_have_the_labels_that_are_promised():
    assert SCHEMES["fer7"].labels == ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
    assert set(SCHEMES["ferplus8"].labels) == {*FER7, "contempt"}
    assert SCHEMES["valence3"].labels == ("positive", "neutral", "negative")
    assert SCHEMES["basic3"].labels == ("happy", "sad", "neutral")
    assert find_scheme(" Fer7 ") is SCHEMES["fer7"]


def test_the_classes_of_a_dataset_are_a_scheme_in_its_order():
    assert scheme_of(("sad", "happy")).members == {"sad": ("sad",), "happy": ("happy",)}
    assert scheme_of(("negative", "positive")).members == {"negative": ("angry", "disgust", "fear", "sad"),
                                                           "positive": ("happy",)}  # fmt: skip
    assert scheme_of(("positive", "bored")).members == {"positive": ("positive",), "bored": ("bored",)}


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("Happiness", "happy"),
        (" ANGER ", "angry"),
        ("surprised", "surprise"),
        ("suprise", "surprise"),  # in copies of FER+
        ("fearful", "fear"),
        ("Neutral", "neutral"),
    ],
)
def test_spellings_of_the_field(spelling, name):
    assert canonical_name(spelling) == name


@pytest.mark.parametrize("spec", ["happi", "happy", "happy,happines", "happy,joy", "", ["sad"]])
def test_bad_schemes_are_refused(spec):
    with pytest.raises(UsageError):
        find_scheme(spec)


def test_a_misspelt_name_gets_a_hint():
    with pytest.raises(UsageError, match="did you mean 'surprise'"):  # and not "suprise", which is read, too
        canonical_name("suprize")
    with pytest.raises(UsageError, match="did you mean 'neutral'"):
        find_scheme("happy,nuetral")


def test_lists_and_strings_are_the_same():
    assert find_scheme(["joy", "sadness"]) == find_scheme("happy, sad")


def test_a_model_may_have_classes_of_its_own_names():
    own = ("bored", "engaged", "happy")
    assert find_scheme("Engaged, happiness", own).labels == ("engaged", "happy")
    with pytest.raises(UsageError, match="unknown class 'engagd'; expected some of bored, engaged, happy"):
        find_scheme("engagd,bored", own)
    with pytest.raises(UsageError, match="unknown expression 'engaged'"):
        find_scheme("engaged,happy", FER7)
