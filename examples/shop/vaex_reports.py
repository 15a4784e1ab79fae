"""The reports in Vaex: expressions over memory-mapped columns, never their values."""

import vaex

from shop import URGENT


def north_revenue(sales):
    return vaex.from_arrays(amount=[sales[sales.region == "north"].sum("amount")])


def revenue_by_product(sales):
    return sales.groupby("product", agg={"amount": vaex.agg.sum("amount")})


def revenue_by_category(sales, products):
    joined = products.join(revenue_by_product(sales), on="product", rsuffix="_sold")
    return joined.groupby("category", agg={"amount": vaex.agg.sum("amount")})


def best_customers(sales):
    by_customer = sales.groupby("customer", agg={"amount": vaex.agg.sum("amount")})
    return by_customer.sort("amount", ascending=False)[:10]


def urgent_revenue(sales):
    urgent = sales.note.str.contains(URGENT, regex=True)
    return vaex.from_arrays(amount=[sales[urgent].sum("amount")])
