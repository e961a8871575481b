"""One declaration of an option serves the library and configuration files; flags are in tests/cli/test_flags.py."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from mien.data.options import AuditOptions
from mien.errors import UsageError
from mien.options import coerce_option, given_options, option, options_from_dict
from mien.serve.options import ServeOptions
from mien.train.options import RunOptions
from tests.bakery import Bake


@pytest.mark.parametrize("bad", [{"oven": "coal"}, {"minutes": 0.5}, {"minutes": 91}, {"minutes": "long"}])
def test_values_that_do_not_fit_are_refused(bad):
    with pytest.raises(UsageError, match="expected"):
        Bake(**bad)


def test_none_is_no_default():
    """It would mean nothing, or something else: a detector of None was "no detector"."""
    with pytest.raises(UsageError, match="oven is None; leave it out for its default, 'gas'"):
        Bake(oven=None)
    with pytest.raises(UsageError, match="queue is None"):
        Bake(queue=None)
    assert Bake(tray=None).tray is None


def test_numbers_of_numpy_are_numbers():
    made = Bake(queue=np.int64(2), minutes=np.float32(30), tray=np.uint8(4))
    assert made == Bake(queue=2, minutes=30.0, tray=4)
    assert [type(value) for value in (made.queue, made.minutes, made.tray)] == [int, float, int]
    assert type(coerce_option(Bake, "queue", np.int64(2))) is int
    for bad in (np.float32(91), np.float64("nan"), np.bool_(True), True, np.ones(2)):
        with pytest.raises(UsageError, match="minutes is .*; expected a number of at least 1 and at most 90"):
            Bake(minutes=bad)


@pytest.mark.parametrize("bad", [2.5, np.float32(2.5), float("inf"), float("nan")])
def test_half_a_thing_is_refused(bad):
    with pytest.raises(UsageError, match=r"tray is .*; expected a whole number"):
        Bake(tray=bad)
    assert type(Bake(tray=2.0).tray) is int


@pytest.mark.parametrize("bad", ["no", "False", 0, 1.0])
def test_what_is_neither_true_nor_false_is_refused(bad):
    """Recognizer(upright="no") meant yes."""
    with pytest.raises(UsageError, match="glaze is .*; expected True or False"):
        Bake(glaze=bad)
    assert Bake(glaze=np.bool_(True)).glaze is True


@pytest.mark.parametrize("bad", [["a.example"], 3, b"a.example", {"a.example"}])
def test_what_is_no_text_is_refused_where_text_is_meant(bad):
    """ServeOptions(allow_host=[...]) was taken, and failed later; what came is not shown, since it may be a secret."""
    for name in ("allow_host", "token"):
        with pytest.raises(UsageError, match=f"^{name} is of type {type(bad).__name__}; expected text$"):
            ServeOptions(**{name: bad})
    with pytest.raises(UsageError, match="oven is 3; expected one of"):
        Bake(oven=3)


def test_several_values_are_a_list():
    """Of text each letter was taken for one."""
    assert RunOptions(loggers=["csv"]).loggers == ("csv",)
    with pytest.raises(UsageError, match="loggers is of type str; expected a list"):
        RunOptions(loggers="csv")


def test_a_path_is_text_where_a_name_may_be_one():
    assert AuditOptions(model=Path("mine.onnx")).model == "mine.onnx"


def test_options_are_described_by_their_declarations():
    """Those of a class that inherits others, too; and what is no option any more is left out."""

    @dataclass(frozen=True, kw_only=True)
    class Grill(Bake):
        """Bread over a fire.

        Raises
        ------
        UsageError
            If there is no fire.
        """

        minutes: float = 5.0
        hot: float = option(200.0, "How hot.", minimum=50, maximum=300)

    head, parameters, raises = Grill.__doc__.split("\n\n")
    assert (head, raises) == ("Bread over a fire.", "Raises\n------\nUsageError\n    If there is no fire.")
    assert parameters.splitlines()[2:] == [
        "queue : int, default 3",
        "    How many wait.",
        "oven : str, default 'gas'",
        "    Which oven. One of gas, wood.",
        "glaze : bool, default False",
        "    Whether to glaze.",
        "tray : int | None, default None",
        "    Which tray.",
        "recipe : pathlib.Path | None, default None",
        "    Where it is written down.",
        "hot : float, default 200.0",
        "    How hot. At least 50 and at most 300.",
    ]


def test_configuration_refuses_unknown_keys_with_a_hint():
    assert options_from_dict(Bake, {"minutes": 5}) == Bake(minutes=5)
    with pytest.raises(UsageError, match="did you mean 'minutes'"):
        options_from_dict(Bake, {"minuts": 5})


def test_options_are_given_as_an_object_or_as_keywords():
    assert given_options(Bake, None, {"minutes": 5}) == given_options(Bake, Bake(minutes=5), {}) == Bake(minutes=5)
    with pytest.raises(UsageError, match="beside them oven; expected one or the other"):
        given_options(Bake, Bake(minutes=5), {"oven": "wood"})  # of which one was lost
    with pytest.raises(UsageError, match="options is 'wood'; expected Bake"):
        given_options(Bake, "wood", {})
    with pytest.raises(UsageError, match="did you mean 'minutes'"):
        given_options(Bake, None, {"minuts": 5})


def test_names_of_files_are_paths():
    assert (Bake(recipe="cake.txt").recipe, Bake(oven="wood").oven) == (Path("cake.txt"), "wood")


@pytest.mark.parametrize(
    ("name", "given", "wanted"),
    [
        *(("queue", given, 4) for given in ("4", 4, 4.0, "4e0")),
        *(("minutes", given, 0.5) for given in ("0.5", "5e-1", 0.5, np.float32(0.5))),
        *(("glaze", given, True) for given in ("Yes", "true", "on", True)),
        *(("glaze", given, False) for given in ("no", "False", "off", False)),
        *(("tray", given, None) for given in ("None", "null", None)),
        ("tray", "3", 3),
        ("oven", "wood", "wood"),
        *(("recipe", given, Path("cake.txt")) for given in ("cake.txt", Path("cake.txt"))),
    ],
)
def test_text_and_numbers_become_what_a_field_holds(name, given, wanted):
    value = coerce_option(Bake, name, given)
    assert (value, type(value)) == (wanted, type(wanted))


@pytest.mark.parametrize(
    ("name", "given", "says"),
    [
        *(("queue", given, "expected a whole number") for given in ("4.5", "many", True, float("inf"), [4])),
        *(("minutes", given, "expected a number") for given in ("nan", "long", False, [0.5])),
        *(("glaze", given, "expected true or false") for given in (1, "perhaps", 0.0)),
        *((name, given, "is empty") for name in ("queue", "oven", "glaze") for given in (None, "none")),
        ("oven", True, "expected text: put the word in quotes"),
        *(("oven", given, "expected text") for given in (3, ["gas"])),
        *(("recipe", given, "expected a path") for given in ("", 3)),
    ],
)
def test_what_a_field_cannot_hold_is_refused(name, given, says):
    with pytest.raises(UsageError, match=f"^{name} .*{says}"):
        coerce_option(Bake, name, given)
