"""What innocent pull requests did to the reports in Ray."""

import re

import pyarrow as pa
import pyarrow.compute as pc
import pytest

import budgets
from pytest_layers.testing import assert_same_rows
from shop import URGENT, reports_for

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


def get_in_a_loop(blocks):
    """'Sum as they come.' Each task is waited for before the next one is given out."""
    total = 0.0
    for block in blocks:
        total += ray.get(sum_of_urgent.remote(block))
    return pa.table({"amount": [total]})


@ray.remote
def sum_of_urgent(rows):
    pairs = zip(rows["note"].to_pylist(), rows["amount"].to_pylist(), strict=True)
    return sum(amount for note, amount in pairs if note and re.search(URGENT, note))


@budgets.urgent_revenue
@pytest.mark.xfail(strict=True, reason="waits for each task before it starts the next one")
@pytest.mark.sizes("4M")
def test_get_in_a_loop(engine, sales, measured):
    frame = engine.scan(sales)
    blocks = frame.select_columns(["note", "amount"]).to_arrow_refs()
    with measured:
        result = get_in_a_loop(blocks)
    assert_same_rows(result, engine.collect(reports_for(engine).urgent_revenue(frame)))


def captured(sales):
    """'Only what we sell.' The function carries a table of all sales with it, to each task anew."""
    known = pa.concat_tables(ray.get(sales.to_arrow_refs()))

    def of_north(rows):
        listed = pc.is_in(rows["product"], known["product"].combine_chunks())
        return rows.filter(pc.and_(listed, pc.equal(rows["region"], "north"))).select(["amount"])

    return sales.map_batches(of_north, batch_size=None, batch_format="pyarrow")


@budgets.north_revenue
@pytest.mark.xfail(strict=True, reason="a function has captured a table, and takes it to each task")
def test_captured(engine, sales, measured):
    frame = engine.scan(sales)
    with measured:
        result = pa.table({"amount": [captured(frame).sum("amount")]})
    assert_same_rows(result, engine.collect(reports_for(engine).north_revenue(frame)))
