"""From readings of a tree, one after another, to bounds on its peak. Pure: no clock, no files.

What bounds the memory of a process between two readings:

- The kernel's high-water mark says how large the resident size was at most. What the mark says beyond the sizes read is
  a burst of anonymous memory. If file or shared pages moved meanwhile, a second burst may be hidden behind them. It is
  no larger than they moved by, than the process can touch in that time, or than its page faults can have brought: one
  page each, or a huge one, which the kernel counts for the whole machine only.
- Forks that did no exec (twins) share anonymous pages, which the sum of their sizes counts twice. For them the
  proportional size (PSS) is read. Until the next such reading they can have added no more than they newly touched: what
  their own marks grew by, or one page for every page fault.
- A process that has ended since its last reading, or now runs another program, can have grown by no more than all cores
  can touch in that time, or page faults of the whole machine brought; and not beyond the largest child in the kernel's
  accounting (`ru_maxrss` of waited children). If its parent is alive, and so did not report that size, then by no more
  than that parent's children touched after their last readings.

What is assumed; where this is wrong, the truth may lie outside the bounds:

- Between two readings, file pages, swap and segments stay between the sizes read: pages that left and came back could
  hide a burst as large. While segments are not read, other programs do not free as much as the tree takes.
- Of what a mark says beyond the sizes read, file pages are no more than at some reading, earlier or later.
- No process lives wholly between two readings, nor a fork before its exec: it would not be seen.
- A process touches nothing just before an exec. The exec itself is seen by the process's image or its mark.
- What ends below a living process was its child, and was waited for. A grandchild whose parent ended, or a zombie that
  is never waited for, could have grown by more after its last reading.
- Memory comes by page faults only: khugepaged or MADV_COLLAPSE does not fill holes that are freed at once.
- Twins fault one page at a time after they were read: huge pages are seen only where they make one grow. While their
  proportional sizes are read, none gives up pages that others hold too.
- Where a sandbox hides whether a fork runs in its parent's memory, one with its parent's size that has touched little
  adds nothing: it is not the only one left with pages that its parent has replaced.
- Every page of an anonymous shared map is in the page tables of a living process: other pages of it stay allocated, but
  are in no proportional size.
- If reading all took longer than `TORN_SECONDS`, memory may have moved from one process to another meanwhile and have
  been read twice. Then each is taken to have held, between the reading before and this one, the smaller of both sizes.
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
from pytest_layers.measure.unseen import Accounting, Ended, Stretch, Unseen
from pytest_layers.records import Bracket

TORN_SECONDS = 0.005
"""A reading that took longer is not of a single moment: the sampler may have been off its core."""
_NOTHING = Bracket(0, 0)
MAX_NAMED = 10
"""How many processes are reported: those that mattered most at the peak."""


@dataclass
class Tracker:
    """Bounds on one window; `observe` is called with every reading of the tree, in order of time."""

    slack_bytes: int
    """How far the kernel's mark of one process may lag (percpu counters)."""
    cores: int = 1
    """Cores on which the tree can touch memory."""
    marks_hold: bool = True
    """Whether all high-water marks could be reset; if not, they may be from before the window."""
    lives: dict[int, Life] = field(default_factory=dict)
    ended: list[Life] = field(default_factory=list)
    """The largest processes that have ended."""
    ended_faults: int = 0
    """Page faults of twins that have ended, up to their last readings."""
    ended_faults_by_parent: Counter[int] = field(default_factory=Counter)
    """Page faults of all processes that have ended, up to their last readings."""
    unseen: Unseen = field(default_factory=Unseen)
    base_bytes: int = 0
    base_upper_bytes: int = 0
    """More than `base_bytes` where the opening reading was torn, or a family of forks could not be read in it."""
    upper_bytes: int = 0
    peak_seconds: float = 0.0
    file_bytes: int = 0
    shared_bytes: int = 0
    is_torn: bool = False
    """Whether the last reading was not of a single moment, and not of a single process."""
    samples: int = 0
    longest_gap_seconds: float = 0.0
    footprint_bytes: int = 0
    reach_bytes: int = 0
    """Upper bound on the footprint at the last reading: that of a family is known later only."""
    timeline: Timeline = field(default_factory=Timeline)
    _seconds: float = 0.0
    _segments: Bracket = _NOTHING
    _faulted: tuple[Faulted, Faulted] = (Faulted(), Faulted())
    """Before the last reading, and after it."""
    _read_bytes: int = 0
    """The largest footprint read."""
    _marked: tuple[Life, int] = field(default_factory=lambda: (Life(0, ""), 0))
    """A process that was alone when its mark said more than was read, and that much plus its most file pages."""
    _huge_base: int = 0
    _mapped: int = 0
    _doubtful_base: int = 0
    _appeared: int = 0
    """Bytes of doubtful files that appeared in the window."""
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
        """Remember what families hold, where that was read."""
        for family, size in checked.items():
            members = [life for life in self.lives.values() if life.family == family]
            if size.upper_bytes < UNTOLD_BYTES:
                self._twins.check(family, size.upper_bytes, members)

    def start_later(self, seconds: float) -> None:
        """The window begins so much later than its opening reading."""
        self._seconds -= seconds

    def _open(self, checked: dict[int, Bracket], segments: Bracket) -> None:
        """Begin the window with the last reading: earlier ones were not part of it."""
        self.base_bytes, self._read_bytes = self.footprint_bytes, 0
        self.base_upper_bytes = self._most_read(checked, segments)
        self.timeline = Timeline()

    def reset(self, pid: int, before: Memory, after: Memory) -> None:
        """The mark of `pid` was reset between these two sizes, both read after its last reading."""
        life = self.lives[pid]
        life.unread_high_water = before.high_water if before.high_water > life.high_water else 0
        life.high_water = after.high_water
        life.restart()
        life.see(before)
        life.see(after)

    def gone(self, readings: list[Reading]) -> list[Life]:
        """Processes that have ended since the last reading, or run another program now, with a new mark."""
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
        """Take in the reading of one process."""
        memory = reading.memory
        life = self.lives.get(reading.pid)
        born = life is None
        if life is None:
            life = self.lives[reading.pid] = Life(reading.pid, name)
        life.name = name or life.name
        life.family, life.image = reading.family, reading.image
        # Reads as 0 for a process that ended meanwhile, and never falls otherwise.
        life.faults = max(life.faults, reading.faults)
        life.huge, life.parent = huge, reading.parent
        life.anon_before, life.anon = life.anon, memory.anon + memory.swap
        life.file, life.shared, life.swap = memory.file, memory.shmem, memory.swap
        if born:
            self._bear(life, reading)
        life.cpu_seconds = reading.cpu_seconds
        life.bound(memory, marks_hold=self.marks_hold)

    def _bear(self, life: Life, reading: Reading) -> None:
        """The first reading: its mark was just reset if the window opens now; else it is of all its life."""
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
        """How many things are read one after another, between which memory can move."""
        alone, families = twins.split(self.lives.values())
        return len(alone) + len(families) + bool(segments.upper_bytes)

    def _lower(self, checked: dict[int, Bracket], segments: Bracket, *, is_torn: bool) -> int:
        """Lower bound on the footprint at this reading; of a family that was not read, its largest member."""
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
        """Upper bound on the footprint at this reading; of a family that was not read, the sum of its members."""
        alone, families = twins.split(self.lives.values())
        total = segments.upper_bytes + sum(life.anon_most(is_torn=self.is_torn) for life in alone)
        for family, lives in families.items():
            apart = sum(life.anon_most(is_torn=self.is_torn) for life in lives)
            total += min(apart, checked[family].upper_bytes) if family in checked else apart
        return total

    def _upper(
        self, lives: list[Life], checked: dict[int, Bracket], segments: Bracket, appeared: int
    ) -> int:
        """Upper bound on the footprint since the last reading, by the tighter of two ways to count shared memory.

        The bound on segments of the reading before may already have contained what has `appeared` since.
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
        """Upper bound on segments that no process mapped at some time since the last reading."""
        before, self._mapped = self._mapped, sum(life.shared for life in lives)
        read = segment_bytes - min(before, self._mapped)
        moved = segment_bytes - sum(life.shared_seen[0] for life in lives)
        return max(0, min(moved, read + sum(life.touchable for life in lives)))

    def touched_by_children(self, parent: int, faults: int) -> int:
        """How much children that `parent` waited for can have touched after their last readings; `faults` are theirs.

        If these are fewer than were read, some child is not in them: not waited for, or not accounted for (SIGCHLD).
        """
        unread = faults - self.ended_faults_by_parent.get(parent, 0)
        if not faults or unread < 0:
            return UNTOLD_BYTES
        return unread * PAGE_BYTES + self.huge_bytes

    @property
    def huge_bytes(self) -> int:
        """Memory in huge pages that page faults of the whole machine brought in the window; all may be the tree's."""
        return self._faulted[1].huge - self._huge_base

    def has_stale_families(self) -> bool:
        """Whether the proportional sizes read last don't hold any more."""
        _, families = twins.split(self.lives.values())
        return any(self._twins.is_stale(family, lives) for family, lives in families.items())

    def _touchable(self, gap_seconds: float, faulted: Faulted) -> int:
        """How much a process can have touched since the last reading: no more than the whole machine did."""
        most = int(gap_seconds * self.cores * TOUCH_BYTES_PER_SECOND)
        if faulted.all is None or self._faulted[0].all is None:
            return most
        return min(most, faulted.all - self._faulted[0].all)

    def _bury(self, gone: list[Life], upper: int, growth: int) -> None:
        """Remember the time in which processes ended, until the kernel's accounting of them is known."""
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
        """Lower bound on the peak: the largest reading, or a mark where that surely says more."""
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
        """The processes that held most at the peak."""
        return _most_named([*self.lives.values(), *self.ended])


def tree_upper(
    tracker: Tracker,
    *,
    largest_bytes: int,
    child_faults: int,
    faults_by_parent: Mapping[int, int] = MappingProxyType({}),
) -> int:
    """The upper bound on the whole window, when the kernel's accounting of waited children is known.

    `largest_bytes`: the largest size of a child that the case's own process or the supervisor waited for, or of one
    that such a child had waited for (`ru_maxrss`). `child_faults`: page faults of all children that were waited for.
    `faults_by_parent`: of those that each other living process waited for; 0 where there are none, or not accounted.
    """
    unread = child_faults - tracker.ended_faults
    touched = unread * PAGE_BYTES + tracker.huge_bytes if unread >= 0 else UNTOLD_BYTES
    parents = {
        pid: tracker.touched_by_children(pid, told) for pid, told in faults_by_parent.items()
    }
    return max(
        tracker.upper_bytes, tracker.unseen.bound(Accounting(largest_bytes, touched, parents))
    )


def _most_named(lives: Iterable[Life]) -> list[Life]:
    return sorted(lives, key=lambda life: (life.at_peak, life.peak), reverse=True)[:MAX_NAMED]
