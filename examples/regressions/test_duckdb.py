"""What innocent pull requests did to the reports in DuckDB."""

from collections import Counter

import pyarrow as pa
import pytest

import budgets
from pytest_layers.testing import assert_same_rows
from shop import reports_for

pytestmark = pytest.mark.layers("duckdb")


def fetch_first(sales):
    """'Plain Python, no SQL to review.' All rows at once as tuples of Python objects."""
    revenue = Counter()
    for product, amount in sales.project("product, amount").fetchall():
        revenue[product] += amount
    return pa.table({"product": list(revenue), "amount": list(revenue.values())})


@budgets.revenue_by_product
@pytest.mark.xfail(strict=True, reason="fetches all rows as Python objects, and groups after that")
def test_fetch_first(engine, sales, measured):
    frame = engine.scan(sales)
    with measured:
        result = engine.collect(fetch_first(frame))
    expected = engine.collect(reports_for(engine).revenue_by_product(frame))
    assert_same_rows(result, expected, sort_by="product")


def set_up(connection):
    """'Make runs repeatable.' A setting from a debugging session that stayed in."""
    connection.execute("SET threads = 1")


@budgets.urgent_revenue
@pytest.mark.xfail(strict=True, reason="sets threads to 1 as it connects")
def test_one_thread(engine, sales, measured):
    set_up(engine.session)
    frame = engine.scan(sales)
    with measured:
        result = engine.collect(reports_for(engine).urgent_revenue(frame))
    engine.session.execute("RESET threads")
    assert_same_rows(result, engine.collect(reports_for(engine).urgent_revenue(frame)))
