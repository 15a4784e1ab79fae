"""What innocent pull requests did to the reports in Polars, whichever of its engines runs them."""

import re

import pytest

import budgets
from pytest_layers.testing import assert_same_rows
from shop import URGENT, reports_for

pl = pytest.importorskip("polars")
pytestmark = pytest.mark.layers("polars", "polars-streaming")


def collect_first(sales):
    """'A DataFrame is easier to debug.' What follows `collect` can't spare it a column or a row."""
    return sales.collect().filter(pl.col("region") == "north").select(pl.col("amount").sum())


@budgets.north_revenue
@pytest.mark.xfail(strict=True, reason="collects all columns, and filters after that")
def test_collect_first(engine, sales, measured):
    frame = engine.scan(sales)
    with measured:
        result = engine.collect(collect_first(frame))
    assert_same_rows(result, engine.collect(reports_for(engine).north_revenue(frame)))


def is_urgent(note):
    return re.search(URGENT, note) is not None


def call_for_each_row(sales):
    """'Use the is_urgent we have.' Python is called for each row, by one thread at a time."""
    urgent = pl.col("note").map_elements(is_urgent, return_dtype=pl.Boolean)
    return sales.filter(urgent).select(pl.col("amount").sum())


@budgets.urgent_revenue
@pytest.mark.xfail(strict=True, reason="map_elements calls Python for each row, under the GIL")
@budgets.smaller
def test_call_for_each_row(engine, sales, measured):
    frame = engine.scan(sales)
    with measured:
        result = engine.collect(call_for_each_row(frame))
    assert_same_rows(result, engine.collect(reports_for(engine).urgent_revenue(frame)))


def loop_over_rows(sales):
    """'Let me just loop over it.' Once collected, the rows pass through one thread of Python."""
    orders = sales.select("note", "amount").collect()
    total = sum(amount for note, amount in orders.iter_rows() if note and is_urgent(note))
    return pl.DataFrame({"amount": [total]})


@budgets.urgent_revenue
@pytest.mark.xfail(strict=True, reason="collects, and loops over the rows in Python")
@budgets.smaller
def test_loop_over_rows(engine, sales, measured):
    frame = engine.scan(sales)
    with measured:
        result = engine.collect(loop_over_rows(frame))
    assert_same_rows(result, engine.collect(reports_for(engine).urgent_revenue(frame)))
