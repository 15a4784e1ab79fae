from pytest_layers.testing import EngineContract


class TestArrow(EngineContract):
    engine_name = "arrow"

    def filter_region(self, engine, sales, region):
        return sales.filter(engine.namespace.compute.field("region") == region)

    def sum_amount(self, engine, sales):
        pa = engine.namespace
        amounts = sales.to_table(columns=["amount"])["amount"]
        return pa.table({"amount": [pa.compute.sum(amounts).as_py()]})

    def group_by_product(self, engine, sales):
        acero = engine.namespace.acero
        sums = [
            ("amount", "hash_sum", None, "amount"),
            ("amount", "hash_count", None, "orders"),
        ]
        return acero.Declaration.from_sequence(
            [
                acero.Declaration("scan", acero.ScanNodeOptions(sales)),
                acero.Declaration("aggregate", acero.AggregateNodeOptions(sums, keys=["product"])),
            ]
        )

    def join_products(self, engine, sales, products):
        joined = sales.to_table(columns=["product", "amount"]).join(products.to_table(), "product")
        grouped = joined.group_by("category").aggregate([("amount", "sum")])
        return grouped.rename_columns(["category", "amount"])

    def sort_by_amount(self, engine, sales):
        table = sales.to_table(columns=["order_id", "amount"])
        by_amount = table.sort_by([("amount", "descending"), ("order_id", "ascending")])
        return by_amount.select(["order_id"])

    def top_k(self, engine, sales, k):
        table = sales.to_table(columns=["order_id", "amount"])
        largest = engine.namespace.compute.select_k_unstable(table, k, [("amount", "descending")])
        return table.take(largest)

    def cores_seen(self, engine):
        return engine.namespace.cpu_count()

    def test_tells_what_its_memory_pool_holds(self, engine, sales):
        engine.begin_window()
        table = engine.read(sales)
        sorted_rows = table.sort_by("amount")
        held = engine.end_window()
        assert held["pool_bytes"] >= 0.9 * (table.nbytes + sorted_rows.nbytes)
        assert held["pool_peak_bytes"] >= held["pool_bytes"]
        del table, sorted_rows
        engine.begin_window()
        assert engine.end_window() == {"pool_bytes": 0.0}
