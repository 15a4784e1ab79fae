"""The reports in Modin: as in pandas, in such operations as it has of its own."""

from shop import URGENT


def north_revenue(sales):
    return sales.loc[sales["region"] == "north", ["amount"]].agg(["sum"])


def revenue_by_product(sales):
    return sales.groupby("product")["amount"].sum()


def revenue_by_category(sales, products):
    by_product = revenue_by_product(sales).reset_index()
    return products.merge(by_product, on="product").groupby("category")["amount"].sum()


def best_customers(sales):
    return sales.groupby("customer")["amount"].sum().nlargest(10)


def urgent_revenue(sales):
    urgent = sales["note"].str.contains(URGENT, na=False)
    return sales.loc[urgent, ["amount"]].agg(["sum"])
