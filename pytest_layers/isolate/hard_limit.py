"""The hard limit on all memory of a case: kept by the kernel where there can be a cgroup, else by the supervisor."""

from __future__ import annotations

from typing import Any

from pytest_layers.isolate import cgroup
from pytest_layers.measure import machine


class HardLimit:
    """Whether the kernel or the supervisor keeps the limit, and how many processes were killed at it."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self.cgroup: cgroup.Cgroup | None = None

    def make_cgroup(self, supervisor: int) -> cgroup.Cgroup | None:
        """The cgroup for the case's process to enter; None without a limit, or where there can't be one."""
        if self._limit_bytes:
            above = machine.cgroup_folders("memory")
            self.cgroup = cgroup.make(above, supervisor, self._limit_bytes)
        return self.cgroup

    def check(self, pid: int) -> None:
        """Give the cgroup up where the case's process was not let in."""
        if self.cgroup is not None and not self.cgroup.holds(pid):
            self.remove()

    def told(self) -> dict[str, Any] | None:
        """For pytest: the limit, who keeps it, and how many processes the kernel killed since the last call."""
        if not self._limit_bytes:
            return None
        kept_by = "kernel" if self.cgroup else "supervisor"
        kills = self.cgroup.new_kills() if self.cgroup else 0
        return {"limit_bytes": self._limit_bytes, "kept_by": kept_by, "kills": kills}

    def remove(self) -> None:
        """Remove the cgroup: all in it has ended."""
        if self.cgroup is not None:
            self.cgroup.remove()
            self.cgroup = None
