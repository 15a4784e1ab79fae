"""The reports in Polars: lazy to the end, so that the optimiser reads only what they need."""

import polars as pl

from shop import URGENT


def north_revenue(sales):
    return sales.filter(pl.col("region") == "north").select(pl.col("amount").sum())


def revenue_by_product(sales):
    return sales.group_by("product").agg(pl.col("amount").sum())


def revenue_by_category(sales, products):
    joined = sales.join(products, on="product")
    return joined.group_by("category").agg(pl.col("amount").sum())


def best_customers(sales):
    return sales.group_by("customer").agg(pl.col("amount").sum()).top_k(10, by="amount")


def urgent_revenue(sales):
    urgent = pl.col("note").str.contains(URGENT)
    return sales.filter(urgent).select(pl.col("amount").sum())
