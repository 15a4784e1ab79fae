import dataclasses
from pathlib import Path

import pytest

from pytest_layers.options import TABLE
from pytest_layers.settings import Settings
from pytest_layers.units import Size

ROWS = {row.name: row for row in TABLE}


def read(name, given):
    return ROWS[name].read(given)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("pandas", ("pandas",)),
        ("pandas,polars", ("pandas", "polars")),
        ("pandas, -polars", ("pandas", "-polars")),
        (["pandas", "polars duckdb"], ("pandas", "polars", "duckdb")),
    ],
)
def test_layers_are_words_apart_by_commas_or_spaces(given, words):
    assert read("layers", given) == words


@pytest.mark.parametrize("given", ["", " , ", [], [""]])
@pytest.mark.parametrize("name", ["layers", "sizes"])
def test_naming_nothing_is_refused(name, given):
    with pytest.raises(ValueError, match="nothing is named"):
        read(name, given)


def test_sizes_are_read_and_named():
    assert read("sizes", "10k,2GiB") == (Size("10k", rows=10_000), Size("2GiB", arrow_bytes=2**31))


def test_a_size_named_twice_is_refused():
    with pytest.raises(ValueError, match="10k is named twice"):
        read("sizes", ["10k", "10_000"])


def test_a_size_that_is_none_is_refused():
    with pytest.raises(ValueError, match="'huge' is not a size"):
        read("sizes", "huge")


@pytest.mark.parametrize(("given", "cores"), [("1", 1), ("16", 16), (4, 4)])
def test_cores_are_a_whole_number(given, cores):
    assert read("cores", given) == cores


@pytest.mark.parametrize("given", ["0", "-1", "1.5", "50%", "", "two"])
def test_other_cores_are_refused(given):
    with pytest.raises(ValueError, match="is not a number of cores; write a whole number"):
        read("cores", given)


@pytest.mark.parametrize("given", ["case", "engine", "none"])
def test_ways_to_isolate_are_three(given):
    assert read("isolation", given) == given


def test_another_way_to_isolate_is_refused():
    with pytest.raises(
        ValueError, match="'fork' is not a way to isolate; write case, engine, none"
    ):
        read("isolation", "fork")


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("spark_master", "spark://head:7077"),
        ("spark_master", "sc://head:15002/;user_id=me"),
        ("dask_scheduler", "tcp://head:8786"),
        ("dask_scheduler", "tcp://[::1]:8786"),
        ("ray_address", "head:6379"),
    ],
)
def test_an_address_is_taken_as_it_is(name, given):
    assert read(name, given) == given


@pytest.mark.parametrize(
    ("name", "given", "accepted"),
    [
        ("spark_master", "local[2]", "spark://host:port or sc://host:port"),
        ("spark_master", "spark://head", "spark://host:port or sc://host:port"),
        ("dask_scheduler", "head:8786", "tcp://host:port"),
        ("ray_address", "ray://head:10001", "host:port"),
        ("ray_address", "auto", "host:port"),
    ],
)
def test_another_address_is_refused(name, given, accepted):
    with pytest.raises(ValueError, match="is not an address") as error:
        read(name, given)
    assert str(error.value) == f"{given!r} is not an address; write {accepted}"


@pytest.mark.parametrize("given", [True, False])
def test_strict_is_a_switch(given):
    assert read("strict", given) is given


def test_a_time_is_read_in_seconds():
    assert read("timeout_seconds", "5min") == 300.0


@pytest.mark.parametrize("given", ["0", "never", "-1s"])
def test_no_time_is_refused(given):
    with pytest.raises(ValueError, match="is not a time above zero"):
        read("timeout_seconds", given)


def test_reports_are_files_of_known_kinds(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert read("report", ["a.json", "/tmp/b.json"]) == (tmp_path / "a.json", Path("/tmp/b.json"))


def test_one_report_may_stand_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert read("report", "a.json") == (tmp_path / "a.json",)


@pytest.mark.parametrize("given", ["a.txt", "json", ""])
def test_a_report_of_another_kind_is_refused(given):
    with pytest.raises(ValueError, match="write a file name that ends in"):
        read("report", [given])


def test_the_cache_folder_may_be_in_the_users_home(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert read("cache_dir", "~/data") == Path("/home/me/data")


def test_no_cache_folder_is_refused():
    with pytest.raises(ValueError, match="no folder is named"):
        read("cache_dir", "")


def test_the_room_of_the_cache_is_read_in_bytes():
    assert read("cache_bytes", "1GiB") == 2**30


def test_a_cache_without_a_unit_is_refused():
    with pytest.raises(ValueError, match="'5' is not a memory size"):
        read("cache_bytes", "5")


def test_a_hard_limit_is_read_in_bytes():
    assert read("hard_limit_bytes", "1.5GiB") == 3 * 2**29


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("2", "'2' is not a memory size"),
        ("2gb", "'2gb' is not a memory size"),
        ("50%ram", "'50%ram' is not a memory size"),
        ("0B", "'0B' is no memory at all; write 512MiB or 2GiB"),
    ],
)
def test_another_hard_limit_is_refused(given, why):
    with pytest.raises(ValueError, match="memory") as error:
        read("hard_limit_bytes", given)
    assert str(error.value).startswith(why)


@pytest.mark.parametrize(("limit", "has"), [(0, 16), (2, 2), (64, 16)])
def test_a_case_has_the_memory_of_its_limit_or_of_the_machine(limit, has):
    others = dict.fromkeys(field.name for field in dataclasses.fields(Settings))
    assert Settings(**others | {"hard_limit_bytes": limit}).memory_bytes(16) == has


@pytest.mark.parametrize("given", ["2x + 100MiB", "25%ram"])
def test_a_ceiling_is_kept_as_it_is_written(given):
    assert read("memory_ceiling", given) == given


@pytest.mark.parametrize("given", ["1.5", "60%"])
def test_a_floor_is_kept_as_it_is_written(given):
    assert read("min_cores", given) == given


@pytest.mark.parametrize("name", ["memory_ceiling", "min_cores"])
def test_a_limit_that_is_none_is_refused(name):
    with pytest.raises(ValueError, match="'much' is not a"):
        read(name, "much")


def test_every_row_is_a_field_and_every_field_a_row():
    fields = {field.name for field in dataclasses.fields(Settings)}
    assert fields - {"layers_source"} == set(ROWS)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_every_row_can_be_set_and_says_what_it_is(row):
    assert row.flag.startswith("--layers") or row.ini.startswith("layers")
    assert row.help
    assert not row.several or row.metavar
