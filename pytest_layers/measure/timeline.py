"""The timeline of a window, with at most `MAX_POINTS` points. Pure."""

from __future__ import annotations

from dataclasses import dataclass

MAX_POINTS = 400


@dataclass(frozen=True)
class Point:
    """One reading of the tree."""

    seconds: float
    footprint_bytes: int
    cpu_seconds: float


class Timeline:
    """The largest of every few readings."""

    def __init__(self) -> None:
        self._points: list[Point] = []
        self._held: Point | None = None
        """The largest of those readings that are not in a point yet."""
        self._readings = 0
        self._stride = 1

    def points(self) -> tuple[Point, ...]:
        """All points, the last one of the readings since the one before."""
        return (*self._points, *([self._held] if self._held else []))

    def draw(self, point: Point) -> None:
        """Add a reading; when there are too many points, keep the larger of every two."""
        self._readings += 1
        self._held = _larger(self._held, point) if self._held else point
        if self._readings % self._stride:
            return
        self._points.append(self._held)
        self._held = None
        if len(self._points) == MAX_POINTS:
            pairs = zip(self._points[::2], self._points[1::2], strict=True)
            self._points = [_larger(*pair) for pair in pairs]
            self._stride *= 2


def _larger(one: Point, other: Point) -> Point:
    return one if one.footprint_bytes >= other.footprint_bytes else other
