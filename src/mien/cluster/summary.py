"""What became of a batch: counts, as text and plain values; `mien.cluster.page` makes a page of them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from mien.cluster.destination import Destination, Manifest
from mien.cluster.rows import Tally

__all__ = ["Summary", "summarize"]

_MOST_REASONS = 12


@dataclass
class Summary:
    """The counts of a batch so far.

    Attributes
    ----------
    address : str
        Of the destination.
    manifest : Manifest
    parts_done : int
    total : Tally
        Of all parts; its seconds are the sum over the workers.
    workers : dict of str to Tally
        By machine and process.
    """

    address: str
    manifest: Manifest
    parts_done: int = 0
    total: Tally = field(default_factory=Tally)
    workers: dict[str, Tally] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether all parts are done."""
        return self.parts_done == self.manifest.parts

    @property
    def reasons(self) -> list[tuple[str, int]]:
        """Why inputs could not be read, most frequent first."""
        return sorted(self.total.reasons.items(), key=lambda item: (-item[1], item[0]))

    def rates(self) -> dict[str, float]:
        """Images (frames of videos too) a second of each worker."""
        return {name: tally.frames / tally.seconds for name, tally in sorted(self.workers.items()) if tally.seconds > 0}

    def example(self, reason: str) -> str:
        """The end of a line about a reason: an input that it holds for, where one is known."""
        key = self.total.examples.get(reason)
        return "" if key is None else f" ({key})" if self.total.reasons[reason] == 1 else f" (such as {key})"

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain values."""
        total = dataclasses.asdict(self.total)
        del total["worker"]
        return {
            "destination": self.address,
            "source": self.manifest.source,
            "complete": self.complete,
            "parts": self.manifest.parts,
            "parts_done": self.parts_done,
            **total,
            "images_per_second_per_worker": {name: round(rate, 2) for name, rate in self.rates().items()},
        }

    def to_text(self) -> str:
        """A few lines for the terminal."""
        total = self.total
        state = "done" if self.complete else f"not finished: {self.parts_done:,} of {self.manifest.parts:,} parts"
        lines = [
            f"{self.address}: {state}",
            f"{total.inputs:,} input{'' if total.inputs == 1 else 's'}: {total.ok:,} ok, "
            f"{total.no_face:,} no face, {total.unreadable:,} unreadable",
            f"{total.faces:,} face{'' if total.faces == 1 else 's'}"
            + (": " if total.faces else "")
            + self._expressions(),
        ]
        lines += [f"  {count:,} x {reason}{self.example(reason)}" for reason, count in self.reasons[:_MOST_REASONS]]
        if total.unreadable:
            lines.append(f"  each is named in {self.address}/inputs, with its error")
        rates = list(self.rates().values())
        if rates:
            workers = f"{len(rates):,} worker{'s' if len(rates) > 1 else ''}"
            lines.append(f"{sum(rates) / len(rates):.1f} images a second a worker ({workers})")
        if self.complete:
            lines.append(f"charts: {self.address}/summary.html")
        return "\n".join(lines)

    def _expressions(self) -> str:
        found = sorted(self.total.expressions.items(), key=lambda item: -item[1])
        return ", ".join(f"{count:,} {name}" for name, count in found if count)


def summarize(destination: Destination) -> Summary:
    """Add up the parts that are done."""
    summary = Summary(destination.folder.address, destination.manifest)
    summary.total.expressions = dict.fromkeys(destination.manifest.labels, 0)
    for tally in destination.tallies():
        summary.parts_done += 1
        summary.total.add(tally)
        summary.workers.setdefault(tally.worker, Tally()).add(tally)
    return summary
