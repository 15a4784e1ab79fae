"""`min_cores`: a floor on the cores kept busy."""

import pytest

from pytest_layers.measure.machine import available_cores

SPIN = """
    import time
    from pytest import mark

    def spin(seconds):
        end = time.process_time() + seconds
        while time.process_time() < end: pass
"""
several = pytest.mark.skipif(available_cores() < 2, reason="there is one core only")


def asked(ran):
    return {name: [limit.asked for limit in result.limits] for name, result in ran.cases.items()}


@several
def test_one_busy_core_reaches_a_floor_below_one_and_not_above(layers):
    ran = layers.run(
        SPIN
        + """
    @mark.min_cores(0.5)
    def test_below(): spin(0.5)

    @mark.min_cores(1.9)
    def test_above(): spin(0.5)

    @mark.min_cores("95%")
    def test_share(): spin(0.5)
    """,
        "--layers-cores=2",
    )
    assert ran.verdict("test_below").outcome == "passed"
    assert ran.verdict("test_above").outcome == "failed"
    assert ran.verdict("test_share").outcome == "failed"
    assert ran.verdict("test_share").limit_value == pytest.approx(1.9)
    assert ran.verdict("test_above").text in ran.section("test_above")


def test_share_is_of_the_cores_given(layers):
    ran = layers.run(
        SPIN
        + """
    @mark.min_cores("90%")
    def test_it(): spin(0.3)
    """,
        "--layers-cores=1",
    )
    assert ran.verdict("test_it").limit_value == pytest.approx(0.9)
    assert ran.verdict("test_it").outcome == "passed"


def test_too_little_work_is_inconclusive_with_a_letter_and_a_word_of_its_own(layers):
    text = """
        from pytest import mark

        @mark.min_cores(1)
        def test_it(): pass
    """
    ran = layers.run(text)
    assert ran.outcomes == {"inconclusive": 1}
    assert ran.case("test_it").outcome == "inconclusive"
    assert ran.case("test_it").attempts == 1
    assert (
        "test_it.py I                                                             [100%]"
        in ran.lines
    )
    assert "test_it.py::test_it INCONCLUSIVE" in layers.run(text, "-v").out


def test_the_nearest_mark_wins_and_none_lifts(layers):
    layers.engines()
    layers.write("pytest.ini", "[pytest]\nlayers_min_cores = 10%\n")
    ran = layers.run(
        """
        from pytest import mark, param

        def test_of_ini(size): pass

        @mark.min_cores("60%")
        class TestThem:
            def test_of_class(self): pass

            @mark.min_cores(1.5)
            def test_of_method(self): pass

            @mark.min_cores(None)
            def test_lifted(self): pass

            @mark.parametrize("n", [param(1, marks=mark.min_cores("1"))])
            def test_of_parameter(self, n): pass

        @mark.min_cores(1, other=None, fake="50%")
        def test_engines(engine): pass
        """,
        "--layers-sizes=1k",
        "--layers=fake,other,third-one",
        "--layers-isolation=none",
        process=True,
    )
    assert asked(ran) == {
        "test_of_ini[1k]": ["10%"],
        "TestThem::test_of_class": ["60%"],
        "TestThem::test_of_method": ["1.5"],
        "TestThem::test_lifted": [],
        "TestThem::test_of_parameter[1]": ["1"],
        "test_engines[other]": [],
        "test_engines[fake]": ["50%"],
        "test_engines[third-one]": ["1"],
    }
