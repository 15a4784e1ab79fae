"""Beside other plugins: theirs works, and ours works."""

import json
from pathlib import Path

import pytest

HEAD = """
    import pytest
    from pytest import mark

    CASE = mark.memory_ceiling("1GiB")
    BROKEN = mark.memory_ceiling("8MiB")

    def hold():
        return bytearray(b"x") * (32 * 2**20)
"""

THREE = (
    HEAD
    + """
    @CASE
    def test_well(): pass

    @BROKEN
    def test_broken(): hold()

    def test_plain(): pass
"""
)


def test_xdist_runs_cases_on_its_workers_and_the_results_come_together(layers):
    ran = layers.run(THREE, "-n2", "-v", plugins=["xdist"])
    assert ran.outcomes == {"passed": 2, "failed": 1}
    assert "[gw0]" in ran.out
    assert ran.case_outcomes == {"test_well": "passed", "test_broken": "failed"}
    assert {row[0] for row in ran.table} >= {"test_well", "test_broken"}
    assert ran.run.cores_given == ran.run.machine.cores


def test_xdist_hands_on_the_warnings_of_cases(layers):
    ran = layers.run(
        HEAD
        + """
    import warnings

    class OwnWarning(Warning): pass

    @CASE
    def test_it():
        warnings.warn("look out", UserWarning)
        warnings.warn("look here", OwnWarning)
    """,
        "-n1",
        plugins=["xdist"],
    )
    assert ran.outcomes == {"passed": 1, "warnings": 2}
    said = "\n".join(ran.section("warnings summary"))
    assert "UserWarning: look out" in said
    assert "OwnWarning: look here" in said


def test_under_xdist_the_engines_that_took_part_are_told(layers):
    layers.engines()
    ran = layers.run(
        """
        import pytest

        @pytest.mark.layers("fake")
        def test_it(engine): pass
        """,
        "-n1",
        plugins=["xdist"],
    )
    assert ran.outcomes == {"passed": 1}
    assert list(ran.run.engines) == ["fake"]


def test_a_group_of_xdist_is_no_part_of_a_case(layers):
    ran = layers.run(
        HEAD
        + """
    pytestmark = mark.xdist_group("a")

    @CASE
    def test_well(): pass

    class TestIt:
        @BROKEN
        def test_broken(self): hold()
    """,
        "-n2",
        "--dist=loadgroup",
        plugins=["xdist"],
    )
    assert ran.outcomes == {"passed": 1, "failed": 1}
    nodeids = {case.case.nodeid for case in ran.run.cases}
    assert nodeids == {"test_it.py::test_well", "test_it.py::TestIt::test_broken"}
    assert 'pytest "test_it.py::TestIt::test_broken"' in ran.out


def test_xdist_keeps_measured_windows_apart(layers):
    ran = layers.run(
        HEAD
        + """
    import time

    @CASE
    @mark.parametrize("n", [1, 2])
    def test_it(n):
        with open("times", "a") as file:
            print(time.monotonic(), file=file)
            time.sleep(0.3)
            print(time.monotonic(), file=file, flush=True)
    """,
        "-n2",
        plugins=["xdist"],
    )
    assert ran.outcomes == {"passed": 2}
    times = [float(line) for line in (layers.path / "times").read_text().split()]
    assert times == sorted(times)


def test_cov_counts_what_plain_tests_run_and_does_not_disturb_cases(layers):
    pytest.importorskip("pytest_cov")
    layers.write("mine.py", "def used():\n    return 1\n\n\ndef not_used():\n    return 2\n")
    layers.write("conftest.py", "import sys; sys.path.insert(0, '.')")
    ran = layers.run(
        HEAD
        + """
    import mine

    def test_plain(): mine.used()

    @CASE
    def test_case(): mine.used()

    @BROKEN
    def test_broken(): hold()
    """,
        "--cov=mine",
        "--cov-report=term-missing",
        plugins=["cov"],
        process=True,
    )
    assert ran.outcomes == {"passed": 2, "failed": 1}
    assert ["mine.py", "4", "1", "75%", "6"] in [line.split() for line in ran.lines]
    assert ran.case_outcomes == {"test_case": "passed", "test_broken": "failed"}


def test_rerunfailures_runs_again_what_fails_by_itself_and_the_last_run_is_judged(layers):
    ran = layers.run(
        HEAD
        + """
    from pathlib import Path

    def fail_once(name):
        first = not Path(name).exists()
        Path(name).touch()
        assert not first

    def test_plain(): fail_once("plain")

    @CASE
    def test_flaky(): fail_once("flaky")

    @BROKEN
    def test_flaky_and_broken():
        fail_once("broken")
        hold()
    """,
        "--reruns=1",
        plugins=["rerunfailures"],
    )
    assert ran.outcomes == {"passed": 2, "failed": 1, "rerun": 3}
    assert ran.case_outcomes == {"test_flaky": "passed", "test_flaky_and_broken": "failed"}
    assert ran.case("test_flaky_and_broken").reason == ran.verdict("test_flaky_and_broken").text


def test_a_case_that_dies_when_rerunfailures_runs_it_again_is_failed(layers):
    ran = layers.run(
        HEAD
        + """
    import os
    from pathlib import Path

    @pytest.fixture(autouse=True)
    def again(request):
        ran = Path(request.node.name)
        yield ran.exists()
        ran.touch()

    @CASE
    def test_exits(again):
        if again: os._exit(3)
        assert 0

    @BROKEN
    def test_runs_away(again):
        blocks = [b"x" * (1 << 20) for _ in range(4000 * again)]
        assert 0

    @BROKEN
    @mark.xfail
    def test_expected():
        blocks = [b"x" * (1 << 20) for _ in range(4000)]
    """,
        "--reruns=1",
        plugins=["rerunfailures"],
    )
    assert ran.outcomes == {"failed": 2, "rerun": 2, "xfailed": 1}
    assert ran.case("test_exits").reason.startswith(
        "the test's process exited with status 3 during call"
    )
    assert ran.case("test_runs_away").reason.startswith("stopped at ")


def test_a_case_that_passes_when_it_is_run_again_is_flaky_to_rerunfailures(layers):
    pytest_rerunfailures = pytest.importorskip("pytest_rerunfailures")
    if "--fail-on-flaky" not in Path(pytest_rerunfailures.__file__).read_text():
        pytest.skip("this rerunfailures has no --fail-on-flaky")
    ran = layers.run(
        HEAD
        + """
    from pathlib import Path

    @CASE
    def test_it():
        first = not Path("ran").exists()
        Path("ran").touch()
        assert not first
    """,
        "--reruns=1",
        "--fail-on-flaky",
        plugins=["rerunfailures"],
    )
    assert ran.outcomes == {"passed": 1, "rerun": 1}
    assert ran.status == 7


def test_a_case_that_rerunfailures_ran_again_has_no_more_data_than_before(layers):
    layers.engines()
    ran = layers.run(
        """
        from pathlib import Path

        def test_flaky(sales):
            first = not Path("ran").exists()
            Path("ran").touch()
            assert not first
        """,
        "--layers-sizes=1k",
        "--reruns=1",
        plugins=["rerunfailures"],
    )
    assert ran.outcomes == {"passed": 1, "rerun": 1}
    assert ran.case("test_flaky[1k]").rows == 1000
    assert 80_000 < ran.case("test_flaky[1k]").data_bytes < 95_000


def test_timeout_ends_the_test_of_a_case_and_a_plain_one(layers):
    ran = layers.run(
        HEAD
        + """
    import time

    @CASE
    @mark.timeout(0.5)
    def test_case(): time.sleep(30)

    @mark.timeout(0.2)
    def test_plain(): time.sleep(30)

    @pytest.fixture
    def slow(): time.sleep(0.6)

    @BROKEN
    @mark.timeout(0.5, func_only=True)
    def test_broken(slow): hold()
    """,
        "--timeout=20",
        plugins=["timeout"],
    )
    assert ran.outcomes == {"failed": 3}
    assert "Timeout" in ran.case("test_case").reason
    assert ran.verdict("test_broken").outcome == "failed"


def test_benchmark_measures_in_a_case_too(layers):
    ran = layers.run(
        HEAD
        + """
    def test_plain(benchmark): assert benchmark(sum, range(10)) == 45

    @CASE
    def test_case(benchmark): assert benchmark(sum, range(10)) == 45

    @BROKEN
    def test_broken(benchmark): benchmark.pedantic(hold)
    """,
        "--benchmark-min-time=0.0001",
        "--benchmark-max-time=0.01",
        plugins=["benchmark"],
    )
    assert ran.outcomes == {"passed": 2, "failed": 1}
    assert "benchmark: 1 tests" in ran.out
    assert ran.case_outcomes == {"test_case": "passed", "test_broken": "failed"}


def test_pytest_may_have_no_terminal(layers):
    ran = layers.run(THREE, "-p", "no:terminal")
    assert ran.status == pytest.ExitCode.TESTS_FAILED
    assert ran.case_outcomes == {"test_well": "passed", "test_broken": "failed"}


LOGS = (
    HEAD
    + """
    import logging

    def test_first(): logging.warning("FIRST")

    @CASE
    def test_case():
        logging.warning("WITHIN")
        assert 1 == 2

    def test_last(): logging.warning("LAST")
"""
)


@pytest.mark.parametrize("ini", [False, True])
def test_the_log_file_is_the_session_s_and_a_case_logs_to_its_report(layers, ini):
    layers.write("pytest.ini", "[pytest]\n" + "log_file = out.log\n" * ini)
    ran = layers.run(LOGS, *["--log-file=out.log"] * (not ini))
    logged = (layers.path / "out.log").read_text().splitlines()
    assert [line.split()[-1] for line in logged] == ["FIRST", "LAST"]
    assert any("WITHIN" in line for line in ran.section("Captured log call"))


def test_the_reporter_of_another_plugin_hears_nothing_of_a_case_s_own_session(layers):
    layers.write(
        "conftest.py",
        """
        import pytest

        class Reporter(pytest.TerminalReporter):
            def pytest_runtest_logreport(self, report):
                super().pytest_runtest_logreport(report)
                if report.when == "call":
                    print("told of a test")

        @pytest.hookimpl(trylast=True)
        def pytest_configure(config):
            config.pluginmanager.unregister(config.pluginmanager.getplugin("terminalreporter"))
            config.pluginmanager.register(Reporter(config), "terminalreporter")
        """,
    )
    ran = layers.run(THREE, "-s")
    assert ran.case_outcomes == {"test_well": "passed", "test_broken": "failed"}
    assert ran.out.count("told of a test") == 3


def test_a_plugin_may_ask_for_the_status_of_a_case_in_its_own_session(layers):
    layers.write(
        "conftest.py",
        """
        import pytest

        @pytest.hookimpl(wrapper=True)
        def pytest_runtest_makereport(item):
            report = yield
            status = item.config.hook.pytest_report_teststatus(report=report, config=item.config)
            report.user_properties.append(("status", status[0]))
            return report
        """,
    )
    ran = layers.run(THREE)
    assert ran.case_outcomes == {"test_well": "passed", "test_broken": "failed"}


def test_what_pytest_writes_of_a_session_a_case_does_not_write(layers):
    ran = layers.run(
        HEAD
        + """
    import os

    @CASE
    def test_case(pytestconfig):
        assert pytestconfig.option.debug == os.devnull
    """,
        "--debug",
    )
    assert ran.outcomes == {"passed": 1}


def test_allure_is_not_told_by_a_case_that_it_has_passed_before_it_is_judged(layers):
    layers.write(
        "conftest.py",
        """
        import pytest

        def pytest_addoption(parser):
            parser.addoption("--alluredir", dest="allure_report_dir")

        @pytest.hookimpl(wrapper=True)
        def pytest_runtest_makereport(item):
            report = yield
            if item.config.option.allure_report_dir:
                with open(item.config.option.allure_report_dir, "a") as told:
                    print(item.name, report.when, report.outcome, file=told)
            return report
        """,
    )
    layers.run(THREE, "--alluredir=told")
    told = (layers.path / "told").read_text()
    assert "test_plain call passed" in told
    assert "test_broken" not in told


def test_the_cache_is_cleared_once(layers):
    ran = layers.run(
        HEAD
        + """
    def test_before(cache): cache.set("own/value", 42)

    @CASE
    def test_case(cache): assert cache.get("own/value", None) == 42

    def test_after(cache): assert cache.get("own/value", None) == 42
    """,
        "--cache-clear",
    )
    assert ran.outcomes == {"passed": 3}


def test_benchmark_writes_what_the_session_measured_and_a_case_writes_nothing(layers):
    ran = layers.run(
        HEAD
        + """
    def test_plain(benchmark): benchmark.pedantic(hold)

    @CASE
    def test_case(benchmark): benchmark.pedantic(hold)
    """,
        "--benchmark-autosave",
        "--benchmark-json=own.json",
        "--benchmark-compare",
        plugins=["benchmark"],
        process=True,
    )
    assert ran.outcomes == {"passed": 2}
    written = [*layers.path.rglob(".benchmarks/*/*.json"), layers.path / "own.json"]
    assert len(written) == 2
    for path in written:
        measured = json.loads(path.read_text())["benchmarks"]
        assert [one["name"] for one in measured] == ["test_plain"]


SEEDED = """
    import random

    def pytest_addoption(parser):
        parser.addoption("--randomly-seed", dest="randomly_seed", default="default")

    def pytest_configure(config):
        if config.option.randomly_seed == "default":
            config.option.randomly_seed = random.getrandbits(32)
        config.option.randomly_seed = int(config.option.randomly_seed)

    def pytest_report_header(config):
        return f"seed {config.option.randomly_seed}"
"""


@pytest.mark.parametrize("arguments", [[], ["--randomly-seed=42"], ["--randomly-seed=default"]])
def test_the_seed_of_randomly_is_that_of_the_session_in_a_case_too(layers, arguments):
    layers.write("conftest.py", SEEDED)
    ran = layers.run(
        HEAD
        + """
    @CASE
    def test_case(request): print("case has", request.config.option.randomly_seed)
    """,
        *arguments,
        "-rP",
    )
    (seed,) = [line.split()[-1] for line in ran.lines if line.startswith("seed ")]
    assert f"case has {seed}" in ran.lines
    assert seed == "42" or arguments != ["--randomly-seed=42"]


@pytest.mark.skipif(pytest.version_tuple < (9, 0), reason="faulthandler_exit_on_timeout is newer")
def test_faulthandler_s_clock_runs_in_the_process_of_the_case(layers):
    layers.write(
        "pytest.ini",
        "[pytest]\nfaulthandler_timeout = 1.5\nfaulthandler_exit_on_timeout = true\n",
    )
    layers.write(
        "conftest.py",
        """
        import time

        def pytest_configure(config):
            if config.pluginmanager.hasplugin("layers-child"):
                time.sleep(2)
        """,
    )
    ran = layers.run(
        HEAD
        + """
    import time

    @CASE
    def test_well(): pass

    @CASE
    def test_slow(): time.sleep(30)

    def test_plain(): pass
    """,
        process=True,
    )
    assert ran.case_outcomes == {"test_well": "passed", "test_slow": "failed"}
    assert ran.outcomes == {"passed": 2, "failed": 1}
    assert "Timeout (0:00:01.500000)!" in ran.out


def test_a_clock_of_faulthandler_s_that_is_not_pytest_s_goes_on(layers):
    layers.write(
        "conftest.py",
        """
        import faulthandler, os

        def pytest_sessionstart(session):
            if not session.config.pluginmanager.hasplugin("layers-child"):
                session.dump = open("dump", "w")
                faulthandler.dump_traceback_later(3, file=session.dump)
        """,
    )
    layers.run(
        HEAD
        + """
    import time

    @CASE
    def test_well(): pass

    def test_plain(): time.sleep(4)
    """,
        process=True,
    )
    assert "in test_plain" in (layers.path / "dump").read_text()


def test_asyncio_tests_may_have_limits(layers):
    layers.write("pytest.ini", "[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    ran = layers.run(
        HEAD
        + """
    import asyncio

    @mark.asyncio
    @CASE
    async def test_well(): await asyncio.sleep(0.2)

    @mark.asyncio
    @BROKEN
    async def test_broken():
        await asyncio.sleep(0)
        hold()

    @mark.asyncio
    async def test_plain(): await asyncio.sleep(0)
    """,
        plugins=["asyncio"],
    )
    assert ran.outcomes == {"passed": 2, "failed": 1}
    assert ran.case_outcomes == {"test_well": "passed", "test_broken": "failed"}
    assert ran.case("test_well").measurement.wall_seconds >= 0.2


def test_hypothesis_draws_all_its_examples_within_the_window(layers):
    pytest.importorskip("hypothesis")
    ran = layers.run(
        HEAD
        + """
    from hypothesis import given, settings, strategies

    FEW = settings(max_examples=10, database=None, deadline=None)

    @CASE
    @FEW
    @given(strategies.integers())
    def test_well(n): print("DRAWN")

    @BROKEN
    @FEW
    @given(strategies.integers())
    def test_broken(n): hold()

    @CASE
    @FEW
    @given(strategies.integers())
    def test_wrong(n): assert n < 5
    """,
        "-rP",
        plugins=["hypothesis"],
    )
    assert ran.case_outcomes == {
        "test_well": "passed",
        "test_broken": "failed",
        "test_wrong": "failed",
    }
    assert ran.lines.count("DRAWN") == 10
    assert "n=5," in ran.out, "the smallest failing example"


def test_another_order_of_the_tests(layers):
    layers.write(
        "conftest.py",
        """
        def pytest_collection_modifyitems(items):
            items.reverse()
        """,
    )
    ran = layers.run(THREE)
    assert ran.outcomes == {"passed": 2, "failed": 1}
    assert list(ran.cases) == ["test_broken", "test_well"]


def test_a_case_that_another_plugin_runs_itself_is_not_green(layers):
    layers.write(
        "conftest.py",
        """
        import pytest
        from _pytest.runner import runtestprotocol

        @pytest.hookimpl(tryfirst=True)
        def pytest_runtest_protocol(item, nextitem):
            runtestprotocol(item, nextitem=nextitem)
            return True
        """,
    )
    text = (
        THREE
        + """
    @mark.xfail
    @CASE
    def test_expected(): pass

    @CASE
    def test_measured(measured):
        with measured: pass
    """
    )
    ran = layers.run(text)
    why = "run by another plugin in pytest's own process: its limits were not judged"
    assert ran.outcomes == {"failed": 3, "passed": 1, "errors": 1}
    assert {name: case.reason for name, case in ran.cases.items()} == dict.fromkeys(
        ("test_well", "test_broken", "test_expected"), why
    )
    assert f"E   pytest_layers.errors.LayersError: {why}" in [
        " ".join([line[:1], " ", line[1:].strip()])
        for line in ran.section("ERROR at setup of test_measured")
    ]
    in_place = layers.run(None, "--layers-isolation=none")
    assert in_place.outcomes == {"passed": 3, "failed": 1, "xpassed": 1}


def test_a_case_may_be_given_another_name_when_it_is_collected(layers):
    layers.write(
        "conftest.py",
        """
        def pytest_collection_modifyitems(items):
            for item in items:
                item.name = item.name.encode("utf-8").decode("unicode_escape")
                item._nodeid = item.nodeid.encode("utf-8").decode("unicode_escape")
        """,
    )
    ran = layers.run(
        HEAD
        + """
    @BROKEN
    @mark.parametrize("city", ["北京", "paris"])
    def test_it(city): hold()
    """
    )
    assert ran.outcomes == {"failed": 2}
    assert list(ran.cases) == ["test_it[北京]", "test_it[paris]"]
    assert r"pytest 'test_it.py::test_it[\u5317\u4eac]'" in ran.out


def test_a_share_of_the_session_is_taken_once(layers):
    layers.write(
        "conftest.py",
        """
        def pytest_collection_modifyitems(items):
            items[:] = items[1::2]
        """,
    )
    ran = layers.run(THREE)
    assert ran.outcomes == {"failed": 1}
    assert ran.case_outcomes == {"test_broken": "failed"}


def test_a_case_that_has_another_id_at_each_start_is_not_found(layers):
    ran = layers.run(
        HEAD
        + """
    import os

    @CASE
    @mark.parametrize("n", [os.getpid()])
    def test_it(n): pass
    """
    )
    assert ran.outcomes == {"errors": 1}
    assert ran.run.cases[0].reason.startswith("the test was not found in its own process: its id")


def test_all_of_them_together(layers):
    layers.write("pytest.ini", "[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    layers.write("test_it.py", THREE)
    args = (f"--layers-report={layers.report}", f"--layers-cache-dir={layers.cache}")
    ran = layers.bare(*args, "-n2", "--reruns=1", "--timeout=60", "--cov=.", process=True)
    assert ran.outcomes["passed"] == 2
    assert ran.outcomes["failed"] == 1
    assert ran.case("test_well").outcome == "passed"


def test_what_another_plugin_does_around_the_call_is_outside_the_window(layers):
    layers.write(
        "conftest.py",
        """
        import pytest

        @pytest.hookimpl(wrapper=True)
        def pytest_runtest_call(item):
            held = bytearray(b"x") * (32 * 2**20)
            open("around", "a").write("once ")
            return (yield)
        """,
    )
    ran = layers.run(HEAD + "\n    @BROKEN\n    def test_it(): pass\n")
    assert (layers.path / "around").read_text() == "once "
    assert ran.verdict("test_it").outcome == "passed"
