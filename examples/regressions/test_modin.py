"""What innocent pull requests did to the reports in Modin, whoever works for it."""

import pytest

import budgets
from pytest_layers.testing import assert_same_rows
from shop import reports_for

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


def one_partition(engine, dataset):
    """'Just while I look for a fault.' One partition is one worker's."""
    from modin.config import context

    with context(NPartitions=1):
        frame = engine.scan(dataset)
        return engine.collect(reports_for(engine).urgent_revenue(frame))


@budgets.urgent_revenue
@pytest.mark.xfail(strict=True, reason="keeps all rows in one partition")
@budgets.smaller
def test_one_partition(engine, sales, measured):
    with measured:
        result = one_partition(engine, sales)
    expected = engine.collect(reports_for(engine).urgent_revenue(engine.scan(sales)))
    assert_same_rows(result, expected)
