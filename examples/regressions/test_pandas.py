"""What innocent pull requests did to the reports in pandas.

Memory only: pandas works on one core before a change and after it, so there are no cores to lose.
"""

import pytest

import budgets
from pytest_layers.testing import assert_same_rows
from shop import reports_for


def join_first(sales, products):
    """'Simpler: join, then group.' A copy of all columns of all sales is made to be summed."""
    return sales.merge(products, on="product").groupby("category")["amount"].sum()


@budgets.revenue_by_category
@pytest.mark.layers("pandas", "pandas-arrow")
@pytest.mark.xfail(strict=True, reason="joins all columns of all sales, and sums after that")
def test_join_first(engine, sales, products, measured):
    frames = engine.scan(sales), engine.scan(products)
    with measured:
        result = engine.collect(join_first(*frames))
    expected = engine.collect(reports_for(engine).revenue_by_category(*frames))
    assert_same_rows(result, expected, sort_by="category")


def copy_first(sales):
    """'Don't change the caller's frame.' All of it is copied for the sake of one column.

    A copy of columns in Arrow costs nothing, so pandas-arrow does not suffer.
    """
    sales = sales.copy()
    sales["amount"] = sales["amount"].round(2)
    return sales.groupby("product")["amount"].sum()


@budgets.revenue_by_product
@pytest.mark.layers("pandas")
@pytest.mark.xfail(strict=True, reason="copies the whole frame to round one column")
def test_copy_first(engine, sales, measured):
    frame = engine.scan(sales)
    with measured:
        result = engine.collect(copy_first(frame))
    expected = engine.collect(reports_for(engine).revenue_by_product(frame))
    assert_same_rows(result, expected, sort_by="product")
