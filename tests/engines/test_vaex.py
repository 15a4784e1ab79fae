import pytest

from pytest_layers.testing import EngineContract

pytestmark = pytest.mark.real


@pytest.mark.filterwarnings("ignore:ast.*:DeprecationWarning")  # vaex-core 4.19 on Python 3.12
class TestVaex(EngineContract):
    engine_name = "vaex"

    def filter_region(self, engine, sales, region):
        return sales[sales["region"] == region]

    def sum_amount(self, engine, sales):
        return engine.namespace.from_arrays(amount=[float(sales["amount"].sum())])

    def group_by_product(self, engine, sales):
        agg = engine.namespace.agg
        return sales.groupby("product", agg={"amount": agg.sum("amount"), "orders": agg.count()})

    def join_products(self, engine, sales, products):
        joined = sales.join(products, on="product", rsuffix="_of_product")
        return joined.groupby("category", agg={"amount": engine.namespace.agg.sum("amount")})

    def sort_by_amount(self, engine, sales):
        sales["rank"] = -sales["amount"] * 1e9 + sales["order_id"]  # Vaex sorts by one column
        return sales.sort("rank")[["order_id"]]

    def top_k(self, engine, sales, k):
        return sales[["order_id", "amount"]].sort("amount", ascending=False)[:k]

    def cores_seen(self, engine):
        return engine.namespace.multithreading.get_main_pool().nthreads
