"""Base of the Polars engines, which differ in what runs a lazy frame."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pytest_layers.engines.base import Engine

if TYPE_CHECKING:
    import pyarrow as pa

    from pytest_layers.records import Budget, Dataset


class PolarsFamily(Engine):
    """Polars, run by one of its engines."""

    layer = "engine"
    modules, distribution = ("polars",), "polars"
    install = 'pip install "pytest-layers[polars]"'

    runs_on: ClassVar[str]
    """The `engine` of `LazyFrame.collect`; its default changed with Polars 2."""

    @classmethod
    def environment(cls, budget: Budget) -> dict[str, str]:
        """The size of its thread pool, the memory there is and its folders, which it reads at import.

        From Polars 2 on it spills past a share of the memory, which Polars itself chooses.
        """
        return super().environment(budget) | {
            "POLARS_MAX_THREADS": str(budget.cores),
            "POLARS_OVERRIDE_TOTAL_MEMORY_MB": str(max(1, budget.memory_bytes // 2**20)),
            "POLARS_TEMP_DIR": str(Path(budget.temp_dir, "polars")),
            "POLARS_OOC_SPILL_DIR": budget.spill_dir,
        }

    def start(self, budget: Budget) -> None:
        """Import Polars."""
        import polars as pl

        self.namespace = pl

    def scan(self, dataset: Dataset) -> Any:
        """A `LazyFrame` over Parquet or Arrow files; the latter are memory-mapped."""
        pl = self.namespace
        return self.open_with(dataset, parquet=pl.scan_parquet, arrow=pl.scan_ipc)

    def read(self, dataset: Dataset) -> Any:
        """A `DataFrame`."""
        return self.scan(dataset).collect(engine=self.runs_on)

    def collect(self, frame: Any) -> pa.Table:
        """The rows of a `LazyFrame`, which is run, or of a `DataFrame` or `Series`."""
        pl = self.namespace
        if isinstance(frame, pl.LazyFrame):
            frame = frame.collect(engine=self.runs_on)
        if isinstance(frame, pl.Series):
            frame = frame.to_frame()
        return super().collect(frame.to_arrow() if isinstance(frame, pl.DataFrame) else frame)
