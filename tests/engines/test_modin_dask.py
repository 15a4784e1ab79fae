import time

import pytest

from pytest_layers.testing import EngineContract

pytestmark = pytest.mark.real


class TestModinDask(EngineContract):
    engine_name = "modin-dask"

    def filter_region(self, engine, sales, region):
        return sales[sales["region"] == region]

    def sum_amount(self, engine, sales):
        return sales[["amount"]].sum().to_frame("amount")

    def group_by_product(self, engine, sales):
        return sales.groupby("product").agg(amount=("amount", "sum"), orders=("amount", "size"))

    def join_products(self, engine, sales, products):
        joined = sales[["product", "amount"]].merge(products[["product", "category"]])
        return joined.groupby("category")["amount"].sum()

    def sort_by_amount(self, engine, sales):
        return sales.sort_values(["amount", "order_id"], ascending=[False, True])["order_id"]

    def top_k(self, engine, sales, k):
        return sales.nlargest(k, "amount")[["order_id", "amount"]]

    def cores_seen(self, engine):
        from modin.config import CpuCount

        assert CpuCount.get() == len(engine.session.nthreads())
        return CpuCount.get()


@pytest.mark.layers("modin-dask")
@pytest.mark.sizes("400k")
def test_its_workers_are_ours(engine, sales):
    frame = engine.scan(sales)
    held = engine.session.run(lambda dask_worker: len(dask_worker.data))
    assert sum(held.values()) > 0
    assert len(frame) == sales.rows


@pytest.mark.layers("modin-dask")
@pytest.mark.sizes("1M")
@pytest.mark.memory_ceiling("32MiB")
def test_what_it_reads_is_there_before_the_window_opens(engine, sales, measured):
    frame = engine.scan(sales)
    with measured:
        time.sleep(1)
    assert len(frame) == sales.rows
