"""Busy neighbours for the benchmarks."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def neighbours(count: int) -> Iterator[None]:
    """Busy processes beside the measured one."""
    code = "while True: pass"
    busy_ones = [subprocess.Popen([sys.executable, "-S", "-c", code]) for _ in range(count)]
    try:
        yield
    finally:
        for process in busy_ones:
            process.kill()
            process.wait()
