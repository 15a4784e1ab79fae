"""Modin, whoever works for it."""

import pytest
from twins import ceiling, sizes, twins

pytestmark = pytest.mark.layers("modin-ray", "modin-dask")


def by_product(sales):
    return sales.groupby("product")["amount"].sum()


def pandas_first(sales):
    """Copies all columns out of the workers."""
    return by_product(sales.modin.to_pandas())


test_pandas_first = twins(
    by_product, pandas_first, sizes("4M"), ceiling("2x + 100MiB"), sort_by="product"
)
