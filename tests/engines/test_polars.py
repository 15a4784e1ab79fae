import os
import subprocess
import sys
from importlib.metadata import version

import pytest

from pytest_layers.engines.polars_streaming import PolarsStreaming
from pytest_layers.records import Budget
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


SORTS = """
import sys, threading
from pathlib import Path
import polars as pl

spill, done, seen = Path(sys.argv[1]), threading.Event(), set()

def watch():
    while not done.wait(0.002):
        seen.update(file.name for file in spill.rglob("*") if file.is_file())

watching = threading.Thread(target=watch)
watching.start()
numbers = pl.int_range(4_000_000, eager=True)
frame = pl.DataFrame({"a": numbers.shuffle(seed=0), "b": numbers})
frame.write_parquet("numbers.parquet")
pl.scan_parquet("numbers.parquet").sort("a").sink_parquet("sorted.parquet", engine="streaming")
assert pl.read_parquet("sorted.parquet")["a"].is_sorted()
done.set()
watching.join()
print(len(seen))
"""


@pytest.mark.skipif(int(version("polars").partition(".")[0]) < 2, reason="spills from Polars 2 on")
@pytest.mark.parametrize(("memory_mib", "spills"), [(60, True), (4096, False)])
def test_spills_into_its_folder_for_want_of_the_memory_it_is_told(tmp_path, memory_mib, spills):
    budget = Budget(2, memory_mib * 2**20, str(tmp_path))
    done = subprocess.run(
        [sys.executable, "-c", SORTS, budget.spill_dir],
        env=os.environ | PolarsStreaming.environment(budget),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        check=True,
    )
    assert (int(done.stdout) > 0) == spills
