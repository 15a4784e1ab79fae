"""A memory cgroup for one case, by which the kernel keeps its hard limit: cgroup v2, or v1's memory controller.

It is made only below a cgroup that was delegated to this user: one that has systemd's mark of delegation, or that
belongs to the user while its parent does not. For root, who may write anywhere, only the mark counts
(systemd.resource-control(5), Delegate=; kernel documentation, admin-guide/cgroup-v2, "Delegation").
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable
from pathlib import Path

MARKS = ("user.delegate", "trusted.delegate")
REMOVAL_SECONDS = 2.0
"""For killed processes to be gone from it."""


class Cgroup:
    """One cgroup: `enter` by the process of the case, `remove` when all of it has ended."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._told_kills = 0

    def enter(self) -> None:
        """Move this process in; where that is refused, it stays where it is."""
        with contextlib.suppress(OSError):
            (self._folder / "cgroup.procs").write_text("0")

    def holds(self, pid: int) -> bool:
        """Whether a process is in it."""
        return str(pid) in (self._folder / "cgroup.procs").read_text().split()

    def new_kills(self) -> int:
        """How many processes the kernel killed in it for lack of memory since the last call."""
        before, self._told_kills = self._told_kills, self._kills()
        return self._told_kills - before

    def _kills(self) -> int:
        for name in ("memory.events", "memory.oom_control"):
            with contextlib.suppress(OSError):
                for line in (self._folder / name).read_text().splitlines():
                    if line.startswith("oom_kill "):
                        return int(line.split()[1])
        return 0

    def remove(self) -> None:
        """Remove it, and what the case made below it."""
        last = time.monotonic() + REMOVAL_SECONDS
        while self._folder.exists() and time.monotonic() < last:
            for folder, _, _ in os.walk(self._folder, topdown=False):
                with contextlib.suppress(OSError):
                    Path(folder).rmdir()
            time.sleep(0.005)


def make(above: Iterable[Path], supervisor: int, limit_bytes: int) -> Cgroup | None:
    """Make the cgroup of a case, with its limit; None where none `above` is delegated, or it can't be made.

    `above`: the cgroups that this process is in, from its own up.
    """
    parent = _handed_over(above)
    if parent is None:
        return None
    made = Cgroup(_folder_in(parent, supervisor))
    try:
        _set_up(parent, _folder_in(parent, supervisor), limit_bytes)
    except OSError:
        made.remove()
        return None
    return made


def remove_of(above: Iterable[Path], supervisor: int) -> None:
    """Remove the cgroup that a supervisor had made before it was killed."""
    parent = _handed_over(above)
    if parent is not None:
        Cgroup(_folder_in(parent, supervisor)).remove()


def _folder_in(parent: Path, supervisor: int) -> Path:
    return parent / f"layers-{supervisor}"


def _handed_over(above: Iterable[Path]) -> Path | None:
    """The nearest cgroup that is delegated to this user."""
    return next((folder for folder in above if folder.is_dir() and _is_handed_over(folder)), None)


def _is_handed_over(folder: Path) -> bool:
    if folder.stat().st_uid == os.getuid() != folder.parent.stat().st_uid:
        return True
    for mark in MARKS:
        with contextlib.suppress(OSError):
            if os.getxattr(folder, mark) == b"1":
                return True
    return False


def _set_up(parent: Path, folder: Path, limit_bytes: int) -> None:
    """Make it and write its limits: memory, and no swap beyond that.

    In version 2 the memory controller is handed down first, which the kernel refuses to a cgroup that has processes.
    """
    v2 = (parent / "cgroup.controllers").exists()
    if v2:
        (parent / "cgroup.subtree_control").write_text("+memory")
    folder.mkdir()
    (folder / ("memory.max" if v2 else "memory.limit_in_bytes")).write_text(str(limit_bytes))
    swap = folder / ("memory.swap.max" if v2 else "memory.memsw.limit_in_bytes")
    if swap.exists():
        swap.write_text("0" if v2 else str(limit_bytes))
