"""pandas, with both kinds of columns. Memory only: it has one core, whatever the code does."""

from collections import Counter

import pyarrow as pa
import pytest
from twins import ceiling, sizes, twins

pytestmark = pytest.mark.layers("pandas", "pandas-arrow")


def by_product(sales):
    return sales.groupby("product")["amount"].sum()


def by_category(sales, products):
    sums = by_product(sales).reset_index()
    return products.merge(sums, on="product").groupby("category")["amount"].sum()


def join_first(sales, products):
    """Joins all columns of all sales, and sums after that."""
    return sales.merge(products, on="product").groupby("category")["amount"].sum()


test_join_first = twins(
    by_category, join_first, sizes("4M"), ceiling("0.2x + 90MiB"), sort_by="category"
)


def largest(sales):
    return float(sales["amount"].max())


def sort_first(sales):
    """Sorts all columns to take one row of them."""
    return float(sales.sort_values("amount", ascending=False).head(1)["amount"].iloc[0])


test_sort_first = twins(largest, sort_first, sizes("4M"), ceiling("100MiB"))


def records(sales):
    """Makes a dict of every row."""
    sums = Counter()
    for row in sales[["product", "amount"]].to_dict("records"):
        sums[row["product"]] += row["amount"]
    return pa.table({"product": list(sums), "amount": list(sums.values())})


test_records = twins(by_product, records, sizes("2M"), ceiling("0.2x + 60MiB"), sort_by="product")
