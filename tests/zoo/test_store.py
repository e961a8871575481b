"""Models are found by name or path, and their weights are checked."""

import dataclasses
import hashlib

import onnx.parser
import pytest

from mien.errors import ModelError
from mien.zoo import Head, StoredModel, find_model, list_models
from mien.zoo.session import open_session


@pytest.fixture
def exported(tmp_path):
    """A copy of a shipped model as files, as an export leaves them."""
    model = find_model("small", "expression")
    (tmp_path / "mine.onnx").write_bytes(model.weights.read_bytes())
    dataclasses.replace(model.card, name="mine", file="mine.onnx").write(tmp_path / "mine.json")
    return tmp_path / "mine.onnx"


def test_the_shipped_models():
    models = list_models()
    assert list(models) == ["tiny", "small", "base", "wide", "mien"]
    total = 0
    for name, model in models.items():
        data = model.read_weights()
        assert hashlib.sha256(data).hexdigest() == model.card.sha256, name
        assert model.card.licence
        assert model.card.training_data, name
        total += len(data)
    assert total < 16e6


def test_a_caller_may_change_its_list():
    """What was taken out of it was gone for all: the next recognizer knew of no detector 'mien'."""
    list_models().pop("mien")
    assert "mien" in list_models()


def test_the_models_fit_a_screen():
    """In a notebook, `mien.list_models()` was 25,000 characters of scores and notes."""
    shown = repr(list_models())
    assert "ModelCard('base', expression: 'The default: " in shown
    assert len(shown) < 2000


def test_every_shipped_model_opens():
    for model in list_models().values():
        assert open_session(model)


def test_a_path_works_like_a_name(exported):
    assert find_model(exported, "expression").card.name == "mine"
    assert find_model(str(exported), "expression").read_weights()


@pytest.mark.parametrize(
    ("spec", "message"),
    [("huge", "expected one of .*base"), ("huge.onnx", "no such file"), ("mien", "expected one of .*base")],
)
def test_unknown_models_name_what_there_is(spec, message):
    with pytest.raises(ModelError, match=message):
        find_model(spec, "expression")


@pytest.mark.parametrize(("kind", "data"), [("expression", "FACES"), ("detector", "PHOTOS")])
def test_a_checkpoint_is_to_be_exported_first(tmp_path, kind, data):
    (tmp_path / "a best.safetensors").write_bytes(b"")
    with pytest.raises(ModelError, match=rf"exported first: 'mien export '.*/a best.safetensors' --data {data}'"):
        find_model(tmp_path / "a best.safetensors", kind)
    with pytest.raises(ModelError, match=f"unknown {kind} model"):
        find_model(tmp_path / "none.safetensors", kind)


def test_a_model_without_its_card_or_of_another_kind(exported):
    with pytest.raises(ModelError, match="of kind 'expression'; expected 'detector'"):
        find_model(exported, "detector")
    assert find_model(exported).card.kind == "expression"
    with pytest.raises(ModelError, match="unknown model 'huge'; expected one of tiny, .*, mien, or the path"):
        find_model("huge")
    exported.with_suffix(".json").unlink()
    with pytest.raises(ModelError, match="mine.json is missing"):
        find_model(exported, "expression")


def test_damaged_weights_are_refused(exported):
    data = bytearray(exported.read_bytes())
    data[1000] ^= 1
    exported.write_bytes(bytes(data))
    with pytest.raises(ModelError, match=r"sha256 is .* expects .*damaged"):
        open_session(find_model(exported, "expression"))
    exported.unlink()
    with pytest.raises(ModelError, match="cannot read the model's weights"):
        StoredModel(find_model("base", "expression").card, exported).read_weights()


def test_channels_last_are_told(exported):
    theirs = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["" : 17]>
    theirs (float[n, 48, 48, 1] image) => (float[n, 7] fer7) {
        means = ReduceMean <axes = [1, 2], keepdims = 0> (image)
        sevens = Constant <value_floats = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]> ()
        fer7 = Mul (means, sevens)
    }""")
    exported.write_bytes(theirs.SerializeToString())
    card = find_model(exported, "expression").card
    of_it = dataclasses.replace(
        card,
        sha256=hashlib.sha256(exported.read_bytes()).hexdigest(),
        input=dataclasses.replace(card.input, dtype="float32"),
        heads=card.heads[:1],
    )
    with pytest.raises(ModelError, match=r"\['n', 48, 48, 1\], with the channels last; .* put a Transpose in front"):
        open_session(StoredModel(of_it, exported))


def test_what_is_no_onnx_or_lacks_an_output_is_told(exported):
    card = find_model(exported, "expression").card
    wrong = dataclasses.replace(card, heads=(dataclasses.replace(card.heads[0], output="seven"),))
    with pytest.raises(ModelError, match="no output 'seven' as its card says; it has"):
        open_session(StoredModel(wrong, exported))
    for changes, message in (
        ({"dtype": "float32"}, r"its input is a tensor\(uint8\); its card says float32"),
        ({"size_wh": (64, 48)}, r"'image' has the shape \['N', 1, 48, 48\]; its card says \['any', 1, 48, 64\]"),
        ({"channels": "rgb"}, r"its card says \['any', 3, 48, 48\]"),
    ):
        other = dataclasses.replace(card, input=dataclasses.replace(card.input, **changes))
        with pytest.raises(ModelError, match=message):
            open_session(StoredModel(other, exported))
    fewer = dataclasses.replace(card, heads=(Head(card.heads[0].output, card.heads[0].labels[1:]),))
    with pytest.raises(ModelError, match=r"its output 'fer7' has the shape \['N', 7\]; its card says \['any', 6\]"):
        open_session(StoredModel(fewer, exported))
    exported.write_bytes(b"not a network")
    text = dataclasses.replace(card, sha256=hashlib.sha256(b"not a network").hexdigest())
    with pytest.raises(ModelError, match="ONNX Runtime cannot load it"):
        open_session(StoredModel(text, exported))
