"""The parts of the service, as the routes and the live streams hold them."""

from __future__ import annotations

from dataclasses import dataclass

from mien.serve.engine import Engine
from mien.serve.explainer import Explainer
from mien.serve.metrics import Metrics
from mien.serve.models import Models
from mien.serve.options import ServeOptions
from mien.serve.upload import Uploads

__all__ = ["Service"]


@dataclass(frozen=True)
class Service:
    """What the routes and the live streams share: one of each for an application."""

    options: ServeOptions
    metrics: Metrics
    models: Models
    engine: Engine
    explainer: Explainer
    uploads: Uploads
