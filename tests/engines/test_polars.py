import pytest

from pytest_layers.testing import EngineContract

pytestmark = pytest.mark.real


class PolarsContract(EngineContract):
    def filter_region(self, engine, sales, region):
        return sales.filter(engine.namespace.col("region") == region)

    def sum_amount(self, engine, sales):
        return sales.select(engine.namespace.col("amount").sum())

    def group_by_product(self, engine, sales):
        pl = engine.namespace
        return sales.group_by("product").agg(pl.col("amount").sum(), pl.len().alias("orders"))

    def join_products(self, engine, sales, products):
        joined = sales.join(products, on="product")
        return joined.group_by("category").agg(engine.namespace.col("amount").sum())

    def sort_by_amount(self, engine, sales):
        return sales.sort("amount", "order_id", descending=[True, False]).select("order_id")

    def top_k(self, engine, sales, k):
        return sales.select("order_id", "amount").top_k(k, by="amount")

    def cores_seen(self, engine):
        return engine.namespace.thread_pool_size()


class TestPolars(PolarsContract):
    engine_name = "polars"


class TestPolarsStreaming(PolarsContract):
    engine_name = "polars-streaming"
