import os
import signal
import threading
import time

import pytest

from pytest_layers.measure import procfs, tree

pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")

PARENTS = {10: [11, 12], 11: [13], 12: [], 13: [14], 14: []}


@pytest.fixture
def family(monkeypatch):
    """A scripted machine: who is whose child."""
    monkeypatch.setattr(procfs, "children", lambda pid: list(PARENTS.get(pid, [])))


class TestDescendants:
    def test_all_below_are_found(self, family):
        assert sorted(tree.descendants(10)) == [11, 12, 13, 14]

    def test_one_and_all_below_it_are_left_out(self, family):
        assert sorted(tree.descendants(10, without=11)) == [12]

    def test_one_without_children_has_none(self, family):
        assert tree.descendants(12) == []

    def test_nobody_has_none(self):
        assert tree.descendants(2**22 + 1) == []


class Machine:
    """Processes that die when they are killed; `spawns` come to be when one is."""

    def __init__(self, monkeypatch, alive, spawns=()):
        self.alive = dict(alive)
        self.spawns = list(spawns)
        self.sent = []
        self.now = 0.0
        monkeypatch.setattr(tree, "descendants", lambda pid, without=0: list(self.alive))
        monkeypatch.setattr(procfs, "is_dead", lambda pid: pid not in self.alive)
        monkeypatch.setattr(procfs, "command_line", lambda pid: self.alive.get(pid, ""))
        monkeypatch.setattr(tree, "reap", lambda without=0: None)
        monkeypatch.setattr(tree.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(tree.time, "sleep", self.sleep)
        monkeypatch.setattr(os, "kill", self.kill)

    def sleep(self, seconds):
        self.now += seconds

    def kill(self, pid, number):
        self.sent.append((pid, number))
        if number == signal.SIGKILL and self.alive.pop(pid, None) and self.spawns:
            self.alive.update([self.spawns.pop()])


def refuse_signals(monkeypatch, error):
    """Have each signal fail with `error`; gives the list of those that are sent one."""
    asked = []

    def kill(pid, number):
        asked.append(pid)
        raise error

    monkeypatch.setattr(os, "kill", kill)
    return asked


class TestFreeze:
    def test_they_stop_and_go_on_in_turn(self, monkeypatch):
        machine = Machine(monkeypatch, {11: "one", 12: "two"})
        tree.freeze([11, 12])
        tree.thaw([11, 12])
        stop, go_on = signal.SIGSTOP, signal.SIGCONT
        assert machine.sent == [(11, stop), (12, stop), (11, go_on), (12, go_on)]

    def test_one_that_has_ended_is_passed_over(self, monkeypatch):
        asked = refuse_signals(monkeypatch, ProcessLookupError)
        tree.freeze([11, 12])
        tree.thaw([11, 12])
        assert asked == [11, 12, 11, 12]

    def test_one_of_another_user_is_passed_over(self, monkeypatch):
        asked = refuse_signals(monkeypatch, PermissionError)
        tree.freeze([11, 12])
        assert asked == [11, 12]


class TestEnd:
    def test_all_are_stopped_before_one_is_killed(self, monkeypatch):
        machine = Machine(monkeypatch, {11: "a", 12: "b"})
        assert tree.end(10, case=11) == ["a", "b"]
        stop, kill = signal.SIGSTOP, signal.SIGKILL
        assert machine.sent == [(11, stop), (12, stop), (11, kill), (12, kill)]

    def test_those_born_meanwhile_are_ended_too(self, monkeypatch):
        machine = Machine(monkeypatch, {11: "a"}, spawns=[(13, "c"), (12, "b")])
        assert tree.end(10, case=11) == ["a", "b", "c"]
        assert machine.alive == {}

    def test_one_look_that_finds_nobody_is_not_enough(self, monkeypatch):
        machine = Machine(monkeypatch, {11: "handed on during the look"})
        found = iter([[], [11]])
        monkeypatch.setattr(
            tree, "descendants", lambda pid, without=0: next(found, list(machine.alive))
        )
        assert tree.end(10, case=12) == ["handed on during the look"]
        assert machine.alive == {}

    def test_one_that_takes_its_time_to_go_is_told_of_by_what_it_was(self, monkeypatch):
        """Killed, it has no command line any more, and is not dead yet."""
        machine = Machine(monkeypatch, {11: "a"})
        going = [11]
        monkeypatch.setattr(
            tree, "descendants", lambda pid, without=0: [*(machine.alive or going[:])]
        )
        monkeypatch.setattr(procfs, "is_dead", lambda pid: not (machine.alive or going.pop()))
        assert tree.end(10, case=12) == ["a"]

    def test_nobody_left_is_nothing_to_do(self, monkeypatch):
        assert Machine(monkeypatch, {}).sent == []
        assert tree.end(10, case=11) == []

    def test_one_that_can_not_be_ended_is_given_up(self, monkeypatch):
        machine = Machine(monkeypatch, {11: "a"})
        monkeypatch.setattr(os, "kill", lambda pid, number: None)
        assert tree.end(10, case=11, deadline_seconds=1.0) == ["a"]
        assert machine.now >= 1.0

    def test_those_that_clean_up_get_time_for_it_and_are_not_told_of(self, monkeypatch):
        machine = Machine(monkeypatch, {11: "a", 12: "x resource_tracker y"})
        assert tree.end(10, case=11) == ["a"]
        assert machine.now >= tree.CLEANING_SECONDS
        assert machine.alive == {}


class TestEndTagged:
    def test_those_that_clean_up_get_time_for_it(self, monkeypatch):
        machine = Machine(monkeypatch, {11: "a", 12: "x resource_tracker y"})
        monkeypatch.setattr(procfs, "all_pids", lambda: list(machine.alive))
        monkeypatch.setattr(procfs, "has_in_environment", lambda pid, tag: pid in machine.alive)
        tree.end_tagged("tag")
        assert machine.sent[0] == (11, signal.SIGSTOP)
        assert machine.now >= tree.CLEANING_SECONDS
        assert machine.alive == {}


class TestReap:
    def start(self, code=0, cpu_seconds=0.0):
        pid = os.fork()
        if not pid:
            while time.process_time() < cpu_seconds:
                pass
            os._exit(code)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        return pid

    def test_ended_children_are_collected(self, monkeypatch):
        pid = self.start(cpu_seconds=0.05)
        monkeypatch.setattr(procfs, "children", lambda _: [pid])
        found = tree.reap()
        assert found.largest_bytes > 2**20
        assert 0.04 < found.cpu_seconds < 0.5
        with pytest.raises(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)

    def test_one_is_left_to_be_waited_for(self, monkeypatch):
        pid = self.start(3)
        monkeypatch.setattr(procfs, "children", lambda _: [pid])
        assert tree.reap(without=pid) == procfs.ChildUsage()
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3

    def test_the_living_are_left(self, monkeypatch):
        ready, done = os.pipe()
        pid = os.fork()
        if not pid:
            os.read(ready, 1)
            os._exit(0)
        monkeypatch.setattr(procfs, "children", lambda _: [pid])
        found = tree.reap()
        os.write(done, b"x")
        os.waitpid(pid, 0)
        os.close(ready)
        os.close(done)
        assert found == procfs.ChildUsage()

    def test_another_ones_child_is_passed_over(self, monkeypatch):
        monkeypatch.setattr(procfs, "children", lambda _: [1, threading.get_native_id()])
        assert tree.reap() == procfs.ChildUsage()
