import psutil
import pytest

from pytest_layers.testing import EngineContract, assert_same_rows

pytestmark = pytest.mark.real


class TestSpark(EngineContract):
    engine_name = "spark"

    def filter_region(self, engine, sales, region):
        return sales.filter(sales.region == region)

    def sum_amount(self, engine, sales):
        return sales.agg(functions().sum("amount").alias("amount"))

    def group_by_product(self, engine, sales):
        fn = functions()
        return sales.groupBy("product").agg(
            fn.sum("amount").alias("amount"), fn.count("amount").alias("orders")
        )

    def join_products(self, engine, sales, products):
        joined = sales.join(products, "product")
        return joined.groupBy("category").agg(functions().sum("amount").alias("amount"))

    def sort_by_amount(self, engine, sales):
        fn = functions()
        return sales.orderBy(fn.desc("amount"), "order_id").select("order_id")

    def top_k(self, engine, sales, k):
        return sales.select("order_id", "amount").orderBy(functions().desc("amount")).limit(k)

    def cores_seen(self, engine):
        return engine.session.sparkContext.defaultParallelism

    def test_pandas_on_spark(self, engine, sales):
        frame = engine.scan(sales)
        expected = engine.collect(self.group_by_product(engine, frame))
        grouped = frame.pandas_api().groupby("product")
        given = grouped.agg({"amount": "sum", "quantity": "count"})
        named = given.rename(columns={"quantity": "orders"})
        assert_same_rows(engine.collect(named), expected, sort_by="product")
        sums = engine.collect(grouped["amount"].sum())
        assert_same_rows(sums, expected.select(["product", "amount"]), sort_by="product")
        unnamed = engine.collect(frame.pandas_api()[["order_id"]])
        assert unnamed.column_names == ["order_id"]

    def test_python_functions_run_on_loopback(self, engine, sales, open_sockets):
        def half(quantity):
            import pyarrow  # in the worker, which is this very Python  # noqa: F401

            return quantity / 2

        fn = functions()
        halved = fn.udf(half, "double")("quantity")
        frame = engine.scan(sales).agg(
            fn.sum(halved).alias("half"), fn.sum("quantity").alias("all")
        )
        row = engine.collect(frame).to_pylist()[0]
        assert row["half"] * 2 == row["all"]
        addresses = [one.laddr.ip for one in open_sockets() if one.status == psutil.CONN_LISTEN]
        assert {address.removeprefix("::ffff:") for address in addresses} == {"127.0.0.1"}

    def test_tells_of_the_window(self, engine, sales):
        frame = engine.scan(sales)
        engine.collect(frame.orderBy("note"))
        engine.begin_window()
        nothing = engine.end_window()
        engine.begin_window()
        engine.collect(frame.orderBy("note"))
        some = engine.end_window()
        assert nothing["shuffle_written_bytes"] == 0
        assert some["shuffle_written_bytes"] == some["shuffle_read_bytes"] > 0
        assert some["spilled_bytes"] == some["spilled_memory_bytes"] == 0
        assert 0 < some["heap_after_gc_bytes"] < 200 * 2**20


@pytest.mark.layers("spark")
def test_a_jvm_that_died_is_the_failure_of_the_test_alone(engine):
    jvm = engine.session.sparkContext._gateway.proc
    engine.begin_window()
    jvm.kill()
    jvm.wait()
    assert engine.end_window() == {}
    engine.stop()


def functions():
    from pyspark.sql import functions

    return functions
