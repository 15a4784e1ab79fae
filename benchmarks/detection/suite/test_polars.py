"""Polars, on both of its engines."""

import pyarrow as pa
import pytest
from twins import URGENT, ceiling, floor, is_urgent, sizes, twins

pl = pytest.importorskip("polars")
pytestmark = pytest.mark.layers("polars", "polars-streaming")


def north(sales):
    return sales.filter(pl.col("region") == "north").select(pl.col("amount").sum())


def collect_first(sales):
    """Collects all columns, and filters after that."""
    return north(sales.collect())


test_collect_first = twins(north, collect_first, sizes("4M"), ceiling("80MiB"))


def by_product(sales):
    return sales.group_by("product").agg(pl.col("amount").sum())


def to_dicts(sales):
    """Makes a dict of every row."""
    sums = {}
    for row in sales.select("product", "amount").collect().to_dicts():
        sums[row["product"]] = sums.get(row["product"], 0.0) + row["amount"]
    return pa.table({"product": list(sums), "amount": list(sums.values())})


test_to_dicts = twins(
    by_product,
    to_dicts,
    sizes("2M"),
    ceiling("0.2x + 60MiB", polars="1.2x + 100MiB"),
    sort_by="product",
)


def urgent(sales):
    return sales.filter(pl.col("note").str.contains(URGENT)).select(pl.col("amount").sum())


def map_elements(sales):
    """Calls Python for each row."""
    found = pl.col("note").map_elements(is_urgent, return_dtype=pl.Boolean)
    return sales.filter(found).select(pl.col("amount").sum())


test_map_elements = twins(urgent, map_elements, sizes("8M"), floor("80%"))


def iter_rows(sales):
    """Loops over the rows in Python."""
    rows = sales.select("note", "amount").collect().iter_rows()
    return sum(amount for note, amount in rows if is_urgent(note))


test_iter_rows = twins(urgent, iter_rows, sizes("8M"), floor("80%"))
