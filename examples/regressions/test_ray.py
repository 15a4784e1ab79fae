"""What innocent pull requests did to the reports in Ray."""

import pyarrow as pa
import pytest

import budgets
from pytest_layers.testing import assert_same_rows
from shop import reports_for

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.layers("ray")


def fetch_first(sales):
    """'One table is easier to look at.' All blocks pass through the store into one process."""
    rows = pa.concat_tables(ray.get(sales.to_arrow_refs()))
    return rows.to_pandas().query("region == 'north'")[["amount"]].sum().to_frame("amount")


@budgets.north_revenue
@pytest.mark.xfail(strict=True, reason="fetches all rows and columns, and filters after that")
def test_fetch_first(engine, sales, measured):
    frame = engine.scan(sales)
    with measured:
        result = fetch_first(frame)
    expected = engine.collect(reports_for(engine).north_revenue(frame))
    assert_same_rows(pa.Table.from_pandas(result, preserve_index=False), expected)
