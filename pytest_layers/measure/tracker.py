"""Readings of a tree, taken in turn, become bounds on its peak. Pure: no clock, no files.

What is bounded, between two readings of a process:

- The kernel's mark says how large the resident size was at most. What it says beyond the sizes read is a burst of
  anonymous memory. Where file or shared pages moved meanwhile, they can hide another one behind them, of no more
  than they moved by, and of no more than it can touch in that time.
- Processes forked without exec share anonymous pages, so their sum counts twice. For them the proportional size
  (PSS) is read; until the next such reading they can have added no more than they newly touched: what their own
  marks grew by, or one page for every page fault.
- A process that ended since the last reading can have grown meanwhile by no more than `FAULT_BYTES_PER_SECOND`, nor
  beyond the largest child that the kernel's accounting names (`ru_maxrss` of waited children).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from pytest_layers.measure.procfs import PAGE_BYTES, Memory

FAULT_BYTES_PER_SECOND = 2e9
"""As fast as one core can touch new memory: 0.8 GB/s in 4 KiB pages measured, more in huge pages."""

TICK_SECONDS = 0.004
"""How far the CPU clock of a process that is running may lag (scheduler tick at 250 Hz)."""

STILL_BYTES = 2**20
"""File and shared pages that moved by less count as still."""

MAX_POINTS = 400


class Reading(NamedTuple):
    """One process at one time."""

    pid: int
    memory: Memory
    cpu_seconds: float = 0.0
    """Of its life."""
    faults: int = 0
    """Minor page faults of its life; read only where it has forked twins."""
    family: int = 0
    """The same number for processes that share pages since a fork."""


@dataclass
class Life:
    """One process, from its first reading to its last."""

    pid: int
    name: str
    anon: int = 0
    sure: int = 0
    """What it held for sure at some time since the last reading, shared memory included."""
    peak: int = 0
    at_peak: int = 0
    upper: int = 0
    """Bound on its anonymous memory since the last reading."""
    upper_with_shared: int = 0
    file_seen: tuple[int, int] = (0, 0)
    """Least and most since the mark was reset."""
    shared_seen: tuple[int, int] = (0, 0)
    anon_seen: int = 0
    """Most since the mark was reset."""
    resident_seen: int = 0
    reset_seconds: float = 0.0
    reset_cpu_seconds: float = 0.0
    cpu_seconds: float = 0.0
    file: int = 0
    shared: int = 0
    family: int = 0
    checked_anon: int = 0
    """When its family's proportional size was read last."""
    checked_faults: int = 0
    faults: int = 0


class Unseen(NamedTuple):
    """A stretch in which processes ended: the tree's bound without their last growth, and that growth."""

    upper_bytes: int
    ended: tuple[tuple[int, int], ...]
    """Last bound and possible growth of each, in bytes."""


@dataclass(frozen=True)
class Point:
    """One point of the timeline, as tracked."""

    seconds: float
    footprint_bytes: int
    cpu_seconds: float


@dataclass
class Tracker:
    """Bounds on one window; `observe` is called for every reading of the tree, in order of time."""

    slack_bytes: int
    """How far the kernel's mark of one process may lag (percpu counters)."""
    marks_hold: bool = True
    """Whether the kernel let the marks be reset; else they may speak of the time before."""
    lives: dict[int, Life] = field(default_factory=dict)
    ended: list[Life] = field(default_factory=list)
    unseen: list[Unseen] = field(default_factory=list)
    points: list[Point] = field(default_factory=list)
    base_bytes: int = 0
    lower_bytes: int = 0
    upper_bytes: int = 0
    peak_seconds: float = 0.0
    file_bytes: int = 0
    shared_bytes: int = 0
    samples: int = 0
    longest_gap_seconds: float = 0.0
    footprint_bytes: int = 0
    _seconds: float = 0.0
    _proportional: dict[int, int] = field(default_factory=dict)
    _stride: int = 1
    _held: Point | None = None

    def observe(
        self,
        seconds: float,
        readings: list[Reading],
        *,
        segment_bytes: int = 0,
        proportional: dict[int, int] | None = None,
        names: dict[int, str] | None = None,
        cpu_seconds: float = 0.0,
    ) -> None:
        """Take in one reading of all living processes.

        `segment_bytes`: shared memory of the tree, once. `proportional`: anonymous PSS by family, where it was read
        now. A process that is missing from `readings` has ended.
        """
        gap = seconds - self._seconds if self.samples else 0.0
        checked = proportional or {}
        for reading in readings:
            self._take(seconds, reading, (names or {}).get(reading.pid, ""))
        self._check({key: checked[key] for key in checked.keys() - self._proportional.keys()})
        upper = self._upper(segment_bytes)
        self._check(checked)
        self._bury(self.lives.keys() - {reading.pid for reading in readings}, upper, gap)
        lower = self._lower(checked, segment_bytes)
        if not self.samples:
            self.base_bytes = lower
        if lower > self.lower_bytes:
            self._new_peak(seconds, lower)
        self.upper_bytes = max(self.upper_bytes, upper)
        self.file_bytes = max(self.file_bytes, sum(r.memory.file for r in readings))
        self.shared_bytes = max(self.shared_bytes, segment_bytes)
        self.longest_gap_seconds = max(self.longest_gap_seconds, gap)
        self.samples += 1
        self._seconds = seconds
        self._draw(seconds, lower, cpu_seconds)

    def reset(self, pid: int) -> None:
        """The mark of `pid` was started anew right after its last reading."""
        self._restart(self.lives[pid], self._seconds)

    def _restart(self, life: Life, seconds: float) -> None:
        life.file_seen, life.shared_seen = (life.file,) * 2, (life.shared,) * 2
        life.anon_seen, life.resident_seen = life.anon, life.anon + life.file + life.shared
        life.reset_seconds, life.reset_cpu_seconds = seconds, life.cpu_seconds

    def _take(self, seconds: float, reading: Reading, name: str) -> None:
        """Bounds of one process since its mark was reset."""
        memory = reading.memory
        life = self.lives.get(reading.pid)
        born = life is None
        if life is None:
            life = self.lives[reading.pid] = Life(reading.pid, name)
        life.family, life.faults = reading.family, reading.faults
        life.anon = memory.anon + memory.swap
        life.file, life.shared = memory.file, memory.shmem
        if born:
            self._restart(life, self._seconds)
            life.checked_anon = life.anon
        life.cpu_seconds = reading.cpu_seconds
        self._bound(life, memory, seconds - life.reset_seconds)

    def _bound(self, life: Life, memory: Memory, elapsed_seconds: float) -> None:
        life.file_seen = _widen(life.file_seen, life.file)
        life.shared_seen = _widen(life.shared_seen, life.shared)
        life.anon_seen = max(life.anon_seen, life.anon)
        life.resident_seen = max(life.resident_seen, memory.resident + memory.swap)
        high = memory.high_water + memory.swap
        burst = max(0, high - life.resident_seen)
        moved = span(life.file_seen) + span(life.shared_seen)
        spent = life.cpu_seconds - life.reset_cpu_seconds + TICK_SECONDS
        hidden = min(moved, int(min(spent, elapsed_seconds) * FAULT_BYTES_PER_SECOND))
        life.upper = life.anon_seen + burst + hidden
        life.upper_with_shared = min(
            life.upper + life.shared_seen[1],
            max(life.anon + life.shared, high - life.file_seen[0]),
        )
        still = moved <= STILL_BYTES and self.marks_hold
        life.sure = max(life.anon + life.shared, high - life.file_seen[1] if still else 0)
        life.peak = max(life.peak, life.sure)

    def _families(self) -> dict[int, list[Life]]:
        """Families of more than one: those whose sum counts pages twice."""
        found: dict[int, list[Life]] = {}
        for life in self.lives.values():
            found.setdefault(life.family or -life.pid, []).append(life)
        return {family: lives for family, lives in found.items() if len(lives) > 1}

    def _check(self, proportional: dict[int, int]) -> None:
        """Remember where each member stood when its family's proportional size was read."""
        for family, size in proportional.items():
            self._proportional[family] = size
            for life in self.lives.values():
                if life.family == family:
                    life.checked_anon, life.checked_faults = life.anon, life.faults

    def _lower(self, proportional: dict[int, int], segment_bytes: int) -> int:
        """Footprint at this reading; for an unread family no more than its largest member is sure."""
        families = self._families()
        twins = {life.pid for lives in families.values() for life in lives}
        total = sum(life.anon for life in self.lives.values() if life.pid not in twins)
        for family, lives in families.items():
            total += proportional.get(family, max(life.anon for life in lives))
        self.footprint_bytes = total + segment_bytes
        if len(self.lives) != 1:
            return self.footprint_bytes
        (life,) = self.lives.values()
        return max(self.footprint_bytes, life.sure + max(0, segment_bytes - life.shared))

    def _upper(self, segment_bytes: int) -> int:
        """Bound on the footprint since the last reading, by whichever way of counting shared memory is tighter."""
        families = self._families()
        twins = {life.pid for lives in families.values() for life in lives}
        alone = [life for life in self.lives.values() if life.pid not in twins]
        slack = self.slack_bytes * len(self.lives)
        anon = sum(life.upper for life in alone)
        anon += sum(self._family_upper(family, lives) for family, lives in families.items())
        apart = anon + max(segment_bytes, self.shared_bytes)
        if families:
            return apart + slack
        mapped = sum(life.shared for life in alone)
        within = sum(life.upper_with_shared for life in alone) + max(0, segment_bytes - mapped)
        return min(apart, within) + slack

    def _family_upper(self, family: int, lives: list[Life]) -> int:
        """A family's bound: its last proportional size, and what its members can have touched since."""
        total = sum(life.upper for life in lives)
        if family not in self._proportional:
            return total
        touched = sum(
            max(
                (life.faults - life.checked_faults) * PAGE_BYTES,
                life.upper - life.checked_anon,
            )
            for life in lives
        )
        return min(total, self._proportional[family] + touched)

    def _bury(self, gone: set[int], upper: int, gap: float) -> None:
        """Processes that ended: keep the stretch until the kernel's accounting of them is known."""
        if not gone:
            return
        lives = [self.lives.pop(pid) for pid in gone]
        growth = int(gap * FAULT_BYTES_PER_SECOND)
        self.unseen.append(Unseen(upper, tuple((life.upper, growth) for life in lives)))
        self.ended += lives

    def _new_peak(self, seconds: float, lower: int) -> None:
        self.lower_bytes = lower
        self.peak_seconds = seconds
        for life in (*self.lives.values(), *self.ended):
            life.at_peak = life.sure if life.pid in self.lives else 0

    def _draw(self, seconds: float, footprint: int, cpu_seconds: float) -> None:
        """Add to the timeline; where it grows long, keep the largest of every few points."""
        point = Point(seconds, footprint, cpu_seconds)
        if self._held is not None and self._held.footprint_bytes > footprint:
            point = Point(seconds, self._held.footprint_bytes, cpu_seconds)
        if self.samples % self._stride:
            self._held = point
            return
        self._held = None
        self.points.append(point)
        if len(self.points) > MAX_POINTS:
            self.points = [_larger(a, b) for a, b in zip(*[iter(self.points)] * 2, strict=False)]
            self._stride *= 2


def tree_upper(tracker: Tracker, largest_child_bytes: int) -> int:
    """The bound on the whole window, once the largest waited child (`ru_maxrss`) is known."""
    bounds = [tracker.upper_bytes]
    for stretch in tracker.unseen:
        grown = sum(
            min(growth, max(0, largest_child_bytes - last)) for last, growth in stretch.ended
        )
        bounds.append(stretch.upper_bytes + grown)
    return max(bounds)


def span(seen: tuple[int, int]) -> int:
    """From least to most."""
    return seen[1] - seen[0]


def _widen(seen: tuple[int, int], value: int) -> tuple[int, int]:
    return min(seen[0], value), max(seen[1], value)


def _larger(earlier: Point, later: Point) -> Point:
    footprint = max(earlier.footprint_bytes, later.footprint_bytes)
    return Point(later.seconds, footprint, later.cpu_seconds)
