"""Self-contained HTML pages: templates, charts, pictures. Nothing on a page is fetched from elsewhere."""

from mien.page.charts import bar_chart, histogram, matrix
from mien.page.render import picture_strip, picture_uri, render, write_page

__all__ = ["bar_chart", "histogram", "matrix", "picture_strip", "picture_uri", "render", "write_page"]
