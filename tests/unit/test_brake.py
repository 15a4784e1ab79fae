"""Which line a case is stopped at."""

from types import SimpleNamespace

import pytest

from pytest_layers.isolate.brake import Brake
from pytest_layers.measure import machine

GIB = 2**30


def sampler(footprint_bytes):
    return SimpleNamespace(footprint_bytes=footprint_bytes, base_bytes=GIB, stop_bytes=None)


@pytest.mark.parametrize(
    ("hard_limit", "growth", "total", "nearest", "whose"),
    [
        (0, None, None, None, None),
        (4 * GIB, None, None, 4 * GIB, "hard_limit"),
        (4 * GIB, None, 3 * GIB, 3 * GIB, "memory"),
        (4 * GIB, GIB, 3 * GIB, 2 * GIB, "memory"),
        (3 * GIB, None, 3 * GIB, 3 * GIB, "hard_limit"),
        (0, None, 3 * GIB, 3 * GIB, "memory"),
    ],
)
def test_the_nearest_line_holds(hard_limit, growth, total, nearest, whose):
    read = sampler(5 * GIB)
    brake = Brake(read, hard_limit_bytes=hard_limit)
    brake.window(is_open=True)
    brake.draw(growth_bytes=growth, total_bytes=total)
    assert read.stop_bytes == nearest
    assert brake.passed() == (whose and (whose, nearest))


def test_within_its_limit_nothing_is_passed():
    read = sampler(2 * GIB)
    brake = Brake(read, hard_limit_bytes=2 * GIB)
    brake.set()
    assert brake.passed() is None
    read.footprint_bytes += 1
    assert brake.passed() == ("hard_limit", 2 * GIB)


def test_the_growth_line_holds_within_the_window_only():
    read = sampler(5 * GIB)
    brake = Brake(read)
    brake.draw(growth_bytes=GIB, total_bytes=None)
    assert brake.passed() is None
    brake.window(is_open=True)
    assert brake.passed() == ("memory", 2 * GIB)
    brake.window(is_open=False)
    assert (brake.passed(), read.stop_bytes) == (None, None)


def test_what_the_machine_can_spare_is_a_line(monkeypatch):
    monkeypatch.setattr(machine, "memory_spare_bytes", lambda: GIB)
    read = sampler(2 * GIB)
    brake = Brake(read, reserve_bytes=GIB // 2, hard_limit_bytes=8 * GIB)
    brake.look_at_machine(now=1.0)
    assert read.stop_bytes == 2 * GIB + GIB // 2
    read.footprint_bytes = 3 * GIB
    assert brake.passed() == ("machine", 2 * GIB + GIB // 2)
