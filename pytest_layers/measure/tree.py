"""Which processes belong to a case: everything below its first process, and what it left to the supervisor."""

from __future__ import annotations

import os
import signal
import time

from pytest_layers.measure import procfs


def descendants(pid: int, *, without: int = 0) -> list[int]:
    """All processes below `pid`, but not `without` and what is below that."""
    found: list[int] = []
    stack = procfs.children(pid)
    while stack:
        child = stack.pop()
        if child != without:
            found.append(child)
            stack += procfs.children(child)
    return found


def end(supervisor: int, *, case: int, deadline_seconds: float = 10.0) -> list[str]:
    """End everything below `supervisor`, which must be a subreaper; `case` is left to be waited for.

    Stopped first, then killed, until nothing is left: a process that forks in between is
    otherwise faster.

    Returns:
        The command lines of what was alive.
    """
    ended: dict[int, str] = {}
    last = time.monotonic() + deadline_seconds
    while time.monotonic() < last:
        alive = [pid for pid in descendants(supervisor) if not procfs.is_dead(pid)]
        if not alive:
            break
        ended |= {pid: command for pid in alive if (command := procfs.command_line(pid))}
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in alive:
                _send(pid, number)
        time.sleep(0.001)
        reap(without=case)
    return list(ended.values())


def reap(*, without: int = 0) -> float:
    """Collect ended children, adopted ones too, but not `without`.

    Returns:
        Their CPU seconds, with those of descendants that were waited for.
    """
    seconds = 0.0
    for pid in procfs.children(os.getpid()):
        if pid == without:
            continue
        try:
            reaped, _, usage = os.wait4(pid, os.WNOHANG)
        except ChildProcessError:
            continue
        if reaped:
            seconds += usage.ru_utime + usage.ru_stime
    return seconds


def _send(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
