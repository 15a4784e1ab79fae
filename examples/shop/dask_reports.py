"""The reports in Dask: few columns at a time, and each partition made small where it is read."""

from shop import URGENT


def north_revenue(sales):
    return _total(sales[sales["region"] == "north"])


def revenue_by_product(sales):
    return sales.groupby("product")["amount"].sum()


def revenue_by_category(sales, products):
    by_product = revenue_by_product(sales).reset_index()
    return products.merge(by_product, on="product").groupby("category")["amount"].sum()


def best_customers(sales):
    return sales.groupby("customer")["amount"].sum().nlargest(10)


def urgent_revenue(sales):
    return _total(sales[sales["note"].str.contains(URGENT, na=False)])


def _total(sales):
    return sales[["amount"]].sum().to_frame("amount")
