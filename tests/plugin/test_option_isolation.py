"""`--layers-isolation`: a process for each case, or pytest's own."""

import os
import xml.etree.ElementTree as ElementTree

import pytest

TEXT = """
    import os
    import pytest

    @pytest.mark.memory_ceiling("1GiB")
    def test_case():
        with open("pids", "a") as file:
            print("case", os.getpid(), file=file)

    def test_plain():
        with open("pids", "a") as file:
            print("plain", os.getpid(), file=file)
"""


def pids(layers):
    return dict(line.split() for line in (layers.path / "pids").read_text().splitlines())


def test_a_case_has_a_process_of_its_own_and_other_tests_have_not(layers):
    ran = layers.run(TEXT)
    assert ran.outcomes == {"passed": 2}
    assert pids(layers)["plain"] == str(os.getpid()) != pids(layers)["case"]
    assert ran.case("test_case").isolation == "case"


def test_none_runs_in_place_measures_and_says_that_it_is_tainted(layers):
    ran = layers.run(TEXT, "--layers-isolation=none")
    assert ran.outcomes == {"passed": 2}
    assert set(pids(layers).values()) == {str(os.getpid())}
    assert ran.case("test_case").isolation == "none"
    assert ran.case("test_case").measurement.wall_seconds > 0
    assert ran.verdict("test_case").outcome == "passed"
    assert ran.remarks == (
        "1 case measured in pytest's own process (isolation none):"
        " the figures are tainted by what ran before"
    )


def test_in_place_a_case_has_its_properties_in_junit_once(layers):
    ran = layers.run(
        """
        import pytest

        runs = []

        @pytest.mark.memory_ceiling("1GiB")
        def test_case():
            runs.append("one")
            assert len(runs) == 2

        def test_plain(): pass
        """,
        "--layers-isolation=none",
        "--reruns=1",
        f"--junit-xml={layers.path}/junit.xml",
        plugins=["rerunfailures"],
    )
    assert ran.outcomes == {"passed": 2, "rerun": 1}
    assert ran.case("test_case").outcome == "passed"
    *_, last, plain = ElementTree.parse(layers.path / "junit.xml").iter("testcase")
    found = [(one.attrib["name"], one.attrib["value"]) for one in last.iter("property")]
    assert [value for name, value in found if name == "layers.outcome"] == ["passed"]
    assert list(plain.iter("property")) == []


PHASES = """
    import pytest

    pytestmark = pytest.mark.memory_ceiling("1GiB")

    @pytest.fixture
    def breaks(): assert 0, "at first"

    @pytest.fixture
    def skips(): pytest.skip("not here")

    @pytest.fixture
    def breaks_off():
        yield
        assert 0, "at last"

    @pytest.fixture
    def skips_off():
        yield
        pytest.skip("too late")

    def test_broken_off(breaks_off): pass

    def test_broken_twice(breaks_off): assert 0, "within"

    def test_skipped_off(skips_off): pass

    def test_broken(breaks_off, breaks): pass

    def test_skipped(skips): pass

    @pytest.mark.skip(reason="not now")
    def test_left_out(): pass
"""


@pytest.mark.parametrize("isolation", ["case", "none"])
def test_set_up_and_teardown_have_their_say_in_a_case_wherever_it_runs(layers, isolation):
    path = layers.path / "junit.xml"
    ran = layers.run(PHASES, f"--layers-isolation={isolation}", f"--junit-xml={path}")
    assert {name: (case.outcome, case.reason) for name, case in ran.cases.items()} == {
        "test_broken_off": ("error", "AssertionError: at last"),
        "test_broken_twice": ("failed", "AssertionError: within"),
        "test_skipped_off": ("skipped", "too late"),
        "test_broken": ("error", "AssertionError: at first"),
        "test_skipped": ("skipped", "not here"),
        "test_left_out": ("skipped", "not now"),
    }
    assert len(ran.run.cases) == len(ran.cases)
    for told in ElementTree.parse(path).iter("testcase"):
        (outcome,) = told.findall(".//property[@name='layers.outcome']")
        assert outcome.attrib["value"] == ran.case(told.attrib["name"]).outcome


def test_limits_hold_in_place_too(layers):
    ran = layers.run(
        """
        import pytest

        @pytest.mark.memory_ceiling("8MiB")
        def test_over():
            held = bytearray(range(256)) * (3 * 2**16)

        @pytest.mark.memory_ceiling("8MiB")
        def test_narrowed(measured):
            held = bytearray(range(256)) * (3 * 2**16)
            with measured:
                pass

        @pytest.mark.memory_ceiling("8MiB")
        def test_broken():
            assert 1 == 2

        @pytest.mark.memory_ceiling("8MiB")
        def test_left_out():
            pytest.skip("not today")
        """,
        "--layers-isolation=none",
        process=True,  # a process that has run long may have so much free memory in malloc
    )
    assert ran.case_outcomes == {
        "test_over": "failed",
        "test_narrowed": "passed",
        "test_broken": "failed",
        "test_left_out": "skipped",
    }
    assert ran.case("test_broken").reason == "assert 1 == 2"


def test_ini_file_sets_it_and_the_command_line_wins(layers):
    layers.write("pytest.ini", "[pytest]\nlayers_isolation = none\n")
    assert layers.run(TEXT).case("test_case").isolation == "none"
    assert layers.run(TEXT, "--layers-isolation=case").case("test_case").isolation == "case"


def test_debugger_runs_in_place(layers):
    assert layers.run(TEXT, "--pdb").case("test_case").isolation == "none"


def test_a_breakpoint_says_how_to_debug(layers):
    ran = layers.run(
        """
        import pytest

        @pytest.mark.memory_ceiling("1GiB")
        def test_it(): breakpoint()

        @pytest.mark.memory_ceiling("1GiB")
        def test_next(): pass
        """
    )
    assert ran.outcomes == {"failed": 1, "passed": 1}
    assert ran.case("test_it").reason == (
        "Failed: a case's own process has no terminal for a debugger;"
        " use --pdb, or --layers-isolation=none"
    )


SHOWN = """
    import pytest

    @pytest.fixture
    def own(): open("set_up", "w").close()

    @pytest.mark.memory_ceiling("1GiB")
    def test_case(own): pass

    def test_plain(): pass
"""


@pytest.mark.parametrize("option", ["--setup-only", "--setup-plan"])
def test_a_case_that_is_only_set_up_has_no_result(layers, option):
    ran = layers.run(SHOWN, option)
    assert ran.lines.count("        SETUP    F own") == 1
    assert (layers.path / "set_up").exists() == (option == "--setup-only")
    assert ran.status == 0
    assert ran.run.cases == ()


def test_what_is_set_up_is_shown_in_place(layers):
    ran = layers.run(SHOWN, "--setup-show")
    assert ran.lines.count("        SETUP    F own") == 1
    assert ran.case("test_case").isolation == "none"


def test_an_engine_s_fixtures_are_planned_without_an_engine(layers):
    layers.engines()
    ran = layers.run("def test_it(engine, sales): pass", "--layers=fake", "--setup-plan")
    assert ran.status == 0
    assert any("SETUP" in line and " engine" in line for line in ran.lines)


def test_in_place_too_an_engine_has_its_environment(layers):
    layers.engines("""
def pytest_layers_engines():
    class Choosy(Fake):
        name = "choosy"

        @classmethod
        def environment(cls, budget):
            return {"CHOOSY_ENGINE": "this"}

    return [Choosy]
""")
    ran = layers.run(
        """
        import os

        def test_it(engine): assert os.environ["CHOOSY_ENGINE"] == "this"

        def test_plain(): assert "CHOOSY_ENGINE" not in os.environ
        """,
        "--layers=choosy",
        "--layers-isolation=none",
    )
    assert ran.outcomes == {"passed": 2}


@pytest.mark.parametrize("isolation", ["case", "none"])
def test_data_whose_making_fails_leaves_pytest_s_line_as_it_was(layers, isolation):
    layers.engines()
    ran = layers.run(
        """
        import time
        import pyarrow

        def batches(rows):
            for number in range(3):
                time.sleep(0.8)
                yield pyarrow.record_batch({"a": [number]})
            raise ValueError("no more")

        def test_it(engine, dataset): dataset("orders", batches, rows=10)
        """,
        "--layers=fake",
        f"--layers-isolation={isolation}",
    )
    assert ran.outcomes == {"failed": 1}
    made = next(number for number, line in enumerate(ran.lines) if line.startswith("making orders"))
    assert ran.lines[made + 1].startswith("test_it.py F")


def test_a_supervisor_that_is_killed_fails_the_case_in_place(layers):
    ran = layers.run(
        """
        import os
        import signal
        import pytest
        from pytest_layers.measure import procfs

        @pytest.mark.memory_ceiling("1GiB")
        def test_case(measured):
            (supervisor,) = procfs.children(os.getpid())
            os.kill(supervisor, signal.SIGKILL)
            with measured:
                pass

        @pytest.mark.memory_ceiling("1GiB")
        def test_within(measured):
            (supervisor,) = procfs.children(os.getpid())
            with measured:
                os.kill(supervisor, signal.SIGKILL)

        @pytest.mark.memory_ceiling("1GiB")
        def test_next(): pass
        """,
        "--layers-isolation=none",
        process=True,
    )
    assert ran.outcomes == {"failed": 2, "passed": 1}
    assert ran.out.count("ChildFailed: the supervisor of this test's process is gone") == 2


def test_many_open_files_are_no_obstacle_in_place(layers):
    """`select` takes no descriptor from 1,024 on."""
    ran = layers.run(
        """
        import os
        import resource
        import pytest

        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
        held = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]

        @pytest.mark.memory_ceiling("1GiB")
        def test_case(): pass
        """,
        "--layers-isolation=none",
        process=True,
    )
    assert ran.outcomes == {"passed": 1}
    assert ran.verdict("test_case").outcome == "passed"
