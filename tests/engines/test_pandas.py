import pyarrow as pa
import pytest

from pytest_layers.testing import EngineContract

pytestmark = pytest.mark.real


class PandasContract(EngineContract):
    def filter_region(self, engine, sales, region):
        return sales[sales["region"] == region]

    def sum_amount(self, engine, sales):
        return sales[["amount"]].sum().to_frame().T

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
        return pa.cpu_count()


class TestPandas(PandasContract):
    engine_name = "pandas"


class TestPandasArrow(PandasContract):
    engine_name = "pandas-arrow"
