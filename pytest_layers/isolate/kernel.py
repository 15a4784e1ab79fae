"""What a supervisor asks of the kernel for itself and its case (prctl(2), sched(7), getrlimit(2)).

Only Linux knows most of it. On other systems processes of the case are found by what was seen of them.
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
    """Make processes of the case whose parents end children of this process."""
    _prctl(_SUBREAPER, 1)


def end_with_parent() -> None:
    """Have this process killed when the one that started it ends."""
    _prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL)


def wake_on_time() -> None:
    """Have short sleeps end on time: the kernel is not to delay this process's timers to join them with others."""
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
    """Allow this process as many open files as it may have: the sampler keeps one for every thread."""
    if sys.platform == "win32":
        return
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def forbid_core_dumps() -> None:
    """Have a test that aborts leave no core dump."""
    if sys.platform == "win32":
        return
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, most))
