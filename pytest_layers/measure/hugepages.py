"""New memory that came in huge pages (Linux 6.10 and newer; Documentation/admin-guide/mm/transhuge.rst).

One page fault adds one page, or a huge one. Which of them it was is counted for the whole machine alone: so much and
no more can one process have had of it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

FOLDER = Path("/sys/kernel/mm/transparent_hugepage")


class HugePages:
    """The kernel's counters, kept open: reading one costs about a microsecond."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._counters = dict(_counters(folder))
        self._none_known = folder.is_dir() and not any(folder.glob("hugepages-*/stats"))

    def faulted_bytes(self) -> int | None:
        """What page faults put into huge pages since boot, of all processes; None where the kernel does not tell."""
        if self._none_known:
            return None
        return sum(int(os.pread(file, 32, 0)) * size for file, size in self._counters.items())

    def close(self) -> None:
        """Give the descriptors back."""
        for file in self._counters:
            os.close(file)
        self._counters.clear()


def _counters(folder: Path) -> Iterator[tuple[int, int]]:
    """A descriptor, and the bytes of one page, for every size that is not switched off."""
    for size in folder.glob("hugepages-*kB"):
        with contextlib.suppress(OSError):
            if "[never]" not in (size / "enabled").read_text():
                file = os.open(size / "stats" / "anon_fault_alloc", os.O_RDONLY | os.O_CLOEXEC)
                yield file, int(size.name.split("-")[1].removesuffix("kB")) * 1024
