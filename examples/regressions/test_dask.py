"""What innocent pull requests did to the reports in Dask."""

import pytest

import budgets
from pytest_layers.testing import assert_same_rows
from shop import reports_for

pytest.importorskip("dask")
pytestmark = pytest.mark.layers("dask")


def compute_first(sales):
    """'Now it is plain pandas.' All columns of all rows are gathered in one process."""
    frame = sales.compute()
    return frame.loc[frame["region"] == "north", ["amount"]].sum().to_frame("amount")


@budgets.north_revenue
@pytest.mark.xfail(strict=True, reason="computes all columns, and filters after that")
def test_compute_first(engine, sales, measured):
    import pyarrow as pa

    frame = engine.scan(sales)
    with measured:
        result = compute_first(frame)
    expected = engine.collect(reports_for(engine).north_revenue(frame))
    assert_same_rows(pa.Table.from_pandas(result, preserve_index=False), expected)


def one_partition(sales):
    """'A partition for each file is enough.' There is one file, so one worker has all the work."""
    import dask.dataframe as dd

    return dd.read_parquet(sales.path, split_row_groups=False)


@budgets.urgent_revenue
@pytest.mark.xfail(strict=True, reason="reads the whole file as one partition")
def test_one_partition(engine, sales, measured):
    report = reports_for(engine).urgent_revenue
    with measured:
        result = engine.collect(report(one_partition(sales)))
    assert_same_rows(result, engine.collect(report(engine.scan(sales))))


def without_cluster(sales, report):
    """'So that breakpoints work.' The scheduler of a debugging session was left in."""
    return report(sales).compute(scheduler="synchronous")


@budgets.urgent_revenue
@pytest.mark.xfail(strict=True, reason="computes in the test's own thread")
@pytest.mark.filterwarnings("ignore:Running on a single-machine scheduler")
def test_without_cluster(engine, sales, measured):
    import pyarrow as pa

    frame, report = engine.scan(sales), reports_for(engine).urgent_revenue
    with measured:
        result = without_cluster(frame, report)
    given = pa.Table.from_pandas(result, preserve_index=False)
    assert_same_rows(given, engine.collect(report(frame)))
