"""When a case is stopped for its memory: at its hard limit, far past a ceiling, or before the machine runs out."""

from __future__ import annotations

from pytest_layers.measure import machine
from pytest_layers.measure.sampler import ALLOCATION_BYTES_PER_SECOND, Sampler

SPARE_CHECK_SECONDS = (0.05, 1.0)
"""Shortest and longest time between two looks at what the machine can spare: seldom while there is plenty."""


class Brake:
    """The stop lines of one case: footprints at which it is stopped. `sampler.stop_bytes` is kept at the lowest."""

    def __init__(
        self, sampler: Sampler, *, reserve_bytes: int = 0, hard_limit_bytes: int = 0
    ) -> None:
        self._sampler = sampler
        self._reserve_bytes = reserve_bytes
        self._hard_limit_bytes = hard_limit_bytes
        self._growth_bytes: int | None = None
        self._total_bytes: int | None = None
        self._machine_bytes: int | None = None
        self._spare_due = 0.0
        self._in_window = False

    def draw(self, *, growth_bytes: int | None, total_bytes: int | None) -> None:
        """Set the lines of the case's ceilings; None where there is none."""
        self._growth_bytes, self._total_bytes = growth_bytes, total_bytes
        self.set()

    def window(self, *, is_open: bool) -> None:
        """Tell whether the window is open: the line on growth, counted from its start, holds only then."""
        self._in_window = is_open
        self.set()

    def set(self) -> None:
        """Tell the sampler the lowest line."""
        self._sampler.stop_bytes = min(self._lines().values(), default=None)

    def _lines(self) -> dict[str, int]:
        """The lines that hold now, by their reasons: `hard_limit`, `memory` (the ceilings' lowest) and `machine`."""
        ceilings = [self._total_bytes]
        if self._in_window and self._growth_bytes is not None:
            ceilings.append(self._growth_bytes + self._sampler.base_bytes)
        nearest = min((line for line in ceilings if line is not None), default=None)
        lines = {
            "hard_limit": self._hard_limit_bytes or None,
            "memory": nearest,
            "machine": self._machine_bytes,
        }
        return {why: line for why, line in lines.items() if line is not None}

    def look_at_machine(self, now: float) -> None:
        """Draw the line of what the machine can spare, if it is time to look again."""
        if now < self._spare_due:
            return
        spare = machine.memory_spare_bytes() - self._reserve_bytes
        self._machine_bytes = self._sampler.footprint_bytes + max(0, spare)
        self.set()
        soonest, latest = SPARE_CHECK_SECONDS
        ahead = spare / ALLOCATION_BYTES_PER_SECOND / 2
        self._spare_due = now + min(latest, max(soonest, ahead))

    def passed(self) -> tuple[str, int] | None:
        """The reason and the bytes of the lowest line, if the footprint is past it; else None."""
        line = self._sampler.stop_bytes
        if line is None or self._sampler.footprint_bytes <= line:
            return None
        return min(self._lines().items(), key=lambda pair: pair[1])
