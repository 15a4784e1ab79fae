"""Polars, lazy, run in memory: whole columns at a time, on all cores."""

from __future__ import annotations

from pytest_layers.engines._polars import PolarsFamily


class Polars(PolarsFamily):
    """`scan` gives a `polars.LazyFrame`, `read` a `polars.DataFrame`."""

    name = "polars"
    runs_on = "in-memory"
