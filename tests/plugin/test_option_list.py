"""`--layers-list`: what can run here, without collecting anything."""

import pytest


def listed(ran):
    """The rows by the names of the engines; a row's own lines are not indented."""
    return {line.split()[0]: line.split() for line in ran.lines if line[:1].strip()}


def test_it_lists_every_engine_and_whether_it_runs_here(layers):
    layers.engines()
    ran = layers.run("raise SystemError", "--layers-list")
    assert ran.status == pytest.ExitCode.OK
    rows = listed(ran)
    assert rows["fake"][1] == "memory"
    assert rows["fake"][3] == "yes"
    assert rows["far"][1] == "cluster"
    assert "absent is not installed (no_such_module)" in ran.out
    assert 'pip install "pytest-layers[absent]"' in ran.out
    assert "collected" not in ran.out


def test_it_starts_nothing_and_imports_no_engine(layers):
    layers.write(
        "conftest.py",
        """
        import atexit
        import sys

        @atexit.register
        def tell():
            heavy = {"numpy", "pyarrow", "pandas", "polars", "duckdb", "vaex"}
            print("LOADED", sorted(heavy & set(sys.modules)))
        """,
    )
    ran = layers.run(None, "--layers-list", process=True)
    assert "LOADED []" in ran.lines


def test_colour_is_for_terminals_or_on_request(layers):
    layers.engines()
    assert "\x1b[" not in layers.run(None, "--layers-list").out


def test_without_pytests_terminal_it_is_told_all_the_same(layers):
    layers.engines()
    ran = layers.run(None, "--layers-list", "-p", "no:terminal")
    assert ran.out == layers.run(None, "--layers-list").out != ""


def test_a_wrong_guest_is_told(layers):
    layers.engines("def pytest_layers_engines(): return 3")
    ran = layers.run(None, "--layers-list")
    plugin = str(layers.path / "conftest.py")
    assert ran.err.strip() == (
        f"ERROR: pytest_layers_engines in plugin {plugin!r} returned 3; expected Engine classes"
    )
    assert ran.status == pytest.ExitCode.USAGE_ERROR
