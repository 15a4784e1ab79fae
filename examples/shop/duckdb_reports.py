"""The reports in DuckDB: one relation to the end, run on all cores where it lies."""

from shop import URGENT


def north_revenue(sales):
    return sales.filter("region = 'north'").aggregate("sum(amount) AS amount")


def revenue_by_product(sales):
    return sales.aggregate("product, sum(amount) AS amount", "product")


def revenue_by_category(sales, products):
    return sales.join(products, "product").aggregate("category, sum(amount) AS amount", "category")


def best_customers(sales):
    by_customer = sales.aggregate("customer, sum(amount) AS amount", "customer")
    return by_customer.order("amount DESC").limit(10)


def urgent_revenue(sales):
    return sales.filter(f"regexp_matches(note, '{URGENT}')").aggregate("sum(amount) AS amount")
