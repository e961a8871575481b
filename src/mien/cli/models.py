"""`mien models`: the zoo, or one model's card."""

from __future__ import annotations

import json as json_module
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mien.errors import ModelError
from mien.zoo import ModelCard, StoredModel, find_model, list_models

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["models"]


def models(
    name: Annotated[str | None, typer.Argument(help="A model's name, or the path of an .onnx file.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the cards as JSON.")] = False,
) -> None:
    """List the shipped models, or show one model's card: labels, terms of its training data, scores, limits."""
    from rich.console import Console

    chosen = list(list_models().values()) if name is None else [_find(name)]
    if json:
        cards = [model.card.to_dict() for model in chosen]
        typer.echo(json_module.dumps(cards if name is None else cards[0], indent=2, ensure_ascii=False))
    elif name is None:
        _list(Console(highlight=False), chosen)
    else:
        _card(Console(highlight=False), chosen[0])


def _find(name: str) -> StoredModel:
    models = list_models()
    if name in models:
        return models[name]
    if not name.lower().endswith(".onnx"):
        raise ModelError(f"unknown model '{name}'; expected one of {', '.join(models)}, or the path of an .onnx file")
    try:
        return find_model(name, "expression")
    except ModelError as error:
        if "is a model of kind" not in str(error):
            raise
        return find_model(name, "detector")


def _list(console: Console, chosen: list[StoredModel]) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for title, justify in (("name", "left"), ("for", "left"), ("parameters", "right"), ("file", "right")):
        table.add_column(title, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    table.add_column("what it is", ratio=1)
    for model in chosen:
        card = model.card
        size_mb = model.weights.stat().st_size / 1e6
        table.add_row(card.name, card.kind, f"{card.parameters / 1e6:.2f} M", f"{size_mb:.1f} MB", card.summary)
    console.print(table)
    console.print("\n'mien models NAME' shows a card: labels, terms, scores, limits.", style="dim")


def _card(console: Console, model: StoredModel) -> None:
    from rich.table import Table

    card = model.card
    console.print(f"[bold]{card.name}[/]  {card.summary}\n")
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(ratio=1)
    for key, value in _facts(card, model):
        table.add_row(key, value)
    console.print(table)
    if card.scores:
        console.print("\n[bold]scores[/]")
        _scores(console, card.scores)
    if card.notes:
        console.print("\n[bold]to know[/]")
        for note in card.notes:
            console.print(f"- {note}", markup=False)


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
    facts += [(f"head {h.output}", f"{', '.join(h.labels)} (temperature {h.temperature:.3f})") for h in card.heads]
    facts += [("trained on", f"{data.name}: {data.terms}") for data in card.training_data]
    facts.append(("made by", card.made_by))
    return facts


def _scores(console: Console, scores: dict[str, Any], indent: int = 0) -> None:
    for key, value in scores.items():
        pad = "  " * indent
        if isinstance(value, dict):
            console.print(f"{pad}{key}", markup=False)
            _scores(console, value, indent + 1)
        else:
            shown = f"{value:g}" if isinstance(value, float) else str(value)
            console.print(f"{pad}{key}: {shown}", markup=False)
