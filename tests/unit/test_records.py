import json
from dataclasses import dataclass

import pytest

from pytest_layers.records import (
    SCHEMA_VERSION,
    Bracket,
    Budget,
    Case,
    CaseResult,
    CodeLine,
    Dataset,
    Limit,
    Machine,
    Measurement,
    Moment,
    Pair,
    ProcessPeak,
    Run,
    Speedup,
    Survival,
    Timing,
    Verdict,
    from_json,
    to_json,
)

MACHINE = Machine("Linux 6.18", "3.11.4", 2, 2**34)
LIMIT = Limit("memory_ceiling", "0.5x + 150 MiB", "growth", "ini")
MEASUREMENT = Measurement(
    wall_seconds=2.0,
    cpu_seconds=3.0,
    wait_seconds=0.5,
    preempted_seconds=0.25,
    cores_given=2,
    base_bytes=10,
    total=Bracket(100, 120),
    growth=Bracket(90, 110),
    file_bytes=7,
    shared_bytes=8,
    peak_seconds=1.0,
    processes=(ProcessPeak(1, "python", 100, 90, 3.0), ProcessPeak(2, "worker", 1, 0, 0.0)),
    timeline=(Moment(0.0, 10, 0.0), Moment(1.0, 100, 1.5)),
    samples=2,
    longest_gap_seconds=1.0,
    notes=("said",),
    speedup=Speedup((Pair(Timing(1.0, 2.0, 0.0), Timing(1.6, 1.6, 0.1)),), 1.6, 1.5, 1.7, 0.25),
    where=(CodeLine("peak", "shop.py", 41, "best", "polars.collect", 0.8, 5, 0.2, "x.collect()"),),
)
VERDICT = Verdict(LIMIT, "failed", 80, 90, "over", "who")
CASE = Case("test_it.py::test_one[pandas-1M]", "pandas", "classic", "1M")
RESULT = CaseResult(CASE, "failed", 10, 400, (LIMIT,), MEASUREMENT, (VERDICT,), 2, "none", "why")
RUN = Run(
    SCHEMA_VERSION, "0.1", "2026-01-01T00:00:00Z", MACHINE, 2, {"pandas": "3.0"},
    (RESULT, CaseResult(Case("test_two"), "skipped")),
)  # fmt: skip

ALL = [
    MACHINE,
    Budget(2, 2**30, "/tmp/x"),
    Dataset("sales", "parquet", ("a", "b"), 10, 400, 3),
    CASE,
    Case("test_two"),
    LIMIT,
    Bracket(1, 2),
    ProcessPeak(1, "python", 2, 1, 0.5),
    Moment(0.5, 10, 1.0),
    MEASUREMENT,
    VERDICT,
    RESULT,
    CaseResult(Case("test_two"), "skipped"),
    CaseResult(CASE, "passed", survival=Survival(2**31, "kernel", "spilled", "spilled 1 GiB")),
    RUN,
]


@pytest.mark.parametrize("record", ALL, ids=lambda record: type(record).__name__)
def test_a_record_survives_json(record):
    assert from_json(type(record), json.loads(json.dumps(to_json(record)))) == record


def test_the_order_of_keys_is_that_of_the_fields():
    assert list(to_json(LIMIT)) == ["kind", "asked", "of", "source"]


def test_tuples_come_back_as_tuples_of_records():
    again = from_json(Run, json.loads(json.dumps(to_json(RUN))))
    assert isinstance(again.cases, tuple)
    assert isinstance(again.cases[0].verdicts[0].limit, Limit)
    assert isinstance(again.cases[0].measurement.timeline[0], Moment)


def test_no_measurement_stays_none():
    assert from_json(CaseResult, to_json(CaseResult(CASE, "skipped"))).measurement is None


def test_unknown_keys_are_passed_over():
    assert from_json(Bracket, {"lower_bytes": 1, "upper_bytes": 2, "of_tomorrow": 3}) == Bracket(
        1, 2
    )


def test_unknown_keys_are_passed_over_within():
    data = to_json(RESULT)
    data["measurement"]["total"]["of_tomorrow"] = 1
    data["verdicts"][0]["limit"]["of_tomorrow"] = 1
    assert from_json(CaseResult, data) == RESULT


def test_a_missing_key_takes_its_default():
    assert from_json(Limit, {"kind": "min_cores", "asked": "2"}) == Limit("min_cores", "2")


def test_a_missing_key_without_a_default_is_an_error():
    with pytest.raises(TypeError, match="upper_bytes"):
        from_json(Bracket, {"lower_bytes": 1})


def test_optional_tuples_of_records_survive():
    @dataclass(frozen=True)
    class Holder:
        brackets: "tuple[Bracket, ...] | None" = None

    for held in (Holder(), Holder(()), Holder((Bracket(1, 2),))):
        assert from_json(Holder, to_json(held)) == held


def test_the_width_of_a_bracket_is_how_exact_it_is():
    assert Bracket(90, 110).width_bytes == 20


def test_one_file_is_the_path():
    assert Dataset("sales", "parquet", ("a",), 1, 1).path == "a"


def test_several_files_have_no_single_path():
    with pytest.raises(ValueError, match=r"\'sales\' has 2 files; use \.paths"):
        _ = Dataset("sales", "parquet", ("a", "b"), 1, 1).path


def test_cores_used_are_cpu_seconds_by_wall_seconds():
    assert MEASUREMENT.cores_used == 1.5


def test_cores_wanted_lie_between_what_was_taken_away_and_all_waiting():
    assert MEASUREMENT.cores_wanted_lower == 1.625
    assert MEASUREMENT.cores_wanted_upper == 1.75


def test_cores_wanted_are_no_more_than_those_given():
    waited = from_json(Measurement, {**to_json(MEASUREMENT), "wait_seconds": 9.0})
    assert waited.cores_wanted_upper == 2


def test_a_window_without_time_has_no_cores():
    empty = from_json(Measurement, {**to_json(MEASUREMENT), "wall_seconds": 0.0})
    assert (empty.cores_used, empty.cores_wanted_lower, empty.cores_wanted_upper) == (0, 0, 0)
