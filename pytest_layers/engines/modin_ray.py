"""Modin on Ray: the interface of pandas, its partitions in an object store in shared memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_layers.engines import _ray
from pytest_layers.engines._modin import ModinFamily

if TYPE_CHECKING:
    from pytest_layers.records import Budget


class ModinRay(_ray.OnRay, ModinFamily):
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
