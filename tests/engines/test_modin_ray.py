import pyarrow as pa
import pytest

from pytest_layers.testing import EngineContract

pytestmark = pytest.mark.real


class TestModinRay(EngineContract):
    engine_name = "modin-ray"

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
        from modin.config import CpuCount, NPartitions

        assert NPartitions.get() == CpuCount.get()
        return CpuCount.get()


@pytest.mark.layers("modin-ray")
@pytest.mark.sizes("400k")
def test_partitions_are_in_the_store(engine, sales):
    engine.begin_window()
    frame = engine.scan(sales)
    rows = engine.collect(frame)
    assert isinstance(rows, pa.Table)
    assert engine.end_window()["object_store_bytes"] > sales.rows * 8 * 5
