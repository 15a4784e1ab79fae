"""Readings of a tree, taken in turn, become bounds on its peak. Pure: no clock, no files.

What is bounded, between two readings of a process:

- The kernel's mark says how large the resident size was at most. What it says beyond the sizes read is a burst of
  anonymous memory. Where file or shared pages moved meanwhile, they can hide another one behind them, of no more
  than they moved by, and of no more than it can touch in that time.
- Processes forked without exec share anonymous pages, so their sum counts twice. For them the proportional size
  (PSS) is read; until the next such reading they can have added no more than they newly touched: what their own
  marks grew by, or one page for every page fault.
- A process that ended since the last reading, or went on as another program, can have grown meanwhile by no more
  than `FAULT_BYTES_PER_SECOND`, nor beyond the largest child that the kernel's accounting names (`ru_maxrss` of
  waited children).

What is taken for granted, and can make a bracket miss the truth:

- Between two readings, file pages, swap and segments stay between the sizes read: pages that left and came back
  can hide a burst as large.
- A process that lived wholly between two readings is not seen; that one went on as another program is seen where
  its mark fell.
- Twins fault one page at a time: huge pages are only seen where they make a member grow.
- All processes are read at one time; it takes some 20 microseconds each.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from pytest_layers.measure.procfs import PAGE_BYTES, Memory
from pytest_layers.measure.unseen import Ended, Stretch, Told, Unseen

FAULT_BYTES_PER_SECOND = 2e9
"""As fast as one core can touch new memory: 0.8 GB/s in 4 KiB pages measured, more in huge pages."""

TICK_SECONDS = 0.004
"""How far the CPU clock of a process that is running may lag (scheduler tick at 250 Hz)."""

STILL_BYTES = 2**20
"""File and shared pages that moved by less count as still."""

MAX_POINTS = 400
MAX_NAMED = 10
"""Processes that are told of: those that mattered most at the peak."""


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
    """One process running one program, from its first reading to its last. All sizes in bytes."""

    pid: int
    name: str
    anon: int = 0
    """At the last reading; swap included."""
    file: int = 0
    shared: int = 0
    swap: int = 0
    high_water: int = 0
    """The mark as last read; 0 when it was reset since."""
    unread_high_water: int = 0
    """What the mark rose to between its last reading and its reset."""
    sure: int = 0
    """What it held for sure at some time since the last reading, shared memory included."""
    peak: int = 0
    at_peak: int = 0
    upper: int = 0
    """Bound on its anonymous memory since the last reading."""
    upper_with_shared: int = 0
    file_seen: tuple[int, int] = (0, 0)
    """Least and most since the mark was reset; so are the next ones."""
    shared_seen: tuple[int, int] = (0, 0)
    swap_seen: tuple[int, int] = (0, 0)
    anon_seen: int = 0
    resident_seen: int = 0
    """Swap included."""
    reset_seconds: float = 0.0
    reset_cpu_seconds: float = 0.0
    first_cpu_seconds: float = 0.0
    """When the window opened."""
    cpu_seconds: float = 0.0
    """At the last reading, of all its life."""
    family: int = 0
    checked_anon: int = 0
    """When its family's proportional size was read last."""
    checked_faults: int = 0
    faults: int = 0


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
    """The largest of them."""
    ended_faults: int = 0
    """Of twins, up to their last readings."""
    unseen: Unseen = field(default_factory=Unseen)
    base_bytes: int = 0
    lower_bytes: int = 0
    upper_bytes: int = 0
    peak_seconds: float = 0.0
    file_bytes: int = 0
    shared_bytes: int = 0
    samples: int = 0
    longest_gap_seconds: float = 0.0
    footprint_bytes: int = 0
    _points: list[Point] = field(default_factory=list)
    _held: Point | None = None
    """The largest of those that are not yet drawn."""
    _stride: int = 1
    _seconds: float = 0.0
    _segment_bytes: int = 0
    _proportional: dict[int, int] = field(default_factory=dict)

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
        gone = self._leave(readings)
        for reading in readings:
            self._take(seconds, reading, (names or {}).get(reading.pid, ""))
        self._check({key: checked[key] for key in checked.keys() - self._proportional.keys()})
        upper = self._upper([*self.lives.values(), *gone], segment_bytes)
        self._check(checked)
        lower = self._lower(checked, segment_bytes)
        if not self.samples:
            self.base_bytes = self.footprint_bytes
        if lower > self.lower_bytes:
            self._new_peak(seconds, lower)
        self.upper_bytes = max(self.upper_bytes, upper)
        self._bury(gone, upper, gap)
        self.file_bytes = max(self.file_bytes, sum(r.memory.file for r in readings))
        self.shared_bytes = max(self.shared_bytes, segment_bytes)
        self.longest_gap_seconds = max(self.longest_gap_seconds, gap)
        self.samples += 1
        self._seconds, self._segment_bytes = seconds, segment_bytes
        self._draw(Point(seconds, lower, cpu_seconds))

    def reset(self, pid: int, high_water: int = 0) -> None:
        """The mark of `pid` was started anew after its last reading, when it stood at `high_water`."""
        life = self.lives[pid]
        life.unread_high_water = high_water if high_water > life.high_water else 0
        life.high_water = 0
        self._restart(life, self._seconds)

    def _restart(self, life: Life, seconds: float) -> None:
        life.file_seen, life.shared_seen = (life.file,) * 2, (life.shared,) * 2
        life.swap_seen = (life.swap,) * 2
        life.anon_seen, life.resident_seen = life.anon, life.anon + life.file + life.shared
        life.reset_seconds, life.reset_cpu_seconds = seconds, life.cpu_seconds

    def _leave(self, readings: list[Reading]) -> list[Life]:
        """Take out what has ended, also by running another program: then its mark began anew."""
        high = {reading.pid: reading.memory.high_water for reading in readings}
        fell = self.slack_bytes + STILL_BYTES
        gone = [
            life
            for life in self.lives.values()
            if life.pid not in high or high[life.pid] < life.high_water - fell
        ]
        for life in gone:
            del self.lives[life.pid]
        return gone

    def _take(self, seconds: float, reading: Reading, name: str) -> None:
        """Bounds of one process since its mark was reset, or since it was born."""
        memory = reading.memory
        life = self.lives.get(reading.pid)
        born = life is None
        if life is None:
            life = self.lives[reading.pid] = Life(reading.pid, name)
        life.name = name or life.name
        life.family, life.faults = reading.family, reading.faults
        life.anon = memory.anon + memory.swap
        life.file, life.shared, life.swap = memory.file, memory.shmem, memory.swap
        if born:
            self._bear(life, reading)
        life.cpu_seconds = reading.cpu_seconds
        self._bound(life, memory, seconds - life.reset_seconds)

    def _bear(self, life: Life, reading: Reading) -> None:
        """A first reading: when the window opens, of a mark that was just reset; else of all its life."""
        life.checked_anon = life.anon
        opening = not self.samples
        life.cpu_seconds = life.first_cpu_seconds = reading.cpu_seconds if opening else 0.0
        self._restart(life, self._seconds)
        if not opening:
            life.file_seen, life.shared_seen = (0, life.file), (0, life.shared)

    def _bound(self, life: Life, memory: Memory, elapsed_seconds: float) -> None:
        life.file_seen = _widen(life.file_seen, life.file)
        life.shared_seen = _widen(life.shared_seen, life.shared)
        life.swap_seen = _widen(life.swap_seen, memory.swap)
        life.anon_seen = max(life.anon_seen, life.anon)
        life.resident_seen = max(life.resident_seen, memory.resident + memory.swap)
        life.high_water = memory.high_water
        high = max(memory.high_water, life.unread_high_water)
        burst = max(0, high + life.swap_seen[1] - life.resident_seen)
        moved = span(life.file_seen) + span(life.shared_seen)
        life.upper = life.anon_seen + burst + min(moved, _can_touch(life, elapsed_seconds))
        life.upper_with_shared = min(
            life.upper + life.shared_seen[1],
            max(life.anon + life.shared, high + life.swap_seen[1] - life.file_seen[0]),
        )
        still = moved <= STILL_BYTES and self.marks_hold
        held = high + life.swap_seen[0] - life.file_seen[1] if still else 0
        life.sure = max(life.anon + life.shared, held)
        life.peak = max(life.peak, life.sure)

    def _check(self, proportional: dict[int, int]) -> None:
        """Remember where each member stood when its family's proportional size was read."""
        for family, size in proportional.items():
            self._proportional[family] = size
            for life in self.lives.values():
                if life.family == family:
                    life.checked_anon, life.checked_faults = life.anon, life.faults

    def _lower(self, proportional: dict[int, int], segment_bytes: int) -> int:
        """Footprint at this reading; for an unread family no more than its largest member is sure."""
        alone, families = _families(self.lives.values())
        total = sum(life.anon for life in alone)
        for family, lives in families.items():
            total += proportional.get(family, max(life.anon for life in lives))
        self.footprint_bytes = total + segment_bytes
        if len(self.lives) != 1:
            return self.footprint_bytes
        (life,) = self.lives.values()
        unmapped = min(self._segment_bytes, segment_bytes) - life.shared_seen[1]
        return max(self.footprint_bytes, life.sure + max(0, unmapped))

    def _upper(self, lives: list[Life], segment_bytes: int) -> int:
        """Bound on the footprint since the last reading, by whichever way of counting shared memory is tighter."""
        alone, families = _families(lives)
        slack = self.slack_bytes * len(lives)
        segments = max(segment_bytes, self._segment_bytes)
        anon = sum(life.upper for life in alone)
        anon += sum(self._family_upper(family, lives) for family, lives in families.items())
        apart = anon + segments
        if families:
            return apart + slack
        mapped = sum(life.shared_seen[0] for life in alone)
        within = sum(life.upper_with_shared for life in alone) + max(0, segments - mapped)
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

    def _bury(self, gone: list[Life], upper: int, gap_seconds: float) -> None:
        """Processes that ended: keep the stretch until the kernel's accounting of them is known."""
        if not gone:
            return
        growth = int(gap_seconds * FAULT_BYTES_PER_SECOND)
        ended = tuple(Ended(life.upper, growth) for life in gone)
        twins = sum(growth for life in gone if life.family)
        self.ended_faults += sum(life.faults for life in gone if life.family)
        self.unseen.add(Stretch(upper, ended, twins), self.upper_bytes)
        self.ended = most_named([*self.ended, *gone])

    def _new_peak(self, seconds: float, lower: int) -> None:
        self.lower_bytes = lower
        self.peak_seconds = seconds
        for life in self.lives.values():
            life.at_peak = life.sure
        for life in self.ended:
            life.at_peak = 0

    def points(self) -> tuple[Point, ...]:
        """The timeline: of every few readings the largest."""
        return (*self._points, *([self._held] if self._held else []))

    def _draw(self, point: Point) -> None:
        """Add to the timeline; where it grows long, keep the largest of every two."""
        self._held = _larger(self._held, point) if self._held else point
        if self.samples % self._stride:
            return
        self._points.append(self._held)
        self._held = None
        if len(self._points) == MAX_POINTS:
            pairs = zip(self._points[::2], self._points[1::2], strict=True)
            self._points = [_larger(*pair) for pair in pairs]
            self._stride *= 2


def tree_upper(tracker: Tracker, *, largest_bytes: int, child_faults: int) -> int:
    """The bound on the whole window, once the kernel's accounting of waited children is known.

    `largest_bytes`: the largest of them (`ru_maxrss`). `child_faults`: page faults of all of them.
    """
    touched = max(0, child_faults - tracker.ended_faults) * PAGE_BYTES
    return max(tracker.upper_bytes, tracker.unseen.bound(Told(largest_bytes, touched)))


def most_named(lives: Iterable[Life]) -> list[Life]:
    """Those that mattered most at the peak."""
    return sorted(lives, key=lambda life: (life.at_peak, life.peak), reverse=True)[:MAX_NAMED]


def span(seen: tuple[int, int]) -> int:
    """From least to most."""
    return seen[1] - seen[0]


def _widen(seen: tuple[int, int], value: int) -> tuple[int, int]:
    return min(seen[0], value), max(seen[1], value)


def _larger(one: Point, other: Point) -> Point:
    return one if one.footprint_bytes >= other.footprint_bytes else other


def _can_touch(life: Life, elapsed_seconds: float) -> int:
    """Bytes that a process can have touched since its mark was reset: one core's worth, or more if it had more."""
    spent = life.cpu_seconds - life.reset_cpu_seconds
    seconds = max(spent, min(spent + TICK_SECONDS, elapsed_seconds))
    return int(seconds * FAULT_BYTES_PER_SECOND)


def _families(lives: Iterable[Life]) -> tuple[list[Life], dict[int, list[Life]]]:
    """Processes that share no pages since a fork, and families of those that do: their sum counts pages twice."""
    found: dict[int, list[Life]] = {}
    for life in lives:
        found.setdefault(life.family or -life.pid, []).append(life)
    alone = [members[0] for members in found.values() if len(members) == 1]
    return alone, {key: members for key, members in found.items() if len(members) > 1}
