"""Bounds on one process of a tree, from its readings and the kernel's high-water mark. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from pytest_layers.measure.findings import LifeFinding
from pytest_layers.measure.procfs import PAGE_BYTES, Memory

TOUCH_BYTES_PER_SECOND = 16e9
"""Faster than one core can touch new memory: 0.7 GB/s in 4 KiB pages measured, 10 GB/s in huge pages."""

TICK_SECONDS = 0.004
"""How far the CPU clock of a process that is running may lag (scheduler tick at 250 Hz)."""

UNTOLD_BYTES = 2**62
"""Stands for "no bound is known"."""

STILL_BYTES = 2**20
"""File and shared pages that moved by no more than this count as still."""


class Reading(NamedTuple):
    """One reading of one process."""

    pid: int
    memory: Memory
    cpu_seconds: float = 0.0
    """Of its life."""
    faults: int = 0
    """Minor page faults of its life; 0 where they were not read."""
    family: int = 0
    """The same number for processes that share pages since a fork."""
    image: tuple[int, ...] = ()
    """Changes when the process runs another program (exec), as far as that is known."""
    parent: int = 0


@dataclass
class Life:
    """One process running one program, from its first reading to its last. All sizes are in bytes.

    "The mark" is the kernel's high-water mark of its resident size.
    """

    pid: int
    name: str
    anon: int = 0
    """At the last reading; swap included."""
    anon_before: int = 0
    """At the one before it."""
    file: int = 0
    shared: int = 0
    swap: int = 0
    high_water: int = 0
    """The mark as last read, or what it was reset to since."""
    unread_high_water: int = 0
    """What the mark had risen to when it was reset after the last reading; 0 where that is no news."""
    sure: int = 0
    """Lower bound on the most it held since the last reading, shared memory included."""
    peak: int = 0
    at_peak: int = 0
    upper: int = 0
    """Upper bound on its anonymous memory since the last reading."""
    unhidden: int = 0
    """The same, without what moving file and shared pages can hide."""
    upper_with_shared: int = 0
    touchable: int = 0
    """How much it can have touched since its mark was reset."""
    file_seen: tuple[int, int] = (0, 0)
    """Smallest and largest size read since the mark was reset; the same for the next two."""
    shared_seen: tuple[int, int] = (0, 0)
    swap_seen: tuple[int, int] = (0, 0)
    anon_seen: int = 0
    resident_seen: int = 0
    """Swap included."""
    file_most: int = 0
    """The most file pages of its life: the mark may contain as many at any time."""
    reset_cpu_seconds: float = 0.0
    reset_faults: int = 0
    reset_huge: int = 0
    reset_anon: int = 0
    is_unmarked: bool = False
    """Whether its mark was never reset: then that contains pages too that came by fork, not by faults."""
    first_cpu_seconds: float = 0.0
    """When the window opened."""
    cpu_seconds: float = 0.0
    """At the last reading, of all its life."""
    family: int = 0
    checked_anon: int = 0
    """At the last reading of its family's proportional size; so are the faults."""
    checked_faults: int = 0
    newborn_huge: tuple[int, int] | None = None
    """Until the next such reading: `huge` before it was born, and after its first reading."""
    faults: int = 0
    huge: tuple[int, int] = (0, 0)
    """What page faults of the whole machine had put into huge pages before the last reading, and after it."""
    image: tuple[int, ...] = ()
    parent: int = 0
    is_gone: bool = False
    """It has ended since its last reading."""

    def restart(self) -> None:
        """Start anew: its mark was just reset to its resident size."""
        self.file_seen, self.shared_seen = (self.file,) * 2, (self.shared,) * 2
        self.swap_seen = (self.swap,) * 2
        self.anon_seen, self.resident_seen = self.anon, self.anon + self.file + self.shared
        self.reset_cpu_seconds = self.cpu_seconds
        self.reset_faults, self.reset_huge = self.faults, self.huge[0]
        self.reset_anon, self.is_unmarked = self.anon, False

    def see(self, memory: Memory) -> None:
        """Sizes that it had at some time since its mark was reset."""
        self.file_seen = _widen(self.file_seen, memory.file)
        self.file_most = max(self.file_most, memory.file)
        self.shared_seen = _widen(self.shared_seen, memory.shmem)
        self.swap_seen = _widen(self.swap_seen, memory.swap)
        self.anon_seen = max(self.anon_seen, memory.anon + memory.swap)
        self.resident_seen = max(self.resident_seen, memory.resident + memory.swap)

    def bound(self, memory: Memory, *, marks_hold: bool) -> None:
        """Compute the bounds since its mark was reset, with one more reading."""
        self.see(memory)
        self.high_water = memory.high_water
        high = max(memory.high_water, self.unread_high_water)
        most = max(high + self.swap_seen[1], self.resident_seen)
        moved = span(self.file_seen) + span(self.shared_seen)
        ceiling = self._ceiling()
        self.touchable = self._can_touch()
        self.unhidden = min(self.anon_seen + most - self.resident_seen, ceiling)
        self.upper = min(self.unhidden + min(moved, self.touchable), ceiling)
        self.upper_with_shared = min(self.upper + self.shared_seen[1], most - self.file_seen[0])
        still = moved <= STILL_BYTES and marks_hold
        held = high + self.swap_seen[0] - self.file_most if still else 0
        self.sure = max(self.anon + self.shared, min(held, ceiling + self.shared_seen[1]))
        self.peak = max(self.peak, self.sure)
        self.unread_high_water = 0

    def anon_held(self, *, is_torn: bool) -> int:
        """Anonymous memory at the last reading; if that was torn, at least, at any time since the one before."""
        return min(self.anon, self.anon_before) if is_torn else self.anon

    def anon_most(self, *, is_torn: bool) -> int:
        """The same, at most."""
        return max(self.anon, self.anon_before) if is_torn else self.anon

    def finding(self) -> LifeFinding:
        """What is reported of it."""
        return LifeFinding(
            pid=self.pid,
            name=self.name,
            peak_bytes=self.peak,
            at_peak_bytes=self.at_peak,
            cpu_seconds=self.cpu_seconds - self.first_cpu_seconds,
        )

    def _ceiling(self) -> int:
        """Upper bound on its anonymous memory: what was there at the reset and all that page faults brought since.

        If a mark says more, the rest were file pages that came and went.
        """
        if self.is_unmarked:
            return UNTOLD_BYTES
        return max(self.anon_seen, self.reset_anon + self._faulted())

    def _can_touch(self) -> int:
        """How much it can have touched since its mark was reset: by its page faults, else by its CPU time."""
        if self.faults:
            return self._faulted()
        spent = self.cpu_seconds - self.reset_cpu_seconds + TICK_SECONDS
        return int(spent * TOUCH_BYTES_PER_SECOND)

    def _faulted(self) -> int:
        """How much page faults can have brought since its mark was reset: a page each, or a huge one."""
        if not self.faults:
            return UNTOLD_BYTES
        faults = self.faults - self.reset_faults
        return faults * PAGE_BYTES + self.huge[1] - self.reset_huge


def span(seen: tuple[int, int]) -> int:
    """From the smallest to the largest."""
    return seen[1] - seen[0]


def _widen(seen: tuple[int, int], value: int) -> tuple[int, int]:
    return min(seen[0], value), max(seen[1], value)
