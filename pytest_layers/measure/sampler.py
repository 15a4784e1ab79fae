"""When to read what, so that the reading costs about one per cent of a core.

Cheap and often: memory and CPU of every process. Seldom: who is there, threads, shared segments, proportional sizes.
A small credit of time is spent on finer reading while something moves, and more near a stop line.
"""

from __future__ import annotations

import time
from collections.abc import Callable

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
"""Of one core, spent on reading memory and CPU; what is read seldom is paid for apart."""
URGENT_SHARE = 0.2
"""Of one core, for proportional sizes while a stop line may have been passed unseen."""
URGENT_SECONDS = 0.25
"""What such readings cost may be paid for by this much time before them."""
SHORTEST_SECONDS = 0.005
LONGEST_SECONDS = 0.05
LONGEST_OF_FEW_SECONDS, FEW_PROCESSES = 0.02, 4
"""What a process that ends takes with it is bound by the time since its last reading."""
MOVING_SECONDS = 0.002
"""Between two readings while file or shared pages move, or processes come and go, as long as there is credit."""
CREDIT_SECONDS = 0.05
SLOW_SECONDS = 0.1
"""Between two looks at threads and segments."""
ALLOCATION_BYTES_PER_SECOND = 8e9
"""As fast as several threads together touch new memory: how far ahead a stop line is looked for."""
LEAST_SLEEP_SECONDS = 0.0005
MAX_HELD = 5
"""Processes that are told of where a case is stopped."""
_NOT_ALL = "not all processes could be read, so how much they held at most is not known"
_NO_ROOT = "/proc does not tell of the test's process"
_NO_RESET = "the kernel did not let the high-water marks be reset: peaks are those of the readings"


class Sampler:
    """Reads one tree from outside. `begin` and `end` bound the window; `poll` is due after `delay_seconds`."""

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
        """The case's own process, whose waited children it tells of itself."""
        self.last_bytes = 0
        """Footprint when the case's own process was last seen alive."""
        self.stop_bytes: int | None = None
        """Footprint at which the tree is to be stopped; reading is finer near it."""
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
        """What twins can take while their proportional sizes are read, by the last such reading."""
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
        """Of the tree since the window began, by the last readings."""
        return self._cpu.processes.seen_seconds

    @property
    def seconds(self) -> float:
        """Since the window began."""
        return self._clock() - self._started

    @property
    def demand(self) -> Demand:
        """What the tree has wanted of the cores in this window, at the last look at its threads."""
        return self._cpu.demand

    def begin(self, usage: ChildUsage) -> None:
        """Open the window: marks and sums start anew."""
        members = self._members
        members.unread = ""
        self._last_pids = (system.last_pid(),) * 2
        for _ in self._last_pids:
            members.scan(self._cpu.processes)
        dead = members.forget_dead(self._cpu.processes)
        refused = [pid for pid, process in members.processes.items() if not process.reset_peak()]
        is_reset = all(map(system.is_dead, refused))
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
        began = self._started = self._clock()
        self._read_opening()
        members.unread = members.unread or ("" if self.root in self._pids else _NO_ROOT)
        self._moving = True
        self._started = self._clock()
        self._tracker.start_later(self._started - began)

    def _read_opening(self) -> None:
        """All, and once more where that was not of a single moment: then it is known what moved meanwhile."""
        for _ in range(2):
            self._slow_due = self._proportional_due = 0.0
            self.poll(opening=True)
            if not self._tracker.is_torn:
                return

    def end(self, usage: ChildUsage) -> Findings:
        """Close the window with one full reading."""
        wall = self.seconds
        self._slow_due = self._scan_due = self._proportional_due = 0.0
        self.poll()
        self._in_window = False
        return self._findings(wall, usage)

    def adopted(self, usage: ChildUsage) -> None:
        """What is known of processes that were reaped by the supervisor."""
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
        seldom = time.thread_time()
        is_due = now >= self._slow_due
        shared = {reading.pid: reading.memory.shmem for reading in readings}
        segments = self._segments.look(now, shared, due=is_due)
        looked = time.thread_time() - seldom
        last = self._clock()
        proportional = self._read_proportional(now, readings)
        last = last if self._frozen else self._clock()
        if is_due:
            self._look_slowly(now, readings, looked, opening=opening)
        seldom = time.thread_time() - seldom
        ended = faulted.all is not None and bool(self._tracker.gone(readings))
        self._tracker.observe(
            now - self._started,
            readings,
            segments=segments,
            doubtful_bytes=self._segments.doubtful_bytes,
            faulted=(faulted, self._page_faults.faulted(of_any_size=ended)),
            proportional=proportional,
            names={pid: who.name for pid, who in self._members.who.items()},
            cpu_seconds=cpu_seconds,
            reading_seconds=last - first,
            all_met=all_met,
            opening=opening,
        )
        if any(reading.pid == self.root for reading in readings):
            self.last_bytes = self.footprint_bytes
        self._reset_stale(readings)
        self._thaw()
        self._cost = time.thread_time() - before - seldom
        return self.footprint_bytes

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
        """The soonest that a stop line may be passed, or that it can be read whether it was."""
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
        """Threads and spilled files, ten times a second at most; `looked` is what a due look at segments took."""
        before = time.thread_time() - looked
        pids = [reading.pid for reading in readings]
        self._cpu.look(now - self._started, pids, opening=opening)
        self._spill.read()
        cost = time.thread_time() - before
        self._slow_due = now + max(SLOW_SECONDS, cost / self._share * 2)

    def _read_proportional(self, now: float, readings: list[Reading]) -> dict[int, Bracket] | None:
        """Proportional sizes of families, when the last reading of them is paid for, or a stop line is in reach."""
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
        """Whether a stop line may have been passed, or will be by so much more."""
        reach = self._tracker.reach_bytes + more_bytes
        return self.stop_bytes is not None and reach > self.stop_bytes

    def _freeze(self, twins: list[Reading]) -> None:
        """Have twins take no more memory while it is read whether they have passed a stop line."""
        found = {one.pid: system.identity(one.pid) for one in twins}
        running = [pid for pid, who in found.items() if who and who.state != "T"]
        self._frozen += running
        tree.freeze(running)

    def _thaw(self) -> None:
        """Let them go on where they have not."""
        if self.stop_bytes is None or self.footprint_bytes <= self.stop_bytes:
            tree.thaw(self._frozen)
            self._frozen = []

    def _reset_stale(self, readings: list[Reading]) -> None:
        """Start marks anew where an old peak or moving file pages would blur the next stretch."""
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
        adopted, children = self._cpu.processes.adopted, self._cpu.processes.children()
        faults = {pid: waited.minor_faults for pid, waited in children.items()}
        upper = tree_upper(
            tracker,
            largest_bytes=max(usage.largest_bytes, adopted.largest_bytes),
            child_faults=adopted.minor_faults + sum(faults.values()),
            faults_by_parent={pid: faults[pid] for pid in faults if pid != self.root},
        )
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
            upper_bytes=max(tracker.lower_bytes, self._most_bytes if unread else upper),
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

    def held(self) -> list[tuple[str, int, int]]:
        """The largest processes at the last reading: name, pid and bytes."""
        lives = sorted(self._tracker.lives.values(), key=lambda life: -life.sure)[:MAX_HELD]
        return [(life.name, life.pid, life.sure) for life in lives]
