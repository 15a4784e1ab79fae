"""A suite without cases pays nothing: no line, no import, no process."""

import pytest

PLAIN = """
    import pytest

    @pytest.fixture
    def engine():
        return 1

    @pytest.mark.parametrize("n", [1, 2])
    def test_it(engine, n): pass

    class TestThem:
        def test_method(self): pass
"""

WATCH = """
    import atexit
    import subprocess
    import sys

    started = []
    init = subprocess.Popen.__init__

    def noted(self, *args, **kwargs):
        started.append(args)
        init(self, *args, **kwargs)

    subprocess.Popen.__init__ = noted

    @atexit.register
    def tell():
        heavy = ("numpy", "pyarrow", "pandas", "polars", "duckdb", "vaex", "psutil", "filelock",
                 "platformdirs", "rich", "pytest_layers.runner", "pytest_layers.engines",
                 "pytest_layers.measure", "pytest_layers.cases", "pytest_layers.report")
        print("LOADED", [name for name in heavy if name in sys.modules])
        print("STARTED", started)
"""


def test_a_suite_without_cases_imports_and_starts_nothing(layers):
    layers.write("conftest.py", WATCH)
    layers.write("test_it.py", PLAIN)
    ran = layers.bare("-p", "pytest_layers.plugin", process=True, autoload=False)
    assert ran.outcomes == {"passed": 3}
    assert ran.lines[-2:] == ["LOADED []", "STARTED []"]


def test_collecting_cases_imports_no_engine_and_starts_nothing(layers):
    layers.write("conftest.py", WATCH)
    text = "import pytest\n@pytest.mark.memory_ceiling('2x')\ndef test_it(engine, sales): pass"
    layers.write("test_it.py", text)
    args = ("--collect-only", "-q", "--layers=all", "--layers-sizes=1k")
    ran = layers.bare(*args, "-p", "pytest_layers.plugin", process=True, autoload=False)
    assert "test_it.py::test_it[polars-1k]" in ran.lines
    loaded, started = ran.lines[-2:]
    assert not {"numpy", "pyarrow", "pandas", "polars", "duckdb", "vaex"} & set(loaded.split("'"))
    assert started == "STARTED []"


@pytest.mark.parametrize("args", [[], ["-v"], ["-q"], ["-rA"], ["--collect-only"]])
def test_the_output_is_that_of_a_run_without_the_plugin(layers, args):
    layers.write("test_it.py", PLAIN)
    with_it = layers.bare("-p", "pytest_layers.plugin", *args, autoload=False)
    without = layers.bare("-p", "no:layers", *args, autoload=False)
    assert with_it.lines[:-1] == without.lines[:-1]
    assert with_it.outcomes == without.outcomes


def test_no_layers_switches_the_plugin_off(layers):
    layers.write("test_it.py", "def test_it(engine): pass")
    ran = layers.bare("-p", "no:layers", "-p", "no:asyncio")
    assert "fixture 'engine' not found" in ran.out
    assert ran.outcomes == {"errors": 1}


def test_nothing_is_left_in_the_folder_of_the_run(layers):
    layers.write("test_it.py", PLAIN)
    before = set(layers.path.rglob("*"))
    layers.bare("-p", "pytest_layers.plugin", "-p", "no:cacheprovider", autoload=False)
    left = {path for path in set(layers.path.rglob("*")) - before if "__pycache__" not in str(path)}
    assert left == set()


def test_selecting_no_case_prints_no_table(layers):
    text = """
        import pytest

        @pytest.mark.memory_ceiling("1GiB")
        def test_case(): pass

        def test_plain(): pass
    """
    ran = layers.run(text, "-k", "plain")
    assert ran.outcomes == {"passed": 1, "deselected": 1}
    assert "layers =" not in ran.out
