"""DuckDB."""

from collections import Counter

import pyarrow as pa
import pytest
from twins import URGENT, ceiling, floor, is_urgent, sizes, spill, twins

pytestmark = pytest.mark.layers("duckdb")

FETCHED = 100_000


def by_product(sales):
    return sales.aggregate("product, sum(amount) AS amount", "product")


def fetchall(sales):
    """Fetches all rows as tuples."""
    sums = Counter()
    for product, amount in sales.project("product, amount").fetchall():
        sums[product] += amount
    return pa.table({"product": list(sums), "amount": list(sums.values())})


test_fetchall = twins(by_product, fetchall, sizes("4M"), ceiling("0.2x + 60MiB"), sort_by="product")


def north(sales):
    return sales.filter("region = 'north'").aggregate("sum(amount) AS amount")


def frame_first(sales):
    """Takes all columns to pandas, and filters there."""
    frame = sales.df()
    return float(frame.loc[frame["region"] == "north", "amount"].sum())


test_frame_first = twins(north, frame_first, sizes("2M"), ceiling("80MiB"))


def urgent(sales):
    return sales.filter(f"regexp_matches(note, '{URGENT}')").aggregate("sum(amount) AS amount")


def one_thread(sales, engine):
    """Sets `threads` to 1."""
    engine.session.execute("SET threads = 1")
    return urgent(sales)


test_one_thread = twins(urgent, one_thread, sizes("8M"), floor("80%"))


def fetchmany(sales, engine):
    """Fetches some rows at a time, and loops over them in Python."""
    chosen = engine.session.execute(sales.project("note, amount").sql_query())
    total = 0.0
    while rows := chosen.fetchmany(FETCHED):
        total += sum(amount for note, amount in rows if is_urgent(note))
    return total


test_fetchmany = twins(urgent, fetchmany, sizes("8M"), floor("80%"))


LARGEST = "amount DESC, order_id"
LISTED = 1_000


def largest(sales, engine):
    engine.session.execute("SET memory_limit = '256MB'")
    return sales.order(LARGEST).limit(LISTED)


def table_first(sales, engine):
    """Makes a table of all rows in order, and takes the first."""
    engine.session.execute("SET memory_limit = '256MB'")
    sales.order(LARGEST).create("ordered")
    return engine.session.table("ordered").limit(LISTED)


test_table_first = twins(largest, table_first, sizes("8M"), spill("20MiB"))
