"""What innocent pull requests did to the reports in Modin, whoever works for it."""

import re

import pytest

import budgets
from pytest_layers.testing import assert_same_rows
from shop import URGENT, reports_for

pytest.importorskip("modin")
pytestmark = pytest.mark.layers("modin-ray", "modin-dask")


def pandas_first(sales):
    """'The plotting library wants pandas.' All columns are copied out of the workers."""
    return sales.modin.to_pandas().groupby("product")["amount"].sum()


@budgets.revenue_by_product
@pytest.mark.xfail(strict=True, reason="falls back to pandas, with all columns")
def test_pandas_first(engine, sales, measured):
    import pyarrow as pa

    frame = engine.scan(sales)
    with measured:
        result = pandas_first(frame)
    expected = engine.collect(reports_for(engine).revenue_by_product(frame))
    given = pa.Table.from_pandas(result.reset_index(), preserve_index=False)
    assert_same_rows(given, expected, sort_by="product")


def loop_over_values(sales):
    """'A loop says what it does.' The values come to one process, whose Python goes through them."""
    total = 0.0
    for note, amount in zip(sales["note"].tolist(), sales["amount"].tolist(), strict=True):
        if note is not None and re.search(URGENT, note):
            total += amount
    return total


@budgets.urgent_revenue
@pytest.mark.xfail(strict=True, reason="loops over the values of whole columns")
@pytest.mark.filterwarnings("ignore:.*defaulting to pandas")
@budgets.smaller
def test_loop_over_values(engine, sales, measured):
    import pyarrow as pa

    frame = engine.scan(sales)
    with measured:
        result = loop_over_values(frame)
    expected = engine.collect(reports_for(engine).urgent_revenue(frame))
    assert_same_rows(pa.table({"amount": [result]}), expected)
