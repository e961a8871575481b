"""Names, cards and specifications: data, without torch."""

from __future__ import annotations

import copy
import json
import subprocess
import sys

import pytest

from mien.errors import MissingExtraError, UsageError
from mien.train.architectures import (
    FER7_HEAD,
    FERPLUS_HEAD,
    ArchitectureCard,
    Backbone,
    HeadSpec,
    NetworkSpec,
    build_network,
    find_architecture,
    list_architectures,
    make_spec,
    register,
    registry,
)

THE_FIELDS = {"cnn2", "simple_cnn", "cnn4", "mini_xception", "vgg16", "resnet101", "mobilenet_v2", "densenet169"}


def test_what_the_field_knows_is_there():
    cards = list_architectures()
    assert {"mien-tiny", "mien-small", "mien-base", "mien-wide", "vit_small", "inception_resnet_v2"} <= set(cards)
    assert set(cards) > THE_FIELDS
    assert cards["inception_resnet_v2"].size_px == 160
    for name, card in cards.items():
        assert card.name == name
        assert all((card.summary, card.origin, card.licence, card.parameters)), name
        assert 1 <= card.min_size_px <= card.size_px
        assert json.loads(json.dumps(card.to_dict()))["parameters"] == card.parameters


def test_a_name_can_only_be_taken_once(monkeypatch):
    monkeypatch.setattr(registry, "_REGISTRY", dict(registry._REGISTRY))
    card = ArchitectureCard("mine", "One layer.", "a test", 8, 8, 1, "none")

    class Mine(Backbone):
        out_features = 64

        def forward(self, images):
            return images.flatten(1)

    register(card, lambda spec, pretrained: Mine())
    assert build_network(make_spec("mine")).parameter_count == 64 * 7 + 7
    for taken in ("mine", "cnn2", "timm:resnet18"):
        with pytest.raises(UsageError, match=f"'{taken}' is registered already"):
            register(ArchitectureCard(taken, "One layer.", "a test", 8, 8, 1, "none"), lambda spec, pretrained: Mine())


def test_the_card_gives_what_is_left_out():
    spec = make_spec("mien-base")
    assert spec.heads == (FER7_HEAD, FERPLUS_HEAD)
    assert (spec.size_px, spec.channels, spec.dropout) == (48, "gray", 0.0)
    assert spec.options == {"widths": (64, 128, 256, 512), "convs_per_stage": 2, "blur_pools": 3, "repvgg": False}
    heads = (HeadSpec("mood", ["good", "bad"]),)
    spec = make_spec("cnn4", heads, size_px=64, channels="rgb", mean=0.1, std=0.2, dropout=0.3)
    assert spec == NetworkSpec("cnn4", heads, 64, "rgb", 0.1, 0.2, 0.3, {"block_dropout": 0.25})
    assert spec.heads[0].labels == ("good", "bad")


def test_a_specification_survives_json_and_copies():
    spec = make_spec("plain", options={"widths": [4, 8]}, channels="rgb")
    again = NetworkSpec.from_dict(json.loads(json.dumps(spec.to_dict())))
    assert again == spec == copy.deepcopy(spec)
    assert again.options["widths"] == (4, 8)
    size = again.input_spec()
    assert (size.size_wh, size.channels, size.dtype) == ((48, 48), "rgb", "uint8")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: find_architecture("resnet10"), "unknown architecture 'resnet10'.*did you mean 'resnet101'"),
        (lambda: make_spec("mien-base", options={"width": (4,)}), "no option 'width'.*did you mean 'widths'"),
        (lambda: make_spec("cnn2", options={"width": 4}), "it has none"),
        (lambda: build_network(make_spec("cnn2", size_px=3)), "at least 4 px; got size_px 3"),
        (lambda: build_network(make_spec("mien-base", size_px=15)), "at least 16"),
        (lambda: build_network(make_spec("plain", options={"widths": ()})), "from 1 to 4,096"),
        (lambda: build_network(make_spec("plain", options={"widths": (4, 0)})), "from 1 to 4,096"),
        (lambda: build_network(make_spec("plain", options={"widths": (10**20, 4)})), "from 1 to 4,096"),
        (lambda: build_network(make_spec("plain", options={"convs_per_stage": 1.5})), "whole numbers"),
        (lambda: build_network(make_spec("plain", options={"blur_pools": 4})), "blur_pools from 0 to 3"),
        (lambda: build_network(make_spec("plain", options={"blur_pools": True})), "got True"),
        (lambda: build_network(make_spec("cnn2"), pretrained=True), "no pretrained weights"),
        (lambda: HeadSpec("fer 7", ("a", "b")), "small letters"),
        (lambda: HeadSpec("image", ("a", "b")), "not 'image'"),
        (lambda: HeadSpec("fer7", ("a",)), "at least two"),
        (lambda: HeadSpec("fer7", ("a", "a")), "all different"),
        (lambda: NetworkSpec("cnn2", heads=()), "one or more"),
        (lambda: NetworkSpec("cnn2", heads=(FER7_HEAD, FER7_HEAD)), "different names"),
        (lambda: NetworkSpec("cnn2", channels="bgr"), "'gray' or 'rgb'"),
        (lambda: NetworkSpec("cnn2", std=0), "more than 0"),
        (lambda: NetworkSpec("cnn2", mean=(0.1, 0.2, 0.3)), "one number for gray"),
        (lambda: NetworkSpec("cnn2", dropout=1.0), "dropout in"),
        (lambda: NetworkSpec.from_dict({"architecture": "cnn2"}), "heads"),
        (lambda: NetworkSpec.from_dict({"architecture": "cnn2", "heads": [], "depth": 3}), "depth"),
    ],
)
def test_what_cannot_be_is_refused(make, message):
    with pytest.raises(UsageError, match=message):
        make()


def test_the_extra_is_named_where_it_is_missing(monkeypatch):
    spec = make_spec("cnn2")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match=r"mien\[train\]"):
        build_network(spec)
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "timm", None)
    assert build_network(spec)
    with pytest.raises(MissingExtraError, match="'timm'"):
        make_spec("timm:resnet18")


def test_names_and_cards_need_no_torch():
    script = (
        "import sys\n"
        "from mien.train.architectures import list_architectures, make_spec\n"
        "[make_spec(name) for name in list_architectures()]\n"
        "assert not {'torch', 'timm', 'onnxruntime', 'cv2', 'pyarrow'} & set(sys.modules), sorted(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
