"""The reports in Ray Data: each block is summed up where it was read, and only sums travel."""

import sys

import pyarrow as pa
import pyarrow.compute as pc
import ray

from shop import URGENT

# The workers do not have the team's code on their path: what they run is sent to them whole.
ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])


def north_revenue(sales):
    return sum_by([], _shrunk(sales, ["region", "amount"], _sum_of_north))


def revenue_by_product(sales):
    return sum_by(["product"], _shrunk(sales, ["product", "amount"], _sums_by("product")))


def revenue_by_category(sales, products):
    categories = _fetched(products.select_columns(["product", "category"]))
    return sum_by(["category"], revenue_by_product(sales).join(categories, "product"))


def best_customers(sales):
    sums = sum_by(["customer"], _shrunk(sales, ["customer", "amount"], _sums_by("customer")))
    return sums.take(pc.select_k_unstable(sums, 10, [("amount", "descending")]))


def urgent_revenue(sales):
    return sum_by([], _shrunk(sales, ["note", "amount"], sum_of_urgent))


def sum_by(keys, rows):
    sums = rows.group_by(keys, use_threads=False).aggregate([("amount", "sum")])
    return sums.rename_columns({"amount_sum": "amount"})


def sum_of_urgent(rows):
    return sum_by([], rows.filter(pc.match_substring_regex(pc.field("note"), URGENT)))


def _sum_of_north(rows):
    return sum_by([], rows.filter(pc.field("region") == "north"))


def _sums_by(key):
    return lambda rows: sum_by([key], rows)


def _shrunk(sales, columns, shrink):
    """What `shrink` makes of each block, fetched."""
    blocks = sales.select_columns(columns)
    return _fetched(blocks.map_batches(shrink, batch_size=None, batch_format="pyarrow"))


def _fetched(blocks):
    return pa.concat_tables(ray.get(blocks.to_arrow_refs()))
