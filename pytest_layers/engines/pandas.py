"""pandas with NumPy-backed columns (text in Arrow from pandas 3 on): eager, on one core."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from pytest_layers.engines import tables
from pytest_layers.engines._pandas import PandasFamily

if TYPE_CHECKING:
    from pytest_layers.records import Dataset


class Pandas(PandasFamily):
    """`scan` and `read` give a `pandas.DataFrame`."""

    name = "pandas"

    def scan(self, dataset: Dataset) -> Any:
        """A `DataFrame` of Parquet or Arrow files, read whole: pandas has nothing lazy."""
        read_parquet = partial(self.namespace.read_parquet, partitioning=None)
        return self.open_with(dataset, parquet=read_parquet, arrow=_read_arrow)


def _read_arrow(paths: list[str]) -> Any:
    return tables.mapped(paths).to_table().to_pandas()
