"""The built-in data set: sales of products.

Row *i* is a function of the seed and *i* alone, so any size is a prefix of every larger one,
whatever the batches.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

PRODUCTS = 1_000
CUSTOMERS = 1_000_000
REGIONS = ("north", "south", "east", "west", "online")
BATCH_ROWS = 131_072

PARQUET_BYTES_PER_ROW = 20
"""A lower bound: a row of `sales` takes 25 bytes on disk as Parquet."""
BYTES_PER_ROW = 86.0
"""Arrow memory that a row of `sales` takes, within 2% of the truth from a few thousand rows on."""

SALES_SCHEMA = pa.schema(
    {
        "order_id": pa.int64(),
        "ts": pa.timestamp("us"),
        "product": pa.string(),
        "region": pa.string(),
        "customer": pa.int64(),
        "quantity": pa.int32(),
        "amount": pa.float64(),
        "note": pa.string(),
    }
)
PRODUCTS_SCHEMA = pa.schema(
    {"product": pa.string(), "category": pa.string(), "unit_cost": pa.float64()}
)

_REGION_ENDS = np.cumsum([0.12, 0.18, 0.10, 0.25])  # the rest is online
_PRODUCT_SKEW = 3  # the first 1/1000 of the products has (1/1000)**(1/3) of the sales
_NULL_NOTES = 51  # of 256
_FIRST_ORDER = 1_577_836_800_000_000  # 2020-01-01 in microseconds
_ORDER_EVERY = 250_000  # microseconds
_CATEGORIES = ("books", "clothes", "food", "garden", "music", "office", "sports", "toys")
_NAMES = tuple(f"product-{number:04d}" for number in range(PRODUCTS))
_OPENINGS = (
    *("gift", "refund", "urgent", "invoice"),
    *("call me", "ring twice", "leave at door", "ask for Bo"),
)
_CLOSINGS = (
    "",
    " ok",
    " thanks",
    " fragile",
    " to desk",
    " by noon",
    " no rush",
    ", before Friday",
)

# One stream of random bits a column.
_PRODUCT, _REGION, _CUSTOMER, _QUANTITY, _NOTE, _TIME, _PRICE, _CATEGORY = range(8)


def distinct_products(rows: int) -> int:
    """Number of distinct products in `rows` rows, of which the first name each product once."""
    return min(rows, PRODUCTS)


def batches(rows: int, *, seed: int = 0, batch_rows: int = BATCH_ROWS) -> Iterator[pa.RecordBatch]:
    """The first `rows` rows of `sales`, in batches of `batch_rows`; the last may be shorter."""
    prices = _price_cents(seed)
    for start in range(0, rows, batch_rows):
        yield _sales(np.arange(start, min(start + batch_rows, rows)), seed, prices)


def product_batches(*, seed: int = 0) -> Iterator[pa.RecordBatch]:
    """The whole of `products`, one row a product, in one batch."""
    numbers = np.arange(PRODUCTS)
    columns = [
        _array(_NAMES),
        _array(_CATEGORIES).take(pa.array(_below(len(_CATEGORIES), numbers, seed, _CATEGORY))),
        pa.array(_price_cents(seed) * 6 // 10 / 100),
    ]
    yield pa.record_batch(columns, schema=PRODUCTS_SCHEMA)


def _sales(i: NDArray[np.int64], seed: int, prices: NDArray[np.int64]) -> pa.RecordBatch:
    product = _product_numbers(i, seed)
    quantity = 1 + (10 * _share(i, seed, _QUANTITY) ** 2).astype(np.int32)
    ts = _FIRST_ORDER + i * _ORDER_EVERY + _below(_ORDER_EVERY, i, seed, _TIME)
    region = np.searchsorted(_REGION_ENDS, _share(i, seed, _REGION), side="right")
    columns = [
        pa.array(i),
        pa.array(ts.view("datetime64[us]")),
        _array(_NAMES).take(pa.array(product)),
        _array(REGIONS).take(pa.array(region)),
        pa.array(_below(CUSTOMERS, i, seed, _CUSTOMER)),
        pa.array(quantity),
        pa.array(prices[product] * quantity / 100),
        _notes(_bits(i, seed, _NOTE)),
    ]
    return pa.record_batch(columns, schema=SALES_SCHEMA)


def _product_numbers(i: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    drawn = (PRODUCTS * _share(i, seed, _PRODUCT) ** _PRODUCT_SKEW).astype(np.int64)
    return np.where(i < PRODUCTS, i, drawn)


def _price_cents(seed: int) -> NDArray[np.int64]:
    """The price of each product, 1 to 500 in whole cents."""
    return 100 + (49_900 * _share(np.arange(PRODUCTS), seed, _PRICE) ** 2).astype(np.int64)


def _notes(bits: NDArray[np.uint64]) -> pa.Array:
    """`ring twice #8392018 thanks`, or null; hardly ever the same twice."""
    missing = (bits & 0xFF) < _NULL_NOTES
    opening = _array(_OPENINGS).take(pa.array((bits >> 8) & 7, mask=missing))
    closing = _array(_CLOSINGS).take(pa.array((bits >> 11) & 7))
    number = pc.cast(pa.array(bits >> 36), pa.string())
    return pc.binary_join_element_wise(
        pc.binary_join_element_wise(opening, number, " #"), closing, ""
    )


@cache
def _array(words: tuple[str, ...]) -> pa.Array:
    """Not at import: pyarrow imports pandas, where that is installed, to make an array of a list."""
    return pa.array(words)


def _below(end: int, i: NDArray[np.int64], seed: int, column: int) -> NDArray[np.int64]:
    """A whole number from 0 up to `end` for each row."""
    return (end * _share(i, seed, column)).astype(np.int64)


def _share(i: NDArray[np.int64], seed: int, column: int) -> NDArray[np.float64]:
    """A number from 0 up to 1 for each row."""
    return (_bits(i, seed, column) >> 11) * np.float64(2**-53)


def _bits(i: NDArray[np.int64], seed: int, column: int) -> NDArray[np.uint64]:
    """64 random bits for each row: SplitMix64, whose *i*-th output needs none before it."""
    start = _mixed(np.array([(seed * 256 + column) % 2**64], dtype=np.uint64))
    return _mixed(i.astype(np.uint64) * 0x9E3779B97F4A7C15 + start)


def _mixed(bits: NDArray[np.uint64]) -> NDArray[np.uint64]:
    bits ^= bits >> 30
    bits *= 0xBF58476D1CE4E5B9
    bits ^= bits >> 27
    bits *= 0x94D049BB133111EB
    bits ^= bits >> 31
    return bits
