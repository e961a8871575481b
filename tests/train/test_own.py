"""Losses and augmentations that a program registers, from the recipe to the run and the search."""

import dataclasses
import os
import subprocess
import sys
import warnings

import pytest
import torch

from mien.errors import UsageError
from mien.train import (
    ExpressionRecipe,
    change_recipe,
    own,
    read_recipe,
    register_augmentation,
    register_loss,
    train_model,
    train_seeds,
    write_recipe,
)
from mien.train.architectures import registry
from mien.train.expression.augment import Augmenter
from mien.train.expression.losses import mass_loss, registered_loss
from mien.train.options import AugmentOptions
from mien.train.recipe import recipe_text
from mien.train.search.space import Space
from tests.conftest import ROOT
from tests.sets import smooth_faces, write_dataset
from tests.train.toy import same_history, same_weights

QUICK = {"architecture": "cnn2", "size_px": 16, "epochs": 2, "batch_size": 16, "accelerator": "cpu", "threads": 1}


@pytest.fixture(autouse=True)
def registries(monkeypatch):
    monkeypatch.setattr(own, "_losses", {})
    monkeypatch.setattr(own, "_augmentations", {})


@pytest.fixture
def recipe(tmp_path):
    splits = ("train",) * 42 + ("validation",) * 21
    data = write_dataset(tmp_path / "faces.parquet", smooth_faces(63, side_px=24), splits=splits)
    return change_recipe(ExpressionRecipe(), {**QUICK, "dataset": data, "loggers": ("csv",)})


def cross_entropy(logits, mass):
    return -(mass * logits.log_softmax(dim=1)).sum(dim=1)


def stripes(faces, strength, generator):
    rows = torch.rand(len(faces), 1, faces.shape[2], 1, generator=generator, device=faces.device)
    return faces * (rows >= strength)


def test_a_loss_of_ones_own_learns_as_miens_does(recipe, tmp_path):
    register_loss("ours", cross_entropy)
    result = train_model(change_recipe(recipe, {"loss": "ours"}), tmp_path / "ours")
    wanted = train_model(recipe, tmp_path / "wanted")
    for row, other in zip(result.history, wanted.history, strict=True):
        assert row["train_label_loss"] == pytest.approx(other["train_label_loss"], rel=1e-4)
    logits, mass = torch.randn(5, 3), torch.rand(5, 3)
    assert registered_loss("ours", cross_entropy, logits, mass) == pytest.approx(float(mass_loss(logits, mass)))
    with pytest.raises(UsageError, match=r"loss 'mean' gave \(\) for 5 faces; expected a tensor of one number a face"):
        registered_loss("mean", lambda logits, mass: cross_entropy(logits, mass).mean(), logits, mass)
    with pytest.raises(UsageError, match="loss 'fixed' gave numbers without a gradient"):
        registered_loss(
            "fixed", lambda logits, mass: cross_entropy(logits, mass).detach(), logits.requires_grad_(), mass
        )


def test_a_loss_below_zero_is_not_told_to_be_worse_than_guessing(recipe, tmp_path):
    """The probability of the label, to be raised: guessing gives -1/7, and no share of that says how bad a loss is."""
    register_loss("sure", lambda logits, mass: -(mass * logits.softmax(dim=1)).sum(dim=1))
    told = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train_model(change_recipe(recipe, {"loss": "sure", "epochs": 1}), tmp_path / "run", progress=told.append)
    assert told[-1].metrics["train_label_loss"] < 0


def test_an_augmentation_of_ones_own_comes_before_miens(recipe, tmp_path):
    seen = []

    def black(faces, strength, generator):
        seen.append((strength, generator.initial_seed(), faces.min(), faces.max()))
        return faces * 0.0 - 1.0

    register_augmentation("black", black)
    options = AugmentOptions().only(own_augmentations=("black=0.5",))
    faces = torch.randint(0, 256, (4, 1, 16, 16), dtype=torch.uint8)
    augmenter = Augmenter(options, 16, 1)
    pictures, _ = augmenter(faces, (), torch.Generator().manual_seed(1), 0.5)
    assert not pictures.any()
    again, other = (augmenter(faces, (), torch.Generator().manual_seed(seed), 1.0)[0] for seed in (1, 2))
    assert [strength for strength, *_ in seen] == [0.25, 0.5, 0.5]
    assert len({seed for _, seed, *_ in seen}) == 2
    assert not again.any()
    assert not other.any()
    assert (seen[0][2] >= 0, seen[0][3] <= 1) == (True, True)
    # Those that are switched off are not called, and mien's own draws stay as they were.
    assert torch.equal(
        Augmenter(AugmentOptions(own_augmentations=("black=0",)), 16, 1)(faces, (), torch.Generator().manual_seed(3))[
            0
        ],
        Augmenter(AugmentOptions(), 16, 1)(faces, (), torch.Generator().manual_seed(3))[0],
    )
    register_augmentation("smaller", lambda faces, strength, generator: faces[:, :, ::2])
    with pytest.raises(UsageError, match=r"augmentation 'smaller' gave \(4, 1, 8, 16\); expected faces of shape"):
        Augmenter(AugmentOptions().only(own_augmentations=("smaller=1",)), 16, 1).own(faces, torch.Generator(), 1.0)
    register_augmentation("bytes", lambda faces, strength, generator: (faces * 255).to(torch.uint8))
    with pytest.raises(UsageError, match=r"augmentation 'bytes' gave torch\.uint8; expected floats in \[0, 1\]"):
        Augmenter(AugmentOptions().only(own_augmentations=("bytes=1",)), 16, 1).own(faces, torch.Generator(), 1.0)


def test_a_stopped_run_goes_on_as_if_it_had_not_been(recipe, tmp_path):
    register_loss("ours", cross_entropy)
    register_augmentation("stripes", stripes)
    recipe = change_recipe(recipe, {"loss": "ours", "own_augmentations": {"stripes": 0.3}, "save_every_s": 0})
    whole = train_model(recipe, tmp_path / "whole")

    def stop(report):
        if report.epoch == 2:
            raise KeyError

    with pytest.raises(KeyError):
        train_model(recipe, tmp_path / "stopped", progress=stop)
    result = train_model(recipe, tmp_path / "stopped", resume=True)
    assert same_weights(whole.last_path, result.last_path)
    assert same_history(whole.history, result.history)
    plain = train_model(change_recipe(recipe, {"own_augmentations": ()}), tmp_path / "plain")
    assert not same_weights(whole.last_path, plain.last_path)
    assert list(train_seeds(recipe, tmp_path / "seeds", 2).runs) == [0, 1]


def test_a_recipe_names_them_and_who_registers_them(tmp_path, monkeypatch):
    register_loss("ours", cross_entropy)
    register_augmentation("stripes", stripes)
    recipe = change_recipe(ExpressionRecipe(), {"loss": "ours", "own_augmentations": {"stripes": 0.3}})
    write_recipe(recipe, tmp_path / "recipe.yaml")
    text = (tmp_path / "recipe.yaml").read_text()
    assert f"# ours is registered by {__name__}\n" in text
    assert f"# stripes is registered by {__name__}\n" in text
    assert read_recipe(tmp_path / "recipe.yaml") == recipe
    (tmp_path / "short.yaml").write_text("augment:\n  own_augmentations: {stripes: 0.3}\nloss:\n  loss: ours\n")
    assert read_recipe(tmp_path / "short.yaml") == recipe
    assert "registered" not in recipe_text(ExpressionRecipe())
    monkeypatch.setattr(registry, "_REGISTRY", dict(registry._REGISTRY))
    card = dataclasses.replace(registry.find_architecture("cnn2").card, name="my-net")
    registry.register(card, "tests.train.networks:plain_network")
    changed = change_recipe(ExpressionRecipe(), {"architecture": "my-net"})
    assert recipe_text(changed).startswith("# my-net is registered by tests.train.networks\n")
    space = Space.of(recipe, {"loss": ["cross-entropy", "ours"], "own_augmentations": ["stripes=0.1", "stripes=0.3"]})
    assert space.count == 4
    with pytest.raises(UsageError, match="unknown loss 'our'"):
        Space.of(recipe, {"loss": ["cross-entropy", "our"]})


def test_names_are_known_and_unique():
    register_loss("ours", cross_entropy)
    register_augmentation("stripes", stripes)
    for name in ("ours", "focal"):
        with pytest.raises(UsageError, match=f"loss '{name}' is registered already; names must be unique"):
            register_loss(name, cross_entropy)
    with pytest.raises(UsageError, match="augmentation 'stripes' is registered already"):
        register_augmentation("stripes", stripes)
    with pytest.raises(UsageError, match="called 'two words'; expected a word"):
        register_loss("two words", cross_entropy)
    with pytest.raises(UsageError, match="expected a function"):
        register_loss("none", None)
    with pytest.raises(
        UsageError, match=r"unknown loss 'our'; expected cross-entropy, focal, ours or one of your own .*'ours'"
    ):
        change_recipe(ExpressionRecipe(), {"loss": "our"})
    with pytest.raises(UsageError, match=r"unknown augmentation 'stripe'; .*did you mean 'stripes'"):
        change_recipe(ExpressionRecipe(), {"own_augmentations": "stripe=0.1"})
    for wrong in ("stripes", "stripes=much", "stripes=-1", "stripes=nan", "stripes=0.1,stripes=0.2"):
        with pytest.raises(UsageError, match="expected NAME=STRENGTH"):
            change_recipe(ExpressionRecipe(), {"own_augmentations": wrong})


def test_a_program_is_the_door_for_all_commands(recipe, tmp_path):
    """Training in two processes, which each run the program."""
    (tmp_path / "mine.py").write_text(
        "from mien.cli import main\nfrom mien.train import register_augmentation, register_loss\n"
        "from tests.train.test_own import cross_entropy, stripes\n\n"
        "def ours(logits, mass):\n    return 2 * cross_entropy(logits, mass)\n\n"
        "register_loss('ours', ours)\nregister_augmentation('stripes', stripes)\nmain()\n"
    )
    write_recipe(recipe, tmp_path / "recipe.yaml")
    done = subprocess.run(
        [sys.executable, "mine.py", "train", "recipe.yaml", "--loss", "ours", "--own-augmentations", "stripes=0.2",
         "--devices", "2", "--epochs", "1", "--out", "run"],
        cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "measure it: python mine.py evaluate run/best.safetensors" in done.stdout
    text = (tmp_path / "run" / "recipe.yaml").read_text()
    assert "# ours is registered by mine.py\n" in text
    assert "# stripes is registered by tests.train.test_own\n" in text
