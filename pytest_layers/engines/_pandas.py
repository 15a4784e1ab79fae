"""Base of the pandas engines, which differ in how they read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_layers.engines.base import Engine

if TYPE_CHECKING:
    import pyarrow as pa

    from pytest_layers.records import Budget


class PandasFamily(Engine):
    """pandas, with one kind of columns or another."""

    layer = "classic"
    modules, distribution = ("pandas", "pyarrow"), "pandas"
    install = 'pip install "pytest-layers[pandas]"'
    max_cores = 1  # the operations; Arrow reads Parquet with all cores given

    def start(self, budget: Budget) -> None:
        """Import pandas, and give Arrow the cores."""
        import pandas as pd
        import pyarrow as pa

        pa.set_cpu_count(budget.cores)
        self.namespace = pd

    def collect(self, frame: Any) -> pa.Table:
        """The rows of a `DataFrame` or `Series`.

        Named levels of the index, such as the keys of a group-by, come as columns before the
        others; an index without names is dropped.
        """
        pd = self.namespace
        if isinstance(frame, pd.Series):
            frame = frame.to_frame()
        return super().collect(to_arrow(frame) if isinstance(frame, pd.DataFrame) else frame)


def to_arrow(frame: Any) -> pa.Table:
    """A pandas frame as an Arrow table, with the named levels of its index as columns before the others."""
    import pyarrow as pa

    keyed = any(name is not None for name in frame.index.names)
    table = pa.Table.from_pandas(frame, preserve_index=keyed)
    names = [str(name) for name in table.column_names]
    columns = range(len(frame.columns))
    levels = range(len(columns), len(names))
    keys = [at for at in levels if not names[at].startswith("__index_level_")]
    return table.select([*keys, *columns])
