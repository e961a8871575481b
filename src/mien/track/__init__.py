"""Identity over frames, and steady probabilities for each person."""

from mien.track.persons import Persons
from mien.track.steady import Steady
from mien.track.tracker import Tracker

__all__ = ["Persons", "Steady", "Tracker"]
