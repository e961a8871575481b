"""docs/models.md: the cards of models and architectures."""

from mien.train.architectures import list_architectures
from mien.zoo import ModelCard, list_models

HEAD = """\
# Models

Written by `scripts/pages` from the cards of the shipped models and of the architectures.

| you want to | do |
| --- | --- |
| see what there is | `mien models` |
| read a whole card: labels, terms, scores, limits | `mien models NAME`, with `--json` for a program |
| use another one | `mien recognize PHOTO --model wide`, `mien.Recognizer(model="wide")` |
| use one of your own | [train it](train.md), `mien export` (an `.onnx` file with its card), `--model FILE.onnx` |
| see how they do beside other systems | [the comparison](comparison.md) |
| find faces with another detector | `--detector yunet`, or `--detector FILE.onnx` ([the detectors](detector.md)) |

A card says how a face is fed into the network and what its outputs mean; nothing is guessed from a name. It also has
the sha256 of the weights, which is checked whenever they are loaded.

## The shipped expression models

All scores are of the int8 files on FER2013's PublicTest ({images:,} images), measured by `python -m mien.export.zoo`.
The models were also selected, and calibrated, on PublicTest, so expect a little less on new images;
PrivateTest was not looked at. Intervals are 95 % (Wilson). {exact} of the images have an exact copy in Training, {all}
a copy of any kind (scaled, cropped, retouched or mirrored): the scores without them are the fairer ones. Two sets of
annotators agree on about two of three of these images.
"""


def percent(value: float, digits: int = 1) -> str:
    return f"{100 * value:.{digits}f} %"


def span(low_high: list[float]) -> str:
    return f"{100 * low_high[0]:.1f} to {100 * low_high[1]:.1f}"


def table(rows: list[list[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in [rows[0], ["---"] * len(rows[0]), *rows[1:]]] + [""]


def overview(cards: list[ModelCard]) -> list[str]:
    rows = [["", *(f"`{card.name}`" for card in cards)]]

    def add(what: str, values: list[str]) -> None:
        rows.append([what, *values])

    fer7 = [card.scores["fer7"] for card in cards]
    add("parameters", [f"{card.parameters / 1e6:.2f} M" for card in cards])
    add("file, int8", [f"{list_models()[card.name].weights.stat().st_size / 1e6:.1f} MB" for card in cards])
    add(
        "accuracy, one pass",
        [f"{percent(s['one_pass']['accuracy'])} ({span(s['one_pass']['accuracy_interval_95'])})" for s in fer7],
    )
    add("the same, calibrated on the other half", [percent(s["calibration"]["accuracy_held_out"]) for s in fer7])
    without = {
        "without the exact copies": "accuracy_without_training_copies",
        "without any copy": "accuracy_without_any_copy",
    }
    for what, key in without.items():
        one_pass = [s["one_pass"] for s in fer7]
        add(what, [f"{percent(score[key])} ({span(score[f'{key}_interval_95'])})" for score in one_pass])
    add("accuracy, ten views", [percent(s["ten_views"]["accuracy"]) for s in fer7])
    for what, key in without.items():
        add(f"ten views, {what}", [percent(s["ten_views"][key]) for s in fer7])
    add("same answer to a face shifted by two pixels", [percent(s["same_answer"]["shifted"]) for s in fer7])
    add("same answer in all ten views", [percent(s["same_answer"]["in_all_ten_views"]) for s in fer7])
    add("accuracy before quantisation", [percent(s["float32_accuracy"]) for s in fer7])
    add("balanced accuracy", [percent(s["one_pass"]["balanced_accuracy"]) for s in fer7])
    add("macro F1", [percent(s["one_pass"]["macro_f1"]) for s in fer7])
    add(
        "calibration error (ECE), calibrated on the other half",
        [f"{s['calibration']['ece_held_out']:.3f}" for s in fer7],
    )
    add("FER+ accuracy, by plurality", [percent(card.scores["ferplus"]["plurality_accuracy"]) for card in cards])
    return table(rows)


def classes(cards: list[ModelCard]) -> list[str]:
    names = list(cards[0].scores["fer7"]["one_pass"]["recall"])
    rows = [["recall of", *(f"`{card.name}`" for card in cards)]]
    rows += [[name, *(percent(card.scores["fer7"]["one_pass"]["recall"][name]) for card in cards)] for name in names]
    return table(rows)


def small_faces(cards: list[ModelCard]) -> list[str]:
    rows = [["crop in the photo", *(f"`{card.name}`" for card in cards)]]
    for px in cards[0].scores["fer7"]["by_face_px"]:
        own = [card.scores["fer7"]["by_face_px"][px] for card in cards]
        rows.append([f"{px} px", *(f"{percent(score['accuracy'])} ({score['ece']:.3f})" for score in own)])
    return table(rows)


def confusion(card: ModelCard) -> list[str]:
    labels = card.heads[0].labels
    matrix = card.scores["fer7"]["one_pass"]["confusion"]
    rows = [["is \\ read as", *labels]]
    rows += [[f"**{label}**", *map(str, counts)] for label, counts in zip(labels, matrix, strict=True)]
    return table(rows)


def architectures() -> list[str]:
    rows = [["architecture", "input", "parameters", "what it is", "origin", "licence"]]
    for card in list_architectures().values():
        size = f"{card.channels} {card.size_px} px"
        parameters = f"{card.parameters / 1e6:.2f} M"
        rows.append([f"`{card.name}`", size, parameters, card.summary, card.origin, card.licence])
    return [
        "## What can be trained",
        "",
        "`mien models --architectures` lists these, `mien models NAME` shows the card of one. Each can be built for",
        "gray or colour, for other sizes and other labels, and is trained by `mien train`; `timm:NAME` is any network",
        "of the library timm. Sizes and channels are the defaults. `mien-small`, `mien-base` and `mien-wide` are the",
        "networks of `small`, `base` and `wide`; `tiny` is a `plain` network, larger than `mien-tiny`.",
        "",
        *table(rows),
    ]


def page() -> str:
    cards = [model.card for model in list_models().values() if model.card.kind == "expression"]
    one_pass = cards[0].scores["fer7"]["one_pass"]
    copies = {
        kind: one_pass["images"] - one_pass[f"images_without_{key}"]
        for kind, key in (("exact", "training_copies"), ("all", "any_copy"))
    }
    default = list_models()["base"].card
    lines = [
        HEAD.format(images=one_pass["images"], **copies),
        *overview(cards),
        "### Classes",
        "",
        *classes(cards),
    ]
    lines += [
        "### Small faces",
        "",
        "The same images averaged down to fewer pixels, as faces far from the camera are: accuracy, and in brackets",
        "the calibration error (ECE).",
        "",
        *small_faces(cards),
        f"### Confusions of `{default.name}`",
        "",
        "Number of images; rows are FER2013's labels. Those of the others are on their cards (`--json`).",
        "",
        *confusion(default),
    ]
    lines += architectures()
    lines += ["## Terms of the shipped models", ""]
    for model in list_models().values():
        card = model.card
        lines += [f"**`{card.name}`** ({card.kind}): {card.licence}", ""]
        lines += [f"- trained on {data.name}: {data.terms}" for data in card.training_data] + [""]
    return "\n".join(lines).rstrip() + "\n"
