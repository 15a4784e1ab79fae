"""The thread that answers which line another thread runs, asked by this process of itself."""

import os
import signal
import sys
import warnings
from pathlib import Path

import pytest

import pytest_layers
from pytest_layers.isolate.stack_responder import QUESTION, StackResponder, Team
from pytest_layers.isolate.wire import decode

HERE = str(Path(__file__).parent)
TEAM = Team((HERE,))


@pytest.fixture
def responder():
    one = StackResponder()
    one.team = TEAM
    yield one
    one.end()


def ask(told):
    """One question, and what is answered."""
    os.write(told["ask"], QUESTION)
    return decode(os.read(told["answers"], 65536))["frame"]


def tasks():
    return {int(task.name) for task in Path("/proc/self/task").iterdir()}


def test_it_answers_with_the_innermost_frame_of_the_team(responder):
    told = responder.begin()
    assert told["root"] == HERE
    for _ in range(3):
        frame = ask(told)
        assert (frame["file"], frame["function"]) == (__file__, "ask")
        assert ask.__code__.co_firstlineno < frame["line"] < tasks.__code__.co_firstlineno


def test_it_ends_with_the_window_and_leaves_no_descriptor(responder):
    before = tasks()
    told = responder.begin()
    ask(told)
    (task,) = tasks() - before
    responder.end()
    assert task not in tasks()
    for descriptor in (told["ask"], told["answers"]):
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)


def test_it_begins_anew_with_the_next_window(responder):
    ask(responder.begin())
    responder.end()
    assert ask(responder.begin())["function"] == "ask"


def test_it_ends_before_a_fork(responder):
    before = tasks()
    responder.begin()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # other threads of this process
        pid = os.fork()
    if pid == 0:
        os._exit(len(tasks()))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
    assert tasks() <= before


def test_a_test_that_closes_its_descriptors_is_not_troubled(responder, capfd):
    told = responder.begin()
    ask(told)
    task = responder._task[0]
    for descriptor in (told["ask"], told["answers"]):
        os.close(descriptor)
    responder.end()
    assert task not in tasks()
    assert capfd.readouterr().err == ""


def test_without_a_team_there_is_nobody_to_ask():
    assert StackResponder().begin() is None


def test_a_window_that_never_opened_can_be_closed(responder):
    before = tasks()
    responder.end()
    assert tasks() <= before  # one of an earlier test may end meanwhile


def test_it_hears_no_signals(responder):
    """They are the main thread's: one that took them would let a system call there go on."""
    before = tasks()
    ask(responder.begin())
    (task,) = tasks() - before
    status = Path(f"/proc/self/task/{task}/status").read_text()
    blocked = int(status.partition("SigBlk:\t")[2].split()[0], 16)
    assert blocked & (1 << (signal.SIGINT - 1))
    assert blocked & (1 << (signal.SIGALRM - 1))


def deep(depth, work):
    return deep(depth - 1, work) if depth else work()


def test_the_line_is_that_of_the_caller_and_the_call_that_of_the_library():
    caught = []
    namespace = {"__name__": "shelf.books", "catch": lambda: caught.append(sys._getframe(1))}
    exec(compile("def sort():\n    catch()\n", "/usr/lib/shelf/books.py", "exec"), namespace)
    deep(3, namespace["sort"])
    frame = TEAM.innermost(caught[0])
    assert (frame["file"], frame["function"], frame["call"]) == (
        __file__,
        "deep",
        "shelf.books.sort",
    )
    assert frame["line"] == deep.__code__.co_firstlineno + 1


def test_a_frame_of_the_team_at_the_top_called_nothing():
    frame = sys._getframe()
    found = TEAM.innermost(frame)
    assert (found["function"], found["call"]) == (frame.f_code.co_name, "")


def test_there_may_be_no_frame_of_the_team_nor_any():
    assert Team(("/nowhere",)).innermost(sys._getframe()) is None
    assert TEAM.innermost(None) is None


@pytest.mark.parametrize(
    ("file", "own"),
    [
        ("/team/shop/reports.py", True),
        ("/team/tests/test_shop.py", True),
        ("/team/shopping/x.py", False),
        ("/team/shop/.venv/lib/python3/site-packages/polars/frame.py", False),
        ("<string>", False),
    ],
)
def test_the_teams_code_lies_in_its_folders_and_is_not_installed(file, own):
    assert Team(("/team/shop", "/team/tests/")).owns(file) is own


def test_the_standard_library_and_this_package_are_nobodys_code():
    assert not Team(("/",)).owns(os.__file__)
    assert not Team(("/",)).owns(pytest_layers.__file__)
    assert Team(("/",)).owns(__file__)
