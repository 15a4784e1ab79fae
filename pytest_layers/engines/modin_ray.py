"""Modin on Ray: the interface of pandas, its partitions in an object store in shared memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_layers.engines import _ray
from pytest_layers.engines._modin import ModinFamily

if TYPE_CHECKING:
    from pytest_layers.records import Budget


class ModinRay(ModinFamily):
    """`scan` and `read` give a `modin.pandas.DataFrame`; `session` is None."""

    name = "modin-ray"
    modules = ("modin", "ray", "pyarrow")
    install = 'pip install "pytest-layers[modin-ray]"'
    runs_on = "Ray"
    address_setting = "ray_address"

    @classmethod
    def environment(cls, budget: Budget) -> dict[str, str]:
        """What Modin reads, and what keeps Ray small and to itself."""
        return super().environment(budget) | _ray.environment(budget)

    def start_workers(self, budget: Budget) -> None:
        """Start Ray, or connect; Modin takes the Ray that is there."""
        self._workers = _ray.RayWorkers(budget)
        self.cores = self._workers.cores
        from modin.config import CpuCount, NPartitions

        CpuCount.put(self.cores)
        NPartitions.put(self.cores)

    def begin_window(self) -> None:
        """Place probes where the nodes are the user's."""
        self._workers.begin_window()

    def end_window(self) -> dict[str, float]:
        """What partitions take in the store; what was spilled is seen in the spill folder."""
        return self._workers.end_window()

    def nodes(self) -> list[dict[str, Any]]:
        """What was measured on each node of a cluster of the user's."""
        return self._workers.nodes()

    def stop(self) -> None:
        """End Ray and all its processes, or leave the cluster of the user's."""
        self._workers.stop()
