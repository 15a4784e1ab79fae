"""The JSON document: what it holds, and what is said of one that can't be read."""

import json
from dataclasses import replace

import pytest

from pytest_layers.errors import LayersError
from pytest_layers.records import (
    SCHEMA_VERSION,
    Bracket,
    Case,
    CaseResult,
    Limit,
    Machine,
    Measurement,
    Moment,
    ProcessPeak,
    Run,
    Verdict,
)
from pytest_layers.report import document


def a_measurement():
    return Measurement(
        wall_seconds=2.0,
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
        processes=(ProcessPeak(1, "python [main]", 400, 390, 1.0),),
        timeline=(Moment(1 / 3, 100, 0.0), Moment(2.0, 400, 0.5)),
        samples=2,
        longest_gap_seconds=1.1,
        notes=("swap {was} not read",),
    )


def a_run(measurement=None):
    ceiling = Limit("memory_ceiling", "1 KiB", of="growth")
    result = CaseResult(
        Case("test_a.py::test_x[polars-1M]", "polars", "engine", "1M"),
        "passed",
        rows=1_000_000,
        limits=(ceiling,),
        measurement=measurement,
        verdicts=(Verdict(ceiling, "passed", 1024.0, 400.0, "grew by 400 B"),),
    )
    machine = Machine("Linux 6", "3.12.1", 2, 2**33)
    versions = {"polars": "1.30.0"}
    return Run(SCHEMA_VERSION, "0.1.0", "2026-01-02T03:04:05Z", machine, 2, versions, (result,))


def loading(text):
    with pytest.raises(LayersError) as raised:
        document.loads(text, "old.json")
    return str(raised.value)


def test_a_run_survives_the_way_to_text_and_back():
    once = document.loads(document.dumps(a_run(a_measurement())), "x")
    assert document.loads(document.dumps(once), "x") == once
    assert once.cases[0].case == a_run().cases[0].case
    assert once.cases[0].measurement.processes == a_measurement().processes


def test_a_case_without_measurement_survives_too():
    assert document.loads(document.dumps(a_run()), "x") == a_run()


def test_the_cores_that_readers_want_are_written():
    measured = json.loads(document.dumps(a_run(a_measurement())))["cases"][0]["measurement"]
    assert measured["cores_used"] == 0.5
    assert measured["cores_wanted_lower"] == 0.625
    assert measured["cores_wanted_upper"] == 0.75


def test_floats_have_six_digits():
    timeline = document.loads(document.dumps(a_run(a_measurement())), "x")
    assert timeline.cases[0].measurement.timeline[0].seconds == 0.333333


def test_a_moment_is_one_line():
    assert (
        '     { "seconds": 0.333333, "footprint_bytes": 100, "cores_used": 0.0 },'
        in document.dumps(a_run(a_measurement())).splitlines()
    )


def test_brackets_inside_a_text_are_kept():
    measurement = document.loads(document.dumps(a_run(a_measurement())), "x").cases[0].measurement
    assert measurement.notes == ("swap {was} not read",)
    assert measurement.processes[0].name == "python [main]"


def test_unknown_keys_are_passed_over():
    data = json.loads(document.dumps(a_run()))
    data["colour"] = "blue"
    assert document.loads(json.dumps(data), "x") == a_run()


def test_what_is_not_json_is_named():
    assert loading("{").startswith("old.json: not JSON (Expecting property name")


@pytest.mark.parametrize("text", ["[]", "3", "{}", '{"schema_version": "new"}'])
def test_a_document_without_schema_version_is_not_ours(text):
    assert loading(text) == "old.json: not a pytest-layers report (it has no schema_version)"


def test_a_newer_schema_asks_for_an_update():
    newer = SCHEMA_VERSION + 1
    assert loading(f'{{"schema_version": {newer}}}') == (
        f"old.json: schema version {newer}, this pytest-layers reads up to {SCHEMA_VERSION};"
        " update pytest-layers"
    )


def test_an_incomplete_document_says_what_is_missing():
    text = loading(f'{{"schema_version": {SCHEMA_VERSION}, "cases": []}}')
    assert text.startswith("old.json: an incomplete pytest-layers report (")
    assert "machine" in text


def test_the_folder_of_a_written_file_is_made_and_holds_nothing_else(tmp_path):
    path = tmp_path / "new" / "layers.json"
    document.write(a_run(), path)
    assert document.read(path) == a_run()
    assert list(path.parent.iterdir()) == [path]


def test_an_older_file_is_replaced(tmp_path):
    path = tmp_path / "layers.json"
    path.write_text("old")
    document.write(a_run(), path)
    assert document.read(path) == a_run()


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "layers.json"
    with pytest.raises(LayersError) as raised:
        document.write(a_run(), path)
    assert str(raised.value) == f"{path}: the report can't be written (File exists)"


def test_nothing_is_left_where_the_target_is_a_folder(tmp_path):
    (tmp_path / "layers.json").mkdir()
    with pytest.raises(LayersError, match="Is a directory"):
        document.write(a_run(), tmp_path / "layers.json")
    assert [path.name for path in tmp_path.iterdir()] == ["layers.json"]


def test_bytes_that_are_no_text_are_written_as_json_has_them(tmp_path):
    odd = replace(a_run().cases[0], reason="caf\udce9")
    run = replace(a_run(), cases=(odd,))
    path = tmp_path / "layers.json"
    document.write(run, path)
    assert "caf\\udce9" in path.read_text(encoding="utf-8")
    assert document.read(path) == run


def test_a_name_that_no_file_can_have_is_named(tmp_path):
    with pytest.raises(LayersError, match="the report can't be written \\(embedded null byte\\)"):
        document.write(a_run(), tmp_path / "layers\0.json")


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(LayersError, match=r"the report can't be read .*No such file"):
        document.read(tmp_path / "layers.json")


def test_a_file_that_is_not_text_is_named(tmp_path):
    path = tmp_path / "layers.json"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(LayersError, match=r"layers\.json: the report can't be read"):
        document.read(path)
