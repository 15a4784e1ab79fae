"""`memory_ceiling`: what it asks for in each place it can stand, and what is judged by it."""

import pytest

HOLD = """
    import pytest
    from pytest import mark

    def hold(mebibytes):
        return bytearray(b"x") * (mebibytes * 2**20)
"""


def asked(ran):
    """The ceilings of all cases, as written."""
    return {
        name: [(limit.asked, limit.of) for limit in result.limits]
        for name, result in ran.cases.items()
    }


def test_growth_below_passes_and_above_fails(layers):
    ran = layers.run(
        HOLD
        + """
    @mark.memory_ceiling("16MiB")
    def test_below(): hold(8)

    @mark.memory_ceiling("16MiB")
    def test_above(): hold(32)

    @mark.memory_ceiling("0B")
    def test_nothing_at_all(): hold(32)
    """
    )
    assert ran.outcomes == {"passed": 1, "failed": 2}
    below, above = ran.verdict("test_below"), ran.verdict("test_above")
    assert (below.outcome, above.outcome) == ("passed", "failed")
    assert below.limit_value == above.limit_value == 16 * 2**20
    # What the interpreter gives back meanwhile makes the growth a little less than what is held.
    assert 7 * 2**20 <= below.measured_value < 12 * 2**20
    assert 31 * 2**20 <= above.measured_value < 36 * 2**20
    assert ran.case("test_above").reason == above.text
    assert above.text in ran.section("test_above")
    assert f"FAILED test_it.py::test_above - {above.text}"[:70] in ran.out
    assert ran.verdict("test_nothing_at_all").outcome == "failed"


def test_what_was_there_before_is_no_growth_but_part_of_the_total(layers):
    ran = layers.run(
        HOLD
        + """
    @pytest.fixture
    def held():
        return hold(100)

    @mark.memory_ceiling("10MiB")
    def test_growth(held): pass

    @mark.memory_ceiling("100MiB", of="total")
    def test_total(held): pass

    @mark.memory_ceiling("10MiB")
    @mark.memory_ceiling("1GiB", of="total")
    def test_both(held): pass
    """
    )
    assert ran.verdict("test_growth").outcome == "passed"
    assert ran.verdict("test_total").outcome == "failed"
    assert ran.verdict("test_total").measured_value > 100 * 2**20
    assert {verdict.limit.of for verdict in ran.case("test_both").verdicts} == {"growth", "total"}
    assert ran.case("test_both").outcome == "passed"


def test_what_is_freed_before_the_end_counts(layers):
    ran = layers.run(
        HOLD
        + """
    @mark.memory_ceiling("16MiB")
    def test_it():
        held = hold(64)
        del held
    """
    )
    assert ran.verdict("test_it").outcome == "failed"


def test_the_window_is_the_call_or_what_measured_narrows_it_to(layers):
    ran = layers.run(
        HOLD
        + """
    @mark.memory_ceiling("16MiB")
    def test_before(measured):
        hold(64)
        with measured: pass

    @mark.memory_ceiling("16MiB")
    def test_within(measured):
        with measured: hold(64)
    """
    )
    assert ran.verdict("test_before").outcome == "passed"
    assert ran.verdict("test_within").outcome == "failed"


def test_terms_by_data_and_rows_are_sums_of_the_data_used(layers):
    layers.engines()
    ran = layers.run(
        """
        from pytest import mark

        @mark.memory_ceiling("2x + 40B/row + 1GiB")
        def test_sales(sales): pass

        @mark.memory_ceiling("1x + 10%ram")
        def test_two(sales, products): pass
        """,
        "--layers-sizes=1k",
    )
    sales, two = ran.case("test_sales[1k]"), ran.case("test_two[1k]")
    assert sales.verdicts[0].limit_value == 2 * sales.data_bytes + 40 * 1000 + 2**30
    assert two.data_bytes > sales.data_bytes
    share = 0.1 * ran.run.machine.memory_bytes
    assert two.verdicts[0].limit_value == pytest.approx(two.data_bytes + share, abs=1)


def test_each_engine_may_have_its_own(layers):
    layers.engines()
    ran = layers.run(
        """
        from pytest import mark

        @mark.memory_ceiling("1GiB", other="2GiB", third_one=None)
        def test_both(engine): pass

        @mark.memory_ceiling(fake="1GiB")
        def test_one(engine): pass

        @mark.memory_ceiling(limit=2**30, absent=None)
        def test_bytes(engine): pass
        """,
        "--layers=fake,other,third-one",
        "--layers-isolation=none",
        process=True,
    )
    assert asked(ran) == {
        "test_both[other]": [("2GiB", "growth")],
        "test_both[fake]": [("1GiB", "growth")],
        "test_both[third-one]": [],
        "test_one[other]": [],
        "test_one[fake]": [("1GiB", "growth")],
        "test_one[third-one]": [],
        "test_bytes[other]": [("1073741824B", "growth")],
        "test_bytes[fake]": [("1073741824B", "growth")],
        "test_bytes[third-one]": [("1073741824B", "growth")],
    }


def test_the_nearest_mark_wins(layers):
    ran = layers.run(
        """
        from pytest import mark, param

        pytestmark = mark.memory_ceiling("1GiB")

        def test_of_module(): pass

        @mark.memory_ceiling("2GiB")
        def test_of_function(): pass

        @mark.memory_ceiling(None)
        def test_lifted(): pass

        @mark.memory_ceiling("7GiB", of="total")
        def test_of_the_other_kind(): pass

        @mark.memory_ceiling("3GiB")
        class TestThem:
            def test_of_class(self): pass

            @mark.memory_ceiling("4GiB")
            def test_of_method(self): pass

        class TestHeirs(TestThem):
            pass

        @mark.memory_ceiling("9GiB")
        class TestOwnHeirs(TestThem):
            pass

        @mark.parametrize("n", [1, param(2, marks=mark.memory_ceiling("5GiB"))])
        @mark.memory_ceiling("6GiB")
        def test_of_parameter(n): pass
        """,
        "--layers-isolation=none",
    )
    assert asked(ran) == {
        "test_of_module": [("1GiB", "growth")],
        "test_of_function": [("2GiB", "growth")],
        "test_lifted": [],
        "test_of_the_other_kind": [("7GiB", "total"), ("1GiB", "growth")],
        "TestThem::test_of_class": [("3GiB", "growth")],
        "TestThem::test_of_method": [("4GiB", "growth")],
        "TestHeirs::test_of_class": [("3GiB", "growth")],
        "TestHeirs::test_of_method": [("4GiB", "growth")],
        "TestOwnHeirs::test_of_class": [("9GiB", "growth")],
        "TestOwnHeirs::test_of_method": [("4GiB", "growth")],
        "test_of_parameter[1]": [("6GiB", "growth")],
        "test_of_parameter[2]": [("5GiB", "growth")],
    }


def test_ini_default_is_for_cases_without_a_mark_of_their_own(layers):
    layers.write("pytest.ini", "[pytest]\nlayers_memory_ceiling = 1GiB\n")
    ran = layers.run(
        """
        from pytest import mark

        def test_plain(): pass

        def test_case(size): pass

        @mark.memory_ceiling("2GiB")
        def test_own(size): pass

        @mark.memory_ceiling(None)
        def test_lifted(size): pass

        @mark.min_cores(None)
        def test_other_mark(): pass
        """,
        "--layers-isolation=none",
        "--layers-sizes=1k",
        process=True,
    )
    assert ran.outcomes == {"passed": 5}
    assert asked(ran) == {
        "test_case[1k]": [("1GiB", "growth")],
        "test_own[1k]": [("2GiB", "growth")],
        "test_lifted[1k]": [],
        "test_other_mark": [("1GiB", "growth")],
    }
    assert ran.case("test_case[1k]").limits[0].source == "ini"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pytest.ini", "[pytest]\nlayers_memory_ceiling = 2x + 1GiB\n"),
        ("pyproject.toml", '[tool.pytest.ini_options]\nlayers_memory_ceiling = "2x + 1GiB"\n'),
        pytest.param(
            "pyproject.toml",
            '[tool.pytest]\nlayers_memory_ceiling = "2x + 1GiB"\n',
            marks=pytest.mark.skipif(pytest.version_tuple < (9,), reason="new in pytest 9"),
        ),
    ],
)
def test_ini_default_by_data_passes_over_tests_without_data(layers, name, text):
    layers.write(name, text)
    ran = layers.run(
        """
        from pytest import mark

        @mark.min_cores(None)
        def test_without(): pass

        @mark.skip
        def test_with(sales): pass
        """,
        "--layers-isolation=none",
        "--layers-sizes=1k",
    )
    assert asked(ran) == {"test_without": [], "test_with[1k]": [("2x + 1GiB", "growth")]}


def test_its_text_is_among_the_markers(layers):
    ran = layers.bare("--markers", "-p", "pytest_layers.plugin", autoload=False)
    assert "@pytest.mark.memory_ceiling(limit, *, of='growth', **per_engine): " in ran.out
    for name in ("min_cores(floor, **per_engine)", "layers(*names)", "sizes(*sizes)"):
        assert f"@pytest.mark.{name}: " in ran.out


def test_what_comes_after_the_window_is_not_stopped(layers):
    """A check that takes more than a runaway may have is not the code that the ceiling is on."""
    ran = layers.run(
        HOLD
        + """
    @mark.memory_ceiling("16MiB")
    def test_it(measured):
        with measured:
            pass
        hold(1200)
    """
    )
    assert ran.outcomes == {"passed": 1}
    assert ran.verdict("test_it").outcome == "passed"
