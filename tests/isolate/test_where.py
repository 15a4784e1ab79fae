"""Which line ran: asked from outside, of work that is known to be done in one line."""

import sys
from pathlib import Path

import pytest

import pytest_layers
from pytest_layers.measure.machine import available_cores

ANSWER = f"""
sys.path.insert(0, {str(Path(pytest_layers.__file__).parent.parent)!r})
from pytest_layers.isolate.stack_responder import StackResponder, Team
answering = StackResponder()
answering.team = Team((os.path.dirname(__file__),))
def begin():
    usage = {{"cpu_seconds": 0, "largest_bytes": 0}}
    send("begin", answers=answering.begin(), usage=usage)
    assert os.read(read, 64)
"""


@pytest.fixture
def ask(supervise):
    """Run a script that answers, and give the lines that are named, and the messages."""

    def run(body, **fields):
        command = (sys.executable, f"{supervise.sandbox.folder}/script.py")
        told = supervise(ANSWER + body, command=command, **fields)
        assert "Traceback" not in told.ended["tail"], told.ended["tail"]
        (found,) = told.of("findings")
        return {line["when"]: line for line in found["findings"]["where"]}, told

    return run


def test_the_line_that_runs_at_the_peak(ask):
    lines, _ = ask("""
def grow(held, most, last):
    while len(held) < most:
        held.append(b"x" * MIB); time.sleep(last if len(held) == most else 0.002)
def main():
    begin()
    held = []
    grow(held, 60, 0)
    time.sleep(1)  # longer, with less
    grow(held, 300, 0.5)
    mark("end")
""")
    peak = lines["peak"]
    assert (peak["file"], peak["function"]) == ("script.py", "grow")
    assert peak["source"].startswith('held.append(b"x" * MIB); ')
    assert peak["call"] == ""
    assert peak["share"] > 0.5


@pytest.mark.skipif(available_cores() < 2, reason="there is one core only")
@pytest.mark.parametrize(
    "work",
    [
        # "stable": the other kind sorts in a twentieth of the time where the processor has AVX-512.
        pytest.param('numbers[0].sort(kind="stable")', id="lock-released"),
        pytest.param("sum(itertools.repeat(1, 150_000_000))", id="lock-held"),
    ],
)
def test_the_line_that_runs_alone_after_two_cores_did(ask, work):
    lines, _ = ask(f"""
import itertools
import numpy
numbers = numpy.random.default_rng(1).random((3, 9_000_000))
def both():
    other = threading.Thread(target=numbers[1][:4_000_000].sort, kwargs={{"kind": "stable"}})
    other.start()
    numbers[2][:4_000_000].sort(kind="stable")
    other.join()
def alone():
    {work}
def main():
    begin()
    both()
    alone()
    mark("end")
""")
    line = lines["one_core"]
    assert (line["function"], line["source"]) == ("alone", work)
    assert line["share"] > 0.5


def test_what_the_line_called_is_named_where_it_is_not_the_teams(ask):
    lines, _ = ask("""
import subprocess
def main():
    begin()
    subprocess.run(["sleep", "1"])
    mark("end")
""")
    assert lines["one_core"]["source"] == 'subprocess.run(["sleep", "1"])'
    assert lines["one_core"]["call"].startswith("subprocess.")


def test_a_stopped_case_has_its_line_too(ask):
    lines, told = ask(
        """
def main():
    begin()
    held = []
    while True:
        held.append(b"x" * MIB); time.sleep(0.001)
""",
        stop_at=(300 * 2**20, None),
    )
    assert told.of("stopped")
    assert lines["peak"]["function"] == "main"


def test_who_goes_on_as_another_program_is_asked_no_more(ask):
    lines, told = ask("""
def main():
    begin()
    os.execv("/bin/sleep", ["sleep", "0.4"])
""")
    assert told.ended["status"] == 0
    assert lines.get("one_core", {}).get("source") in {
        None,
        'os.execv("/bin/sleep", ["sleep", "0.4"])',
    }


def test_a_process_that_forks_is_not_warned_of_threads_and_keeps_the_line_before(ask):
    lines, told = ask("""
import warnings
def main():
    begin()
    time.sleep(1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if os.fork() == 0:
            os._exit(0)
    os.wait()
    mark("end")
""")
    assert told.ended["status"] == 0
    assert lines["one_core"]["source"] == "time.sleep(1)"


def test_each_window_has_answers_of_its_own(supervise):
    told = supervise(
        ANSWER
        + """
def first(): time.sleep(1)
def second(): time.sleep(1)
def main():
    for work in (first, second):
        begin()
        work()
        mark("end")
        answering.end()
""",
        command=(sys.executable, f"{supervise.sandbox.folder}/script.py"),
    )
    named = [found["findings"]["where"] for found in told.of("findings")]
    assert [
        [line["function"] for line in lines if line["when"] == "one_core"] for lines in named
    ] == [
        ["first"],
        ["second"],
    ]


def test_nobody_is_asked_where_no_line_is_wanted(supervise):
    told = supervise("""
def main():
    mark("begin")
    hold(50 * MIB, 0.4)
    mark("end")
""")
    assert told.of("findings")[0]["findings"]["where"] == []
