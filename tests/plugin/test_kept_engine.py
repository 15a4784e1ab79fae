"""`--layers-isolation=engine`: an engine that starts processes is kept, as long as cases leave it as it was."""

import os
from textwrap import dedent

import psutil
import pytest

HEAD = dedent("""
    import os, threading
    import pytest

    @pytest.fixture(autouse=True)
    def log(request, engine):
        with open("log", "a") as file:
            print(request.node.name, os.getpid(), file=file)

    def held(mib):
        return bytearray(os.urandom(4096)) * (256 * mib)
""")
TWO = "def test_one(engine): pass\n\ndef test_two(engine): pass\n"
KEEPING = "--layers-isolation=engine"


@pytest.fixture
def suite(layers):
    layers.engines()

    def run(text, *args, **kwargs):
        return layers.run(HEAD + dedent(text), KEEPING, "--layers=far", *args, **kwargs)

    run.layers = layers
    return run


def pids(suite):
    lines = (suite.layers.path / "log").read_text().splitlines()
    found = {}
    for name, pid in map(str.split, lines):
        found.setdefault(name, []).append(pid)
    return found


def test_cases_share_the_engine_and_its_process(suite):
    ran = suite(
        """
    @pytest.mark.memory_ceiling("64MiB")
    def test_one(engine): engine.seen = 1

    @pytest.mark.memory_ceiling("64MiB")
    def test_two(engine, tmp_path): assert engine.seen == 1

    def test_three(engine): assert engine.seen == 1
    """
    )
    assert ran.outcomes == {"passed": 3}
    assert len({pid for found in pids(suite).values() for pid in found}) == 1
    assert [result.isolation for result in ran.run.cases] == ["case", "engine", "engine"]
    assert ran.case("test_two[far]").measurement.samples > 0


def test_cases_of_several_files_share_it(suite):
    suite.layers.write("test_other.py", HEAD + "\ndef test_other(engine): pass\n")
    ran = suite("def test_it(engine): pass")
    assert ran.outcomes == {"passed": 2}
    assert len({pid for found in pids(suite).values() for pid in found}) == 1


def test_an_engine_without_processes_of_its_own_is_not_kept(suite):
    ran = suite(TWO, "--layers=fake")
    assert ran.outcomes == {"passed": 4}
    found = pids(suite)
    assert found["test_one[fake]"] != found["test_two[fake]"]
    assert found["test_one[far]"] == found["test_two[far]"]


@pytest.mark.parametrize("first", ["", "def test_first(engine): pass\n"])
def test_a_case_that_has_another_id_at_each_start_is_not_found(suite, first):
    ran = suite(
        f"""
    {first}
    @pytest.mark.parametrize("n", [os.getpid()])
    def test_it(engine, n): pass
    """
    )
    assert ran.outcomes == ({"passed": 1, "errors": 1} if first else {"errors": 1})
    assert ran.run.cases[-1].reason.startswith("the test was not found in its own process: its id")


def test_cases_of_one_engine_come_after_another(suite):
    ran = suite(TWO, "--layers=fake", "-v")
    order = [result.case.engine for result in ran.run.cases]
    assert order in (["fake", "fake", "far", "far"], ["far", "far", "fake", "fake"])


def test_a_failure_ends_it_and_is_confirmed_in_a_fresh_one(suite):
    ran = suite(
        """
    def test_first(engine): engine.broken = True

    def test_spoilt(engine): assert not hasattr(engine, "broken")

    def test_wrong(engine): assert False

    def test_last(engine): pass
    """
    )
    assert ran.outcomes == {"passed": 3, "failed": 1}
    found = pids(suite)
    assert found["test_spoilt[far]"][0] == found["test_first[far]"][0]
    assert len(set(found["test_spoilt[far]"])) == 2
    assert ran.case("test_spoilt[far]").isolation == "case"
    assert found["test_last[far]"][0] not in found["test_wrong[far]"]


def test_a_broken_limit_is_confirmed_in_a_fresh_one(suite):
    ran = suite(
        """
    def test_first(engine): pass

    @pytest.mark.memory_ceiling("8MiB")
    def test_over(engine): held(32)
    """
    )
    assert ran.outcomes == {"passed": 1, "failed": 1}
    assert len(set(pids(suite)["test_over[far]"])) == 2
    assert ran.case("test_over[far]").isolation == "case"


def test_memory_that_a_case_leaves_ends_it(suite):
    ran = suite(
        """
    def test_leaves(engine): engine.left = held(300)

    def test_next(engine): assert not hasattr(engine, "left")
    """
    )
    assert ran.outcomes == {"passed": 2}
    found = pids(suite)
    assert found["test_leaves[far]"] != found["test_next[far]"]


def test_what_is_held_before_the_window_and_given_back_is_not_left(suite):
    ran = suite(
        """
    def test_first(engine, measured):
        before = held(300)
        with measured: pass

    def test_leaves(engine): engine.left = held(64)

    @pytest.mark.memory_ceiling("8MiB")
    def test_next(engine): pass
    """
    )
    assert ran.outcomes == {"passed": 3}
    found = pids(suite)
    assert found["test_leaves[far]"] == found["test_first[far]"]
    assert found["test_next[far]"][0] == found["test_leaves[far]"][0]
    assert ran.case("test_next[far]").isolation == "case"
    assert ran.case("test_next[far]").measurement.growth.upper_bytes <= 8 * 2**20


def test_what_little_a_case_leaves_widens_the_next_bracket(suite):
    ran = suite(
        """
    def test_leaves(engine): engine.left = held(16)

    @pytest.mark.memory_ceiling("64MiB")
    def test_next(engine): held(16)
    """
    )
    growth = ran.case("test_next[far]").measurement.growth
    assert growth.lower_bytes < 20 * 2**20
    assert growth.upper_bytes > 28 * 2**20


def test_a_thread_still_at_work_ends_it(suite):
    ran = suite(
        """
    def spin():
        while True: pass

    def test_leaves(engine): threading.Thread(target=spin, daemon=True).start()

    def test_next(engine): pass
    """
    )
    assert ran.outcomes == {"passed": 2}
    found = pids(suite)
    assert found["test_leaves[far]"] != found["test_next[far]"]


def test_death_in_a_kept_engine_is_one_failed_test(suite):
    ran = suite(
        """
    def test_first(engine): pass

    def test_dies(engine): os.abort()

    def test_last(engine): pass
    """
    )
    assert ran.outcomes == {"passed": 2, "failed": 1}
    assert "SIGABRT" in ran.case("test_dies[far]").reason
    assert set(pids(suite)["test_first[far]"]) != set(pids(suite)["test_last[far]"])


def test_each_case_has_the_whole_timeout(suite):
    ran = suite(
        """
    import time

    @pytest.mark.parametrize("number", range(3))
    def test_slow(engine, number): time.sleep(2.1)

    def test_hangs(engine): time.sleep(60)
    """,
        "--layers-timeout=6s",
    )
    assert ran.outcomes == {"passed": 3, "failed": 1}
    assert "stopped at the timeout of 6.00 s" in ran.case("test_hangs[far]").reason


def test_data_that_has_to_be_made_is_made_in_a_process_of_its_own(suite):
    ran = suite(
        """
    @pytest.mark.sizes("12345")
    @pytest.mark.memory_ceiling("64MiB")
    def test_makes(engine, sales): engine.made = True

    @pytest.mark.sizes("12346")
    def test_next(engine, sales): pass
    """
    )
    assert ran.outcomes == {"passed": 2}
    assert len(set(pids(suite)["test_makes[far-12345]"])) == 2
    assert ran.case("test_makes[far-12345]").isolation == "case"


def test_nothing_is_left_of_it(suite):
    before = set(psutil.pids())
    ran = suite("def test_it(engine): pass", process=True)
    assert ran.outcomes == {"passed": 1}
    (pid,) = pids(suite)["test_it[far]"]
    assert int(pid) not in psutil.pids()
    own = [one for one in set(psutil.pids()) - before if _is_ours(one, suite.layers.path)]
    assert own == []


def _is_ours(pid, folder):
    try:
        return str(folder) in " ".join(psutil.Process(pid).cmdline())
    except psutil.Error:
        return False


def test_ways_together_with_xdist(suite):
    ran = suite(
        TWO,
        "-n2",
        plugins=["xdist"],
        process=True,
    )
    assert ran.outcomes == {"passed": 2}
    assert os.getpid() not in pids(suite)
