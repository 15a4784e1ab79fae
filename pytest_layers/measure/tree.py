"""Which processes belong to a case, and how to end them: all that is below its supervisor, adopted orphans too."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable

from pytest_layers.measure.host import system
from pytest_layers.measure.procfs import ChildUsage, Identity

CLEANERS = "resource_tracker"
"""In the command line of the helper by which multiprocessing and loky remove what dead processes left."""
CLEANING_SECONDS = 2.0
"""For such helpers to do that, when nothing else is left."""
QUIET_SECONDS = 0.1


def descendants(pid: int, *, without: int = 0) -> list[int]:
    """All processes below `pid`, but not `without` and what is below that."""
    found: list[int] = []
    stack = system.children(pid)
    while stack:
        child = stack.pop()
        if child != without:
            found.append(child)
            stack += system.children(child)
    return found


def end(supervisor: int, *, case: int, deadline_seconds: float = 10.0) -> list[str]:
    """End everything below `supervisor`, which must be a subreaper; `case` is left to be waited for.

    All are suspended first and then killed, or a process that forks would be faster. This is repeated until two looks
    in a row find nothing, as one look may miss a process whose parent ends meanwhile. Helpers that clean up after the
    others are given time for that.

    Returns:
        The command lines of what was alive.
    """
    ended: dict[int, str] = {}
    started = alone = time.monotonic()
    empty_looks = 0
    while (now := time.monotonic()) - started < deadline_seconds and empty_looks < 2:
        alive = _alive(supervisor)
        empty_looks = 0 if alive else empty_looks + 1
        ended |= {pid: line for pid, line in alive.items() if line}  # one that is going has none
        alone = _kill_in_turn(alive, alone, now)
        time.sleep(0.001)
        reap(without=case)
    return [line for line in ended.values() if CLEANERS not in line]


def end_tagged(tag: str, *, deadline_seconds: float = 10.0) -> None:
    """End every process that was started with `tag` in its environment: what a killed supervisor leaves.

    They are looked for more than once: a process that is just being started has no environment to read yet.
    """
    now = alone = time.monotonic()
    last, quiet = now + deadline_seconds, now + QUIET_SECONDS
    while now < min(last, quiet):
        tagged = [pid for pid in system.all_pids() if system.has_in_environment(pid, tag)]
        alone = _kill_in_turn({pid: system.command_line(pid) for pid in tagged}, alone, now)
        time.sleep(0.005)
        now = time.monotonic()
        quiet = now + QUIET_SECONDS if tagged else quiet


def dead(pids: Iterable[int]) -> dict[int, Identity]:
    """Those of these processes that have ended and were not waited for yet."""
    found = {pid: system.identity(pid) for pid in pids}
    return {pid: who for pid, who in found.items() if who and who.is_dead}


def freeze(pids: Iterable[int]) -> None:
    """Suspend these processes: they take no more memory meanwhile."""
    for pid in pids:
        system.suspend(pid)


def thaw(pids: Iterable[int]) -> None:
    """Resume these processes."""
    for pid in pids:
        system.resume(pid)


def _alive(supervisor: int) -> dict[int, str]:
    """Command lines of all living processes below `supervisor`."""
    pids = [pid for pid in descendants(supervisor) if not system.is_dead(pid)]
    return {pid: system.command_line(pid) for pid in pids}


def _kill_in_turn(alive: dict[int, str], alone: float, now: float) -> float:
    """Kill all, but cleaning helpers only after they had time to clean up; gives since when only these are left."""
    others = [pid for pid, line in alive.items() if CLEANERS not in line]
    alone = now if others else alone
    _kill(others if now - alone < CLEANING_SECONDS else alive)
    return alone


def _kill(pids: Iterable[int]) -> None:
    freeze(pids)
    for pid in pids:
        system.kill(pid)


def reap(*, without: int = 0) -> ChildUsage:
    """Collect ended children, adopted ones too, but not `without`.

    Returns:
        What is known of them, and of descendants that they waited for.
    """
    found = ChildUsage()
    for pid in system.children(os.getpid()):
        ended = None if pid == without else system.reap(pid)
        found = found.plus(ended) if ended else found
    return found
