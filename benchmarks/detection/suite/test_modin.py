"""Modin, whoever works for it."""

import pytest
from twins import URGENT, ceiling, floor, sizes, twins

pytestmark = pytest.mark.layers("modin-ray", "modin-dask")


def by_product(sales):
    return sales.groupby("product")["amount"].sum()


def pandas_first(sales):
    """Copies all columns out of the workers."""
    return by_product(sales.modin.to_pandas())


test_pandas_first = twins(
    by_product, pandas_first, sizes("4M"), ceiling("2x + 100MiB"), sort_by="product"
)


def urgent(engine, dataset):
    sales = engine.scan(dataset)
    found = sales["note"].str.contains(URGENT, na=False)
    return sales.loc[found, ["amount"]].agg(["sum"])


def one_partition(engine, dataset):
    """Has one partition, and so one worker: a setting that stayed after a look for a fault."""
    from modin.config import context

    with context(NPartitions=1):
        return urgent(engine, dataset)


test_one_partition = twins(urgent, one_partition, sizes("2M"), floor("70%"))
