"""Base of the Modin engines, which differ in the workers that they run on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pytest_layers.engines._pandas import to_arrow
from pytest_layers.engines._workers import WorkersEngine
from pytest_layers.engines.base import THREAD_COUNTS

if TYPE_CHECKING:
    import pyarrow as pa

    from pytest_layers.records import Budget, Dataset


class ModinFamily(WorkersEngine):
    """Modin: the interface of pandas over partitions that the workers of another library hold."""

    layer = "parallel"
    distribution = "modin"

    runs_on: ClassVar[str]
    """What Modin calls the library of its workers: `Ray`, `Dask`."""

    @classmethod
    def environment(cls, budget: Budget) -> dict[str, str]:
        """The library of its workers, their number (of one thread each), and the number of partitions."""
        return dict.fromkeys(THREAD_COUNTS, "1") | {
            "MODIN_ENGINE": cls.runs_on.lower(),
            "MODIN_CPUS": str(budget.cores),
            "MODIN_NPARTITIONS": str(budget.cores),
        }

    def start(self, budget: Budget) -> None:
        """Start the workers, then import Modin, which finds them; a partition for each core that they have."""
        self.start_workers(budget)
        from modin.config import CpuCount, NPartitions

        CpuCount.put(self.cores)
        NPartitions.put(self.cores)
        import modin.pandas as pd

        self.namespace = pd

    def start_workers(self, budget: Budget) -> None:
        """Start the workers, before Modin does so by itself at its first operation."""
        raise NotImplementedError

    def scan(self, dataset: Dataset) -> Any:
        """A `modin.pandas.DataFrame` of Parquet files, which the workers read in the background."""
        return self.open_with(dataset, parquet=self._read_parquet)

    def collect(self, frame: Any) -> pa.Table:
        """The rows of a `DataFrame` or `Series`, when its partitions are done.

        Named levels of the index, such as the keys of a group-by, come as columns before the
        others; an index without names is dropped.
        """
        pd = self.namespace
        if isinstance(frame, pd.Series):
            frame = frame.to_frame()
        if isinstance(frame, pd.DataFrame):
            frame = to_arrow(frame.modin.to_pandas())
        return super().collect(frame)

    def _read_parquet(self, paths: list[str]) -> Any:
        """The columns of the files: with pyarrow below 25 Modin looks for a `year` too, in a folder `year=2024`."""
        from pyarrow import parquet

        columns = parquet.read_schema(paths[0]).names
        return self.namespace.read_parquet(paths[0] if len(paths) == 1 else paths, columns=columns)
