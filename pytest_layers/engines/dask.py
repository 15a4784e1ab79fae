"""Dask: pandas in partitions, run by a scheduler on worker processes; lazy, spills to disk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_layers.engines._dask import DaskWorkers
from pytest_layers.engines._pandas import to_arrow
from pytest_layers.engines._workers import WorkersEngine

if TYPE_CHECKING:
    import pyarrow as pa

    from pytest_layers.records import Budget, Dataset


class Dask(WorkersEngine):
    """`scan` gives a `dask.dataframe.DataFrame`; `session` is the client of the cluster."""

    name, layer = "dask", "parallel"
    modules, distribution = ("dask", "distributed", "pandas", "pyarrow"), "dask"
    install = 'pip install "pytest-layers[dask]"'
    address_setting = "dask_scheduler"

    @classmethod
    def environment(cls, budget: Budget) -> dict[str, str]:
        """One thread in each worker, as Dask sets it where nobody else did: there are as many as cores."""
        return dict.fromkeys(super().environment(budget), "1")

    def start(self, budget: Budget) -> None:
        """Start the workers, one a core, or connect to a cluster; import Dask there and here."""
        import dask.dataframe as dd

        self._workers = DaskWorkers(budget, "dask.dataframe", "pyarrow.dataset")
        self.namespace, self.session = dd, self._workers.client
        self.cores = self._workers.cores

    def scan(self, dataset: Dataset) -> Any:
        """A lazy `DataFrame` of Parquet files, a partition for each row group.

        By itself Dask makes one partition of a file of up to 256 MiB, and works on one core.
        """
        return self.open_with(dataset, parquet=self._read_parquet)

    def read(self, dataset: Dataset) -> Any:
        """A `DataFrame` whose partitions the workers hold in memory."""
        from distributed import wait

        frame = self.scan(dataset).persist()
        wait(frame)
        return frame

    def collect(self, frame: Any) -> pa.Table:
        """The rows of a `DataFrame`, `Series`, `Bag` or delayed frame, which is computed.

        A scalar gives a row with one column, `value`. Named levels of the index, such as the keys
        of a group-by, come as columns before the others; an index without names is dropped.
        """
        import dask
        import pandas as pd

        if dask.is_dask_collection(frame):
            frame = _tabular(frame.compute())
        if isinstance(frame, pd.Series):
            frame = frame.to_frame()
        return super().collect(to_arrow(frame) if isinstance(frame, pd.DataFrame) else frame)

    def _read_parquet(self, paths: list[str]) -> Any:
        return self.namespace.read_parquet(
            paths, split_row_groups=True, dataset={"partitioning": None}
        )


def _tabular(computed: Any) -> Any:
    """As a frame, what was computed of a bag or a scalar."""
    import pandas as pd

    if pd.api.types.is_scalar(computed):
        return pd.DataFrame({"value": [computed]})
    return pd.DataFrame(computed) if isinstance(computed, list) else computed
