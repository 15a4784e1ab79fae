"""What an innocent pull request did to a plain function: this takes no engine."""

import io

import pytest

import budgets
from shop.statement import balances, write_statement


def write_counted(amounts, file):
    """'Say how many lines there are.' To be counted, all balances are held at once."""
    lines = list(balances(amounts))
    print(f"{len(lines)} lines")
    file.writelines(f"{number},{balance}\n" for number, balance in enumerate(lines, start=1))


@budgets.statement
@pytest.mark.xfail(strict=True, reason="makes a list of what was a stream")
def test_counted(tmp_path):
    path = tmp_path / "statement.csv"
    with path.open("w") as file:
        write_counted(range(budgets.LINES), file)
    expected = io.StringIO()
    write_statement(range(10), expected)
    assert path.read_text().startswith(expected.getvalue())
