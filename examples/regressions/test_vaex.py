"""What innocent pull requests did to the reports in Vaex."""

import re

import pyarrow as pa
import pytest

import budgets
from pytest_layers.testing import assert_same_rows
from shop import URGENT, reports_for

pytestmark = pytest.mark.layers("vaex")


def values_first(sales):
    """'NumPy will do.' The mapped column becomes Python objects in memory, one for each row."""
    north = sales.region.to_numpy() == "north"
    return pa.table({"amount": [sales.amount.to_numpy()[north].sum()]})


@budgets.north_revenue
@pytest.mark.xfail(strict=True, reason="takes the values of whole columns")
def test_values_first(engine, sales, measured):
    frame = engine.scan(sales)
    with measured:
        result = engine.collect(values_first(frame))
    assert_same_rows(result, engine.collect(reports_for(engine).north_revenue(frame)))


def is_urgent(note):
    return note is not None and re.search(URGENT, note) is not None


def apply_to_each_row(sales):
    """'Use the is_urgent we have.' Python is called for each row, by one thread at a time."""
    urgent = sales.note.apply(is_urgent, multiprocessing=False)
    return pa.table({"amount": [sales[urgent].sum("amount").item()]})


@budgets.urgent_revenue
@pytest.mark.xfail(strict=True, reason="apply calls Python for each row, and holds their objects")
@budgets.smaller
def test_apply_to_each_row(engine, sales, measured):
    frame = engine.scan(sales)
    with measured:
        result = engine.collect(apply_to_each_row(frame))
    assert_same_rows(result, engine.collect(reports_for(engine).urgent_revenue(frame)))


def loop_over_values(sales):
    """'A loop says what it does.' One thread of Python goes through all rows, and no core helps it."""
    rows = zip(sales.note.tolist(), sales.amount.tolist(), strict=True)
    return pa.table({"amount": [sum(amount for note, amount in rows if is_urgent(note))]})


@budgets.urgent_revenue
@pytest.mark.xfail(strict=True, reason="loops over the values of whole columns")
@budgets.smaller
def test_loop_over_values(engine, sales, measured):
    frame = engine.scan(sales)
    with measured:
        result = engine.collect(loop_over_values(frame))
    assert_same_rows(result, engine.collect(reports_for(engine).urgent_revenue(frame)))
