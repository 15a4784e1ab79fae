"""Draws an aligned table for the terminal, in the first of several layouts that fits. It never wraps a cell."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rich.console import Console
    from rich.table import Table

_UNBOUNDED = 10_000


@dataclass(frozen=True)
class Row:
    """One line of cells, and lines of free text above and below it."""

    cells: Mapping[str, str]
    """Column title to text without line breaks; a row may hold more than its grid shows."""
    style: str = ""
    """A colour in words: `red`."""
    above: tuple[str, ...] = ()
    below: tuple[str, ...] = ()


@dataclass(frozen=True)
class Grid:
    """One layout of a table."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    numeric: frozenset[str] = frozenset()
    """Columns aligned to the right."""
    indent: int = 0


def render(grids: Sequence[Grid], *, width: int, colour: bool) -> list[str]:
    """The lines of the first of `grids` that fits into `width`, or of the last if none does."""
    console = _console(colour=colour)
    drawn = [(grid, _table(grid)) for grid in grids]
    fits = (pair for pair in drawn if console.measure(pair[1]).maximum + pair[0].indent <= width)
    grid, table = next(fits, drawn[-1])
    with console.capture() as capture:
        console.print(table)
    return list(_interleaved(grid, capture.get().splitlines()))


def _console(*, colour: bool) -> Console:
    from rich.console import Console

    return Console(
        file=io.StringIO(),
        width=_UNBOUNDED,
        height=_UNBOUNDED,  # without a height rich takes 80 columns where TERM=dumb
        force_terminal=colour,
        color_system="standard" if colour else None,
        no_color=not colour,
        markup=False,  # `test_x[red]` is an id, not a style
        emoji=False,
        highlight=False,
    )


def _table(grid: Grid) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for title in grid.columns:
        table.add_column(title, justify="right" if title in grid.numeric else "left", no_wrap=True)
    for row in grid.rows:
        table.add_row(*(row.cells[title] for title in grid.columns), style=row.style)
    return table


def _interleaved(grid: Grid, lines: list[str]) -> Iterator[str]:
    """The table's lines, header first, with the free text of each row around it."""
    margin = " " * grid.indent
    yield margin + lines[0]
    for row, line in zip(grid.rows, lines[1:], strict=True):
        yield from row.above
        yield margin + line
        yield from row.below
