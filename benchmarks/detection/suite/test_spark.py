"""Spark."""

from collections import Counter

import pyarrow as pa
import pytest
from twins import URGENT, ceiling, floor, sizes, twins

pytestmark = pytest.mark.layers("spark")


def north(sales):
    from pyspark.sql import functions as fn

    return sales.where(fn.col("region") == "north").agg(fn.sum("amount").alias("amount"))


def to_pandas_first(sales):
    """Fetches all columns into one process, and filters there."""
    frame = sales.toPandas()
    return float(frame.loc[frame["region"] == "north", "amount"].sum())


test_to_pandas_first = twins(north, to_pandas_first, sizes("4M"), ceiling("150MiB"))


def by_product(sales):
    from pyspark.sql import functions as fn

    return sales.groupBy("product").agg(fn.sum("amount").alias("amount"))


def collect_first(sales):
    """Fetches a Row object for each row."""
    sums = Counter()
    for row in sales.select("product", "amount").collect():
        sums[row.product] += row.amount
    return pa.table({"product": list(sums), "amount": list(sums.values())})


test_collect_first = twins(
    by_product, collect_first, sizes("2M"), ceiling("150MiB"), sort_by="product"
)


def urgent(sales):
    from pyspark.sql import functions as fn

    return sales.where(fn.col("note").rlike(URGENT)).agg(fn.sum("amount").alias("amount"))


def one_partition(sales):
    """Makes one task of the whole scan with `coalesce(1)`."""
    return urgent(sales.coalesce(1))


test_one_partition = twins(urgent, one_partition, sizes("8M"), floor("65%"))


def python_function(sales):
    """Sends all notes through Python workers, for each of which Python is called."""
    from pyspark.sql import functions as fn

    words = URGENT.split("|")
    found = fn.udf(lambda note: bool(note) and any(word in note for word in words), "boolean")
    return sales.where(found("note")).agg(fn.sum("amount").alias("amount"))


test_python_function = twins(urgent, python_function, sizes("2M"), ceiling("100MiB"))
