"""`--layers-repeat`: how often a case is run while its verdict is in doubt."""

import pytest

from pytest_layers.measure.machine import available_cores

SPIN = """
    import time
    from pytest import mark

    def spin(seconds):
        end = time.process_time() + seconds
        while time.process_time() < end: pass

    @mark.min_cores(1.05)
    def test_close(): spin(0.4)

    @mark.min_cores(1.9)
    def test_broken(): spin(0.4)

    @mark.min_cores(0.5)
    def test_kept(): spin(0.4)
"""

pytestmark = pytest.mark.skipif(available_cores() < 2, reason="there is one core only")


def attempts(ran):
    """How often each case was run."""
    return [ran.case(name).attempts for name in ("test_close", "test_broken", "test_kept")]


def test_doubt_is_run_three_times_and_a_broken_floor_twice(layers):
    ran = layers.run(SPIN, "--layers-cores=2")
    assert ran.outcomes == {"inconclusive": 1, "failed": 1, "passed": 1}
    assert attempts(ran) == [3, 2, 1]


def test_a_limit_on_repeats_holds_for_all(layers):
    once = layers.run(SPIN, "--layers-cores=2", "--layers-repeat=1")
    assert once.outcomes == {"inconclusive": 1, "failed": 1, "passed": 1}
    assert attempts(once) == [1, 1, 1]
    layers.write("pytest.ini", "[pytest]\nlayers_repeat = 2\n")
    assert attempts(layers.run(None, "--layers-cores=2")) == [2, 2, 1]
