"""pandas with Arrow-backed columns (`dtype_backend="pyarrow"`): eager, on one core."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from pytest_layers.engines import tables
from pytest_layers.engines._pandas import PandasFamily

if TYPE_CHECKING:
    from pytest_layers.records import Dataset


class PandasArrow(PandasFamily):
    """`scan` and `read` give a `pandas.DataFrame` whose columns are Arrow's."""

    name = "pandas-arrow"

    def scan(self, dataset: Dataset) -> Any:
        """A `DataFrame` of Parquet files, read whole, or over the mapped pages of Arrow files."""
        read_parquet = partial(
            self.namespace.read_parquet, dtype_backend="pyarrow", partitioning=None
        )
        return self.open_with(dataset, parquet=read_parquet, arrow=self._map_arrow)

    def _map_arrow(self, paths: list[str]) -> Any:
        return tables.mapped(paths).to_table().to_pandas(types_mapper=self.namespace.ArrowDtype)
