"""Decides when to read what of a process tree, so that reading takes about one per cent of a core.

Cheap, and read often: memory and CPU of every process. Expensive, and read seldom: which processes there are, threads,
shared segments, proportional sizes of forks. While something moves, a small credit of time allows more frequent
readings; near a stop line they come as often as it takes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from pytest_layers.measure import forks, machine, tree
from pytest_layers.measure.cpu import Account, Demand
from pytest_layers.measure.findings import Findings, PointFinding
from pytest_layers.measure.host import system
from pytest_layers.measure.life import STILL_BYTES, UNTOLD_BYTES, Reading, span
from pytest_layers.measure.members import Members
from pytest_layers.measure.pagefaults import PageFaults
from pytest_layers.measure.procfs import ChildUsage
from pytest_layers.measure.segments import Segments
from pytest_layers.measure.spill import Spill
from pytest_layers.measure.tracker import Tracker, tree_upper
from pytest_layers.records import Bracket

SHARE = 0.01
"""Of one core, for reading memory and CPU; what is read seldom has shares of its own."""
URGENT_SHARE = 0.2
"""Of one core, for proportional sizes while the tree may be past a stop line without our knowing."""
URGENT_SECONDS = 0.25
"""Time without such readings that counts for later ones: a credit of this many seconds at most."""
SHORTEST_SECONDS = 0.005
LONGEST_SECONDS = 0.05
LONGEST_OF_FEW_SECONDS, FEW_PROCESSES = 0.02, 4
"""With few processes readings are cheap. How much one that ends held unseen is bound by the time since its reading."""
MOVING_SECONDS = 0.002
"""Between two readings while file or shared pages move, or processes come and go, as long as there is credit."""
CREDIT_SECONDS = 0.05
"""The most credit that can be saved."""
SLOW_SECONDS = 0.1
"""Between two looks at threads, segments and spilled files."""
ALLOCATION_BYTES_PER_SECOND = 8e9
"""How fast several threads together touch new memory: how soon a stop line may be passed."""
LEAST_SLEEP_SECONDS = 0.0005
MAX_HELD = 5
"""How many processes are named where a case is stopped."""
_NOT_ALL = "not all processes could be read, so how much they held at most is not known"
_NO_ROOT = "/proc does not tell of the test's process"
_NO_RESET = "the kernel did not let the high-water marks be reset: peaks are those of the readings"


class _Seldom(NamedTuple):
    """The expensive part of one reading."""

    segments: Bracket
    proportional: dict[int, Bracket] | None
    """Of families of forks; None where they were not read."""
    memory_read: float
    """When all memory was read, by the sampler's clock."""


class Sampler:
    """Samples one process tree from outside.

    `begin` and `end` bound the window; in between and outside of it `poll` is to be called after `delay_seconds`.
    """

    def __init__(
        self,
        root: int,
        segments: Segments,
        walk: Callable[[], list[int]],
        *,
        spill: Spill | None = None,
        share: float = SHARE,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.root = root
        """The case's own process, which reports the usage of the children that it waited for itself."""
        self.last_bytes = 0
        """Footprint when the case's own process was last seen alive."""
        self.stop_bytes: int | None = None
        """Footprint at which the tree is to be stopped; readings are more frequent near it."""
        self._members = Members(walk)
        self._share = share
        self._segments = segments
        self._spill = spill or Spill("")
        self._clock = clock
        self._cpu = Account()
        self._page_faults = PageFaults()
        self._tracker = Tracker(machine.mark_slack_bytes())
        self._started = clock()
        self._last_pids = b"", b""
        """Handed out before the last two walks."""
        self._scan_due = self._slow_due = self._proportional_due = self._urgent_due = 0.0
        self._frozen: list[int] = []
        self._has_twins = False
        self._blind_bytes = 0
        """How much forks can touch while their proportional sizes are read, judged by the last such reading."""
        self._credit = CREDIT_SECONDS
        self._cost = 0.0
        self._moving = False
        self._pids: set[int] = set()
        """At the last reading."""
        self._in_window = False
        self._usage = ChildUsage()
        self._notes: tuple[str, ...] = ()
        self._most_bytes = machine.most_bytes()

    @property
    def footprint_bytes(self) -> int:
        """At the last reading."""
        return self._tracker.footprint_bytes

    @property
    def base_bytes(self) -> int:
        """Footprint when the window began, at most."""
        return self._tracker.base_upper_bytes

    @property
    def cpu_seconds(self) -> float:
        """Of the tree since the window began, at the last reading."""
        return self._cpu.processes.seen_seconds

    @property
    def seconds(self) -> float:
        """Since the window began."""
        return self._clock() - self._started

    @property
    def demand(self) -> Demand:
        """The tree's demand for cores in this window, at the last look at its threads."""
        return self._cpu.demand

    def begin(self, usage: ChildUsage) -> None:
        """Open the window: high-water marks and sums start anew."""
        members = self._members
        members.unread = ""
        self._last_pids = (system.last_pid(),) * 2
        for _ in self._last_pids:
            members.scan(self._cpu.processes)
        dead = members.forget_dead(self._cpu.processes)
        is_reset = self._reset_marks()
        self._cpu.threads.close()
        cpus = system.cpus_allowed(self.root)
        self._cpu = Account(cpus)
        self._cpu.processes.leave_out(dead)
        marks_hold = system.HAS_MARKS and is_reset
        self._tracker = Tracker(machine.mark_slack_bytes(), len(cpus) or 1, marks_hold=marks_hold)
        self._notes = (*system.CANNOT, *([] if is_reset else [_NO_RESET]))
        self._usage = usage
        self._credit = CREDIT_SECONDS
        self._in_window = True
        self._spill.begin()
        self._read_opening()
        members.unread = members.unread or ("" if self.root in self._pids else _NO_ROOT)
        self._moving = True

    def _reset_marks(self) -> bool:
        """Reset the high-water mark of every process; whether that worked for all that are alive."""
        processes = self._members.processes
        refused = [pid for pid, process in processes.items() if not process.reset_peak()]
        return all(map(system.is_dead, refused))

    def _read_opening(self) -> None:
        """Read all; twice where that took too long to be of a single moment. The window begins after it."""
        began = self._started = self._clock()
        for _ in range(2):
            self._slow_due = self._proportional_due = 0.0
            self.poll(opening=True)
            if not self._tracker.is_torn:
                break
        self._started = self._clock()
        self._tracker.start_later(self._started - began)

    def end(self, usage: ChildUsage) -> Findings:
        """Close the window with one full reading."""
        wall = self.seconds
        self._slow_due = self._scan_due = self._proportional_due = 0.0
        self.poll()
        self._in_window = False
        return self._findings(wall, usage)

    def adopted(self, usage: ChildUsage) -> None:
        """Take in what is known of processes that the supervisor waited for."""
        self._cpu.processes.adopt(usage)

    def poll(self, *, opening: bool = False) -> int:
        """Read the tree once; gives its footprint in bytes."""
        now = self._clock()
        all_met = self._look_for_births(now)
        before = time.thread_time()
        cpu_seconds = self._cpu.processes.read(self._members.processes, opening=opening)
        # Of a tree of one process none can end unseen.
        faulted = self._page_faults.faulted(of_any_size=len(self._members.processes) > 1)
        first = self._clock()
        readings = self._members.read(self._cpu.processes)
        seldom_began = time.thread_time()
        seldom = self._read_seldom(now, readings, opening=opening)
        seldom_cost = time.thread_time() - seldom_began
        ended = faulted.all is not None and bool(self._tracker.gone(readings))
        self._tracker.observe(
            now - self._started,
            readings,
            segments=seldom.segments,
            doubtful_bytes=self._segments.doubtful_bytes,
            faulted=(faulted, self._page_faults.faulted(of_any_size=ended)),
            proportional=seldom.proportional,
            names={pid: who.name for pid, who in self._members.who.items()},
            cpu_seconds=cpu_seconds,
            reading_seconds=seldom.memory_read - first,
            all_met=all_met,
            opening=opening,
        )
        if any(reading.pid == self.root for reading in readings):
            self.last_bytes = self.footprint_bytes
        self._reset_stale(readings)
        self._thaw()
        self._cost = time.thread_time() - before - seldom_cost
        return self.footprint_bytes

    def _read_seldom(self, now: float, readings: list[Reading], *, opening: bool) -> _Seldom:
        """Read what is expensive, each part if it is due."""
        before = time.thread_time()
        is_due = now >= self._slow_due
        shared = {reading.pid: reading.memory.shmem for reading in readings}
        segments = self._segments.look(now, shared, due=is_due)
        looked = time.thread_time() - before
        memory_read = self._clock()
        proportional = self._read_proportional(now, readings)
        if not self._frozen:  # else nothing moved meanwhile
            memory_read = self._clock()
        if is_due:
            self._look_slowly(now, readings, looked, opening=opening)
        return _Seldom(segments, proportional, memory_read)

    def delay_seconds(self) -> float:
        """Until the next reading is due."""
        few = len(self._members.processes) <= FEW_PROCESSES
        longest = LONGEST_OF_FEW_SECONDS if few else LONGEST_SECONDS
        delay = min(longest, max(SHORTEST_SECONDS, self._cost / self._share))
        if self._in_window and self._moving and self._credit > 0:
            delay = min(delay, MOVING_SECONDS)
        if self.stop_bytes is not None:
            delay = min(delay, self._seconds_to(self.stop_bytes))
        self._credit = min(CREDIT_SECONDS, self._credit + delay * self._share - self._cost)
        return delay

    def _seconds_to(self, stop_bytes: int) -> float:
        """How soon a stop line may be passed; where it may be already, until that may be read."""
        held = self._tracker.reach_bytes if self._has_twins else self.footprint_bytes
        soonest = (stop_bytes - held) / ALLOCATION_BYTES_PER_SECOND
        if soonest < 0:
            soonest = self._urgent_due - self._clock()
        return max(LEAST_SLEEP_SECONDS, soonest)

    def close(self) -> None:
        """Give all descriptors back."""
        self._page_faults.close()
        self._cpu.threads.close()
        self._members.close()

    def _look_for_births(self, now: float) -> bool:
        """Walk the tree twice when a pid was handed out since, at a rate that its cost allows; whether it was walked.

        One walk passes over a process whose parent, or the thread that started it, ends meanwhile.
        """
        last = system.last_pid()
        if now >= self._scan_due and (self._last_pids != (last, last) or not last):
            self._last_pids = self._last_pids[1], last
            before = time.thread_time()
            self._members.scan(self._cpu.processes)
            self._scan_due = now + (time.thread_time() - before) / self._share / 2
        return last == self._last_pids[1]

    def _look_slowly(
        self, now: float, readings: list[Reading], looked: float, *, opening: bool
    ) -> None:
        """Read threads and spilled files, ten times a second at most; `looked` is what a due look at segments cost."""
        before = time.thread_time() - looked
        pids = [reading.pid for reading in readings]
        self._cpu.look(now - self._started, pids, opening=opening)
        self._spill.read()
        cost = time.thread_time() - before
        self._slow_due = now + max(SLOW_SECONDS, cost / self._share * 2)

    def _read_proportional(self, now: float, readings: list[Reading]) -> dict[int, Bracket] | None:
        """Proportional sizes of families of forks, if they are stale and due, or a stop line is in reach."""
        twins = [reading for reading in readings if reading.family]
        self._has_twins = bool(twins)
        near = self._may_pass(0)
        if not twins or now < (self._urgent_due if near else self._proportional_due):
            return None
        lives = self._tracker.lives
        born = any(one.pid not in lives or not lives[one.pid].family for one in twins)
        if self._proportional_due and not born and not self._tracker.has_stale_families():
            return None
        before = time.thread_time()
        if self._may_pass(self._blind_bytes):
            self._freeze(twins)
        found = forks.held(twins, self._members.processes)
        if found and system.last_pid() != self._last_pids[1]:
            # A fork that was born meanwhile has a share of pages that is in no sum.
            for family in found.keys() & self._members.shared_with_unread(twins):
                found[family] = Bracket(found[family].lower_bytes, UNTOLD_BYTES)
        cost = time.thread_time() - before
        self._blind_bytes = int(cost * ALLOCATION_BYTES_PER_SECOND)
        self._proportional_due = now + cost / self._share / 4
        self._urgent_due = max(self._urgent_due, now - URGENT_SECONDS) + cost / URGENT_SHARE
        return found

    def _may_pass(self, more_bytes: int) -> bool:
        """Whether the tree may be past the stop line, or would be with so much more."""
        reach = self._tracker.reach_bytes + more_bytes
        return self.stop_bytes is not None and reach > self.stop_bytes

    def _freeze(self, twins: list[Reading]) -> None:
        """Suspend forks while their sizes are read, so that they take no more memory near a stop line."""
        found = {one.pid: system.identity(one.pid) for one in twins}
        running = [pid for pid, who in found.items() if who and who.state != "T"]
        self._frozen += running
        tree.freeze(running)

    def _thaw(self) -> None:
        """Resume them, unless they are past the stop line."""
        if self.stop_bytes is None or self.footprint_bytes <= self.stop_bytes:
            tree.thaw(self._frozen)
            self._frozen = []

    def _reset_stale(self, readings: list[Reading]) -> None:
        """Reset the marks of processes whose old peak or moving file pages would blur the next bounds."""
        pids = {reading.pid for reading in readings}
        self._moving, self._pids = pids != self._pids, pids
        for reading in readings:
            memory, life = reading.memory, self._tracker.lives[reading.pid]
            moved = span(life.file_seen) + span(life.shared_seen)
            self._moving = self._moving or moved > STILL_BYTES
            if moved <= STILL_BYTES and memory.high_water - memory.resident <= STILL_BYTES:
                continue
            process = self._members.processes[reading.pid]
            before = process.memory()
            if before and process.reset_peak() and (after := process.memory()):
                self._tracker.reset(reading.pid, before, after)

    def _findings(self, wall: float, usage: ChildUsage) -> Findings:
        tracker, unread = self._tracker, self._members.unread
        spent = self._cpu.spent(self.root, usage.less(self._usage).cpu_seconds, wall)
        upper = self._most_bytes if unread else self._upper_bytes(usage)
        return Findings(
            wall_seconds=wall,
            cpu_seconds=spent.cpu,
            thread_cpu_seconds=spent.threads.cpu,
            wait_seconds=spent.threads.wait,
            preempted_seconds=spent.threads.preempted,
            others_seconds=spent.others,
            base_bytes=tracker.base_bytes,
            base_upper_bytes=tracker.base_upper_bytes,
            lower_bytes=tracker.lower_bytes,
            upper_bytes=max(tracker.lower_bytes, upper),
            file_bytes=tracker.file_bytes,
            shared_bytes=tracker.shared_bytes,
            spilled_bytes=self._spill.peak_bytes,
            peak_seconds=min(wall, tracker.peak_seconds),
            samples=tracker.samples,
            longest_gap_seconds=tracker.longest_gap_seconds,
            processes=tuple(life.finding() for life in tracker.largest()),
            points=tuple(
                PointFinding(point.seconds, point.footprint_bytes, point.cpu_seconds)
                for point in tracker.timeline.points()
            ),
            notes=(*self._notes, *([f"{unread}: {_NOT_ALL}"] if unread else [])),
        )

    def _upper_bytes(self, usage: ChildUsage) -> int:
        """The upper bound on the peak, with what the kernel's accounting says of processes that ended."""
        adopted, children = self._cpu.processes.adopted, self._cpu.processes.children()
        faults = {pid: waited.minor_faults for pid, waited in children.items()}
        return tree_upper(
            self._tracker,
            largest_bytes=max(usage.largest_bytes, adopted.largest_bytes),
            child_faults=adopted.minor_faults + sum(faults.values()),
            faults_by_parent={pid: faults[pid] for pid in faults if pid != self.root},
        )

    def held(self) -> list[tuple[str, int, int]]:
        """The largest processes at the last reading: name, pid and bytes."""
        lives = sorted(self._tracker.lives.values(), key=lambda life: -life.sure)[:MAX_HELD]
        return [(life.name, life.pid, life.sure) for life in lives]
