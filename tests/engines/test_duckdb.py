from pathlib import Path

import pytest

from pytest_layers.engines.duckdb import DuckDB
from pytest_layers.records import Budget
from pytest_layers.testing import EngineContract

pytestmark = pytest.mark.real


class TestDuckDB(EngineContract):
    engine_name = "duckdb"

    def filter_region(self, engine, sales, region):
        return sales.filter(f"region = '{region}'")

    def sum_amount(self, engine, sales):
        return sales.aggregate("sum(amount) as amount")

    def group_by_product(self, engine, sales):
        return sales.aggregate("product, sum(amount) as amount, count(*) as orders")

    def join_products(self, engine, sales, products):
        return engine.session.sql(
            """
            select category, sum(amount) as amount
            from sales join products using (product)
            group by category
            """
        )

    def sort_by_amount(self, engine, sales):
        return sales.order("amount desc, order_id").project("order_id")

    def top_k(self, engine, sales, k):
        return sales.project("order_id, amount").order("amount desc").limit(k)

    def cores_seen(self, engine):
        return engine.session.sql("select current_setting('threads')").fetchall()[0][0]


def test_spills_into_its_folder_past_four_fifths_of_the_memory(tmp_path):
    engine = DuckDB()
    engine.start(Budget(2, 2**30, str(tmp_path)))
    asked = "select current_setting('memory_limit'), current_setting('temp_directory')"
    memory, folder = engine.session.sql(asked).fetchall()[0]
    engine.stop()
    assert memory == "819.1 MiB"
    assert Path(folder) == tmp_path / "spill"


def test_the_functions_of_the_library_work_within_the_budget_too(tmp_path):
    engine = DuckDB()
    engine.start(Budget(1, 2**30, str(tmp_path)))
    asked = "select current_setting('threads'), current_setting('temp_directory')"
    assert engine.namespace.sql(asked).fetchall() == [(1, str(tmp_path / "spill"))]
    engine.stop()


def test_what_they_worked_on_before_is_back_afterwards(tmp_path):
    duckdb = pytest.importorskip("duckdb")
    duckdb.execute("create or replace macro twice(x) as 2 * x")
    engine = DuckDB()
    engine.start(Budget(1, 2**30, str(tmp_path)))
    engine.stop()
    assert duckdb.sql("select twice(2)").fetchall() == [(4,)]
