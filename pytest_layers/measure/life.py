"""One process of a tree: what its readings and the kernel's mark say of it. Pure."""

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
"""No bound."""

STILL_BYTES = 2**20
"""File and shared pages that moved by less count as still."""


class Reading(NamedTuple):
    """One process at one time."""

    pid: int
    memory: Memory
    cpu_seconds: float = 0.0
    """Of its life."""
    faults: int = 0
    """Minor page faults of its life; 0 where they were not read."""
    family: int = 0
    """The same number for processes that share pages since a fork."""
    image: tuple[int, ...] = ()
    """What tells the program it runs from the one before, as far as is known."""
    parent: int = 0


@dataclass
class Life:
    """One process running one program, from its first reading to its last. All sizes in bytes."""

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
    """What the mark rose to between its last reading and its reset."""
    sure: int = 0
    """What it held for sure at some time since the last reading, shared memory included."""
    peak: int = 0
    at_peak: int = 0
    upper: int = 0
    """Bound on its anonymous memory since the last reading."""
    unhidden: int = 0
    """The same, but for what moving file and shared pages can hide."""
    upper_with_shared: int = 0
    touchable: int = 0
    """What it can have touched since its mark was reset."""
    file_seen: tuple[int, int] = (0, 0)
    """Least and most since the mark was reset; so are the next ones."""
    shared_seen: tuple[int, int] = (0, 0)
    swap_seen: tuple[int, int] = (0, 0)
    anon_seen: int = 0
    resident_seen: int = 0
    """Swap included."""
    file_most: int = 0
    """Of its life: what its mark may tell of at any time."""
    reset_cpu_seconds: float = 0.0
    reset_faults: int = 0
    reset_huge: int = 0
    reset_anon: int = 0
    is_unmarked: bool = False
    """Its mark was never reset: it tells of pages too that no fault brought, but a fork."""
    first_cpu_seconds: float = 0.0
    """When the window opened."""
    cpu_seconds: float = 0.0
    """At the last reading, of all its life."""
    family: int = 0
    checked_anon: int = 0
    """When its family's proportional size was read last."""
    checked_faults: int = 0
    newborn_huge: tuple[int, int] | None = None
    """Until that is read: `huge` before its birth, and after its first reading."""
    faults: int = 0
    huge: tuple[int, int] = (0, 0)
    """What page faults of the whole machine had put into huge pages before the last reading, and after it."""
    image: tuple[int, ...] = ()
    parent: int = 0
    is_gone: bool = False
    """It has ended since its last reading."""

    def restart(self) -> None:
        """Its mark stands at what is resident."""
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
        """Bounds since its mark was reset, from one more reading."""
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
        """At the last reading or, of a torn one, at any time from the one before it to this."""
        return min(self.anon, self.anon_before) if is_torn else self.anon

    def anon_most(self, *, is_torn: bool) -> int:
        """The same at most."""
        return max(self.anon, self.anon_before) if is_torn else self.anon

    def finding(self) -> LifeFinding:
        """What is told of it."""
        return LifeFinding(
            pid=self.pid,
            name=self.name,
            peak_bytes=self.peak,
            at_peak_bytes=self.at_peak,
            cpu_seconds=self.cpu_seconds - self.first_cpu_seconds,
        )

    def _ceiling(self) -> int:
        """What its anonymous memory can have been, had it freed nothing of what page faults brought.

        A mark that says more tells of file pages, which came and left and may be met on their way.
        """
        if self.is_unmarked:
            return UNTOLD_BYTES
        return max(self.anon_seen, self.reset_anon + self._faulted())

    def _can_touch(self) -> int:
        """Bytes that it can have touched since its mark was reset: by its page faults, else for its CPU seconds."""
        if self.faults:
            return self._faulted()
        spent = self.cpu_seconds - self.reset_cpu_seconds + TICK_SECONDS
        return int(spent * TOUCH_BYTES_PER_SECOND)

    def _faulted(self) -> int:
        """What page faults can have brought since its mark was reset: a page each, or a huge one."""
        if not self.faults:
            return UNTOLD_BYTES
        faults = self.faults - self.reset_faults
        return faults * PAGE_BYTES + self.huge[1] - self.reset_huge


def span(seen: tuple[int, int]) -> int:
    """From least to most."""
    return seen[1] - seen[0]


def _widen(seen: tuple[int, int], value: int) -> tuple[int, int]:
    return min(seen[0], value), max(seen[1], value)
