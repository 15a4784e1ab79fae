"""What a test does comes out as if it had run in place; a broken limit never hides it."""

import os
import sys
from xml.etree import ElementTree

import pytest

from pytest_layers.isolate import launch

HEAD = """
    import warnings
    import pytest
    from pytest import mark

    CASE = mark.memory_ceiling("1GiB")
    BROKEN = mark.memory_ceiling("8MiB")

    def hold():
        return bytearray(b"x") * (80 * 2**20)
"""


def test_a_failing_assertion_is_shown_as_in_place(layers):
    text = (
        HEAD
        + """
    @CASE
    def test_it():
        left = {"a": 1}
        assert left == {"a": 2}, "they differ"
    """
    )
    isolated = layers.run(text)
    in_place = layers.run(text, "-p", "no:layers", "--layers-isolation=none")
    assert isolated.section("test_it") == in_place.section("test_it")
    assert "E         {'a': 1} != {'a': 2}" in isolated.section("test_it")
    assert isolated.case("test_it").reason == "AssertionError: they differ"


def test_every_outcome_is_what_it_would_be_in_place(layers):
    text = (
        HEAD
        + """
    @pytest.fixture
    def skipping(): pytest.skip("in fixture")

    @pytest.fixture
    def breaking(): raise OSError("in fixture")

    @pytest.fixture
    def ending():
        yield
        raise OSError("at the end")

    @CASE
    def test_skip(): pytest.skip("in test")

    @CASE
    def test_skip_in_fixture(skipping): pass

    @CASE
    def test_error_in_fixture(breaking): pass

    @CASE
    def test_error_at_the_end(ending): pass

    @CASE
    @mark.skipif("sys.platform == 'linux'", reason="on linux")
    def test_skipif(): pass

    @CASE
    @mark.xfail(reason="known")
    def test_xfail(): assert 0

    @CASE
    @mark.xfail
    def test_xpass(): pass

    @CASE
    @mark.xfail(strict=True, reason="known")
    def test_xpass_strict(): pass

    @CASE
    @mark.xfail(raises=ValueError)
    def test_xfail_of_another_kind(): raise OSError

    @CASE
    def test_importorskip(): pytest.importorskip("no_such_module")
    """
    )
    isolated = layers.run(text, "-rA")
    in_place = layers.run(text, "-rA", "--layers-isolation=none")
    assert isolated.outcomes == in_place.outcomes
    summary = "short test summary info"
    assert isolated.section(summary)[:-1] == in_place.section(summary)[:-1]
    assert isolated.case_outcomes == {
        "test_skip": "skipped",
        "test_skip_in_fixture": "skipped",
        "test_error_in_fixture": "error",
        "test_error_at_the_end": "error",
        "test_skipif": "skipped",
        "test_xfail": "xfailed",
        "test_xpass": "xpassed",
        "test_xpass_strict": "failed",
        "test_xfail_of_another_kind": "failed",
        "test_importorskip": "skipped",
    }
    assert isolated.case("test_skip").reason == "in test"
    assert isolated.case("test_skip_in_fixture").reason == "in fixture"


def test_a_broken_limit_and_xfail(layers):
    ran = layers.run(
        HEAD
        + """
    @BROKEN
    @mark.xfail(reason="too large")
    def test_expected(): hold()

    @BROKEN
    @mark.xfail(strict=True, reason="too large")
    def test_expected_strictly(): hold()

    @BROKEN
    @mark.xfail(raises=ValueError)
    def test_another_failure_was_expected(): hold()

    @BROKEN
    @mark.xfail(raises=AssertionError)
    def test_an_assertion_was_expected(): hold()

    @BROKEN
    @mark.xfail(False, reason="not here")
    def test_expected_elsewhere(): hold()

    @BROKEN
    def test_expected_while_it_runs(request):
        request.node.add_marker(mark.xfail(strict=True, reason="too large"))
        hold()
    """
    )
    assert ran.case_outcomes == {
        "test_expected": "xfailed",
        "test_expected_strictly": "xfailed",
        "test_another_failure_was_expected": "failed",
        "test_an_assertion_was_expected": "xfailed",
        "test_expected_elsewhere": "failed",
        "test_expected_while_it_runs": "xfailed",
    }
    assert {result.verdicts[0].outcome for result in ran.run.cases} == {"failed"}


def test_an_xfail_of_a_limit_that_is_in_doubt_is_not_disproved(layers):
    ran = layers.run(
        HEAD
        + """
    @mark.min_cores(1)
    @mark.xfail(reason="serial")
    def test_expected(): pass

    @mark.min_cores(1)
    @mark.xfail(strict=True, reason="serial")
    def test_expected_strictly(): pass

    @mark.min_cores(1)
    @mark.xfail(strict=True, raises=ValueError, reason="wrong")
    def test_another_failure_was_expected(): pass
    """
    )
    assert ran.case_outcomes == {
        "test_expected": "inconclusive",
        "test_expected_strictly": "inconclusive",
        "test_another_failure_was_expected": "failed",
    }
    assert ran.outcomes == {"inconclusive": 2, "failed": 1}


def test_a_broken_limit_does_not_hide_the_tests_own_failure(layers):
    ran = layers.run(
        HEAD
        + """
    @BROKEN
    def test_it():
        hold()
        assert 1 == 2
    """
    )
    assert ran.case("test_it").reason == "assert 1 == 2"
    assert ran.verdict("test_it").outcome == "failed"
    assert ">       assert 1 == 2" in ran.section("test_it")
    assert "Broken limits" in ran.out
    assert ran.verdict("test_it").text in ran.lines


def test_output_warnings_and_properties_arrive(layers):
    ran = layers.run(
        HEAD
        + """
    @CASE
    def test_it(record_property, capsys, caplog):
        import logging
        import sys
        record_property("mine", 42)
        warnings.warn("look out", UserWarning)
        logging.getLogger("here").warning("logged")
        with capsys.disabled(): pass
        print("to out")
        print("to err", file=sys.stderr)

    @CASE
    def test_failing():
        print("before")
        assert 0
    """,
        "-rA",
        f"--junit-xml={layers.path}/junit.xml",
        "--override-ini=junit_family=xunit1",
    )
    assert "to out" in ran.lines
    assert "to err" in ran.lines
    assert "before" in ran.lines
    assert any(line.startswith("WARNING  here:test_it.py:") for line in ran.lines)
    said = "\n".join(ran.section("warnings summary"))
    assert "test_it.py::test_it" in said
    assert "UserWarning: look out" in said
    assert ran.outcomes["warnings"] == 1
    root = ElementTree.parse(layers.path / "junit.xml").getroot()
    found = {
        one.attrib["name"]: one.attrib["value"]
        for one in root.iterfind(".//testcase[@name='test_it']/properties/property")
    }
    assert found["mine"] == "42"
    assert found["layers.outcome"] == "passed"
    assert found["layers.memory_ceiling.limit_value"] == str(2**30)
    assert int(found["layers.growth.upper_bytes"]) > 0


def test_what_only_junit_would_mind_in_properties_is_no_matter(layers):
    ran = layers.run(
        HEAD
        + """
    class Mute:
        def __str__(self): raise RuntimeError

    DEEP = []
    for _ in range(5000):
        DEEP = [DEEP]

    @CASE
    @mark.parametrize("value", [10**5000, Mute(), DEEP], ids=["long", "mute", "deep"])
    def test_value(record_property, value): record_property("mine", value)

    @CASE
    @mark.parametrize("one", [(5, "x"), (1, 2, 3), (), 5, {"a": 1}], ids=["number", "three", "empty", "single", "dict"])
    def test_property(request, one): request.node.user_properties.append(one)
    """
    )
    assert ran.outcomes == {"passed": 8}


def test_a_case_may_put_others_in_the_place_of_what_its_process_works_with(layers):
    ran = layers.run(
        HEAD
        + """
    SYSTEM = ["os.getpid", "os.read", "os.write", "os.close", "pathlib.Path.exists"]

    @CASE
    def test_it(monkeypatch):
        for place in [*SYSTEM, "resource.getrusage", "json.dumps", "json.loads", "time.sleep", "time.perf_counter"]:
            monkeypatch.setattr(place, lambda *args, **kwargs: True)
        assert 1 == 2
    """,
        "--layers-timeout=20s",
    )
    assert ran.outcomes == {"failed": 1}
    assert ran.case("test_it").reason == "assert 1 == 2"


def test_a_test_module_may_have_broken_pipes_end_the_process(layers):
    ran = layers.run(
        HEAD
        + """
    import signal

    signal.signal(signal.SIGPIPE, signal.SIG_DFL)

    @CASE
    def test_it(): pass

    def test_plain(): pass
    """,
        process=True,
    )
    assert ran.outcomes == {"passed": 2}


def test_classes_test_cases_and_odd_ids(layers):
    ran = layers.run(
        HEAD
        + """
    import unittest

    class TestPlain:
        @CASE
        def test_method(self, tmp_path): assert self and tmp_path.exists()

    class TestUnit(unittest.TestCase):
        def setUp(self): self.ready = True

        @CASE
        def test_method(self): self.assertTrue(self.ready)

        @BROKEN
        def test_broken(self): hold()

    @CASE
    @mark.parametrize("text", ["a/b::c", "two wörds", "[x]\\n", ""])
    def test_ids(text): pass
    """
    )
    assert ran.outcomes == {"passed": 6, "failed": 1}
    assert ran.case("TestUnit::test_broken").outcome == "failed"
    assert ran.case("TestUnit::test_method").outcome == "passed"
    assert len([name for name in ran.cases if name.startswith("test_ids[")]) == 4


def test_options_of_the_users_conftest_reach_the_case(layers):
    layers.write(
        "conftest.py",
        """
        def pytest_addoption(parser):
            parser.addoption("--mine")
        """,
    )
    ran = layers.run(
        HEAD
        + """
    @CASE
    def test_it(pytestconfig):
        assert pytestconfig.getoption("mine") == "yes"
        assert pytestconfig.getini("xfail_strict")
    """,
        "--mine=yes",
        "-o",
        "xfail_strict=true",
    )
    assert ran.outcomes == {"passed": 1}


CASE = HEAD + "\n    @CASE\n    def test_it(tmp_path): pass\n"


@pytest.mark.parametrize(
    ("args", "cwd"),
    [
        (["tests/deep"], "."),
        (["deep/test_it.py"], "tests"),
        (["../tests/deep/test_it.py::test_it"], "other"),
        (["--rootdir=.", "tests/deep"], "."),
        (["--rootdir=tests", "tests/deep"], "."),
        (["-c", "other/mine.ini", "tests/deep"], "."),
        (["-c", "other/mine.ini", "--rootdir=.", "tests/deep"], "."),
        (["--import-mode=importlib", "tests/deep"], "."),
    ],
)
def test_it_runs_from_wherever_pytest_does(layers, args, cwd):
    layers.write("tests/deep/test_it.py", CASE)
    layers.write("other/mine.ini", "[pytest]\n")
    ran = layers.run(None, *args, cwd=layers.path / cwd)
    assert ran.outcomes == {"passed": 1}
    assert ran.case("test_it").verdicts[0].outcome == "passed"


def test_the_name_of_a_folder_may_have_brackets(layers):
    layers.write("run[1]/deep/test_it.py", CASE)
    ran = layers.run(None, "deep", cwd=layers.path / "run[1]")
    assert ran.outcomes == {"passed": 1}


def test_exit_ends_the_session_with_its_reason_and_status(layers):
    ran = layers.run(
        HEAD
        + """
    @CASE
    def test_a(): pass

    @CASE
    def test_b(): pytest.exit("enough", returncode=7)

    def test_c(): pass
    """
    )
    assert ran.status == 7
    assert any("enough" in line for line in ran.lines)
    assert ran.outcomes["passed"] == 1
    assert list(ran.cases) == ["test_a"]


@pytest.mark.parametrize(
    "asks",
    [
        "request.session.shouldstop = 'enough'",
        "request.addfinalizer(lambda: pytest.exit('enough'))",
    ],
)
def test_a_case_that_fails_and_ends_the_session_is_told_as_failed(layers, asks):
    ran = layers.run(
        HEAD
        + f"""
    @CASE
    def test_it(request):
        {asks}
        assert 1 == 2

    def test_last(): pass
    """
    )
    assert ran.status == pytest.ExitCode.INTERRUPTED
    assert any("enough" in line for line in ran.lines)
    assert ran.outcomes == {"failed": 1}
    assert ran.case("test_it").reason == "assert 1 == 2"


THREE = (
    HEAD
    + """
    @CASE
    def test_a(): pass

    @BROKEN
    def test_b(): hold()

    @CASE
    def test_c(): pass
"""
)


def test_a_broken_limit_ends_the_session_where_asked(layers):
    ran = layers.run(THREE, "-x")
    assert ran.case_outcomes == {"test_a": "passed", "test_b": "failed"}


def test_what_failed_last_is_run_again(layers):
    layers.run(THREE)
    ran = layers.run(None, "--lf")
    assert list(ran.cases) == ["test_b"]
    ran = layers.run(None, "--ff")
    assert list(ran.cases) == ["test_b", "test_a", "test_c"]


@pytest.mark.parametrize(
    ("args", "ids"),
    [
        (["-k", "test_a or test_c"], ["test_a", "test_c"]),
        (["test_it.py::test_c"], ["test_c"]),
        (["--deselect=test_it.py::test_b", "-k", "test_b or test_c"], ["test_c"]),
        (["-m", "memory_ceiling", "-k", "test_a"], ["test_a"]),
    ],
)
def test_selection_works_on_cases(layers, args, ids):
    assert list(layers.run(THREE, *args).cases) == ids


def test_the_table(layers):
    layers.write("test_it.py", THREE)
    in_place = "--layers-isolation=none"
    # Not in this process: one that has run long may have so much free memory in malloc.
    ran = layers.run(None, in_place, process=True)
    assert [row[0] for row in ran.table[:4]] == ["test", "test_a", "test_b", "test_c"]
    assert [row[-1] for row in ran.table[:4]] == ["verdict", "passed", "failed", "passed"]
    quiet = layers.run(None, in_place, "-q", process=True)
    assert [row[0] for row in quiet.table[:2]] == ["test", "test_b"]
    verbose = layers.run(None, in_place, "-v", "--color=yes", process=True)
    assert "samples, longest gap" in verbose.out
    assert any("\x1b[31m" in line and "failed" in line for line in verbose.lines)


def test_without_capture_a_case_prints_straight_to_the_terminal(layers):
    ran = layers.run(HEAD + "\n    @CASE\n    def test_it(): print('hello')\n", "-s", process=True)
    assert "hello" in ran.out
    assert ran.outcomes == {"passed": 1}


def test_a_test_may_write_to_the_terminal_reporter(layers):
    ran = layers.run(
        HEAD
        + """
    @CASE
    def test_it(pytestconfig):
        pytestconfig.get_terminal_writer().line("hello")
        pytestconfig.pluginmanager.getplugin("terminalreporter").write_line("hello")
    """
    )
    assert ran.outcomes == {"passed": 1}
    assert "hello" not in ran.lines


def test_base_temp_of_the_session_is_left_alone(layers):
    base = layers.path / "base"
    ran = layers.run(
        HEAD
        + """
    def test_a(tmp_path): (tmp_path / "kept").touch()

    @CASE
    def test_b(tmp_path): (tmp_path / "own").touch()

    def test_c(tmp_path): assert (tmp_path.parent / "test_a0" / "kept").exists()
    """,
        f"--basetemp={base}",
    )
    assert ran.outcomes == {"passed": 3}


def test_flags_of_the_interpreter_hold_in_the_case(layers):
    ran = layers.run(
        HEAD
        + """
    @CASE
    def test_it():
        import sys
        print("PYTHON", sys.executable, sys.flags.dev_mode)
    """,
        "-rP",
    )
    assert f"PYTHON {sys.executable} False" in ran.lines


@pytest.mark.parametrize("isolation", ["case", "engine", "none"])
@pytest.mark.parametrize("limit", ["CASE", "mark.min_speedup(1.5)"])
def test_a_window_that_was_never_left_is_no_pass(layers, limit, isolation):
    ran = layers.run(
        HEAD
        + f"""
    @{limit}
    def test_it(measured):
        measured.__enter__()
    """,
        f"--layers-isolation={isolation}",
        process=True,
    )
    assert ran.outcomes == {"inconclusive": 1}
    assert "`measured` was entered and never left" in ran.verdict("test_it").text
    assert ran.case("test_it").attempts == 1


def test_a_verdict_in_doubt_hides_no_failed_teardown(layers):
    ran = layers.run(
        HEAD
        + """
    @pytest.fixture
    def fails_at_its_end():
        yield
        raise OSError("left a mess")

    @mark.min_cores(0.5)
    def test_it(fails_at_its_end):
        pass
    """
    )
    case = ran.case("test_it")
    assert ran.verdict("test_it").outcome == "inconclusive"
    assert (case.outcome, case.reason) == ("error", "OSError: left a mess")


@pytest.mark.parametrize("isolation", ["case", "engine", "none"])
def test_a_window_that_was_never_left_hides_no_broken_ceiling(layers, isolation):
    ran = layers.run(
        HEAD
        + """
    @BROKEN
    def test_it(measured):
        measured.__enter__()
        held = hold()
    """,
        f"--layers-isolation={isolation}",
        process=True,
    )
    assert ran.outcomes == {"failed": 1}


@pytest.mark.parametrize("isolation", ["case", "none"])
def test_what_comes_after_a_window_that_was_never_left_breaks_no_floor(layers, isolation):
    ran = layers.run(
        HEAD
        + """
    import time

    @pytest.fixture
    def slow_to_end():
        yield
        time.sleep(1.5)

    @mark.min_cores(0.8)
    def test_it(slow_to_end, measured):
        measured.__enter__()
        until = time.process_time() + 0.5
        while time.process_time() < until:
            pass
    """,
        f"--layers-isolation={isolation}",
        process=True,
    )
    assert ran.outcomes == {"inconclusive": 1}
    assert "`measured` was entered and never left" in ran.verdict("test_it").text


@pytest.mark.parametrize("isolation", ["case", "engine", "none"])
def test_a_case_that_can_not_be_set_up_is_one_error_and_leaves_no_folder(
    layers, monkeypatch, isolation
):
    made = []

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device", "job.json")

    def make_temp_dir():
        made.append(layers.path / f"layers-{len(made)}")
        made[-1].mkdir()
        return made[-1]

    monkeypatch.setattr(launch, "make_temp_dir", make_temp_dir)
    monkeypatch.setattr(launch, "child_command", full)
    monkeypatch.setattr(os, "pipe", full)
    layers.engines()
    ran = layers.run(
        HEAD
        + """
    @CASE
    def test_case(): pass

    def test_engine(engine): pass

    def test_plain(): pass
    """,
        "--layers=far",
        f"--layers-isolation={isolation}",
    )
    assert ran.outcomes == {"errors": 2, "passed": 1}
    said = "the case could not be set up: [Errno 28] No space left on device: 'job.json'"
    assert said in " ".join(ran.section("ERROR at setup of test_case"))
    assert len(made) == 2
    assert not any(folder.exists() for folder in made)


def test_arguments_may_be_longer_than_one_word_of_a_command(layers):
    """Linux has 128 KiB for one argument."""
    text = HEAD + "\n    @CASE\n    def test_it(): pass\n"
    ran = layers.run(text, *(f"--deselect=test_it.py::test_{'x' * 90}_{n}" for n in range(1500)))
    assert ran.outcomes == {"passed": 1}
