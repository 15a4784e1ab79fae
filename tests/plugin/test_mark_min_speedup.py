"""`min_speedup`: how many times as fast as on one core a test is on all that it is given."""

import pytest

from pytest_layers.judge.speedup import LEAST_PAIRS, MOST_PAIRS
from pytest_layers.measure.machine import available_cores

SLEEPS = """
    import os, time
    from pytest import mark

    def cores(): return len(os.sched_getaffinity(0))
"""
"""Sleep is work that no neighbour slows down."""
WORK = """
    import hashlib, os, threading
    from pytest import mark

    def work(rounds=400_000): hashlib.pbkdf2_hmac("sha256", b"", b"", rounds)  # without the GIL

    def at_once(functions):
        threads = [threading.Thread(target=function) for function in functions]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
"""
several = pytest.mark.skipif(available_cores() < 2, reason="there is one core only")


@several
def test_it_is_run_again_on_all_cores_and_on_one_in_turn(layers):
    log = layers.path / "log"
    ran = layers.run(
        SLEEPS
        + f"""
    @mark.min_speedup(1.4)
    def test_it():
        with open({str(log)!r}, "a") as log: log.write(str(cores()))
        time.sleep(0.6 / cores())
    """,
        "--layers-cores=2",
    )
    found = ran.case("test_it").measurement.speedup
    assert log.read_text() == "2" + "21" * len(found.pairs)
    assert LEAST_PAIRS <= len(found.pairs) <= MOST_PAIRS
    assert ran.case("test_it").attempts == 1
    assert ran.verdict("test_it").outcome == "passed"
    assert ran.verdict("test_it").measured_value == found.factor
    assert ran.table[0][-2:] == ["speed-up", "verdict"]


@several
def test_what_all_cores_do_not_speed_up_fails(layers):
    ran = layers.run(
        SLEEPS
        + """
    @mark.min_speedup("70%")
    def test_it(): time.sleep(0.4)
    """,
        "--layers-cores=2",
    )
    verdict = ran.verdict("test_it")
    assert (verdict.outcome, verdict.limit_value) == ("failed", pytest.approx(1.4))
    assert "is under the floor of 1.40 (70% of 2 cores given) by" in verdict.text
    shown = ran.section("test_it")
    assert verdict.text in shown
    assert [line for line in shown if line.startswith("serial share ")]
    assert [line for line in shown if line.startswith("on 1 core: ")]


@several
def test_two_threads_that_work_and_a_thread_that_spins_beside_one_are_told_apart(layers):
    """Both keep two cores busy; as pools do, the spinning one has as many threads as cores."""
    ran = layers.run(
        WORK
        + """
    @mark.min_speedup(1.4)
    def test_works(): at_once([work, work])

    @mark.min_speedup(1.4)
    def test_spins():
        done = threading.Event()

        def spin():
            while not done.is_set(): work(1000)

        def alone():
            work(800_000)
            done.set()

        at_once([alone] + [spin] * (len(os.sched_getaffinity(0)) - 1))
    """,
        "--layers-cores=2",
    )
    works, spins = ran.verdict("test_works"), ran.verdict("test_spins")
    assert works.outcome != "failed", works.text
    assert spins.outcome != "passed", spins.text
    if "inconclusive" in {works.outcome, spins.outcome}:
        pytest.skip(f"the machine is too busy: {works.text}; {spins.text}")


def test_one_core_or_less_than_the_factor_is_inconclusive(layers):
    layers.engines()
    ran = layers.run(
        """
        from pytest import mark

        @mark.min_speedup(1.5)
        def test_plain(): pass

        @mark.min_speedup("75%")
        def test_engine(engine): pass
        """,
        "--layers=other",
        "--layers-cores=1",
    )
    assert ran.outcomes == {"inconclusive": 2}
    text = "the floor of 1.50 can't be judged with 1 core given"
    assert ran.verdict("test_plain").text == text
    text = "the floor of 0.75 (75% of 1 core given) can't be judged with 1 core given"
    assert ran.verdict("test_engine[other]").text == text


@several
def test_an_engine_of_one_core_is_inconclusive_whatever_it_is_given(layers):
    layers.engines()
    ran = layers.run(
        """
        from pytest import mark

        @mark.min_speedup(1.5)
        def test_it(engine): pass

        @mark.min_speedup(1.5, other=None)
        def test_lifted(engine): pass
        """,
        "--layers=other",
        "--layers-cores=2",
    )
    text = "the floor of 1.50 can't be judged with 1 core given"
    assert ran.verdict("test_it[other]").text == text
    assert ran.case("test_lifted[other]").limits == ()


@several
def test_too_short_a_window_is_inconclusive_after_one_run(layers):
    ran = layers.run(
        """
        from pytest import mark

        @mark.min_speedup(1.5)
        def test_it(measured):
            with measured: pass
        """,
        "--layers-cores=2",
    )
    assert ran.outcomes == {"inconclusive": 1}
    assert ran.case("test_it").measurement.speedup is None
    assert "is too short to judge a speed-up by (50 ms at least)" in ran.verdict("test_it").text


@several
def test_a_test_that_fails_on_one_core_is_inconclusive(layers):
    ran = layers.run(
        SLEEPS
        + """
    @mark.min_speedup(1.5)
    def test_it():
        time.sleep(0.1)
        assert cores() == 2
    """,
        "--layers-cores=2",
    )
    assert ran.outcomes == {"inconclusive": 1}
    assert ran.verdict("test_it").text == (
        "min_speedup 1.5 not judged: run again on 1 of the cores, the test did not pass"
    )


@pytest.mark.parametrize("isolation", ["case", "none"])
def test_a_test_that_fails_by_itself_is_not_run_again(layers, isolation):
    ran = layers.run(
        """
        from pytest import mark

        @mark.min_speedup(1.5)
        def test_it(): assert 0
        """,
        f"--layers-isolation={isolation}",
    )
    assert ran.outcomes == {"failed": 1}
    assert ran.case("test_it").verdicts == ()


def test_in_place_it_is_inconclusive(layers):
    ran = layers.run(
        """
        from pytest import mark

        @mark.min_speedup(1.5)
        def test_it(): pass
        """,
        "--layers-isolation=none",
        process=True,
    )
    assert ran.verdict("test_it").text == (
        "min_speedup 1.5 not judged: in pytest's own process a case runs once, on all cores"
        " (isolation none)"
    )


@several
def test_a_kept_engine_does_not_serve_the_further_runs(layers):
    layers.engines()
    ran = layers.run(
        SLEEPS
        + """
    @mark.min_speedup(1.4)
    def test_it(engine):
        assert engine.cores == cores() == engine.budget.cores
        assert os.environ["OMP_NUM_THREADS"] == str(cores())
        time.sleep(0.6 / cores())
    """,
        "--layers=far",
        "--layers-cores=2",
        "--layers-isolation=engine",
    )
    assert ran.verdict("test_it[far]").outcome == "passed"
