"""Draws footprint and cores over the window of one case, as two rows of blocks for a failure's text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_layers.units import format_bytes, format_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pytest_layers.records import Measurement

COLUMNS = 48
BLOCKS = "▁▂▃▄▅▆▇█"
ASCII_BLOCKS = "_.:-=+*#"
_TITLE = 11


def draw(measurement: Measurement, *, ascii_only: bool = False) -> list[str]:
    """The lines of the chart, at most 80 wide; none if there are fewer than two readings."""
    moments, wall = measurement.timeline, measurement.wall_seconds
    if len(moments) < 2 or not wall:
        return []
    footprints = [(moment.seconds / wall, moment.footprint_bytes) for moment in moments]
    cores = [(moment.seconds / wall, moment.cores_used) for moment in moments]
    low = min(measurement.base_bytes, *(held for _, held in footprints))
    high = max(held for _, held in footprints)
    blocks = ASCII_BLOCKS if ascii_only else BLOCKS
    memory_row = _row(_spread(footprints, max), low, high, blocks)
    cores_row = _row(_spread(cores, _mean), 0, measurement.cores_given, blocks)
    return [
        f"{'footprint':<{_TITLE}}{memory_row}  {format_bytes(low)} to {format_bytes(high)}",
        " " * _TITLE + _peak_mark(measurement.peak_seconds, wall),
        f"{'cores':<{_TITLE}}{cores_row}  0 to {measurement.cores_given}",
        f"{'':<{_TITLE}}0 s{format_seconds(wall):>{COLUMNS - 3}}",
    ]


def _column(share: float) -> int:
    return min(int(share * COLUMNS), COLUMNS - 1)


def _spread(
    points: Sequence[tuple[float, float]], pick: Callable[[Iterable[float]], float]
) -> list[float]:
    """One value for each column: `pick` of the readings in it, or the next reading if there is none."""
    columns: list[list[float]] = [[] for _ in range(COLUMNS)]
    for share, value in points:
        columns[_column(share)].append(value)
    following, values = points[-1][1], []
    for column in reversed(columns):
        following = pick(column) if column else following
        values.append(following)
    return values[::-1]


def _row(values: list[float], low: float, high: float, blocks: str) -> str:
    """`low` as the lowest block, `high` and above as the highest."""
    steps = (len(blocks) - 1) / (high - low) if high > low else 0
    return "".join(blocks[min(round((value - low) * steps), len(blocks) - 1)] for value in values)


def _peak_mark(seconds: float, wall: float) -> str:
    """`^` below the column of the peak, its time beside it on the side where there is room."""
    column, text = _column(seconds / wall), f"peak at {format_seconds(seconds)}"
    return " " * column + f"^ {text}" if column < COLUMNS // 2 else f"{text} ^".rjust(column + 1)


def _mean(values: Iterable[float]) -> float:
    numbers = list(values)
    return sum(numbers) / len(numbers)
