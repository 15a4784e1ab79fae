"""What is asked of the kernel for a supervisor and for its case (prctl(2), sched(7), getrlimit(2)).

Asked of Linux alone; on other systems the case is read as it can be, and kept together by what was seen of it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys

from pytest_layers.measure.host import EXACT

_PARENT_DEATH_SIGNAL = 1
_TIMER_SLACK = 29
_SUBREAPER = 36


def adopt_orphans() -> None:
    """Processes of the case whose parents end become children of this process."""
    _prctl(_SUBREAPER, 1)


def end_with_parent() -> None:
    """This process is killed when the one that started it ends."""
    _prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL)


def wake_on_time() -> None:
    """Short sleeps end in time: the kernel does not put off this process's timers to join them with others."""
    _prctl(_TIMER_SLACK, 1000)


def _prctl(option: int, value: int) -> None:
    if not EXACT:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0):
        raise OSError(ctypes.get_errno(), f"prctl({option})")


def ask_for_promptness() -> None:
    """Ask to be run at once when a reading is due, not after a busy neighbour's turn; root may.

    Not inherited by the case. Where it is refused, readings come later and brackets are wider.
    """
    with contextlib.suppress(OSError, AttributeError):
        policy = os.SCHED_RR | os.SCHED_RESET_ON_FORK
        os.sched_setscheduler(0, policy, os.sched_param(1))


def raise_file_limit() -> None:
    """One descriptor a thread is kept open: as many as we may have."""
    if sys.platform == "win32":
        return
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def forbid_core_dumps() -> None:
    """A test that aborts leaves no dump behind."""
    if sys.platform == "win32":
        return
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, most))
