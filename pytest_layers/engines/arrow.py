"""Arrow itself: data sets, compute functions and the Acero engine of pyarrow, on all cores."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from pytest_layers.engines import tables
from pytest_layers.engines.base import Engine

if TYPE_CHECKING:
    import pyarrow as pa

    from pytest_layers.records import Budget, Dataset


class Arrow(Engine):
    """`scan` gives a `pyarrow.dataset.Dataset`, `read` a `pyarrow.Table`."""

    name, layer = "arrow", "memory"
    modules, distribution = ("pyarrow",), "pyarrow"
    install = "pip install pyarrow"

    def start(self, budget: Budget) -> None:
        """Import pyarrow with its compute, dataset and Acero modules, and give it the cores."""
        import pyarrow as pa
        import pyarrow.acero
        import pyarrow.compute
        import pyarrow.dataset

        pa.set_cpu_count(budget.cores)
        self.namespace = pa

    def begin_window(self) -> None:
        """Remember where the memory pool stands."""
        pool = self.namespace.default_memory_pool()
        self._before = pool.bytes_allocated(), pool.max_memory()

    def end_window(self) -> dict[str, float]:
        """`pool_bytes`, by which the memory pool has grown, and `pool_peak_bytes` where it held more than ever before.

        The pool's own peak can't be reset: where it was higher before the window, that of the window is not known.
        """
        pool = self.namespace.default_memory_pool()
        held, most = self._before
        figures = {"pool_bytes": float(pool.bytes_allocated() - held)}
        if pool.max_memory() > most:
            figures["pool_peak_bytes"] = float(pool.max_memory() - held)
        return figures

    def scan(self, dataset: Dataset) -> Any:
        """A lazy `Dataset` of Parquet or Arrow files; the latter are memory-mapped."""
        parquet = partial(self.namespace.dataset.dataset, format="parquet")
        return self.open_with(dataset, parquet=parquet, arrow=tables.mapped)

    def read(self, dataset: Dataset) -> Any:
        """A `Table`: of Parquet in memory, of Arrow files over their mapped pages."""
        return self.scan(dataset).to_table()

    def collect(self, frame: Any) -> pa.Table:
        """The rows of a `Dataset`, `Scanner` or Acero `Declaration`, which is run, or a `Table`."""
        pa = self.namespace
        lazy = (pa.dataset.Dataset, pa.dataset.Scanner, pa.acero.Declaration)
        return super().collect(frame.to_table() if isinstance(frame, lazy) else frame)
