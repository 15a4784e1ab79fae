"""New memory that came in huge pages (Documentation/admin-guide/mm/transhuge.rst).

One page fault adds one page, or a huge one. Which of them it was is counted for the whole machine alone: so much and
no more can one process have had of it. Sizes between the two are counted since Linux 6.10; they are off by default.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

FOLDER = Path("/sys/kernel/mm/transparent_hugepage")
VMSTAT = Path("/proc/vmstat")
_FAULTS = re.compile(rb"^thp_fault_alloc (\d+)$", re.MULTILINE)


class HugePages:
    """The kernel's counters, kept open: reading them costs some microseconds, 20 before Linux 6.10."""

    def __init__(self, folder: Path = FOLDER, vmstat: Path = VMSTAT) -> None:
        self._counters = dict(_counters(folder))
        self._vmstat = -1
        counted = any(folder.glob("hugepages-*kB/stats"))
        if not counted and (folder / "hpage_pmd_size").exists():
            self._vmstat = os.open(vmstat, os.O_RDONLY | os.O_CLOEXEC)
            self._page_bytes = int((folder / "hpage_pmd_size").read_text())

    def faulted_bytes(self) -> int:
        """What page faults put into huge pages since boot, of all processes."""
        if self._vmstat < 0:
            return sum(int(os.pread(file, 32, 0)) * size for file, size in self._counters.items())
        found = _FAULTS.search(os.pread(self._vmstat, 65536, 0))
        return int(found[1]) * self._page_bytes if found else 0

    def close(self) -> None:
        """Give the descriptors back."""
        for file in (*self._counters, self._vmstat):
            if file >= 0:
                os.close(file)
        self._counters, self._vmstat = {}, -1


def _counters(folder: Path) -> Iterator[tuple[int, int]]:
    """A descriptor, and the bytes of one page, for every size that is counted by itself and not switched off."""
    for size in folder.glob("hugepages-*kB"):
        with contextlib.suppress(OSError):
            if "[never]" in (size / "enabled").read_text():
                continue
            file = os.open(size / "stats" / "anon_fault_alloc", os.O_RDONLY | os.O_CLOEXEC)
            yield file, int(size.name.split("-")[1].removesuffix("kB")) * 1024
