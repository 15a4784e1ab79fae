"""What innocent pull requests did to the reports in Spark."""

import pytest

import budgets
from pytest_layers.testing import assert_same_rows
from shop import reports_for

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
