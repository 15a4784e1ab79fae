"""Busy neighbours for the benchmarks."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator

BUSY = """
import os
parent = os.getppid()
while os.getppid() == parent:
    for _ in range(10**6):
        pass
"""


@contextlib.contextmanager
def neighbours(count: int) -> Iterator[None]:
    """Busy processes beside the measured one, each in a session of its own: the scheduler may share out by sessions.

    They end soon after this process, however that ends.
    """
    command = [sys.executable, "-S", "-c", BUSY]
    busy_ones = [subprocess.Popen(command, start_new_session=True) for _ in range(count)]
    try:
        yield
    finally:
        for process in busy_ones:
            process.kill()
            process.wait()
