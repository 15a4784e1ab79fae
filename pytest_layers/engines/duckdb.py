"""DuckDB: relations over files, run on all cores; spills to disk when memory is short."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_layers.engines import tables
from pytest_layers.engines.base import Engine

if TYPE_CHECKING:
    import pyarrow as pa

    from pytest_layers.records import Budget, Dataset


class DuckDB(Engine):
    """`scan` gives a `DuckDBPyRelation` over the files; `session` is the connection."""

    name, layer = "duckdb", "engine"
    modules, distribution = ("duckdb",), "duckdb"
    install = 'pip install "pytest-layers[duckdb]"'

    def start(self, budget: Budget) -> None:
        """Open an in-memory database within the budget; past 80 % of the memory, its default too, it spills.

        Functions of the module, such as `duckdb.sql`, work on it too.
        """
        import duckdb

        self.namespace = duckdb
        self.session = duckdb.connect(
            config={
                "threads": budget.cores,
                "memory_limit": f"{budget.memory_bytes * 4 // 5}B",
                "temp_directory": budget.spill_dir,
            }
        )
        self._default = duckdb.default_connection()
        duckdb.set_default_connection(self.session)

    def scan(self, dataset: Dataset) -> Any:
        """A lazy relation over Parquet or Arrow files; the latter are memory-mapped."""
        return self.open_with(dataset, parquet=self.session.read_parquet, arrow=self._map_arrow)

    def read(self, dataset: Dataset) -> Any:
        """A relation over a copy in memory."""
        return self.session.from_arrow(self.scan(dataset).to_arrow_table())

    def collect(self, frame: Any) -> pa.Table:
        """The rows of a relation, which is run."""
        relation = isinstance(frame, self.namespace.DuckDBPyRelation)
        return super().collect(frame.to_arrow_table() if relation else frame)

    def stop(self) -> None:
        """Close the connection, which ends its threads; `duckdb.sql` works on the former one again."""
        self.session.close()
        self.namespace.set_default_connection(self._default)

    def _map_arrow(self, paths: list[str]) -> Any:
        return self.session.from_arrow(tables.mapped(paths))
