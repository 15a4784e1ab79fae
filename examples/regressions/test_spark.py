"""What innocent pull requests did to the reports in Spark."""

import re

import pytest

import budgets
from pytest_layers.testing import assert_same_rows
from shop import URGENT, reports_for

pytest.importorskip("pyspark")
pytestmark = pytest.mark.layers("spark")


def to_pandas_first(sales):
    """'I know pandas better.' All rows and columns go through the JVM into one Python process."""
    frame = sales.toPandas()
    return frame.loc[frame["region"] == "north", ["amount"]].sum().to_frame("amount")


@budgets.north_revenue
@pytest.mark.xfail(strict=True, reason="fetches all columns with toPandas, and filters after that")
def test_to_pandas_first(engine, sales, measured):
    import pyarrow as pa

    frame = engine.scan(sales)
    with measured:
        result = to_pandas_first(frame)
    expected = engine.collect(reports_for(engine).north_revenue(frame))
    assert_same_rows(pa.Table.from_pandas(result, preserve_index=False), expected)


def one_partition(sales, report):
    """'One output file, please.' `coalesce` reaches back to the scan: all of it is one task."""
    return report(sales.coalesce(1))


@budgets.urgent_revenue
@pytest.mark.xfail(strict=True, reason="coalesce(1) makes one task of the whole scan")
def test_one_partition(engine, sales, measured):
    frame, report = engine.scan(sales), reports_for(engine).urgent_revenue
    with measured:
        result = engine.collect(one_partition(frame, report))
    assert_same_rows(result, engine.collect(report(frame)))


def call_for_each_row(sales):
    """'Use the is_urgent we have.' Rows go from the JVM to Python workers, which call it for each of them."""
    from pyspark.sql import functions as sf

    is_urgent = sf.udf(lambda note: note is not None and bool(re.search(URGENT, note)), "boolean")
    return sales.filter(is_urgent("note")).agg(sf.sum("amount").alias("amount"))


@budgets.urgent_revenue
@pytest.mark.xfail(strict=True, reason="a Python function is called for each row")
@budgets.smaller
def test_call_for_each_row(engine, sales, measured):
    frame = engine.scan(sales)
    with measured:
        result = engine.collect(call_for_each_row(frame))
    assert_same_rows(result, engine.collect(reports_for(engine).urgent_revenue(frame)))
