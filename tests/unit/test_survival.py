"""What is said of a case under a hard limit."""

from types import SimpleNamespace

import pytest

from pytest_layers.attempt import Attempt
from pytest_layers.survival import survival

GIB = 2**30
SPILLED = SimpleNamespace(spilled_bytes=300 * 2**20)
NOTHING = SimpleNamespace(spilled_bytes=0)


class Report(SimpleNamespace):
    """As much of pytest's as is looked at."""

    def __init__(self, when, outcome, message="", capstderr="", **others):
        crash = SimpleNamespace(message=message)
        super().__init__(
            when=when,
            outcome=outcome,
            longrepr=SimpleNamespace(reprcrash=crash),
            capstderr=capstderr,
            **others,
        )
        self.passed = outcome == "passed"
        self.failed = outcome == "failed"
        self.skipped = outcome == "skipped"


SET_UP, TORN_DOWN = Report("setup", "passed"), Report("teardown", "passed")


def told(kept_by="supervisor", kills=0):
    return {"limit_bytes": 2 * GIB, "kept_by": kept_by, "kills": kills}


def ended(status=0, **limit):
    return {"status": status, "oom_killed": False, "hard_limit": told(**limit)}


def attempt(*call, **others):
    """One that went to its end, if it had a report of its call."""
    reports = [SET_UP, *call, TORN_DOWN] if call else [SET_UP]
    return Attempt(reports, **{"ended": ended()} | others)


def said(one, cost=NOTHING):
    found = survival(one, cost)
    return found.outcome, found.text


def failing(message):
    return attempt(Report("call", "failed", message))


def test_without_a_limit_nothing_is_said():
    one = attempt(Report("call", "passed"), ended={"status": 0, "hard_limit": None})
    assert survival(one, NOTHING) is None
    assert survival(Attempt([SET_UP]), NOTHING) is None


def test_of_a_skipped_test_nothing_is_said():
    assert survival(attempt(Report("call", "skipped")), NOTHING) is None


@pytest.mark.parametrize("kept_by", ["kernel", "supervisor"])
def test_the_limit_and_who_kept_it(kept_by):
    found = survival(attempt(Report("call", "passed"), ended=ended(kept_by=kept_by)), NOTHING)
    assert (found.limit_bytes, found.kept_by) == (2 * GIB, kept_by)


def test_finished():
    assert said(attempt(Report("call", "passed"))) == ("finished", "finished")
    assert said(attempt(Report("call", "passed")), None) == ("finished", "finished")


def test_of_a_kept_engine_that_rests():
    one = attempt(Report("call", "passed"), ended=None, rested={"hard_limit": told()})
    assert said(one) == ("finished", "finished")


def test_spilled():
    found = said(attempt(Report("call", "passed")), SPILLED)
    assert found == ("spilled", "spilled 300 MiB to disk")


def test_finished_though_the_kernel_killed_a_helper():
    one = attempt(Report("call", "passed"), ended=ended(kept_by="kernel", kills=1))
    assert said(one) == ("finished", "finished; the kernel killed 1 of its processes")


@pytest.mark.parametrize(
    ("why", "text"),
    [
        ("hard_limit", "stopped at the limit by the supervisor"),
        ("memory", "stopped far past its memory ceiling"),
        ("machine", "stopped before it took the machine's last memory"),
        ("timeout", "stopped at the timeout"),
    ],
)
def test_stopped(why, text):
    assert said(attempt(stopped={"why": why}, ended=ended(-9)), SPILLED) == ("died", text)


def test_killed_by_the_kernel():
    one = attempt(ended=ended(-9, kept_by="kernel", kills=1))
    assert said(one) == ("died", "killed at the limit by the kernel")
    assert one.died_at_limit


def test_ended_by_something_else():
    one = attempt(ended=ended(-6))
    assert said(one) == ("died", "ended with SIGABRT")
    assert not one.died_at_limit


@pytest.mark.parametrize(
    "message",
    [
        "MemoryError",
        "numpy._core._exceptions._ArrayMemoryError: Unable to allocate 8.00 GiB",
        "pyarrow.lib.ArrowMemoryError: malloc of size 64 failed",
        "_duckdb.OutOfMemoryException: Out of Memory Error: could not allocate block",
        "Py4JJavaError: An error occurred\nE  : java.lang.OutOfMemoryError: Java heap space",
        "ray.exceptions.OutOfMemoryError: Task was killed due to the node running low on memory",
    ],
)
def test_got_no_more(message):
    line = message.partition("\n")[0]
    assert said(failing(message)) == ("died", f"got no more memory: {line}")


@pytest.mark.parametrize(
    "message",
    [
        "distributed.scheduler.KilledWorker: Attempted to run task 4 times",
        "ray.exceptions.WorkerCrashedError: The worker died unexpectedly",
    ],
)
def test_a_worker_was_killed(message):
    assert said(failing(message)) == ("died", f"a worker of the engine was killed: {message}")


def test_a_worker_was_killed_by_the_kernel():
    one = attempt(Report("call", "failed", "lost"), ended=ended(kept_by="kernel", kills=2))
    assert said(one) == ("died", "the kernel killed 2 of its processes: lost")


def test_a_jvm_that_wrote_why_it_died():
    error = "Py4JJavaError: <exception str() failed>"
    written = "ERROR Executor: in task 0\njava.lang.OutOfMemoryError: Java heap space\n\tat java"
    assert said(attempt(Report("call", "failed", error, capstderr=written))) == (
        "died",
        f"its JVM got no more memory, java.lang.OutOfMemoryError: Java heap space: {error}",
    )


def test_an_error_that_does_not_speak_of_memory():
    assert said(failing("assert 1 == 2")) == ("failed", "assert 1 == 2")


def test_an_error_that_was_expected_tells_too():
    expected = Report("call", "skipped", "MemoryError", wasxfail="too much")
    assert said(attempt(expected)) == ("died", "got no more memory: MemoryError")


def test_an_error_in_set_up():
    one = Attempt([Report("setup", "failed", "MemoryError"), TORN_DOWN], ended=ended())
    assert said(one, None) == ("died", "got no more memory: MemoryError")
