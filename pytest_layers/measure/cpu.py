"""CPU time of a tree within a window, how long its threads waited for a core, and what other programs took meanwhile.

Waiting for a core does not prove that another core would have been used. A thread that was pushed off its core had work
to do. But one that woke up may have got what another thread had just released, such as the GIL, or may only have woken
to try for it. And while no other program worked, threads waited for each other. How much busy neighbours held up a tree
is judged by those of its threads that did the work: one with little to do may be left waiting for seconds.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import NamedTuple

from pytest_layers.measure import machine
from pytest_layers.measure.host import system
from pytest_layers.measure.procfs import ChildUsage, Identity, Switches, ThreadTimes

UNTOLD_WAIT_NANOSECONDS = 1_000_000
"""Switches of a thread are read only when it has waited longer: reading them is expensive, most threads sleep."""
THREADS_SHARE = 0.5
"""Of the open files allowed: processes need some too, and it is noticed how much work unread threads do."""
BUSY_SHARE = 0.5
"""A thread counts as busy from this share of the CPU time of the busiest one."""
NEARLY_ALL = 0.9
"""Of the CPU seconds: where threads that had so much may use some CPUs alone, the tree does."""
_NO_TIME = ThreadTimes(0, 0)
_NO_SWITCH = Switches(0, 0)


class ThreadSeconds(NamedTuple):
    """CPU and waiting of threads, in seconds."""

    cpu: float
    wait: float
    """Runnable, but waiting for a core."""
    preempted: float
    """Of that waiting, after having been pushed off a core."""

    def plus(self, other: ThreadSeconds) -> ThreadSeconds:
        """The sums of both."""
        return ThreadSeconds(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))


def held_up_seconds(threads: Sequence[ThreadSeconds]) -> float:
    """How long work was held up: the waiting of all threads after they were pushed off a core.

    Of one thread no more counts, in proportion to its CPU seconds, than of the busy thread that was held up most: a
    thread of the JVM waited 4.6 s for 14 ms of work beside two busy neighbours, and did not want another core.
    """
    least = BUSY_SHARE * max((thread.cpu for thread in threads), default=0.0)
    busy = [thread for thread in threads if thread.cpu >= least > 0]
    most = max((thread.preempted / thread.cpu for thread in busy), default=0.0)
    return sum(min(thread.preempted, thread.cpu * most) for thread in threads)


class Spent(NamedTuple):
    """CPU and waiting of a tree within a window, in seconds."""

    cpu: float
    threads: ThreadSeconds
    """Of the threads that were seen; with the waiting for what the machine beneath took of the CPUs."""
    others: float | None
    """CPU seconds of other programs on the CPUs that the tree may use; None where that is not known."""


class Demand(NamedTuple):
    """How much CPU a tree had spent and waited for by some moment of its window, in seconds."""

    seconds: float
    """Since the window began."""
    cpu: float
    wait: float
    others: float | None
    """CPU seconds of other programs by then."""

    def cores_since(self, before: Demand) -> float:
        """Cores wanted since, at most; as for the whole window, waiting counts up to the CPU that others took."""
        wait = self.wait - before.wait
        if self.others is not None and before.others is not None:
            wait = min(wait, max(0.0, self.others - before.others))
        return (self.cpu - before.cpu + wait) / (self.seconds - before.seconds)


@dataclass
class _Process:
    """CPU seconds of one process at its first and last reading, and usage of its children when the window opened."""

    first: float
    last: float
    children_first: ChildUsage


class _Dead(NamedTuple):
    """One process that ended before the window."""

    pid: int
    started: int
    cpu_seconds: float
    """Of all its life, and of the children that it had waited for."""

    def told_seconds(self) -> float:
        """How much of that its parent's accounting contains by now: all, once it was waited for."""
        who = system.identity(self.pid)
        return 0.0 if who and who.started == self.started else self.cpu_seconds


class Processes:
    """CPU time of every process seen in the window."""

    def __init__(self) -> None:
        self._alive: dict[int, _Process] = {}
        self._ended = 0.0
        """Of processes that ended, as read last."""
        self._ended_before = 0.0
        """Of the same, from before the window: their parents' accounting contains it."""
        self._dead: list[_Dead] = []
        self.adopted = ChildUsage()
        """Usage of the processes that the supervisor waited for."""

    def leave_out(self, dead: Mapping[int, Identity]) -> None:
        """Leave out processes that ended before the window, and will be accounted for when somebody waits for them."""
        self._dead = [
            _Dead(pid, who.started, (system.cpu_seconds(pid) or 0.0) + who.children.cpu_seconds)
            for pid, who in dead.items()
        ]

    def read(self, pids: Iterable[int], *, opening: bool) -> float:
        """Read all; gives the CPU seconds of the window so far. With `opening`, processes count from now on."""
        for pid in pids:
            seconds = system.cpu_seconds(pid)
            if seconds is None:
                continue
            if pid not in self._alive:
                first, children = (seconds, _waited(pid)) if opening else (0.0, ChildUsage())
                self._alive[pid] = _Process(first, seconds, children)
            self._alive[pid].last = max(seconds, self._alive[pid].last)
        return self.seen_seconds

    @property
    def seen_seconds(self) -> float:
        """By the last reading of every process."""
        return self._ended + sum(one.last - one.first for one in self._alive.values())

    def life_seconds(self, pid: int) -> float:
        """CPU seconds of all its life, at the last reading."""
        return self._alive[pid].last if pid in self._alive else 0.0

    def forget(self, pid: int) -> None:
        """Take note that it has ended; its pid may be given to another process."""
        one = self._alive.pop(pid, None)
        if one is not None:
            self._ended += one.last - one.first
            self._ended_before += one.first + one.children_first.cpu_seconds

    def adopt(self, usage: ChildUsage) -> None:
        """Take in the usage of a process that the supervisor waited for."""
        self.adopted = self.adopted.plus(usage)

    def children(self) -> dict[int, ChildUsage]:
        """Usage of children that ended in the window and were waited for, by the living processes that did."""
        return {pid: _waited(pid).less(one.children_first) for pid, one in self._alive.items()}

    def told_seconds(self, root: int, root_children_seconds: float) -> float:
        """CPU seconds by the kernel's accounting: living processes and waited children; `root` reports its own."""
        before = self._ended_before + sum(one.told_seconds() for one in self._dead)
        told = self.adopted.cpu_seconds + root_children_seconds - before
        told += sum(one.last - one.first for one in self._alive.values())
        waited = self.children()
        return told + sum(usage.cpu_seconds for pid, usage in waited.items() if pid != root)


@dataclass
class _Thread:
    """One thread: its times at the first and last reading, its switches when read last. Times are in nanoseconds."""

    descriptor: int
    first: ThreadTimes = _NO_TIME
    last: ThreadTimes = _NO_TIME
    told: Switches = _NO_SWITCH
    told_wait: int = 0
    """Its waiting when its switches were read last."""
    preempted: float = 0.0

    @property
    def spent(self) -> ThreadSeconds:
        """Its CPU and waiting within the window."""
        cpu, wait = self.last.cpu - self.first.cpu, self.last.wait - self.first.wait
        return ThreadSeconds(cpu / 1e9, wait / 1e9, self.preempted / 1e9)

    def tell(self, switches: Switches) -> None:
        """Divide its new waiting among its new switches: after each it waited, and the kernel tells no more."""
        pushed = switches.preempted - self.told.preempted
        slept = switches.voluntary - self.told.voluntary
        if pushed:
            self.preempted += (self.last.wait - self.told_wait) * pushed / (pushed + slept)
        self.told, self.told_wait = switches, self.last.wait


class Threads:
    """CPU and waiting of every thread seen in the window."""

    def __init__(self) -> None:
        self._alive: dict[tuple[int, str], _Thread] = {}
        self._ended: list[ThreadSeconds] = []
        self._ended_total = ThreadSeconds(0.0, 0.0, 0.0)
        """Their sum, kept because every look asks for totals and there may be many."""
        self._seconds_on: dict[frozenset[int], float] = {}
        """CPU seconds by the CPUs that a thread might use when it was read."""
        self._most = int(system.most_open_files() * THREADS_SHARE)

    def read(self, pids: Iterable[int], *, opening: bool) -> None:
        """Read all threads. With `opening`, new ones count from now on, else from their start."""
        for key in list(self._alive):
            self._read_one(key)
        for pid in pids:
            for name in system.thread_ids(pid):
                if (pid, name) not in self._alive:
                    self._meet((pid, name), opening=opening)

    def _meet(self, key: tuple[int, str], *, opening: bool) -> None:
        room = len(self._alive) < self._most
        descriptor = system.open_thread(*key) if room else None
        if descriptor is None:
            return
        thread = self._alive[key] = _Thread(descriptor)
        if not opening:
            self._read_one(key)
            return
        thread.first = thread.last = system.thread_times(descriptor) or _NO_TIME
        thread.told = system.switches(*key) or _NO_SWITCH
        thread.told_wait = thread.last.wait

    def _read_one(self, key: tuple[int, str]) -> None:
        thread = self._alive[key]
        times = system.thread_times(thread.descriptor)
        if times is None:
            self._end(key)
            return
        if times.cpu > thread.last.cpu:
            self._note_cpus(int(key[1]), (times.cpu - thread.last.cpu) / 1e9)
        thread.last = times
        if times.wait - thread.told_wait > UNTOLD_WAIT_NANOSECONDS:
            switches = system.switches(*key)
            if switches is not None:
                thread.tell(switches)

    def _note_cpus(self, thread: int, seconds: float) -> None:
        cpus = system.cpus_allowed(thread)
        if cpus:  # it has not ended meanwhile
            self._seconds_on[cpus] = self._seconds_on.get(cpus, 0.0) + seconds

    def cpus(self, seconds: float) -> tuple[frozenset[int], float]:
        """Which CPUs those threads might use that had nearly all of these CPU seconds, and how many they had."""
        found, covered = frozenset[int](), 0.0
        for cpus, spent in sorted(self._seconds_on.items(), key=lambda item: -item[1]):
            if covered < NEARLY_ALL * seconds:
                found, covered = found | cpus, covered + spent
        return found, covered

    def _end(self, key: tuple[int, str]) -> None:
        """Keep only its sums: its id may be given to another thread."""
        thread = self._alive.pop(key)
        os.close(thread.descriptor)
        self._ended.append(thread.spent)
        self._ended_total = self._ended_total.plus(thread.spent)

    def totals(self) -> ThreadSeconds:
        """CPU and waiting of all threads within the window."""
        total = self._ended_total
        for thread in self._alive.values():
            total = total.plus(thread.spent)
        return total

    def settled(self) -> ThreadSeconds:
        """The same, but only that waiting after being pushed off that held up work (`held_up_seconds`)."""
        alive = [thread.spent for thread in self._alive.values()]
        return self.totals()._replace(preempted=held_up_seconds([*self._ended, *alive]))

    def close(self) -> None:
        """Give the descriptors back; the sums stay."""
        for key in list(self._alive):
            self._end(key)


class Account:
    """CPU and waiting of one tree in one window, which opens now."""

    def __init__(self, cpus: AbstractSet[int] = frozenset()) -> None:
        self.processes = Processes()
        self.threads = Threads()
        self._cpus = cpus
        self._busy_first = None if machine.is_under_quota(cpus) else machine.busy_seconds(cpus)
        self._stolen_first = machine.stolen_seconds(cpus)
        self.demand = Demand(0.0, 0.0, 0.0, 0.0)
        """At the last look at threads."""

    def look(self, seconds: float, pids: Iterable[int], *, opening: bool) -> None:
        """Read all threads, `seconds` into the window, just after the processes."""
        self.threads.read(pids, opening=opening)
        cpu = self.processes.seen_seconds
        self.demand = Demand(seconds, cpu, self.threads.totals().wait, self._others(cpu))

    def spent(self, root: int, root_children_seconds: float, wall_seconds: float) -> Spent:
        """CPU and waiting of the window. CPU is the larger of two sums, each of which may miss something.

        One sums the last readings of all processes, and misses what they used after these. The other sums what the
        kernel says of living processes and waited children, and misses those whose parent ignores SIGCHLD (as Ray's
        raylet does). Where waiting can't be read, all that other programs took counts as waited for.
        """
        told = self.processes.told_seconds(root, root_children_seconds)
        cpu = max(self.processes.seen_seconds, told)
        others = self._others(cpu)
        if not system.TELLS_WAITING:
            return Spent(cpu, ThreadSeconds(cpu, others or 0.0, 0.0), others)
        threads = self._on_its_cpus(self.threads.settled(), cpu, wall_seconds)
        stolen = max(0.0, machine.stolen_seconds(self._cpus) - self._stolen_first)
        return Spent(cpu, threads._replace(wait=threads.wait + stolen), others)

    def _on_its_cpus(
        self, threads: ThreadSeconds, cpu: float, wall_seconds: float
    ) -> ThreadSeconds:
        """Threads that hold themselves to some of the CPUs wait there for each other, whoever is on the rest."""
        cpus, covered = self.threads.cpus(cpu)
        if not cpus < self._cpus or covered < NEARLY_ALL * cpu:
            return threads
        most = max(0.0, len(cpus) * wall_seconds - covered)
        return ThreadSeconds(threads.cpu, min(most, threads.wait), min(most, threads.preempted))

    def _others(self, cpu: float) -> float | None:
        """What other programs took of the CPUs; None where that is not known, as under a quota."""
        if self._busy_first is None:
            return None
        busy = machine.busy_seconds(self._cpus)
        return None if busy is None else max(0.0, busy - self._busy_first - cpu)


def _waited(pid: int) -> ChildUsage:
    who = system.identity(pid)
    return who.children if who else ChildUsage()
