"""Which line of the team's code a broken limit names."""

import pytest

from pytest_layers.measure.machine import available_cores

SHOP = """
import time

def hold():
    held = []
    for seconds in [0.002] * 120 + [0.6]:
        held.append(b"x" * 2**20); time.sleep(seconds)

def spin():
    end = time.process_time() + 1
    while time.process_time() < end: pass
"""


def test_a_broken_ceiling_names_the_line_that_ran_at_the_peak(layers):
    layers.write("shop/reports.py", SHOP)
    ran = layers.run(
        """
        from pytest import mark
        from shop.reports import hold

        @mark.memory_ceiling("10MiB")
        def test_it(): hold()
        """
    )
    text, line, source = ran.section("test_it")[:3]
    assert text == ran.verdict("test_it").text
    assert line.startswith("running near the peak: shop/reports.py:7 in hold (")
    assert " ms near it, " in line
    assert source == '    held.append(b"x" * 2**20); time.sleep(seconds)'
    (found,) = [line for line in ran.case("test_it").measurement.where if line.when == "peak"]
    assert (found.file, found.line, found.function) == ("shop/reports.py", 7, "hold")


def test_a_clock_that_the_test_froze_in_every_module_does_not_matter(layers):
    layers.write("shop/reports.py", SHOP)
    ran = layers.run(
        """
        import sys
        import time
        from pytest import mark
        from shop.reports import hold

        def freeze(clock):
            for module in list(sys.modules.values()):
                for name, value in list(vars(module).items()):
                    if value is clock:
                        setattr(module, name, lambda: 0.0)

        @mark.memory_ceiling("10MiB")
        def test_it():
            freeze(time.perf_counter)
            hold()
        """
    )
    (found,) = [line for line in ran.case("test_it").measurement.where if line.when == "peak"]
    assert (found.file, found.line) == ("shop/reports.py", 7)
    assert 0 < found.seconds <= ran.case("test_it").measurement.wall_seconds


@pytest.mark.skipif(available_cores() < 2, reason="there is one core only")
def test_a_broken_floor_names_the_line_that_ran_alone(layers):
    layers.write("shop/reports.py", SHOP)
    ran = layers.run(
        """
        from pytest import mark
        from shop.reports import spin

        @mark.min_cores(1.9)
        def test_it(): spin()
        """,
        "--layers-cores=2",
    )
    said = ran.section("test_it")
    place = "shop/reports.py:11 in spin ("
    assert said[1].startswith(f"running while one core worked alone: {place}")
    assert said[2] == "    while time.process_time() < end: pass"


def test_without_such_a_limit_nothing_is_asked(layers):
    layers.engines()
    layers.write("shop/reports.py", SHOP)
    ran = layers.run(
        """
        from shop.reports import hold

        def test_it(engine): hold()
        """,
        "--layers=fake",
    )
    assert ran.case("test_it[fake]").measurement.growth.lower_bytes > 100 * 2**20
    assert ran.case("test_it[fake]").measurement.where == ()
