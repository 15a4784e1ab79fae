"""Limits that a hook of the user's adds once tests are collected."""

import pytest

TEXT = """
    def hold():
        return bytearray(b"x") * (64 * 2**20)

    def test_listed(): hold()

    def test_collected(): hold()

    def test_plain(): hold()
"""


def conftest(layers, limit):
    layers.write(
        "conftest.py",
        f"""
        import pytest

        def pytest_collection_modifyitems(items):
            for item in items:
                if item.name == "test_listed":
                    item.add_marker(pytest.mark.memory_ceiling({limit!r}), append=False)

        def pytest_itemcollected(item):
            if item.name == "test_collected":
                item.add_marker(pytest.mark.memory_ceiling({limit!r}), append=False)
        """,
    )


def test_a_limit_that_a_hook_adds_is_judged(layers):
    conftest(layers, "8MiB")
    ran = layers.run(TEXT)
    assert ran.outcomes == {"failed": 2, "passed": 1}
    assert {name: case.verdicts[0].outcome for name, case in ran.cases.items()} == {
        "test_listed": "failed",
        "test_collected": "failed",
    }


def test_a_limit_that_a_hook_puts_before_one_that_is_there_counts(layers):
    conftest(layers, "1GiB")
    ran = layers.run(
        """
        import pytest

        @pytest.mark.memory_ceiling("8MiB")
        def test_listed(): held = bytearray(b"x") * (64 * 2**20)
        """
    )
    assert ran.verdict("test_listed").limit.asked == "1GiB"


@pytest.mark.parametrize("args", [(), ("-n2",)])
def test_a_wrong_limit_that_a_hook_adds_is_told_as_any_other(layers, args):
    conftest(layers, "2x")
    ran = layers.run(TEXT, *args, plugins=["xdist"] if args else ())
    assert ran.status != pytest.ExitCode.OK
    assert [line.partition("; ")[0] for line in ran.errors] == [
        f"test_it.py::{name}: mark.memory_ceiling: '2x' refers to data, and the test asks for none of"
        " sales, products, dataset"
        for name in ("test_listed", "test_collected")
    ]


def test_a_limit_that_a_hook_takes_away_is_none(layers):
    layers.write(
        "conftest.py",
        """
        def pytest_collection_modifyitems(items):
            for item in items:
                item.own_markers = [mark for mark in item.own_markers if mark.name != "memory_ceiling"]
        """,
    )
    ran = layers.run(
        """
        import os, pytest

        @pytest.mark.memory_ceiling("8MiB")
        def test_it():
            held = bytearray(b"x") * (64 * 2**20)
            print("ran in", os.getpid())
        """,
        "-rP",
    )
    assert ran.outcomes == {"passed": 1}
    assert ran.cases == {}
