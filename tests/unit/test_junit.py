"""The flat properties of a case for JUnit XML."""

import dataclasses

import pytest

from pytest_layers.records import (
    Bracket,
    Case,
    CaseResult,
    Limit,
    Measurement,
    Pair,
    Speedup,
    Survival,
    Timing,
    Verdict,
)
from pytest_layers.report.junit import properties

COST = Measurement(
    wall_seconds=3.0,
    cpu_seconds=1.0,
    wait_seconds=0.5,
    preempted_seconds=0.25,
    cores_given=2,
    base_bytes=100,
    total=Bracket(400, 500),
    growth=Bracket(300, 400),
    file_bytes=7,
    shared_bytes=3,
    peak_seconds=1.5,
    processes=(),
    timeline=(),
    samples=2,
    longest_gap_seconds=1.1,
)


def judged(limit, limit_value, measured_value):
    verdict = Verdict(limit, "failed", limit_value, measured_value, "text")
    result = CaseResult(Case("test_a.py::test_x"), "failed", verdicts=(verdict,))
    return {name: value for name, value in properties(result) if "." in name[len("layers.") :]}


def test_a_plain_test_says_only_what_is_known():
    assert properties(CaseResult(Case("test_a.py::test_x"), "passed")) == [
        ("layers.outcome", "passed"),
        ("layers.attempts", 1),
        ("layers.isolation", "case"),
    ]


def test_a_measured_case_says_what_it_cost():
    case = Case("test_a.py::test_x[polars-1M]", "polars", "engine", "1M")
    result = CaseResult(case, "passed", rows=10, data_bytes=80, measurement=COST, attempts=2)
    assert properties(result) == [
        ("layers.engine", "polars"),
        ("layers.layer", "engine"),
        ("layers.size", "1M"),
        ("layers.rows", 10),
        ("layers.data_bytes", 80),
        ("layers.outcome", "passed"),
        ("layers.attempts", 2),
        ("layers.isolation", "case"),
        ("layers.wall_seconds", 3.0),
        ("layers.cpu_seconds", 1.0),
        ("layers.wait_seconds", 0.5),
        ("layers.preempted_seconds", 0.25),
        ("layers.cores_used", 0.333333),
        ("layers.cores_wanted_lower", 0.416667),
        ("layers.cores_wanted_upper", 0.5),
        ("layers.cores_given", 2),
        ("layers.base_bytes", 100),
        ("layers.growth.lower_bytes", 300),
        ("layers.growth.upper_bytes", 400),
        ("layers.total.lower_bytes", 400),
        ("layers.total.upper_bytes", 500),
        ("layers.file_bytes", 7),
        ("layers.shared_bytes", 3),
    ]


def test_a_speed_up_and_its_interval():
    pair = Pair(Timing(1.0, 2.0, 0.0), Timing(1.6, 1.6, 0.0))
    cost = dataclasses.replace(COST, speedup=Speedup((pair,), 1.6, 1.5, 1.7, 0.25))
    result = CaseResult(Case("test_a.py::test_x"), "passed", measurement=cost)
    assert properties(result)[-4:] == [
        ("layers.speedup.factor", 1.6),
        ("layers.speedup.lower", 1.5),
        ("layers.speedup.upper", 1.7),
        ("layers.speedup.serial_share", 0.25),
    ]
    assert judged(Limit("min_speedup", "75%"), 1.5, 1.6) == {
        "layers.min_speedup.asked": "75%",
        "layers.min_speedup.limit_value": 1.5,
        "layers.min_speedup.measured_value": 1.6,
        "layers.min_speedup.outcome": "failed",
    }


def test_what_was_done_under_a_hard_limit():
    found = Survival(2**31, "supervisor", "died", "stopped at the limit by the supervisor")
    result = CaseResult(Case("test_a.py::test_x"), "failed", survival=found)
    assert properties(result)[-3:] == [
        ("layers.survival.limit_bytes", 2**31),
        ("layers.survival.kept_by", "supervisor"),
        ("layers.survival.outcome", "died"),
    ]


def test_a_ceiling_is_in_whole_bytes():
    assert judged(Limit("memory_ceiling", "1 KiB", of="growth"), 1024.0, 2048.0) == {
        "layers.memory_ceiling.asked": "1 KiB",
        "layers.memory_ceiling.limit_value": 1024,
        "layers.memory_ceiling.measured_value": 2048,
        "layers.memory_ceiling.outcome": "failed",
    }


@pytest.mark.parametrize("of", ["total", "node"])
def test_a_ceiling_of_another_kind_than_the_growth_has_a_name_of_its_own(of):
    assert f"layers.memory_ceiling.{of}.limit_value" in judged(
        Limit("memory_ceiling", "1 KiB", of=of), 1024.0, 2048.0
    )


def test_a_floor_is_in_cores():
    assert judged(Limit("min_cores", "60%"), 1.2, 1 / 3) == {
        "layers.min_cores.asked": "60%",
        "layers.min_cores.limit_value": 1.2,
        "layers.min_cores.measured_value": 0.333333,
        "layers.min_cores.outcome": "failed",
    }
