"""What innocent pull requests did to the reports in Arrow."""

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import budgets
from pytest_layers.testing import assert_same_rows
from shop import URGENT, reports_for

pytestmark = pytest.mark.layers("arrow")


def table_first(sales):
    """'No need for Acero here.' All columns of all rows are in memory before one is dropped."""
    north = sales.to_table().filter(pc.field("region") == "north")
    return pa.table({"amount": [pc.sum(north["amount"]).as_py()]})


@budgets.north_revenue
@pytest.mark.xfail(strict=True, reason="reads all columns, and filters after that")
def test_table_first(engine, sales, measured):
    frame = engine.scan(sales)
    with measured:
        result = engine.collect(table_first(frame))
    assert_same_rows(result, engine.collect(reports_for(engine).north_revenue(frame)))


def batch_by_batch(sales):
    """'Go easy on memory: one batch at a time.' And on one thread, to read as well as to match."""
    total = 0.0
    for path in sales.files:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(columns=["note", "amount"], use_threads=False):
                urgent = pc.match_substring_regex(batch["note"], URGENT)
                total += pc.sum(batch["amount"].filter(urgent)).as_py() or 0.0
    return pa.table({"amount": [total]})


@budgets.urgent_revenue
@pytest.mark.xfail(strict=True, reason="loops over batches with use_threads=False")
def test_batch_by_batch(engine, sales, measured):
    frame = engine.scan(sales)
    with measured:
        result = engine.collect(batch_by_batch(frame))
    assert_same_rows(result, engine.collect(reports_for(engine).urgent_revenue(frame)))
