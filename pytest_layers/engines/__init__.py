"""What runs: the contract of an engine, the catalog, and one file per built-in engine.

To add one: a sibling of these files, its class in `BUILTIN`; CONTRIBUTING.md has what else it needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_layers.engines.arrow import Arrow
from pytest_layers.engines.dask import Dask
from pytest_layers.engines.duckdb import DuckDB
from pytest_layers.engines.modin_dask import ModinDask
from pytest_layers.engines.modin_ray import ModinRay
from pytest_layers.engines.pandas import Pandas
from pytest_layers.engines.pandas_arrow import PandasArrow
from pytest_layers.engines.polars import Polars
from pytest_layers.engines.polars_streaming import PolarsStreaming
from pytest_layers.engines.ray import Ray
from pytest_layers.engines.spark import Spark
from pytest_layers.engines.vaex import Vaex

if TYPE_CHECKING:
    from pytest_layers.engines.base import Engine

BUILTIN: tuple[type[Engine], ...] = (
    Pandas,
    PandasArrow,
    Arrow,
    Polars,
    PolarsStreaming,
    Vaex,
    DuckDB,
    Dask,
    ModinRay,
    ModinDask,
    Ray,
    Spark,
)


def pytest_layers_engines() -> list[type[Engine]]:
    """The built-in engines, through the hook that guests use."""
    return list(BUILTIN)
