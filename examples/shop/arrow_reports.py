"""The reports in Arrow: Acero reads the columns it needs, batch by batch, on all cores."""

import pyarrow.compute as pc
from pyarrow import acero

from shop import URGENT


def north_revenue(sales):
    north = pc.field("region") == "north"
    return acero.Declaration.from_sequence(
        [
            _scan(sales, ["region", "amount"], north),
            acero.Declaration("filter", acero.FilterNodeOptions(north)),
            _sum_of_amount([], "sum"),
        ]
    )


def revenue_by_product(sales):
    return acero.Declaration.from_sequence(
        [_scan(sales, ["product", "amount"]), _sum_of_amount(["product"], "hash_sum")]
    )


def revenue_by_category(sales, products):
    by_product = revenue_by_product(sales).to_table()
    joined = by_product.join(products.to_table(columns=["product", "category"]), "product")
    grouped = joined.group_by("category").aggregate([("amount", "sum")])
    return grouped.rename_columns(["category", "amount"])


def best_customers(sales):
    by_customer = acero.Declaration.from_sequence(
        [_scan(sales, ["customer", "amount"]), _sum_of_amount(["customer"], "hash_sum")]
    ).to_table()
    return by_customer.take(pc.select_k_unstable(by_customer, 10, [("amount", "descending")]))


def _scan(sales, columns, rows=None):
    """Read `columns` of `sales`, leaving out what has none of `rows` where the file tells."""
    options = acero.ScanNodeOptions(sales, columns=columns, filter=rows)
    return acero.Declaration("scan", options)


def _sum_of_amount(keys, function):
    options = acero.AggregateNodeOptions([("amount", function, None, "amount")], keys=keys)
    return acero.Declaration("aggregate", options)


def urgent_revenue(sales):
    urgent = pc.match_substring_regex(pc.field("note"), URGENT)
    return acero.Declaration.from_sequence(
        [
            _scan(sales, ["note", "amount"], urgent),
            acero.Declaration("filter", acero.FilterNodeOptions(urgent)),
            _sum_of_amount([], "sum"),
        ]
    )
