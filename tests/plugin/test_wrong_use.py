"""What a user reads who made a mistake: the text whole, the exit status, alone and under xdist."""

import pytest

AMOUNT = "write a sum of terms like 512MiB, 2.5x (times the data in Arrow memory), 40B/row, 25%ram"
CORES = "write a number of cores like 1.5, or a share of the cores given like 60%"
SPEEDUP = "write a factor like 1.5, 1 or more, or a share of the cores given like 75%"
SIZE = "write rows like 10_000, 10k or 1M, bytes in Arrow memory like 2GiB, or a share like 0.5ram"
BYTES = "write 512MiB or 1.5GiB (KiB, MiB, GiB count 1024; KB, MB, GB count 1000)"
KEYWORDS = (
    "absent, arrow, dask, duckdb, fake, far, {own}, modin_dask, modin_ray, other, pandas,"
    " pandas_arrow, polars, polars_streaming, ray, spark, third_one, vaex"
)
LIMIT_KEYWORDS = KEYWORDS.format(own="limit").replace("other", "of, other")
FACTOR_KEYWORDS = KEYWORDS.format(own="factor").replace("fake, far, factor", "factor, fake, far")
FLOOR_KEYWORDS = KEYWORDS.format(own="floor")
NAMES = (
    "absent, all, arrow, classic, cluster, dask, duckdb, engine, fake, far, installed, local,"
    " memory, modin-dask, modin-ray, other, pandas, pandas-arrow, parallel, polars,"
    " polars-streaming, ray, spark, third-one, vaex"
)

MARKS = {
    'memory_ceiling("10 potatoes")': f"'10 potatoes' is not a memory size; {AMOUNT}",
    'memory_ceiling("512K")': f"'512K' is not a memory size; did you mean KB or KiB?; {AMOUNT}",
    'memory_ceiling("25%")': f"'25%' is not a memory size; did you mean %ram?; {AMOUNT}",
    'memory_ceiling("")': f"'' is not a memory size; {AMOUNT}",
    "memory_ceiling(1.5)": f"1.5 is not a memory size; {AMOUNT}",
    "memory_ceiling(-1)": f"-1 is not a memory size; {AMOUNT}",
    "memory_ceiling()": f"has no limit; {AMOUNT}",
    'memory_ceiling("1MiB", "2MiB")': "takes one limit, not 2: ('1MiB', '2MiB')",
    'memory_ceiling("1MiB", limit="2MiB")': "limit is given twice: '1MiB' and '2MiB'",
    'memory_ceiling("1MiB", of="all")': (
        "of='all' is not accepted; write of='growth', of='total' or of='node'"
    ),
    'memory_ceiling("1MiB", of="growht")': (
        "of='growht' is not accepted; did you mean 'growth'?;"
        " write of='growth', of='total' or of='node'"
    ),
    'memory_ceiling("1MiB", off="total")': (
        f"unknown keyword 'off'; did you mean 'of'? Known: {LIMIT_KEYWORDS}"
    ),
    'memory_ceiling("1MiB", fake="2MiB")': (
        "fake= is for an engine, and the test asks for no engine"
    ),
    'memory_ceiling("2x")': (
        "'2x' refers to data, and the test asks for none of sales, products, dataset"
    ),
    'min_cores("60 percent")': f"'60 percent' is not a number of cores; {CORES}",
    "min_cores(0)": f"0 is not a number of cores; {CORES}",
    "min_cores(True)": f"True is not a number of cores; {CORES}",
    'min_cores("150%")': f"'150%' is more than all cores given; {CORES}",
    "min_cores()": f"has no floor; {CORES}",
    'min_cores(1, of="total")': f"unknown keyword 'of'. Known: {FLOOR_KEYWORDS}",
    'min_speedup("twice")': f"'twice' is not a speed-up; {SPEEDUP}",
    "min_speedup(0.5)": f"0.5 is not a speed-up; {SPEEDUP}",
    "min_speedup(True)": f"True is not a speed-up; {SPEEDUP}",
    'min_speedup("150%")': f"'150%' is more than all cores given; {SPEEDUP}",
    "min_speedup()": f"has no factor; {SPEEDUP}",
    "min_speedup(1.5, 2)": "takes one factor, not 2: (1.5, 2)",
    "min_speedup(1.5, floor=2)": f"unknown keyword 'floor'. Known: {FACTOR_KEYWORDS}",
    'layers("fake")': "the test does not ask for engine",
    'sizes("1k")': "the test does not ask for size or sales",
}
"""Marks of a test without arguments, and what is said of them."""

MARKS_WITH_ENGINE = {
    'memory_ceiling("40B/row")': (
        "'40B/row' refers to data, and the test asks for none of sales, products, dataset"
    ),
    'memory_ceiling("1MiB", fak="2MiB")': (
        f"unknown keyword 'fak'; did you mean 'fake' or 'far'? Known: {LIMIT_KEYWORDS}"
    ),
    'memory_ceiling("1MiB", fake="potatoes")': f"'potatoes' is not a memory size; {AMOUNT}",
    "min_cores(1, thrid_one=2)": (
        f"unknown keyword 'thrid_one'; did you mean 'third_one'? Known: {FLOOR_KEYWORDS}"
    ),
    'layers("fak")': (
        f"unknown layer or engine 'fak'; did you mean 'fake' or 'far'? Known: {NAMES}"
    ),
    "max_spill()": f"has no limit; {AMOUNT}",
    "layers()": "names nothing; write names of layers or engines",
    "layers(3)": "3 is not accepted; write names of layers or engines",
    'layers(name="fake")': "takes no keyword 'name'; write names of layers or engines",
    'sizes("1 lot")': f"'1 lot' is not a size; {SIZE}",
    'sizes("1m")': f"'1m' is not a size; did you mean M?; {SIZE}",
    "sizes(0)": f"0 is not a size; {SIZE}",
    "sizes(1.5)": "1.5 is not accepted; write sizes like '100k', '1M'",
    'sizes(["1k"])': "['1k'] is not accepted; write sizes like '100k', '1M'",
    'sizes("1k", 1000)': "1k is named twice",
    "sizes()": "names nothing; write sizes like '100k', '1M'",
}

OPTIONS = {
    "--layers=fak": (
        f"--layers: unknown layer or engine 'fak'; did you mean 'fake' or 'far'? Known: {NAMES}"
    ),
    "--layers=": (
        "--layers: nothing is named; write names of engines or layers, all, installed or local"
    ),
    "--layers=-all": "--layers: no engine is left of -all",
    "--layers=all,absent": (
        '--layers: absent is not installed (no_such_module); pip install "pytest-layers[absent]"'
    ),
    "--layers-sizes=": f"--layers-sizes: nothing is named; {SIZE}",
    "--layers-sizes=lots": f"--layers-sizes: 'lots' is not a size; {SIZE}",
    "--layers-sizes=1m": f"--layers-sizes: '1m' is not a size; did you mean M?; {SIZE}",
    "--layers-sizes=1k,1000": "--layers-sizes: 1k is named twice",
    "--layers-cores=0": (
        "--layers-cores: '0' is not a number of cores; write a whole number, 1 or more"
    ),
    "--layers-cores=many": (
        "--layers-cores: 'many' is not a number of cores; write a whole number, 1 or more"
    ),
    "--layers-repeat=0": (
        "--layers-repeat: '0' is not a number of runs; write a whole number, 1 or more"
    ),
    "--layers-isolation=process": (
        "--layers-isolation: 'process' is not a way to isolate; write case, engine, none"
    ),
    "--layers-isolation=cases": (
        "--layers-isolation: 'cases' is not a way to isolate; did you mean 'case'?;"
        " write case, engine, none"
    ),
    "--layers-timeout=10m": (
        "--layers-timeout: '10m' is not a time above zero; did you mean ms or min?;"
        " write 90, 90s, 5min or 1h"
    ),
    "--layers-timeout=soon": (
        "--layers-timeout: 'soon' is not a time above zero; write 90, 90s, 5min or 1h"
    ),
    "--layers-report=x.txt": "--layers-report: 'x.txt': write a file name that ends in .json",
    "--layers-cache-dir=": "--layers-cache-dir: no folder is named",
    "--layers-cache-size=big": f"--layers-cache-size: 'big' is not a memory size; {BYTES}",
    "--layers-hard-limit=2": f"--layers-hard-limit: '2' is not a memory size; {BYTES}",
    "--layers-hard-limit=0B": (
        "--layers-hard-limit: '0B' is no memory at all; write 512MiB or 2GiB"
    ),
}

INI = {
    "layers = fak": (
        f"layers in pytest.ini: unknown layer or engine 'fak'; did you mean 'fake' or 'far'?"
        f" Known: {NAMES}"
    ),
    "layers_sizes = lots": f"layers_sizes in pytest.ini: 'lots' is not a size; {SIZE}",
    "layers_cores = x": (
        "layers_cores in pytest.ini: 'x' is not a number of cores; write a whole number, 1 or more"
    ),
    "layers_isolation = process": (
        "layers_isolation in pytest.ini: 'process' is not a way to isolate; write case, engine, none"
    ),
    "layers_strict = perhaps": "layers_strict in pytest.ini: invalid truth value 'perhaps'",
    "layers_timeout = soon": (
        "layers_timeout in pytest.ini: 'soon' is not a time above zero; write 90, 90s, 5min or 1h"
    ),
    "layers_cache_size = 5": f"layers_cache_size in pytest.ini: '5' is not a memory size; {BYTES}",
    "layers_memory_ceiling = 5 lots": (
        f"layers_memory_ceiling in pytest.ini: '5 lots' is not a memory size; {AMOUNT}"
    ),
    "layers_min_cores = many": (
        f"layers_min_cores in pytest.ini: 'many' is not a number of cores; {CORES}"
    ),
}

GUESTS = {
    "return 3": "3; expected Engine classes",
    "return None": "None; expected Engine classes",
    "return [Fake, Fake]": "'fake', an engine that plugin '{plugin}' has",
    "Fake.name = 'arrow'; return [Fake]": "'arrow', an engine that plugin 'layers-engines' has",
    "Fake.name = 'all'; return [Fake]": "'all', which --layers takes for something else",
    "Fake.name = 'Fa ke'; return [Fake]": (
        "'Fa ke'; a name is lower case, its words joined by '-'"
    ),
    "Fake.layer = 'enigne'; return [Fake]": (
        "'fake'; unknown layer 'enigne'; did you mean 'engine'?"
        " Known: classic, cluster, engine, memory, parallel"
    ),
    "del Fake.install, Fake.modules; return [Fake]": "Fake, which has no modules, install",
}


def marked(marks, arguments=""):
    """A test file with a test for each mark, and what is said of the whole file."""
    texts = [
        f"@pytest.mark.{mark}\ndef test_{number}({arguments}): pass\n"
        for number, mark in enumerate(marks)
    ]
    expected = [
        f"test_it.py::test_{number}: mark.{mark.partition('(')[0]}: {said}"
        for number, (mark, said) in enumerate(marks.items())
    ]
    return "import pytest\n" + "".join(texts), expected


def test_wrong_marks_are_told_all_at_once(layers):
    layers.engines()
    text, expected = marked(MARKS)
    ran = layers.run(text)
    assert ran.errors == expected
    assert ran.status == pytest.ExitCode.INTERRUPTED


def test_wrong_marks_are_told_once_for_all_engines_and_sizes(layers):
    layers.engines()
    text, expected = marked(MARKS_WITH_ENGINE, "engine, size")
    ran = layers.run(text, "--layers=fake,other", "--layers-sizes=1k,2k")
    assert ran.errors == expected
    assert ran.status == pytest.ExitCode.INTERRUPTED


def test_wrong_marks_under_xdist(layers):
    layers.engines()
    text, expected = marked(
        {**MARKS_WITH_ENGINE, 'memory_ceiling("1 lot")': f"'1 lot' is not a memory size; {AMOUNT}"},
        "engine, size",
    )
    ran = layers.run(text, "-n2", plugins=["xdist"])
    assert set(ran.errors) == set(expected)
    assert ran.status == pytest.ExitCode.TESTS_FAILED
    assert "INTERNALERROR" not in ran.out


def test_wrong_marks_of_a_class_name_its_method(layers):
    ran = layers.run("""
        import pytest

        @pytest.mark.min_cores("lots")
        class TestThem:
            def test_it(self): pass
    """)
    assert ran.errors == [
        f"test_it.py::TestThem::test_it: mark.min_cores: 'lots' is not a number of cores; {CORES}"
    ]


def test_wrong_marks_on_parameters(layers):
    layers.engines()
    ran = layers.run(
        """
        import pytest
        from pytest import mark, param

        @mark.parametrize("n", [param(1, marks=mark.memory_ceiling("lots")), 2])
        def test_a(n): pass

        @mark.parametrize("n", [param(1, marks=mark.layers("fake")), 2])
        def test_b(n, engine): pass

        @mark.parametrize("n", [1, param(2, marks=mark.sizes("1k"))])
        def test_c(n, size): pass
    """,
        "--layers=fake,other",
    )
    misplaced = "it can't stand on a parameter; put it on the test, its class or its module"
    assert ran.errors == [
        f"test_it.py::test_a: mark.memory_ceiling: 'lots' is not a memory size; {AMOUNT}",
        f"test_it.py::test_b: mark.layers: {misplaced}",
        f"test_it.py::test_c: mark.sizes: {misplaced}",
    ]


def test_wrong_marks_on_the_methods_of_a_test_case(layers):
    layers.engines()
    ran = layers.run("""
        import unittest
        import pytest

        class TestThem(unittest.TestCase):
            @pytest.mark.memory_ceiling("lots")
            def test_a(self): pass

            @pytest.mark.layers("fake")
            def test_b(self): pass
    """)
    assert ran.errors == [
        f"test_it.py::TestThem::test_a: mark.memory_ceiling: 'lots' is not a memory size; {AMOUNT}",
        "test_it.py::TestThem::test_b: mark.layers: the test does not ask for engine",
    ]


def test_wrong_mark_of_one_file_lets_the_others_be_collected(layers):
    layers.write("test_other.py", "def test_well(): pass")
    text, _ = marked(MARKS)
    ran = layers.run(text, "--continue-on-collection-errors")
    assert ran.outcomes == {"passed": 1, "errors": 1}


@pytest.mark.parametrize("option", OPTIONS)
def test_wrong_option(layers, option):
    layers.engines()
    ran = layers.run("def test_well(): pass", option)
    assert ran.err.strip() == f"ERROR: {OPTIONS[option]}"
    assert ran.status == pytest.ExitCode.USAGE_ERROR


@pytest.mark.parametrize("option", ["--layers=fak", "--layers-sizes=lots", "--layers-cores=many"])
def test_wrong_option_under_xdist(layers, option):
    layers.engines()
    ran = layers.run("def test_well(): pass", option, "-n2", plugins=["xdist"])
    assert ran.err.strip() == f"ERROR: {OPTIONS[option]}"
    assert ran.status == pytest.ExitCode.USAGE_ERROR


def test_more_cores_than_there_are(layers, monkeypatch):
    monkeypatch.setattr("pytest_layers.measure.machine.available_cores", lambda: 2)
    ran = layers.run("def test_well(): pass", "--layers-cores=3")
    assert ran.err.strip() == "ERROR: --layers-cores: 3 is more than the 2 there are"
    assert ran.status == pytest.ExitCode.USAGE_ERROR


@pytest.mark.parametrize("line", INI)
def test_wrong_ini_value_names_its_key_and_file(layers, line):
    layers.engines()
    layers.write("pytest.ini", f"[pytest]\n{line}\n")
    ran = layers.run("def test_well(): pass")
    assert ran.err.strip() == f"ERROR: {INI[line]}"
    assert ran.status == pytest.ExitCode.USAGE_ERROR


def test_wrong_value_in_pyproject_toml_names_that_file(layers):
    layers.write("pyproject.toml", '[tool.pytest.ini_options]\nlayers_sizes = ["1k", "lots"]\n')
    ran = layers.run("def test_well(): pass")
    assert ran.err.strip() == f"ERROR: layers_sizes in pyproject.toml: 'lots' is not a size; {SIZE}"


@pytest.mark.skipif(pytest.version_tuple < (9, 0), reason="pytest below 9 reads no [tool.pytest]")
def test_wrong_type_in_pyproject_toml_names_its_key(layers):
    layers.write("pyproject.toml", "[tool.pytest]\nlayers_repeat = 2\n")
    ran = layers.run("def test_well(): pass")
    assert ran.status == pytest.ExitCode.USAGE_ERROR
    assert ran.err.startswith("ERROR: ")
    assert "layers_repeat" in ran.err


@pytest.mark.parametrize("body", GUESTS)
def test_wrong_guest_names_its_plugin(layers, body):
    layers.engines(f"def pytest_layers_engines(): {body}")
    plugin = str(layers.path / "conftest.py")
    said = GUESTS[body].format(plugin=plugin)
    ran = layers.run("def test_well(): pass", "--layers=all")
    assert ran.err.strip() == f"ERROR: pytest_layers_engines in plugin {plugin!r} returned {said}"
    assert ran.status == pytest.ExitCode.USAGE_ERROR


def test_wrong_guest_is_a_collection_error_where_no_engine_was_named(layers):
    layers.engines("def pytest_layers_engines(): return 3")
    ran = layers.run("def test_a(engine): pass\ndef test_b(engine): pass\ndef test_c(): pass")
    plugin = str(layers.path / "conftest.py")
    assert ran.errors == [
        f"pytest_layers_engines in plugin {plugin!r} returned 3; expected Engine classes"
    ]
    assert ran.status == pytest.ExitCode.INTERRUPTED


def test_wrong_guest_does_not_matter_to_a_suite_without_cases(layers):
    layers.engines("def pytest_layers_engines(): return 3")
    ran = layers.run("def test_well(): pass")
    assert ran.outcomes == {"passed": 1}


def test_misuse_within_a_test_is_its_failure(layers):
    ran = layers.run(
        """
        import pyarrow as pa
        import pytest
        from pathlib import Path

        CEILING = pytest.mark.memory_ceiling("1GiB")

        def rows(count):
            yield pa.record_batch({"x": range(count)})

        @CEILING
        def test_never_entered(measured): pass

        @CEILING
        def test_entered_twice(measured):
            with measured: pass
            with measured: pass

        def test_nothing_there(dataset):
            dataset("no/such/file.parquet")

        def test_unknown_format(dataset, tmp_path):
            (tmp_path / "a.xyz").touch()
            dataset(tmp_path / "a.xyz")

        def test_no_rows(dataset):
            dataset("numbers", rows)

        def test_rows_are_a_text(dataset):
            dataset("numbers", rows, rows="1M")

        def test_no_path(dataset):
            dataset(["numbers", 5])

        def test_no_name(dataset):
            dataset(Path("numbers"), rows, rows=10)

        def test_no_batches(dataset):
            dataset("numbers", lambda count: [count], rows=10)
    """,
        "-rA",
    )
    assert ran.verdict("test_never_entered").text == (
        "memory_ceiling 1GiB not judged: `measured` was never entered"
    )
    said = {name: result.reason for name, result in ran.cases.items() if result.reason}
    wanted = "LayersError: dataset(name, batches, rows=...) wants a name and a number of rows"
    assert {name: text.removeprefix("pytest_layers.errors.") for name, text in said.items()} == {
        "test_entered_twice": "LayersError: measured was entered before: a case has one window",
        "test_nothing_there": f"LayersError: {layers.path}/no/such/file.parquet does not exist",
        "test_unknown_format": said["test_unknown_format"].removeprefix("pytest_layers.errors."),
        "test_no_rows": wanted,
        "test_rows_are_a_text": wanted,
        "test_no_path": (
            "LayersError: dataset(['numbers', 5]) wants a file, a folder or a list of them"
        ),
        "test_no_name": wanted,
        "test_no_batches": (
            "LayersError: batches(10) of data set 'numbers' yielded int;"
            " it must yield pyarrow.RecordBatch objects of one schema, with at least one row"
        ),
    }
    assert "a.xyz is in no known format; accepted are" in said["test_unknown_format"]


def test_cache_folder_that_cannot_be_made_is_an_error_of_each_case(layers):
    ran = layers.run(
        """
        import pytest
        @pytest.mark.memory_ceiling("1GiB")
        def test_a(): pass
        def test_b(): pass
        """,
        "--layers-cache-dir=/proc/none",
    )
    assert ran.case("test_a").reason.startswith("can't write in /proc/none (--layers-cache-dir): ")
    assert ran.outcomes == {"passed": 1, "errors": 1}
