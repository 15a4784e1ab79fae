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
