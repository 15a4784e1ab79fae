"""The reports in Spark: a plan to the end, run by the JVM, so that no row passes through Python."""

from pyspark.sql import functions as fn

from shop import URGENT


def north_revenue(sales):
    return sales.where(fn.col("region") == "north").agg(fn.sum("amount").alias("amount"))


def revenue_by_product(sales):
    return sales.groupBy("product").agg(fn.sum("amount").alias("amount"))


def revenue_by_category(sales, products):
    joined = sales.join(products, "product")
    return joined.groupBy("category").agg(fn.sum("amount").alias("amount"))


def best_customers(sales):
    by_customer = sales.groupBy("customer").agg(fn.sum("amount").alias("amount"))
    return by_customer.orderBy(fn.desc("amount")).limit(10)


def urgent_revenue(sales):
    return sales.where(fn.col("note").rlike(URGENT)).agg(fn.sum("amount").alias("amount"))
