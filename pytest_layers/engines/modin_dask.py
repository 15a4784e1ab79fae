"""Modin on workers of Dask: the interface of pandas, on all cores; eager, in the background."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_layers.engines._dask import DaskWorkers
from pytest_layers.engines._modin import ModinFamily

if TYPE_CHECKING:
    from pytest_layers.records import Budget


class ModinDask(ModinFamily):
    """`scan` gives a `modin.pandas.DataFrame`; `session` is the client of the cluster."""

    name = "modin-dask"
    modules = ("modin", "distributed", "pandas", "pyarrow")
    install = 'pip install "pytest-layers[modin-dask]"'
    runs_on = "Dask"
    address_setting = "dask_scheduler"

    def start_workers(self, budget: Budget) -> None:
        """A worker for each core, or those of a cluster; Modin takes the client that is there."""
        self._workers = DaskWorkers(budget, "modin.pandas")
        self.session, self.cores = self._workers.client, self._workers.cores
