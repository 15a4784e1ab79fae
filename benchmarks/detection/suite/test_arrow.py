"""Arrow: data sets and Acero."""

from collections import Counter

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pyarrow import acero
from twins import URGENT, ceiling, floor, is_urgent, sizes, twins

pytestmark = pytest.mark.layers("arrow")


def _scan(sales, columns, rows=None):
    return acero.Declaration("scan", acero.ScanNodeOptions(sales, columns=columns, filter=rows))


def _sum_of(source, rows):
    """The sum over those of `rows`."""
    kept = acero.Declaration("filter", acero.FilterNodeOptions(rows))
    total = acero.AggregateNodeOptions([("amount", "sum", None, "amount")])
    return acero.Declaration.from_sequence([source, kept, acero.Declaration("aggregate", total)])


def north(sales):
    rows = pc.field("region") == "north"
    return _sum_of(_scan(sales, ["region", "amount"], rows), rows)


def table_first(sales):
    """Reads all columns, and filters after that."""
    found = sales.to_table().filter(pc.field("region") == "north")
    return pc.sum(found["amount"]).as_py()


test_table_first = twins(north, table_first, sizes("4M"), ceiling("200MiB"))


def by_product(sales):
    sums = acero.AggregateNodeOptions([("amount", "hash_sum", None, "amount")], keys=["product"])
    scan = _scan(sales, ["product", "amount"])
    return acero.Declaration.from_sequence([scan, acero.Declaration("aggregate", sums)])


def to_pylist(sales):
    """Makes a Python object of every value."""
    columns = sales.to_table(columns=["product", "amount"])
    sums = Counter()
    pairs = zip(columns["product"].to_pylist(), columns["amount"].to_pylist(), strict=True)
    for product, amount in pairs:
        sums[product] += amount
    return pa.table({"product": list(sums), "amount": list(sums.values())})


test_to_pylist = twins(by_product, to_pylist, sizes("4M"), ceiling("250MiB"), sort_by="product")


def urgent(sales):
    rows = pc.match_substring_regex(pc.field("note"), URGENT)
    return _sum_of(_scan(sales, ["note", "amount"], rows), rows)


def one_thread(sales):
    """Sets the size of Arrow's pool of threads to 1."""
    pa.set_cpu_count(1)
    return urgent(sales)


test_one_thread = twins(urgent, one_thread, sizes("8M"), floor("80%"))


def loop(sales):
    """Loops over the values in Python."""
    columns = sales.to_table(columns=["note", "amount"])
    pairs = zip(columns["note"].to_pylist(), columns["amount"].to_pylist(), strict=True)
    return sum(amount for note, amount in pairs if is_urgent(note))


test_loop = twins(urgent, loop, sizes("8M"), floor("80%"))
