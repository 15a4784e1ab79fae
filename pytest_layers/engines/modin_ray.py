"""Modin on Ray: the interface of pandas, its partitions in an object store in shared memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_layers.engines import _ray
from pytest_layers.engines._modin import ModinFamily

if TYPE_CHECKING:
    from pytest_layers.records import Budget


class ModinRay(ModinFamily):
    """`scan` and `read` give a `modin.pandas.DataFrame`."""

    name = "modin-ray"
    modules = ("modin", "ray", "pyarrow")
    install = 'pip install "pytest-layers[modin-ray]"'
    runs_on = "Ray"

    @classmethod
    def environment(cls, budget: Budget) -> dict[str, str]:
        """What Modin reads, and what keeps Ray small and to itself."""
        return super().environment(budget) | _ray.ENVIRONMENT

    def start_workers(self, budget: Budget) -> None:
        """Start Ray."""
        _ray.start(budget)

    def end_window(self) -> dict[str, float]:
        """What partitions take in the store; what was spilled is seen in the spill folder."""
        return _ray.figures()

    def stop(self) -> None:
        """End Ray and all its processes."""
        _ray.stop()
