"""Vaex."""

import pytest
from twins import URGENT, ceiling, floor, is_urgent, sizes, twins

pytestmark = pytest.mark.layers("vaex")


def north(sales):
    return sales[sales.region == "north"].sum("amount").item()


def values_first(sales):
    """Takes the values of whole columns out of the mapped file."""
    rows = sales.region.to_numpy() == "north"
    return sales.amount.to_numpy()[rows].sum().item()


test_values_first = twins(north, values_first, sizes("4M"), ceiling("80MiB"))


def urgent(sales):
    return sales[sales.note.str.contains(URGENT, regex=True)].sum("amount").item()


def apply(sales):
    """Calls Python for each row."""
    return sales[sales.note.apply(is_urgent, multiprocessing=False)].sum("amount").item()


test_apply = twins(urgent, apply, sizes("8M"), floor("70%"))


def loop(sales):
    """Loops over the values in Python."""
    pairs = zip(sales.note.tolist(), sales.amount.tolist(), strict=True)
    return sum(amount for note, amount in pairs if is_urgent(note))


test_loop = twins(urgent, loop, sizes("8M"), floor("80%"))
