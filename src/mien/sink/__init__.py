"""Where readings go: the terminal, rows, pictures, videos, pages. Every sink is a context manager."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mien.lazy import lazy_names

if TYPE_CHECKING:
    from mien.sink.base import Sink
    from mien.sink.draw import DrawSink, draw_reading
    from mien.sink.rows import CsvSink, JsonLinesSink, ParquetSink, open_row_sink
    from mien.sink.summary import SummarySink
    from mien.sink.table import TableSink
    from mien.sink.timeline import TimelineSink
    from mien.sink.video import VideoSink

__all__ = [
    "CsvSink",
    "DrawSink",
    "JsonLinesSink",
    "ParquetSink",
    "Sink",
    "SummarySink",
    "TableSink",
    "TimelineSink",
    "VideoSink",
    "draw_reading",
    "open_row_sink",
]

if not TYPE_CHECKING:
    # So that a program that writes rows does not wait for what draws on terminals.
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "base": ["Sink"],
            "draw": ["DrawSink", "draw_reading"],
            "rows": ["CsvSink", "JsonLinesSink", "ParquetSink", "open_row_sink"],
            "summary": ["SummarySink"],
            "table": ["TableSink"],
            "timeline": ["TimelineSink"],
            "video": ["VideoSink"],
        },
    )
