"""CPU of a tree within a window: of processes alive, of those that ended, and the waiting of threads for a core."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from pytest_layers.measure import procfs
from pytest_layers.measure.procfs import ChildUsage, ThreadTimes

_NOTHING = ThreadTimes(0, 0)


class Spent(NamedTuple):
    """What a tree spent within a window, in seconds."""

    cpu: float
    thread_cpu: float
    """Of the threads whose waiting is known."""
    thread_wait: float


@dataclass
class _Process:
    """Seconds of one process: when first and last read, and of its waited children when the window opened."""

    first: float
    last: float
    children_first: ChildUsage


class Processes:
    """CPU of every process seen in the window."""

    def __init__(self) -> None:
        self._alive: dict[int, _Process] = {}
        self._ended = 0.0
        """Of processes that ended, as read last."""
        self._ended_before = 0.0
        """Of the same, from before the window: it is in what their parents are told."""
        self._adopted = ChildUsage()

    def read(self, pids: Iterable[int], *, opening: bool) -> float:
        """Read all; gives the seconds of the window so far. Those there at its opening count from now on."""
        for pid in pids:
            seconds = procfs.cpu_seconds(pid)
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
        """Of all its life, as read last."""
        return self._alive[pid].last if pid in self._alive else 0.0

    def forget(self, pid: int) -> None:
        """It has ended; its number may be another's from now on."""
        one = self._alive.pop(pid, None)
        if one is not None:
            self._ended += one.last - one.first
            self._ended_before += one.first + one.children_first.cpu_seconds

    def adopt(self, usage: ChildUsage) -> None:
        """What is known of a process that the supervisor waited for."""
        self._adopted = self._adopted.plus(usage)

    def children(self) -> ChildUsage:
        """Of all children that ended in the window and were waited for."""
        told = self._adopted
        for pid, one in self._alive.items():
            told = told.plus(_waited(pid).less(one.children_first))
        return told

    def told_seconds(self, root: int, root_children_seconds: float) -> float:
        """By the kernel: of living processes, and of those that were waited for; the root tells of its own."""
        told = self._adopted.cpu_seconds + root_children_seconds - self._ended_before
        for pid, one in self._alive.items():
            told += one.last - one.first
            if pid != root:
                told += _waited(pid).less(one.children_first).cpu_seconds
        return told


class Threads:
    """CPU and waiting of every thread seen in the window."""

    def __init__(self) -> None:
        self._open: dict[tuple[int, str], int] = {}
        self._first: dict[tuple[int, str], ThreadTimes] = {}
        self._last: dict[tuple[int, str], ThreadTimes] = {}
        self._ended = _NOTHING

    def read(self, pids: Iterable[int], *, opening: bool) -> None:
        """Read all threads; those there at the opening of the window count from now on, others from nothing."""
        for key in list(self._open):
            self._read_one(key)
        for pid in pids:
            for thread in procfs.thread_ids(pid):
                key = pid, thread
                if key in self._open:
                    continue
                descriptor = procfs.open_thread(pid, thread)
                if descriptor is None:
                    continue
                self._open[key] = descriptor
                self._first[key] = self._last[key] = _NOTHING
                self._read_one(key)
                if opening and key in self._open:
                    self._first[key] = self._last[key]

    def _read_one(self, key: tuple[int, str]) -> None:
        times = procfs.thread_times(self._open[key])
        if times is None:
            self._end(key)
        else:
            self._last[key] = times

    def _end(self, key: tuple[int, str]) -> None:
        """Keep its sums alone: its number may be another thread's from now on."""
        os.close(self._open.pop(key))
        first, last = self._first.pop(key), self._last.pop(key)
        self._ended = ThreadTimes(
            self._ended.cpu + last.cpu - first.cpu, self._ended.wait + last.wait - first.wait
        )

    def totals(self) -> tuple[float, float]:
        """CPU and waiting seconds within the window."""
        cpu, wait = self._ended
        for key, last in self._last.items():
            cpu += last.cpu - self._first[key].cpu
            wait += last.wait - self._first[key].wait
        return cpu / 1e9, wait / 1e9

    def close(self) -> None:
        """Give the descriptors back; the sums stay."""
        for key in list(self._open):
            self._end(key)


class Account:
    """CPU of one tree in one window."""

    def __init__(self) -> None:
        self.processes = Processes()
        self.threads = Threads()

    def spent(self, root: int, root_children_seconds: float) -> Spent:
        """CPU of the window, by two ways of counting that each may miss something: the larger.

        One sums the last reading of every process; the other what the kernel says of living processes and of those
        that were waited for. The first misses what a process burnt after its last reading; the second those whose
        parent ignores SIGCHLD (Ray's raylet does).
        """
        told = self.processes.told_seconds(root, root_children_seconds)
        return Spent(max(self.processes.seen_seconds, told), *self.threads.totals())


def _waited(pid: int) -> ChildUsage:
    who = procfs.identity(pid)
    return who.children if who else ChildUsage()
