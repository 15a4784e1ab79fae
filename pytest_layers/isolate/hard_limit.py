"""The hard limit of one case: all the memory that it has, kept by the kernel where it can, else by its supervisor."""

from __future__ import annotations

from typing import Any

from pytest_layers.isolate import cgroup
from pytest_layers.measure import machine


class HardLimit:
    """Who keeps it, and what came of it."""

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
        """For pytest: the limit, who keeps it, and how many processes the kernel killed since this was told last."""
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
