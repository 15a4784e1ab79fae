"""Reads one process through psutil where there is no `/proc` (macOS, Windows): the functions of `procfs`, less exact.

Here nothing tells how high a process rose between two readings. It can have grown by no more than one page for every
page fault, where the system counts them (macOS, Windows), else by no more than it can touch in its CPU time.
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import Any, NamedTuple

import psutil

from pytest_layers.measure.procfs import (
    MANY_FILES,
    PAGE_BYTES,
    ChildUsage,
    Identity,
    Memory,
    Switches,
    ThreadTimes,
)

CANNOT = (
    "read through psutil: between two readings a peak is bound by page faults or CPU time only, shared memory and"
    " forked pages are not told apart, and waiting for a core is known as what others took of all cores",
)
"""Notes on what readings of this module can't tell, for the measurement."""
HAS_MARKS = TELLS_WAITING = False
_TABLE_SECONDS = 0.02
"""How long the list of all processes is used before it is read again."""
_TOUCHED_PER_SECOND = 2e9
"""How fast one core touches new memory."""
_TICK_SECONDS = 0.016
"""How far CPU time may lag: Windows counts it in ticks of 15.6 ms."""
_GONE = (psutil.NoSuchProcess, psutil.AccessDenied, OSError)


class _Seen(NamedTuple):
    """A process as it was first seen: when its parent ends, it gets another one, or none."""

    parent: int
    started: float


class _Table:
    """All processes of the machine, and ended ones that have living descendants."""

    def __init__(self) -> None:
        self._seen: dict[int, _Seen] = {}
        self._due = 0.0

    def children(self, pid: int) -> list[int]:
        """Processes that were first seen as children of `pid`, also ended ones with living descendants.

        None is older than `pid`: Windows still gives the number of a parent that ended, which may be another's by now.
        """
        if time.monotonic() >= self._due:
            self._look()
            self._due = time.monotonic() + _TABLE_SECONDS
        born = self._seen[pid].started if pid in self._seen else 0.0
        return [
            child
            for child, seen in self._seen.items()
            if seen.parent == pid != child and seen.started >= born
        ]

    def _look(self) -> None:
        alive = {}
        for process in psutil.process_iter():
            with contextlib.suppress(*_GONE):
                alive[process.pid] = _Seen(process.ppid(), process.create_time())
        for pid, seen in alive.items():
            known = self._seen.get(pid)
            if known is None or known.started != seen.started:
                self._seen[pid] = seen
        self._forget(alive.keys())

    def _forget(self, alive: Any) -> None:
        """Forget processes that have ended and are no parent of others."""
        parents = {seen.parent for seen in self._seen.values()}
        for pid in [pid for pid in self._seen if pid not in alive and pid not in parents]:
            del self._seen[pid]


_table = _Table()


def children(pid: int) -> list[int]:
    """Direct children of `pid`."""
    return _table.children(pid)


def all_pids() -> list[int]:
    """Every process of the machine but this one."""
    return [pid for pid in psutil.pids() if pid != os.getpid()]


def identity(pid: int) -> Identity | None:
    """Who `pid` is, or None where there is no such process. No two share an image here."""
    try:
        process = psutil.Process(pid)
        state = "Z" if process.status() == psutil.STATUS_ZOMBIE else "R"
        started = int(process.create_time() * 1000)
        name, parent = process.name(), process.ppid()
    except _GONE:
        return None
    return Identity(name, parent, started, (pid, started), 0, ChildUsage(), state)


def is_dead(pid: int) -> bool:
    """Whether `pid` is gone or a zombie."""
    who = identity(pid)
    return who is None or who.is_dead


def command_line(pid: int) -> str:
    """The command line of `pid` in one line, or an empty text."""
    with contextlib.suppress(*_GONE):
        return " ".join(psutil.Process(pid).cmdline())
    return ""


def has_in_environment(pid: int, text: str) -> bool:
    """Whether the environment that living `pid` was started with holds `text`."""
    with contextlib.suppress(*_GONE):
        return any(text in value for value in psutil.Process(pid).environ().values())
    return False


def cpu_seconds(pid: int) -> float | None:
    """CPU time of a process; None when it is gone."""
    with contextlib.suppress(*_GONE):
        spent = psutil.Process(pid).cpu_times()
        return float(spent.user + spent.system)
    return None


def cpus_allowed(pid: int) -> frozenset[int]:
    """All CPUs; so for a process that is held to some of them, work of others on the rest counts too."""
    return frozenset(range(psutil.cpu_count() or 1))


def most_open_files() -> int:
    """No limit: nothing is kept open here."""
    return MANY_FILES


def last_pid() -> bytes:
    """Not told here."""
    return b""


def proportional_bytes(pid: int) -> int | None:
    """Not told here."""
    return None


def thread_ids(pid: int) -> list[str]:
    """No threads: nothing tells how long they waited."""
    return []


def open_thread(pid: int, thread: str) -> int | None:
    """Not told here."""
    return None


def thread_times(descriptor: int) -> ThreadTimes | None:
    """Not told here."""
    return None


def switches(pid: int, thread: str) -> Switches | None:
    """Not told here."""
    return None


def suspend(pid: int) -> None:
    """Suspend a process; does nothing if it is gone."""
    with contextlib.suppress(*_GONE):
        psutil.Process(pid).suspend()


def resume(pid: int) -> None:
    """Resume a process; does nothing if it is gone."""
    with contextlib.suppress(*_GONE):
        psutil.Process(pid).resume()


def kill(pid: int) -> None:
    """Kill a process; does nothing if it is gone."""
    with contextlib.suppress(*_GONE):
        psutil.Process(pid).kill()


def reap(pid: int) -> ChildUsage | None:
    """Nothing to wait for: orphans are not adopted here."""
    return None


class Process:
    """One process.

    Raises:
        OSError: there is none.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        try:
            self._process = psutil.Process(pid)
        except psutil.Error as error:
            raise ProcessLookupError(pid) from error
        self._resident = self._faults = 0
        """At the reading before; 0 for a process that was just found."""
        self._cpu_seconds = 0.0

    def memory(self) -> Memory | None:
        """A reading, or None when it has ended. Its mark is a bound on the time since the reading before."""
        try:
            with self._process.oneshot():
                told = self._process.memory_info()
                own = _own_bytes(self._process, told)
        except _GONE:
            return None
        most = max(told.rss, self._resident + self._touched(told))
        self._resident = told.rss
        return Memory(most, own, max(0, told.rss - own), 0, 0)

    def _touched(self, told: Any) -> int:
        """How much it can have touched since the reading before."""
        faults = _faults(told)
        if faults is not None:
            new, self._faults = faults - self._faults, faults
            return new * PAGE_BYTES
        before, self._cpu_seconds = self._cpu_seconds, cpu_seconds(self.pid) or self._cpu_seconds
        return int((self._cpu_seconds - before + _TICK_SECONDS) * _TOUCHED_PER_SECOND)

    def minor_faults(self) -> int:
        """Page faults of its life; 0 where they are not known."""
        with contextlib.suppress(*_GONE):
            return _faults(self._process.memory_info()) or 0
        return 0

    def reset_peak(self) -> bool:
        """Nothing to reset: the mark begins anew with every reading."""
        return True

    def close(self) -> None:
        """Nothing is kept open."""


def _own_bytes(process: psutil.Process, told: Any) -> int:
    """Memory that is the process's alone (USS); all that is resident, where that may not be read."""
    try:
        return int(min(told.rss, process.memory_full_info().uss))
    except psutil.AccessDenied:
        return int(told.rss)


def _faults(told: Any) -> int | None:
    """Page faults of its life: `pfaults` on macOS, `num_page_faults` on Windows; Linux's psutil tells none."""
    found = getattr(told, "pfaults", getattr(told, "num_page_faults", None))
    return None if found is None else int(found)
