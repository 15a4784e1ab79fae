"""For authors of engines: the tests that every engine has to pass.

Write the six operations in the engine's own idiom, and inherit the tests::

    from pytest_layers.testing import EngineContract

    class TestDaft(EngineContract):
        engine_name = "daft"

        def filter_region(self, engine, sales, region):
            return sales.where(sales["region"] == region)
        ...
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import psutil
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pytest_layers.datasets import formats
from pytest_layers.datasets import sales as built_in
from pytest_layers.records import Dataset

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_layers.engines.base import Engine

REGION = "east"
TOP = 10
_END_SECONDS = 10.0


class EngineContract:
    """What an engine promises, as tests; a subclass that sets `engine_name` runs them.

    The operations get the frames that `engine.scan` gave for `sales` and `products`, and return
    what `engine.collect` takes. Where no order is asked for, rows may come in any.
    """

    engine_name: ClassVar[str]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Mark the tests as those of one engine, at a size that takes no time."""
        super().__init_subclass__(**kwargs)
        if "engine_name" in vars(cls):
            marks = [pytest.mark.layers(cls.engine_name), pytest.mark.sizes("20k")]
            cls.pytestmark = marks  # type: ignore[attr-defined]

    def filter_region(self, engine: Engine, sales: Any, region: str) -> Any:
        """All columns of the sales in `region`."""
        raise NotImplementedError

    def sum_amount(self, engine: Engine, sales: Any) -> Any:
        """One row: `amount`, the sum over all sales."""
        raise NotImplementedError

    def group_by_product(self, engine: Engine, sales: Any) -> Any:
        """A row for each product: `product`, `amount` (the sum), `orders` (their number)."""
        raise NotImplementedError

    def join_products(self, engine: Engine, sales: Any, products: Any) -> Any:
        """A row for each category of the products: `category`, `amount` (the sum)."""
        raise NotImplementedError

    def sort_by_amount(self, engine: Engine, sales: Any) -> Any:
        """`order_id` of all sales, by amount from the largest on, then by order_id."""
        raise NotImplementedError

    def top_k(self, engine: Engine, sales: Any, k: int) -> Any:
        """`order_id` and `amount` of `k` sales with the largest amounts."""
        raise NotImplementedError

    def cores_seen(self, engine: Engine) -> int | None:
        """How many cores the library says that it uses; None where it does not tell."""
        return None

    @pytest.fixture(autouse=True)
    def empty_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Work in an empty folder, so that a file left there is seen."""
        monkeypatch.chdir(tmp_path)

    def test_scan_and_read_agree(self, engine: Engine, sales: Dataset) -> None:
        """Both give every row and column of the data, as plain Arrow tables of one schema."""
        scanned = engine.collect(engine.scan(sales))
        read = engine.collect(engine.read(sales))
        assert isinstance(scanned, pa.Table)
        assert scanned.schema.equals(read.schema)
        assert_same_rows(scanned, _sales_rows(sales), sort_by="order_id")
        assert_same_rows(read, _sales_rows(sales), sort_by="order_id")

    def test_reads_files_as_they_are(
        self, engine: Engine, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        """Several files, of a suffix that is the format's second, in a folder whose name looks like a column's."""
        folder = tmp_path_factory.mktemp("year=2024", numbered=False)
        rows = pa.table({"order_id": pa.array([1, 2, 3], pa.int64())})
        known = formats.named(engine.format)
        paths = [folder / f"part-{number}{known.suffixes[1]}" for number in range(2)]
        for number, path in enumerate(paths):
            known.write(rows.slice(2 * number, 2).to_batches(), path)
        own = Dataset("own", known.name, tuple(map(str, paths)), rows.num_rows, rows.nbytes)
        assert_same_rows(engine.collect(engine.scan(own)), rows, sort_by="order_id")

    def test_operations(self, engine: Engine, sales: Dataset, products: Dataset) -> None:
        """Each operation gives what Arrow computes from the same rows."""
        frame, other, rows = engine.scan(sales), engine.scan(products), _sales_rows(sales)
        collect = engine.collect

        in_region = rows.filter(pc.field("region") == REGION)
        given = collect(self.filter_region(engine, frame, REGION))
        assert_same_rows(given, in_region, sort_by="order_id")

        assert_same_rows(collect(self.sum_amount(engine, frame)), _sum_amount(rows))

        given = collect(self.group_by_product(engine, frame))
        assert_same_rows(given, _group_by_product(rows), sort_by="product")

        given = collect(self.join_products(engine, frame, other))
        assert_same_rows(given, _join_products(rows), sort_by="category")

        by_amount = rows.sort_by([("amount", "descending"), ("order_id", "ascending")])
        given = collect(self.sort_by_amount(engine, frame))
        assert_same_rows(given, by_amount.select(["order_id"]))

        top = collect(self.top_k(engine, frame, TOP)).sort_by([("amount", "descending")])
        assert_same_rows(top.select(["amount"]), by_amount.select(["amount"]).slice(0, TOP))
        assert_same_rows(top, rows.take(top["order_id"]).select(["order_id", "amount"]))

    def test_uses_the_cores_given(self, engine: Engine, sales: Dataset) -> None:
        """The library was told the number of cores in time, and keeps to it."""
        engine.collect(engine.scan(sales))
        seen = self.cores_seen(engine)
        if seen is None:
            pytest.skip(f"{self.engine_name} does not tell how many cores it uses")
        assert engine.usable_cores(seen) == engine.cores

    def test_leaves_nothing(self, engine: Engine, sales: Dataset) -> None:
        """After `stop`, which may be called twice, no process is left, nor a file in the folder."""
        engine.collect(engine.scan(sales))
        engine.stop()
        engine.stop()
        children = psutil.Process().children(recursive=True)
        assert psutil.wait_procs(children, timeout=_END_SECONDS)[1] == []
        assert list(Path.cwd().iterdir()) == []


def assert_same_rows(given: pa.Table, expected: pa.Table, *, sort_by: str = "") -> None:
    """Fail at the first value that differs; floats may by a billionth. Columns go by name.

    With `sort_by`, a column, both are sorted first.
    """
    assert sorted(given.column_names) == sorted(expected.column_names)
    assert given.num_rows == expected.num_rows
    if sort_by:
        given, expected = given.sort_by(sort_by), expected.sort_by(sort_by)
    for name in expected.column_names:
        _assert_same_values(name, given[name].to_pylist(), expected[name].to_pylist())


def _assert_same_values(name: str, given: Sequence[Any], expected: Sequence[Any]) -> None:
    for row, (value, wanted) in enumerate(zip(given, expected, strict=True)):
        assert _same(value, wanted), f"{name} in row {row} is {value!r}, should be {wanted!r}"


def _same(value: Any, wanted: Any) -> bool:
    if isinstance(value, float) and isinstance(wanted, float):
        return math.isclose(value, wanted, rel_tol=1e-9)
    return bool(value == wanted)


def _sales_rows(sales: Dataset) -> pa.Table:
    """The rows that the files of `sales` were made of."""
    return pa.Table.from_batches(built_in.batches(sales.rows))


def _sum_amount(rows: pa.Table) -> pa.Table:
    return pa.table({"amount": [pc.sum(rows["amount"]).as_py()]})


def _group_by_product(rows: pa.Table) -> pa.Table:
    grouped = rows.group_by("product").aggregate([("amount", "sum"), ("amount", "count")])
    return grouped.rename_columns(["product", "amount", "orders"])


def _join_products(rows: pa.Table) -> pa.Table:
    products = pa.Table.from_batches(built_in.product_batches())
    grouped = rows.join(products, "product").group_by("category").aggregate([("amount", "sum")])
    return grouped.rename_columns(["category", "amount"])
