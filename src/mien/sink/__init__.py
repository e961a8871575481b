"""Where readings go: the terminal, rows, pictures, videos, pages. Every sink is a context manager."""

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
