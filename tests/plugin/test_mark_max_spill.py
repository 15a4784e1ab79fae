"""`max_spill`: what an engine may write to disk; and what an engine knows of its window."""

import pytest

ENGINE = """
def pytest_layers_engines():
    from pathlib import Path

    class Spilling(Fake):
        name = "spilling"
        told = {}

        def start(self, budget):
            super().start(budget)
            self.log = []

        def spill(self, size):
            folder = Path(self.budget.spill_dir)
            folder.mkdir()
            folder.joinpath("block").write_bytes(b"x" * size)

        def begin_window(self):
            self.log.append("begin")

        def end_window(self):
            return {**self.told, "windows": len(self.log)}

    return [Fake, Spilling]
"""


@pytest.fixture
def spilling(layers):
    layers.engines(ENGINE)
    return layers


@pytest.mark.parametrize("isolation", ["case", "none"])
def test_files_in_the_spill_folder_count(spilling, isolation):
    ran = spilling.run(
        """
        from pytest import mark

        @mark.max_spill("1MiB")
        def test_little(engine): engine.spill(2**20)

        @mark.max_spill("1MiB", fake=None)
        def test_much(engine): engine.spill(2**21)
        """,
        "--layers=spilling",
        f"--layers-isolation={isolation}",
    )
    assert ran.verdict("test_little[spilling]").outcome == "passed"
    assert ran.verdict("test_much[spilling]").outcome == "failed"
    assert ran.case("test_much[spilling]").measurement.spilled_bytes == 2**21
    shown = "spilled 2.00 MiB to disk, over the 1.00 MiB allowed by 1.00 MiB"
    assert shown in ran.section("test_much[spilling]")


@pytest.mark.parametrize("isolation", ["case", "none"])
def test_the_engine_tells_of_its_window(spilling, isolation):
    ran = spilling.run(
        """
        from pytest import mark

        @mark.max_spill("0B")
        def test_it(engine): engine.told = {"spilled_bytes": 5}

        @mark.max_spill("0B")
        def test_narrowed(engine, measured):
            assert engine.log == []
            with measured:
                assert engine.log == ["begin"]
        """,
        "--layers=spilling",
        f"--layers-isolation={isolation}",
    )
    told = ran.case("test_it[spilling]").measurement
    assert (told.native, told.spilled_bytes) == ({"spilled_bytes": 5, "windows": 1}, 5)
    assert ran.verdict("test_it[spilling]").outcome == "failed"
    assert ran.verdict("test_narrowed[spilling]").outcome == "passed"


def test_an_engine_that_can_not_spill_has_spilled_nothing(spilling):
    ran = spilling.run(
        """
        from pytest import mark

        @mark.max_spill("0B")
        def test_it(engine): pass
        """,
        "--layers=fake",
    )
    assert ran.verdict("test_it[fake]").text == "spilled 0 B to disk, within the 0 B allowed by 0 B"


@pytest.mark.parametrize(
    ("mark", "message"),
    [
        (
            '"10 potatoes"',
            "test_it.py::test_it: mark.max_spill: '10 potatoes' is not a memory size",
        ),
        ("", "test_it.py::test_it: mark.max_spill: has no limit"),
        ('"1x"', "test_it.py::test_it: mark.max_spill: '1x' refers to data, and the test asks for"),
        ('"0B", of="total"', "test_it.py::test_it: mark.max_spill: unknown keyword 'of'"),
    ],
)
def test_wrong_use(spilling, mark, message):
    ran = spilling.run(
        f"""
        from pytest import mark

        @mark.max_spill({mark})
        def test_it(engine): pass
        """,
        "--layers=fake",
    )
    assert ran.errors[0].startswith(message)


def test_a_test_without_an_engine_can_not_have_it(spilling):
    ran = spilling.run(
        """
        from pytest import mark

        @mark.max_spill("0B")
        def test_it(): pass
        """
    )
    assert ran.errors == [
        "test_it.py::test_it: mark.max_spill: is for an engine, and the test asks for no engine"
    ]


def test_one_for_other_engines_only_is_a_skip(spilling):
    ran = spilling.run(
        """
        from pytest import mark

        @mark.layers("spilling")
        @mark.max_spill("0B", spilling="1MiB")
        def test_it(engine): pass
        """,
        "--layers=fake",
    )
    assert ran.case("test_it[none]").outcome == "skipped"
