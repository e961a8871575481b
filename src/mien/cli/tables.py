"""Tables and lines of a report on the terminal: nothing is cut, however narrow it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table
    from rich.text import Text

__all__ = ["new_table", "print_line", "print_table"]

_GAP = 2


def new_table(first: str, *titles: str, left: tuple[str, ...] = ()) -> Table:
    """An empty table without a frame.

    Parameters
    ----------
    first, *titles : str
        Of its columns. The first names the rows; numbers stand on the right of the others.
    left : tuple of str
        Titles of those that are texts.
    """
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(first, no_wrap=True)
    for title in titles:
        table.add_column(title, justify="left" if title in left else "right", no_wrap=True)
    return table


def print_table(console: Console, table: Table) -> None:
    """Print a table of `new_table`; where it is wider than the terminal, its columns go on in others below.

    The names of the rows stand in each of them. A column without a title stays beside the one before.
    """
    from rich.table import Table

    heads = [str(column.header) for column in table.columns]
    cells = [[*column.cells] for column in table.columns]
    widths = [max(map(_width, [head, *own])) for head, own in zip(heads, cells, strict=True)]
    blocks: list[list[int]] = []
    for column in range(1, len(heads)):
        if heads[column] or not blocks:
            blocks.append([])
        blocks[-1].append(column)
    parts: list[list[int]] = []
    free = 0
    for block in blocks:
        width = sum(_GAP + widths[column] for column in block)
        if width > free:
            parts.append([])
            free = console.width - widths[0]
        parts[-1] += block
        free -= width
    for number, part in enumerate(parts):
        if number:
            console.print()
        own = Table(box=None, pad_edge=False, header_style="bold")
        fits = widths[0] + sum(_GAP + widths[column] for column in part) <= console.width
        for column in (0, *part):
            own.add_column(heads[column], justify=table.columns[column].justify, no_wrap=fits)
        for index, row in enumerate(table.rows):
            own.add_row(*(cells[column][index] for column in (0, *part)), style=row.style)
        console.print(own)


def print_line(console: Console, line: str | Text, style: str = "", indent: int = 0) -> None:
    """Print a line; on a terminal it is broken between words, in a file it stays one.

    Parameters
    ----------
    console : Console
    line : str or Text
    style : str
    indent : int
        How far from the left it goes on: below a text of which the first characters are the name.
    """
    from rich.table import Table
    from rich.text import Text

    if not indent or not console.is_terminal:
        console.print(line, style=style or None, soft_wrap=not console.is_terminal)
        return
    text = line if isinstance(line, Text) else Text(line)
    grid = Table.grid()
    grid.add_column(width=indent, no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row(*text.divide([indent]))
    console.print(grid, style=style or None)


def _width(cell: RenderableType) -> int:
    from rich.cells import cell_len

    return cell_len(str(cell))
