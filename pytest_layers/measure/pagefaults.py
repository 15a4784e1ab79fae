"""How much new memory page faults brought, by the kernel's counters for the whole machine.

One page fault adds one page, or a huge one (Documentation/admin-guide/mm/transhuge.rst). Huge pages are counted for the
whole machine only, which bounds how much one process can have got. Pages of sizes between the two are counted since
Linux 6.10; they are off by default.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from pytest_layers.measure import machine
from pytest_layers.measure.procfs import PAGE_BYTES

FOLDER = Path("/sys/kernel/mm/transparent_hugepage")
VMSTAT = Path("/proc/vmstat")


class Faulted(NamedTuple):
    """Memory that page faults of all processes have brought since boot, in bytes."""

    huge: int = 0
    """In huge pages."""
    all: int | None = None
    """In pages of any size; None where it was not asked for, or is not known."""


class PageFaults:
    """The kernel's counters, kept open: reading one takes a few microseconds, /proc/vmstat 30."""

    def __init__(self, folder: Path = FOLDER, vmstat: Path = VMSTAT) -> None:
        self._counters = dict(_counters(folder))
        self._vmstat = -1
        with contextlib.suppress(OSError):
            self._vmstat = os.open(vmstat, os.O_RDONLY | os.O_CLOEXEC)
        counted = any(folder.glob("hugepages-*kB/stats"))
        self._page_bytes = 0 if counted else _huge_page_bytes(folder)

    def faulted(self, *, of_any_size: bool) -> Faulted:
        """What they have brought by now; reading `of_any_size` takes as long as reading a process."""
        return Faulted(self.huge_bytes(), self.all_bytes() if of_any_size else None)

    def huge_bytes(self) -> int:
        """Memory in huge pages that page faults have brought since boot."""
        if self._page_bytes:
            return (self._counted(b"\nthp_fault_alloc ") or 0) * self._page_bytes
        return sum(int(os.pread(file, 32, 0)) * size for file, size in self._counters.items())

    def all_bytes(self) -> int | None:
        """Memory in pages of any size that page faults have brought since boot; None where it is not known."""
        faults = self._counted(b"\npgfault ")
        return None if faults is None else faults * PAGE_BYTES + self.huge_bytes()

    def _counted(self, name: bytes) -> int | None:
        text, more = b"", self._vmstat >= 0
        while more and b"\n" not in text.partition(name)[2]:
            # The kernel gives no more than a page at a time, and the whole is about one.
            part = os.pread(self._vmstat, 65536, len(text))
            text, more = text + part, bool(part)
        value = text.partition(name)[2].partition(b"\n")[0]
        return int(value) if value else None

    def close(self) -> None:
        """Give the descriptors back."""
        for file in (*self._counters, self._vmstat):
            if file >= 0:
                os.close(file)
        self._counters, self._vmstat = {}, -1


def _huge_page_bytes(folder: Path) -> int:
    """Size of a huge page, as /proc/vmstat counts them; a sandbox may hide /sys."""
    with contextlib.suppress(OSError):
        return int((folder / "hpage_pmd_size").read_text())
    return machine.huge_page_bytes()


def _counters(folder: Path) -> Iterator[tuple[int, int]]:
    """A descriptor of the counter, and the bytes of one page, for every size that has a counter and is enabled."""
    for size in folder.glob("hugepages-*kB"):
        with contextlib.suppress(OSError):
            if "[never]" in (size / "enabled").read_text():
                continue
            file = os.open(size / "stats" / "anon_fault_alloc", os.O_RDONLY | os.O_CLOEXEC)
            yield file, int(size.name.split("-")[1].removesuffix("kB")) * 1024
