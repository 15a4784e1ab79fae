"""Marks work on plain tests too: nothing here asks for an engine."""

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import answers
import budgets
from shop.statement import write_statement


@budgets.statement
def test_statement(tmp_path):
    with (tmp_path / "statement.csv").open("w+") as file:
        write_statement(range(budgets.LINES), file)
        file.seek(0)
        assert sum(1 for _ in file) == budgets.LINES


@pytest.mark.sizes("4M")
@pytest.mark.memory_ceiling("100MiB")
def test_answers(sales):
    """The stored sums are those of the data, found by another way: a batch at a time."""
    north = everywhere = 0.0
    with pq.ParquetFile(sales.path, pre_buffer=False) as file:
        for batch in file.iter_batches(columns=["region", "amount"]):
            everywhere += pc.sum(batch["amount"]).as_py()
            north += pc.sum(batch.filter(pc.field("region") == "north")["amount"]).as_py() or 0
    assert north == pytest.approx(answers.NORTH_REVENUE, rel=1e-9)
    assert everywhere == pytest.approx(sum(answers.REVENUE_BY_CATEGORY.values()), rel=1e-9)
