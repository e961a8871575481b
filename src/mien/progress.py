"""How work that takes long tells how far it is: one shape of callback everywhere outside training."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Progress"]

Progress = Callable[[int, "int | None", str], None]
"""Called with what is done, of how many (None where nobody knows yet), and the name of the part under way."""
