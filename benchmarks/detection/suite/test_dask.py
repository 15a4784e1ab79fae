"""Dask, on worker processes."""

import pytest
from twins import URGENT, ceiling, floor, sizes, twins

pytestmark = pytest.mark.layers("dask")


def north(sales):
    found = sales[sales["region"] == "north"]
    return found[["amount"]].sum().to_frame("amount")


def compute_first(sales):
    """Gathers all columns in one process, and filters there."""
    return north(sales.compute())


test_compute_first = twins(north, compute_first, sizes("4M"), ceiling("150MiB"))


def urgent(sales):
    found = sales[sales["note"].str.contains(URGENT, na=False)]
    return found[["amount"]].sum().to_frame("amount")


def one_partition(dataset):
    """Reads the file as one partition."""
    import dask.dataframe as dd

    return urgent(dd.read_parquet(dataset.path, split_row_groups=False))


test_one_partition = twins(urgent, one_partition, sizes("8M"), floor("80%"))


def synchronous(sales):
    """Computes in the test's own thread."""
    return urgent(sales).compute(scheduler="synchronous")


test_synchronous = twins(urgent, synchronous, sizes("8M"), floor("80%"))
