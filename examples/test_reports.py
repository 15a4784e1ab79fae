"""Every report on every engine: the right answer, within its budget."""

import pytest

import answers
import budgets
from shop import reports_for


@budgets.north_revenue
def test_north_revenue(engine, sales):
    frame = engine.scan(sales)
    result = engine.collect(reports_for(engine).north_revenue(frame))
    assert result["amount"].to_pylist() == close_to([answers.NORTH_REVENUE])


# From here on only the report itself is measured: pandas reads in `scan`, the others do not.


@budgets.revenue_by_product
def test_revenue_by_product(engine, sales, measured):
    frame = engine.scan(sales)
    with measured:
        result = engine.collect(reports_for(engine).revenue_by_product(frame))
    assert result.num_rows == sales.products
    assert sum(result["amount"].to_pylist()) == close_to(sum(answers.REVENUE_BY_CATEGORY.values()))


# Those that take seconds to start have shown it with the report before.
@budgets.revenue_by_category
@pytest.mark.layers("local")
def test_revenue_by_category(engine, sales, products, measured):
    frames = engine.scan(sales), engine.scan(products)
    with measured:
        result = engine.collect(reports_for(engine).revenue_by_category(*frames))
    assert pairs(result, "category") == close_to(answers.REVENUE_BY_CATEGORY)


@budgets.best_customers
@pytest.mark.layers("local")
def test_best_customers(engine, sales, measured):
    frame = engine.scan(sales)
    with measured:
        result = engine.collect(reports_for(engine).best_customers(frame))
    assert pairs(result, "customer") == close_to(answers.BEST_CUSTOMERS)


@budgets.urgent_revenue
def test_urgent_revenue(engine, sales, measured):
    frame = engine.scan(sales)
    with measured:
        result = engine.collect(reports_for(engine).urgent_revenue(frame))
    assert result["amount"].to_pylist() == close_to([answers.URGENT_REVENUE])


def close_to(expected):
    """Engines add in different orders: a billionth may be between their sums."""
    return pytest.approx(expected, rel=1e-9)


def pairs(table, key):
    return dict(zip(table[key].to_pylist(), table["amount"].to_pylist(), strict=True))
