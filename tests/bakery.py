"""Declared options for tests of what comes of a declaration: in the library, in files, as flags."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from mien.options import Options, option


@dataclass(frozen=True, kw_only=True)
class Shop(Options):
    """Options that a command has of its room."""

    HEADLINE: ClassVar[str] = "In the shop"

    queue: int = option(3, "How many wait.")


@dataclass(frozen=True, kw_only=True)
class Bake(Shop):
    """Options of each kind, with and without bounds, for tests of what their declaration does."""

    oven: str = option("gas", "Which oven.", choices=("gas", "wood"))
    minutes: float = option(20.0, "How long.", minimum=1, maximum=90)
    glaze: bool = option(False, "Whether to glaze.")
    tray: int | None = option(None, "Which tray.", flag="--tray-number")
    recipe: Path | None = option(None, "Where it is written down.")
