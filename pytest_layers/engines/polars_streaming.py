"""Polars, lazy, run as a stream: batch by batch, on all cores, in little memory."""

from __future__ import annotations

from pytest_layers.engines._polars import PolarsFamily


class PolarsStreaming(PolarsFamily):
    """`scan` gives a `polars.LazyFrame`, `read` a `polars.DataFrame`."""

    name = "polars-streaming"
    runs_on = "streaming"
