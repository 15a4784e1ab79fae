"""Which engines sort more than fits into memory: sales by amount into Parquet files, in each engine's own words.

    pytest benchmarks/survival --layers=all --layers-hard-limit=1GiB

8M sales are 656 MiB in Arrow memory. Takes four minutes on 2 cores. The temporary folder is to be on disk.
"""

import math
import operator

import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest


def pandas(frame, folder):
    frame.sort_values("amount").to_parquet(folder / "0.parquet")


def arrow(dataset, folder):
    pq.write_table(dataset.to_table().sort_by("amount"), folder / "0.parquet")


def polars(frame, folder):
    frame.sort("amount").collect().write_parquet(folder / "0.parquet")


def polars_streaming(frame, folder):
    frame.sort("amount").sink_parquet(folder / "0.parquet", engine="streaming")


def vaex(frame, folder):
    frame.sort("amount").export_parquet(str(folder / "0.parquet"))


def duckdb(relation, folder):
    relation.order("amount").write_parquet(str(folder / "0.parquet"))


def dask(frame, folder):
    frame.sort_values("amount").to_parquet(folder)


def modin(frame, folder):
    frame.sort_values("amount").to_parquet(str(folder))


def ray(dataset, folder):
    dataset.sort("amount").write_parquet(str(folder))


def spark(frame, folder):
    frame.sort("amount").write.mode("append").parquet(str(folder))


SORTS = {
    "pandas": pandas,
    "pandas-arrow": pandas,
    "arrow": arrow,
    "polars": polars,
    "polars-streaming": polars_streaming,
    "vaex": vaex,
    "duckdb": duckdb,
    "dask": dask,
    "modin-ray": modin,
    "modin-dask": modin,
    "ray": ray,
    "spark": spark,
}


@pytest.mark.sizes("8M")
def test_sorted(engine, sales, tmp_path, measured):
    with measured:
        SORTS[engine.name](engine.scan(sales), tmp_path)
    written = ds.dataset(tmp_path, format="parquet")
    assert written.count_rows() == sales.rows
    assert all(is_in_order(part) for part in written.get_fragments())


def is_in_order(part):
    """Whether the amounts in one file rise, read a batch at a time: all at once would be part of what is held."""
    highest = -math.inf
    for batch in part.to_batches(columns=["amount"]):
        amounts = [highest, *batch.column("amount").to_pylist()]
        if not all(map(operator.le, amounts, amounts[1:])):
            return False
        highest = amounts[-1]
    return True
