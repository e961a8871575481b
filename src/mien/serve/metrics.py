"""What the service counts, for Prometheus. A registry of its own for each app: several may live in one process."""

from __future__ import annotations

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

__all__ = ["Metrics"]

_SECONDS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)


class Metrics:
    """The counters, gauges and histograms of one service."""

    content_type = "text/plain; version=0.0.4; charset=utf-8"

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        self.requests = Counter("mien_requests", "Answered requests.", ["route", "status"], registry=registry)
        self.request_seconds = Histogram(
            "mien_request_seconds", "From a request's head to its answer.", ["route"], buckets=_SECONDS,
            registry=registry,
        )  # fmt: skip
        self.refused = Counter("mien_refused", "Requests and frames refused, by reason.", ["code"], registry=registry)
        self.images = Counter("mien_images", "Images and frames read.", registry=registry)
        self.faces = Counter("mien_faces", "Faces read.", registry=registry)
        self.batch_images = Histogram(
            "mien_batch_images", "Images whose faces went through the expression model together.",
            buckets=(1, 2, 4, 8, 16, 32), registry=registry,
        )  # fmt: skip
        self.wait_seconds = Histogram(
            "mien_wait_seconds", "Time of an image in the queue.", buckets=_SECONDS, registry=registry
        )
        self.queue_images = Gauge("mien_queue_images", "Images waiting or being read.", registry=registry)
        self.held_bytes = Gauge("mien_held_bytes", "Memory of uploads under way.", registry=registry)
        self.explained_faces = Counter("mien_explained_faces", "Faces explained.", registry=registry)
        self.queue_explanations = Gauge(
            "mien_queue_explanations", "Faces waiting to be explained, or being explained.", registry=registry
        )
        self.streams = Gauge("mien_streams", "Live streams that are open.", registry=registry)
        self.dropped_frames = Counter(
            "mien_dropped_frames", "Frames of live streams passed over for a newer one.", registry=registry
        )

    def render(self) -> bytes:
        """The text that Prometheus reads."""
        return generate_latest(self._registry)
