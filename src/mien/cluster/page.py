"""The summary of a batch as one self-contained page: charts of its own elements, nothing is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from mien.cluster.summary import Summary
from mien.files import utf8_text
from mien.sink.palette import color_rgb

__all__ = ["summary_page"]

_MOST_BARS = 24
_STATUS_RGB = {"ok": (31, 148, 110), "no face": (166, 164, 164), "unreadable": (206, 52, 50)}
_PLAIN_RGB = (66, 116, 238)

_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #667080; --back: #ffffff; --line: #dde2e8; }
@media screen and (prefers-color-scheme: dark) {
  :root { --ink: #e8ebef; --soft: #9aa4b2; --back: #14171b; --line: #2c323a; }
}
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--back); margin: 0 auto;
  padding: 2rem 1rem; max-width: 760px; box-sizing: border-box; }
h1 { font-size: 1.35rem; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.05rem; margin: 2.2rem 0 .4rem; }
p { color: var(--soft); margin: .3rem 0; overflow-wrap: anywhere; }
dl { display: flex; flex-wrap: wrap; gap: 1rem 2.2rem; margin: 1.4rem 0 0; }
dt { color: var(--soft); font-size: .85rem; }
dd { margin: 0; font-size: 1.5rem; font-weight: 600; font-variant-numeric: tabular-nums; }
.bars { display: grid; grid-template-columns: fit-content(45%) 1fr; gap: 8px 12px; align-items: center;
  font-size: .93rem; line-height: 1.3; margin-top: .6rem; }
.bars span { text-align: right; overflow-wrap: anywhere; }
.bars div { display: flex; align-items: center; gap: 8px; }
.bars i { height: 20px; border-radius: 3px; print-color-adjust: exact; -webkit-print-color-adjust: exact; }
.bars b { font-weight: 400; color: var(--soft); white-space: nowrap; font-variant-numeric: tabular-nums; }
"""


def summary_page(summary: Summary) -> str:
    """The page as HTML text."""
    total = summary.total
    rates = summary.rates()
    mean_rate = sum(rates.values()) / len(rates) if rates else 0.0
    figures = [
        ("inputs", f"{total.inputs:,}"),
        ("faces", f"{total.faces:,}"),
        ("unreadable", f"{total.unreadable:,}"),
        ("images a second a worker", f"{mean_rate:.1f}"),
    ]
    manifest = summary.manifest
    source = escape(utf8_text(manifest.source))
    state = f"{summary.parts_done:,} of {manifest.parts:,} parts are done"
    status = [("ok", total.ok), ("no face", total.no_face), ("unreadable", total.unreadable)]
    workers = sorted(rates.items())[:_MOST_BARS]
    sections = [
        _chart("Inputs", _bars([(name, count, _STATUS_RGB[name]) for name, count in status], total.inputs)),
        _chart(
            "Expressions",
            _bars(
                [(name, count, color_rgb(name, total.expressions)) for name, count in total.expressions.items()],
                total.faces,
            ),
            "the most probable expression of each face",
        ),
    ]
    if summary.reasons:
        reasons = [
            (name + summary.example(name), count, _STATUS_RGB["unreadable"])
            for name, count in summary.reasons[:_MOST_BARS]
        ]
        sections.append(
            _chart("Why inputs could not be read", _bars(reasons, total.unreadable), "inputs/ names each of them")
        )
    if workers:
        hint = f"the first {len(workers)} of {len(rates):,} workers" if len(rates) > len(workers) else ""
        sections.append(
            _chart("Images a second, by worker", _bars([(n, r, _PLAIN_RGB) for n, r in workers], None), hint)
        )
    numbers = "".join(f"<div><dt>{escape(name)}</dt><dd>{value}</dd></div>" for name, value in figures)
    return (
        '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>mien batch: {source}</title>\n<style>{_STYLE}</style>\n"
        f"<main>\n<h1>{source}</h1>\n"
        f"<p>{state}; model {escape(_name(summary, 'expression'))}, detector {escape(_name(summary, 'detector'))}, "
        f"mien {escape(manifest.mien)}, begun {escape(_time(manifest.created))}</p>\n"
        f"<dl>{numbers}</dl>\n" + "\n".join(sections) + "\n</main>\n</html>\n"
    )


def _name(summary: Summary, kind: str) -> str:
    return summary.manifest.models.get(kind, {}).get("name", "?")


def _time(created: str) -> str:
    return created[:16].replace("T", " ") + " UTC"


def _chart(title: str, bars: str, hint: str = "") -> str:
    return f"<h2>{escape(title)}</h2>\n" + (f"<p>{escape(hint)}</p>\n" if hint else "") + bars


def _bars(items: Sequence[tuple[str, float, tuple[int, int, int]]], whole: float | None) -> str:
    """Horizontal bars; with shares where the whole is known."""
    most = max((value for _, value, _ in items), default=0) or 1
    lines = []
    for name, value, (red, green, blue) in items:
        shown = f"{value:,.0f}" if whole is not None else f"{value:,.1f}"
        share = f" ({100 * value / whole:.1f} %)" if whole else ""
        # What is left of the width is for the number behind the bar.
        lines.append(
            f'<span>{escape(name)}</span><div><i style="width:{60 * value / most:.2f}%;'
            f'background:rgb({red},{green},{blue})"></i><b>{shown}{share}</b></div>'
        )
    return f'<div class="bars">{"".join(lines)}</div>'
