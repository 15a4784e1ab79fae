"""Modin, whoever works for it."""

import pytest
from twins import URGENT, ceiling, floor, is_urgent, sizes, twins

pytestmark = pytest.mark.layers("modin-ray", "modin-dask")


def by_product(sales):
    return sales.groupby("product")["amount"].sum()


def pandas_first(sales):
    """Copies all columns out of the workers."""
    return by_product(sales.modin.to_pandas())


test_pandas_first = twins(
    by_product, pandas_first, sizes("4M"), ceiling("2x + 100MiB"), sort_by="product"
)


def urgent(sales):
    found = sales["note"].str.contains(URGENT, na=False)
    return sales.loc[found, ["amount"]].agg(["sum"])


def loop(sales):
    """Loops over the values of whole columns in one process."""
    pairs = zip(sales["note"].tolist(), sales["amount"].tolist(), strict=True)
    return sum(amount for note, amount in pairs if is_urgent(note))


test_loop = twins(urgent, loop, sizes("8M"), floor("80%", modin_dask="75%"))
