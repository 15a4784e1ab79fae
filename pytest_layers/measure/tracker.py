"""Readings of a tree, taken in turn, become bounds on its peak. Pure: no clock, no files.

What is bounded, between two readings of a process:

- The kernel's mark says how large the resident size was at most. What it says beyond the sizes read is a burst of
  anonymous memory. Where file or shared pages moved meanwhile, they can hide another one behind them, of no more
  than they moved by, and of no more than it can touch in that time, or than its page faults can have brought: a page
  each, or a huge one, of which the kernel counts those of the whole machine.
- Processes forked without exec share anonymous pages, so their sum counts twice. For them the proportional size
  (PSS) is read; until the next such reading they can have added no more than they newly touched: what their own
  marks grew by, or one page for every page fault.
- A process that ended since the last reading, or went on as another program, can have grown meanwhile by no more
  than all cores can touch in that time, or than page faults of the whole machine brought, nor beyond the largest child
  that the kernel's accounting names (`ru_maxrss` of waited children); where its parent lives on and was not asked, by
  no more than that one's children touched unread.

What is taken for granted, and can make a bracket miss the truth:

- Between two readings, file pages, swap and segments stay between the sizes read: pages that left and came back
  can hide a burst as large. While segments are not read, others do not free as much as the tree takes.
- Of what a mark says beyond the sizes read no more is file pages than at some reading, earlier or later.
- A process, or a fork before it went on as another program, that lived wholly between two readings is not seen.
- That a process went on as another program is seen where its image or its mark tells, but not what it touched just
  before.
- What ends below a process that lives on was its child, and was waited for: a grandchild whose parent ended, or one
  that is left a zombie, can have grown by more after its last reading.
- No memory comes but by page faults: khugepaged, or MADV_COLLAPSE, does not fill holes that are freed at once.
- Twins that were read fault one page at a time: huge pages are only seen where they make one grow. None gives up pages
  that others hold while their proportional sizes are read, which those read before it have more of then.
- Where a sandbox forbids to ask whether a fork runs in its parent's memory, one that is as its parent is and has
  touched little adds nothing: none is left alone with pages that its parent has replaced.
- Somebody has every page of an anonymous shared map in his page tables: those of one that ended stay, and are in no
  proportional size.
- Where reading all took longer than `TORN_SECONDS`, memory may have gone from one process to another meanwhile and was
  read twice: each then held at least the less of this reading and the one before it, at the time between them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from pytest_layers.measure import twins
from pytest_layers.measure.life import (
    STILL_BYTES,
    TOUCH_BYTES_PER_SECOND,
    UNTOLD_BYTES,
    Life,
    Reading,
)
from pytest_layers.measure.pagefaults import Faulted
from pytest_layers.measure.procfs import PAGE_BYTES, Memory
from pytest_layers.measure.timeline import Point, Timeline
from pytest_layers.measure.unseen import Ended, Stretch, Told, Unseen
from pytest_layers.records import Bracket

TORN_SECONDS = 0.005
"""A reading of all processes that took longer is not one of a single moment: the sampler may have been off its core."""
_NOTHING = Bracket(0, 0)
MAX_NAMED = 10
"""Processes that are told of: those that mattered most at the peak."""


@dataclass
class Tracker:
    """Bounds on one window; `observe` is called for every reading of the tree, in order of time."""

    slack_bytes: int
    """How far the kernel's mark of one process may lag (percpu counters)."""
    cores: int = 1
    """On which memory can be touched."""
    marks_hold: bool = True
    """Whether the kernel let the marks be reset; else they may speak of the time before."""
    lives: dict[int, Life] = field(default_factory=dict)
    ended: list[Life] = field(default_factory=list)
    """The largest of them."""
    ended_faults: int = 0
    """Of twins, up to their last readings."""
    ended_faults_by_parent: Counter[int] = field(default_factory=Counter)
    """Of all, up to their last readings."""
    unseen: Unseen = field(default_factory=Unseen)
    base_bytes: int = 0
    base_upper_bytes: int = 0
    """Where the family of a fork could not be read when the window opened, more than the other."""
    upper_bytes: int = 0
    peak_seconds: float = 0.0
    file_bytes: int = 0
    shared_bytes: int = 0
    is_torn: bool = False
    """Whether the last reading was not one of a single moment, of more than one thing."""
    samples: int = 0
    longest_gap_seconds: float = 0.0
    footprint_bytes: int = 0
    reach_bytes: int = 0
    """What the footprint may have been at most at the last reading: of a family it is known late."""
    timeline: Timeline = field(default_factory=Timeline)
    _seconds: float = 0.0
    _segments: Bracket = _NOTHING
    _faulted: tuple[Faulted, Faulted] = (Faulted(), Faulted())
    """Before the last reading, and after it."""
    _read_bytes: int = 0
    """The largest footprint that was read."""
    _marked: tuple[Life, int] = field(default_factory=lambda: (Life(0, ""), 0))
    """A process that was alone and had more by its mark: how much with the most file pages that it ever maps."""
    _huge_base: int = 0
    _mapped: int = 0
    _doubtful_base: int = 0
    _appeared: int = 0
    """Since the window began, of doubtful files."""
    _twins: twins.Twins = field(default_factory=twins.Twins)

    def observe(
        self,
        seconds: float,
        readings: list[Reading],
        *,
        segments: Bracket = _NOTHING,
        doubtful_bytes: int = 0,
        faulted: tuple[Faulted, Faulted] = (Faulted(), Faulted()),
        proportional: dict[int, Bracket] | None = None,
        names: dict[int, str] | None = None,
        cpu_seconds: float = 0.0,
        reading_seconds: float = 0.0,
        all_met: bool = True,
        opening: bool = False,
    ) -> None:
        """Take in one reading of all living processes.

        `segments`: shared memory of the tree, once. `doubtful_bytes`: files in shared folders that may be the tree's;
        those that appear in the window count in the upper bound alone. `faulted`: before `readings` and after them.
        `proportional`: what a family holds, where it was read now, or how much at least. `reading_seconds`: from the
        first of them to the last. A process that is missing from `readings` has ended. `all_met`: none was born that
        was not read. `opening`: the window begins with this one; so it does with the first.
        """
        gap = seconds - self._seconds if self.samples else 0.0
        checked = proportional or {}
        gone = self._part(readings)
        self._take_all(readings, names or {}, (faulted[0].huge, faulted[1].huge))
        if not self.samples:
            self._doubtful_base = doubtful_bytes
        appeared = max(0, doubtful_bytes - self._doubtful_base)
        upper = self._upper([*self.lives.values(), *gone], checked, segments, appeared)
        self._bury(gone, upper, self._touchable(gap, faulted[1]))
        self.is_torn = reading_seconds > TORN_SECONDS and self._parts(segments) > 1
        lower = self._lower(checked, segments, is_torn=self.is_torn and self.samples > 0)
        self._check(checked)
        if not self.samples:
            self._huge_base = faulted[0].huge
        if opening or not self.samples:
            self._open(checked, segments)
        if lower > self.lower_bytes:
            self._new_peak(seconds, lower)
        self._read_bytes = max(self._read_bytes, self.footprint_bytes)
        self.upper_bytes, self.reach_bytes = max(self.upper_bytes, upper), upper
        self.file_bytes = max(self.file_bytes, sum(r.memory.file for r in readings))
        self.shared_bytes = max(self.shared_bytes, segments.lower_bytes)
        self.longest_gap_seconds = max(self.longest_gap_seconds, gap)
        self.samples += 1
        self._seconds, self._segments, self._faulted = seconds, segments, faulted
        self._appeared = appeared
        self._twins.note(self.lives.values(), all_met=all_met)
        self.timeline.draw(Point(seconds, lower, cpu_seconds))

    def _part(self, readings: list[Reading]) -> list[Life]:
        """Take leave of those that have ended since the last reading."""
        gone = self.gone(readings)
        for life in gone:
            life.is_gone = True
            del self.lives[life.pid]
        return gone

    def _take_all(
        self, readings: list[Reading], names: Mapping[int, str], huge: tuple[int, int]
    ) -> None:
        for reading in readings:
            self._take(reading, names.get(reading.pid, ""), huge)
        self._twins.meet(self.lives.values())

    def _check(self, checked: dict[int, Bracket]) -> None:
        """Keep what families hold, where that is told."""
        for family, size in checked.items():
            members = [life for life in self.lives.values() if life.family == family]
            if size.upper_bytes < UNTOLD_BYTES:
                self._twins.check(family, size.upper_bytes, members)

    def start_later(self, seconds: float) -> None:
        """Times are told since so much later from now on."""
        self._seconds -= seconds

    def _open(self, checked: dict[int, Bracket], segments: Bracket) -> None:
        """What was read before was not of the window."""
        self.base_bytes, self._read_bytes = self.footprint_bytes, 0
        self.base_upper_bytes = self._most_read(checked, segments)
        self.timeline = Timeline()

    def reset(self, pid: int, before: Memory, after: Memory) -> None:
        """The mark of `pid` was started anew between these two, both read since its last reading."""
        life = self.lives[pid]
        life.unread_high_water = before.high_water if before.high_water > life.high_water else 0
        life.high_water = after.high_water
        life.restart()
        life.see(before)
        life.see(after)

    def gone(self, readings: list[Reading]) -> list[Life]:
        """What has ended since the last reading, also by running another program: then its mark began anew."""
        now = {reading.pid: reading for reading in readings}
        return [
            life
            for life in self.lives.values()
            if life.pid not in now or self._runs_another(life, now[life.pid])
        ]

    def _runs_another(self, life: Life, reading: Reading) -> bool:
        fell = life.high_water - reading.memory.high_water
        return reading.image != life.image or fell > self.slack_bytes + STILL_BYTES

    def _take(self, reading: Reading, name: str, huge: tuple[int, int]) -> None:
        """Bounds of one process since its mark was reset, or since it was born."""
        memory = reading.memory
        life = self.lives.get(reading.pid)
        born = life is None
        if life is None:
            life = self.lives[reading.pid] = Life(reading.pid, name)
        life.name = name or life.name
        life.family, life.image = reading.family, reading.image
        # Not told of one that ended while it was read, and never less.
        life.faults = max(life.faults, reading.faults)
        life.huge, life.parent = huge, reading.parent
        life.anon_before, life.anon = life.anon, memory.anon + memory.swap
        life.file, life.shared, life.swap = memory.file, memory.shmem, memory.swap
        if born:
            self._bear(life, reading)
        life.cpu_seconds = reading.cpu_seconds
        life.bound(memory, marks_hold=self.marks_hold)

    def _bear(self, life: Life, reading: Reading) -> None:
        """A first reading: when the window opens, of a mark that was just reset; else of all its life."""
        life.checked_anon = life.anon
        opening = not self.samples
        life.cpu_seconds = life.first_cpu_seconds = reading.cpu_seconds if opening else 0.0
        life.restart()
        if not opening:
            life.file_seen, life.shared_seen = (0, life.file), (0, life.shared)
            life.reset_faults, life.is_unmarked = 0, True
            life.reset_huge = self._faulted[0].huge
            life.newborn_huge = life.reset_huge, life.huge[1]

    def _parts(self, segments: Bracket) -> int:
        """How many things between which memory can go are read in turn."""
        alone, families = twins.split(self.lives.values())
        return len(alone) + len(families) + bool(segments.upper_bytes)

    def _lower(self, checked: dict[int, Bracket], segments: Bracket, *, is_torn: bool) -> int:
        """Footprint at this reading; for an unread family no more than its largest member is sure."""
        alone, families = twins.split(self.lives.values())
        total = sum(life.anon_held(is_torn=is_torn) for life in alone)
        for family, lives in families.items():
            read = checked[family].lower_bytes if family in checked and not is_torn else 0
            total += max(read, self._twins.lower(family, lives, is_torn=is_torn))
        least = min(self._segments.lower_bytes, segments.lower_bytes)
        self.footprint_bytes = total + (least if is_torn else segments.lower_bytes)
        if len(self.lives) != 1:
            return self.footprint_bytes
        # Of what it maps, segments that were there before the case are not the case's. Those that it was not seen
        # to map may be what its mark tells of: they add nothing to that.
        (life,) = self.lives.values()
        return max(self.footprint_bytes, life.sure + min(0, least - life.shared_seen[1]))

    def _most_read(self, checked: dict[int, Bracket], segments: Bracket) -> int:
        """Footprint at this reading at most: of an unread family the sum of its members."""
        alone, families = twins.split(self.lives.values())
        total = segments.upper_bytes + sum(life.anon_most(is_torn=self.is_torn) for life in alone)
        for family, lives in families.items():
            apart = sum(life.anon_most(is_torn=self.is_torn) for life in lives)
            total += min(apart, checked[family].upper_bytes) if family in checked else apart
        return total

    def _upper(
        self, lives: list[Life], checked: dict[int, Bracket], segments: Bracket, appeared: int
    ) -> int:
        """Bound on the footprint since the last reading, by whichever way of counting shared memory is tighter.

        What `appeared` may have been in the bound on the segments before, as what is used of their folders.
        """
        alone, families = twins.split(lives)
        slack = self.slack_bytes * len(lives)
        most = max(segments.upper_bytes, self._segments.upper_bytes)
        unmapped = self._unmapped(lives, most)
        both = max(segments.upper_bytes + appeared, self._segments.upper_bytes + self._appeared)
        apart = sum(life.upper for life in alone) + both
        for family, members in families.items():
            read = checked[family].upper_bytes if family in checked else None
            apart += self._twins.upper(family, members, read)
        if families:
            return apart + slack
        within = sum(life.upper_with_shared for life in alone) + unmapped
        within += max(appeared, self._appeared)
        return min(apart, within) + slack

    def _unmapped(self, lives: list[Life], segment_bytes: int) -> int:
        """Bound on segments that no process mapped, at some time since the last reading."""
        before, self._mapped = self._mapped, sum(life.shared for life in lives)
        read = segment_bytes - min(before, self._mapped)
        moved = segment_bytes - sum(life.shared_seen[0] for life in lives)
        return max(0, min(moved, read + sum(life.touchable for life in lives)))

    def touched_by_children(self, parent: int, faults: int) -> int:
        """What those that `parent` waited for can have touched after their last readings, of all their page faults.

        Fewer than were read are not those of all: one was not waited for, or the kernel was not to account for it.
        """
        unread = faults - self.ended_faults_by_parent.get(parent, 0)
        if not faults or unread < 0:
            return UNTOLD_BYTES
        return unread * PAGE_BYTES + self.huge_bytes

    @property
    def huge_bytes(self) -> int:
        """What page faults of the whole machine have put into huge pages in the window, of which all may be its."""
        return self._faulted[1].huge - self._huge_base

    def has_stale_families(self) -> bool:
        """Whether proportional sizes are worth their price: those read last don't hold any more."""
        _, families = twins.split(self.lives.values())
        return any(self._twins.is_stale(family, lives) for family, lives in families.items())

    def _touchable(self, gap_seconds: float, faulted: Faulted) -> int:
        """What a process can have touched since the last reading: no more than the whole machine did."""
        most = int(gap_seconds * self.cores * TOUCH_BYTES_PER_SECOND)
        if faulted.all is None or self._faulted[0].all is None:
            return most
        return min(most, faulted.all - self._faulted[0].all)

    def _bury(self, gone: list[Life], upper: int, growth: int) -> None:
        """Processes that ended: keep the stretch until the kernel's accounting of them is known."""
        twins_growth = self._twins.unread_growth
        for life in gone:
            if life.pid not in self.lives:
                self.ended_faults_by_parent[life.parent] += life.faults
            if life.family:
                self._twins.leave(life, growth)
                self.ended_faults += 0 if life.pid in self.lives else life.faults
                twins_growth += growth
        if gone or twins_growth:
            ended = tuple(
                Ended(life.upper, growth, frozenset({life.parent}), is_twin=bool(life.family))
                for life in gone
            )
            self.unseen.add(Stretch(upper, ended, twins_growth), self.upper_bytes)
            self.ended = _most_named([*self.ended, *gone])

    @property
    def lower_bytes(self) -> int:
        """Of the peak: what was read or, where that says more for sure, by a mark."""
        life, marked = self._marked
        return max(self._read_bytes, marked - life.file_most)

    def _new_peak(self, seconds: float, lower: int) -> None:
        self.peak_seconds = seconds
        if lower > self.footprint_bytes:
            (life,) = self.lives.values()
            self._marked = life, lower + life.file_most
        for life in self.lives.values():
            life.at_peak = life.sure
        for life in self.ended:
            life.at_peak = 0

    def largest(self) -> list[Life]:
        """The processes that mattered most at the peak."""
        return _most_named([*self.lives.values(), *self.ended])


def tree_upper(
    tracker: Tracker,
    *,
    largest_bytes: int,
    child_faults: int,
    faults_by_parent: Mapping[int, int] = MappingProxyType({}),
) -> int:
    """The bound on the whole window, once the kernel's accounting of waited children is known.

    `largest_bytes`: the largest of those that the case's own process or the supervisor waited for, and of those that
    these had waited for (`ru_maxrss`). `child_faults`: page faults of all. `faults_by_parent`: of those that each
    other process waited for which lives on, 0 where it did not, or the kernel was not to account for them. Fewer than
    were read are not those of all.
    """
    unread = child_faults - tracker.ended_faults
    touched = unread * PAGE_BYTES + tracker.huge_bytes if unread >= 0 else UNTOLD_BYTES
    parents = {
        pid: tracker.touched_by_children(pid, told) for pid, told in faults_by_parent.items()
    }
    return max(tracker.upper_bytes, tracker.unseen.bound(Told(largest_bytes, touched, parents)))


def _most_named(lives: Iterable[Life]) -> list[Life]:
    return sorted(lives, key=lambda life: (life.at_peak, life.peak), reverse=True)[:MAX_NAMED]
