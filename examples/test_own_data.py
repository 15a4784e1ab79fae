"""The same reports over data of the team's own: a catalogue a hundred times as long."""

import numpy as np
import pyarrow as pa
import pytest

from shop import reports_for

PRODUCTS = 100_000
BATCH_ROWS = 250_000


def make_orders(rows):
    """Each product in its turn, for an amount of 1: so the answer is known."""
    for start in range(0, rows, BATCH_ROWS):
        numbers = np.arange(start, min(start + BATCH_ROWS, rows)) % PRODUCTS
        amounts = np.ones(len(numbers))
        yield pa.record_batch({"product": pa.array(numbers).cast(pa.string()), "amount": amounts})


@pytest.mark.layers("engine")
@pytest.mark.sizes("2M")
@pytest.mark.memory_ceiling("1x + 100MiB", polars="4x + 100MiB")
def test_long_catalogue(engine, dataset, size):
    orders = engine.scan(dataset("orders", make_orders, rows=size))
    result = engine.collect(reports_for(engine).revenue_by_product(orders))
    assert result.num_rows == PRODUCTS
    assert set(result["amount"].to_pylist()) == {size / PRODUCTS}
