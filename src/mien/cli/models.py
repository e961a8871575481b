"""`mien models`: the shipped models and the architectures that can be trained, or one's card."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mien.cli.report import percent, span
from mien.cli.terminal import open_console, print_json
from mien.errors import ModelError, UsageError
from mien.shell import shell_words
from mien.zoo import ModelCard, StoredModel, find_model, list_models

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from mien.train.architectures import ArchitectureCard

__all__ = ["models"]


def models(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME", help="A model's name, the path of an .onnx file, an architecture's name, or timm:NAME."
        ),
    ] = None,
    architectures: Annotated[
        bool, typer.Option("--architectures", help="List the architectures that can be trained.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the cards as JSON.")] = False,
) -> None:
    """List the shipped models or the architectures that can be trained, or show the card of one.

    A model's card has its labels, scores and limits, and the terms of its training data; an architecture's card its
    input size, channels, parameters and origin.
    """
    console = open_console()
    if name is not None and architectures:
        raise UsageError("--architectures lists all of them; give either it or a name")
    if name is not None:
        found = _find(name)
        if json:
            print_json(found.card.to_dict() if isinstance(found, StoredModel) else found.to_dict())
        elif isinstance(found, StoredModel):
            _card(console, found, name)
        else:
            _architecture(console, found)
        return
    shipped, trainable = list_models().values(), _architectures().values() if architectures else ()
    if json:
        print_json([card.to_dict() for card in trainable or (model.card for model in shipped)])
        return
    if architectures:
        _list_architectures(console, list(trainable))
        console.print("\n'mien models NAME' shows a card.", style="dim")
    else:
        _list(console, list(shipped))
        console.print(
            "\naccuracy: on FER2013's PublicTest, without exact copies of training pictures.\n"
            "'mien models NAME' shows a card; 'mien models --architectures' lists what can be trained.",
            style="dim",
        )


def _architectures() -> dict[str, ArchitectureCard]:
    from mien.train.architectures import list_architectures

    return list_architectures()


def _find(name: str) -> StoredModel | ArchitectureCard:
    models = list_models()
    if name in models:
        return models[name]
    trainable = _architectures()
    if name in trainable:
        return trainable[name]
    if name.startswith("timm:"):
        return _built(name)
    if not name.lower().endswith((".onnx", ".safetensors")):
        raise ModelError(
            f"unknown model '{name}'; expected one of {', '.join(models)}, the path of an .onnx file, or an "
            f"architecture: {', '.join(trainable)}, or timm:NAME"
        )
    return find_model(name)


def _built(name: str) -> ArchitectureCard:
    """The card of one of timm's networks; its parameters are only known when it is built."""
    from mien.train.architectures import build_network, find_architecture, make_spec

    card = find_architecture(name).card
    return dataclasses.replace(card, parameters=build_network(make_spec(card)).parameter_count)


def _new_list(left: tuple[str, ...], right: tuple[str, ...]) -> Table:
    """A table with columns aligned left, then right, and at last a description that is wrapped to the terminal."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in left:
        table.add_column(title, no_wrap=True)
    for title in right:
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("what it is", ratio=1)
    return table


def _list(console: Console, chosen: list[StoredModel]) -> None:
    table = _new_list(("name", "for"), ("file", "accuracy"))
    for model in chosen:
        card = model.card
        scores = card.scores["fer7"]["one_pass"] if card.kind == "expression" else {}
        accuracy = percent(scores["accuracy_without_training_copies"]) if scores else ""
        table.add_row(card.name, card.kind, f"{model.weights.stat().st_size / 1e6:.1f} MB", accuracy, card.summary)
    console.print(table)


def _list_architectures(console: Console, cards: list[ArchitectureCard]) -> None:
    table = _new_list(("architecture", "input"), ("parameters",))
    for card in cards:
        table.add_row(card.name, f"{card.channels} {card.size_px} px", _millions(card.parameters), card.summary)
    table.add_row("timm:NAME", "", "", "Any network of the library timm.")
    console.print(table)


def _millions(parameters: int | None) -> str:
    return "" if parameters is None else f"{parameters / 1e6:.2f} M"


def _architecture(console: Console, card: ArchitectureCard) -> None:
    _title(console, card.name, card.summary)
    facts = [
        ("origin", card.origin),
        (
            "input",
            f"{card.channels} {card.size_px} x {card.size_px}, or any other from {card.min_size_px} px; gray or rgb",
        ),
        ("parameters", f"{card.parameters:,}, with the heads below"),
        ("licence", card.licence),
        ("pretrained", card.pretrained or "no weights"),
    ]
    facts += [(f"head {head.output}", ", ".join(head.labels)) for head in card.heads]
    facts.append(("dropout", f"{card.dropout:g}"))
    facts += [(f"option {name}", _shown(value)) for name, value in card.options.items()]
    _table(console, facts)
    console.print("\nHeads, size, channels, normalisation, dropout and options can be changed.", style="dim")


def _title(console: Console, name: str, summary: str) -> None:
    from rich.text import Text

    console.print(Text.assemble((name, "bold"), f"  {summary}\n"))


def _shown(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _card(console: Console, model: StoredModel, given: str) -> None:
    card = model.card
    _title(console, card.name, card.summary)
    _table(console, _facts(card, model))
    if card.scores:
        console.print("\nscores", style="bold")
        if card.kind == "expression":
            _table(console, list(_expression_scores(card)))
            line = f"'mien models {shell_words(given)} --json' has all of them."
            console.print(line, style="dim", soft_wrap=True)
        else:
            _scores(console, card.scores)
    if card.notes:
        console.print("\nnotes", style="bold")
        _table(console, [("-", note) for note in card.notes])


def _table(console: Console, facts: list[tuple[str, str]]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(ratio=1)
    for key, value in facts:
        table.add_row(key, Text(value))
    console.print(table)


def _facts(card: ModelCard, model: StoredModel) -> list[tuple[str, str]]:
    spec = card.input
    size = "any size" if spec.size_wh is None else f"{spec.size_wh[0]} x {spec.size_wh[1]}"
    facts = [
        ("input", f"{spec.channels} {size}, {spec.dtype}"),
        ("file", f"{card.file}, {model.weights.stat().st_size / 1e6:.2f} MB, {card.precision}"),
        ("parameters", f"{card.parameters:,}"),
        ("sha256", card.sha256),
        ("licence", card.licence),
    ]
    for head in card.heads:
        classes = ", a scale and a bias for each class" if head.class_scale else ""
        facts.append((f"head {head.output}", f"{', '.join(head.labels)} (temperature {head.temperature:.3f}{classes})"))
    facts += [("trained on", f"{data.name}: {data.terms}") for data in card.training_data]
    facts.append(("made by", card.made_by))
    return facts


def _expression_scores(card: ModelCard) -> Iterator[tuple[str, str]]:
    scores = card.scores.get(card.heads[0].output, {})
    one_pass = scores.get("one_pass")
    if one_pass is None:
        return
    yield "measured on", f"{card.scores['split']}, {one_pass['images']:,} faces"
    yield "accuracy", f"{percent(one_pass['accuracy'])} ({span(one_pass['accuracy_interval_95'])})"
    for part, what in (("training_copies", "exact copies"), ("any_copy", "any copy")):
        if f"accuracy_without_{part}" in one_pass:
            interval = span(one_pass.get(f"accuracy_without_{part}_interval_95"))
            yield f"without {what}", f"{percent(one_pass[f'accuracy_without_{part}'])} ({interval})"
    if "ten_views" in scores:
        yield "ten views", percent(scores["ten_views"]["accuracy"])
    if "same_answer" in scores:
        shifted, mirrored, always = (
            percent(scores["same_answer"][key]) for key in ("shifted", "mirrored", "in_all_ten_views")
        )
        yield "same answer", f"{shifted} shifted by 1/24, {mirrored} mirrored, {always} in all ten views"
    yield "recall by class", ", ".join(f"{name} {percent(share)}" for name, share in one_pass["recall"].items())
    if "by_face_px" in scores:
        small = (f"{px} px {percent(own['accuracy'])}" for px, own in scores["by_face_px"].items())
        yield "small faces", ", ".join(small)
    yield "macro F1", f"{one_pass['macro_f1']:.3f}"
    if "ece_held_out" in scores["calibration"]:  # not of a single face
        yield "calibration", f"ECE {scores['calibration']['ece_held_out']:.3f}, with what was fitted to the other half"
    if "plurality_accuracy" in card.scores.get("ferplus", {}):
        yield "FER+ plurality", percent(card.scores["ferplus"]["plurality_accuracy"])


def _scores(console: Console, scores: dict[str, Any], indent: int = 0) -> None:
    for key, value in scores.items():
        pad = "  " * indent
        if isinstance(value, dict):
            console.print(f"{pad}{key}")
            _scores(console, value, indent + 1)
        else:
            shown = f"{value:g}" if isinstance(value, float) else str(value)
            console.print(f"{pad}{key}: {shown}")
