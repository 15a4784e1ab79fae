import ctypes
import errno
import os
import threading
import time
from contextlib import suppress

import pytest

from pytest_layers.measure import cpu, forks, machine, procfs, sampler, tree
from pytest_layers.measure.cpu import Processes, Threads
from pytest_layers.measure.pagefaults import PageFaults
from pytest_layers.measure.procfs import ChildUsage, Identity, Memory, Switches, ThreadTimes
from pytest_layers.measure.sampler import Sampler
from pytest_layers.records import Bracket

pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")

MIB = 2**20
ROOT = 10


class World:
    """A scripted machine: processes with sizes, CPU seconds and threads, read through a fake `procfs`."""

    def __init__(self, monkeypatch):
        self.seconds = 0.0
        self.cost = 0.0
        """CPU seconds of the sampler itself for each question that it asks of the clock."""
        self.thread_seconds = 0.0
        self.memory = {}
        self.who = {}
        self.cpu = {}
        self.proportional = {}
        self.frozen = set()
        self.resets = []
        self.refuses = set()
        """Whose marks can't be reset."""
        self.unopened = {}
        """Error numbers of those whose files can't be opened."""
        self.slow_to_read = {}
        """Seconds that reading their memory takes."""
        self.when_read = {}
        """What happens just before their memory is read for the first time."""
        self.borrows = {}
        """Whether they run in their parents' memory, where that is told."""
        self.last_pid = b"1"
        world = self

        class Process:
            def __init__(self, pid):
                if pid in world.unopened:
                    raise OSError(world.unopened[pid], "")
                if pid not in world.memory:
                    raise OSError
                self.pid, self.started = pid, world.who[pid].started

            def memory(self):
                world.when_read.pop(self.pid, int)()
                world.seconds += world.slow_to_read.get(self.pid, 0.0)
                who = world.who.get(self.pid)
                is_other = who is not None and who.started != self.started
                return None if is_other else world.memory.get(self.pid)

            def minor_faults(self):
                return world.who[self.pid].minor_faults

            def reset_peak(self):
                world.resets.append(self.pid)
                return self.pid not in world.refuses

            def close(self):
                pass

        monkeypatch.setattr(procfs, "Process", Process)
        monkeypatch.setattr(procfs, "identity", self.who.get)
        monkeypatch.setattr(procfs, "cpu_seconds", self.cpu.get)
        monkeypatch.setattr(procfs, "last_pid", lambda: self.last_pid)
        monkeypatch.setattr(procfs, "thread_ids", lambda pid: [])
        monkeypatch.setattr(procfs, "proportional_bytes", self.proportional.get)
        monkeypatch.setattr(forks, "borrows", lambda process, _: self.borrows.get(process.pid))
        monkeypatch.setattr(sampler.time, "thread_time", self.thread_time)
        monkeypatch.setattr(tree, "freeze", self.frozen.update)
        monkeypatch.setattr(tree, "thaw", self.frozen.difference_update)
        self.sampler = Sampler(ROOT, NoSegments(), lambda: list(self.who), clock=self.clock)

    def clock(self):
        return self.seconds

    def thread_time(self):
        self.thread_seconds += self.cost
        return self.thread_seconds

    def set(
        self,
        pid,
        anon,
        *,
        file=0,
        high=None,
        image=None,
        parent=1,
        faults=10**6,
        cpu=0.0,
        told=None,
        state="S",
    ):
        high = anon + file if high is None else high
        self.memory[pid] = Memory(high * MIB, anon * MIB, file * MIB, 0, 0)
        self.cpu[pid] = cpu
        self.who[pid] = Identity(
            f"name{pid}", parent, pid, (image or pid, 0), faults, told or ChildUsage(), state
        )
        self.last_pid = str(max(self.who)).encode()

    def end(self, pid):
        del self.memory[pid], self.who[pid], self.cpu[pid]

    def poll(self, seconds=0.01):
        self.seconds += seconds
        return self.sampler.poll()

    def begin(self):
        self.sampler.begin(ChildUsage())

    def findings(self, **usage):
        self.seconds += 0.01
        return self.sampler.end(ChildUsage(**usage))


class NoSegments:
    doubtful_bytes = 0

    def look(self, now, shared_by_pid, *, due):
        return Bracket(0, 0)


@pytest.fixture
def world(monkeypatch):
    world = World(monkeypatch)
    world.set(ROOT, 10)
    return world


class TestDelay:
    def test_a_cheap_reading_is_made_every_five_milliseconds(self, world):
        world.poll()
        assert world.sampler.delay_seconds() == sampler.SHORTEST_SECONDS == 0.005

    def test_a_dearer_one_costs_its_share_of_the_time(self, world):
        world.poll()
        world.sampler._cost = 0.01 * sampler.SHARE
        assert world.sampler.delay_seconds() == pytest.approx(0.01)

    def test_it_is_never_longer_than_a_twentieth_second(self, world):
        for pid in range(11, 11 + sampler.FEW_PROCESSES):
            world.set(pid, 1)
        world.cost = 1.0
        world.poll()
        assert world.sampler.delay_seconds() == sampler.LONGEST_SECONDS == 0.05

    def test_of_few_processes_it_is_shorter(self, world):
        world.cost = 1.0
        world.poll()
        assert world.sampler.delay_seconds() == sampler.LONGEST_OF_FEW_SECONDS

    def test_a_stop_line_is_looked_for_as_far_ahead_as_memory_can_be_touched(self, world):
        world.poll()
        world.sampler.stop_bytes = 10 * MIB + 16_000_000
        assert world.sampler.delay_seconds() == pytest.approx(0.002)

    def test_at_a_stop_line_it_still_sleeps(self, world):
        world.poll()
        world.sampler.stop_bytes = 0
        assert world.sampler.delay_seconds() == sampler.LEAST_SLEEP_SECONDS

    def test_a_far_stop_line_changes_nothing(self, world):
        world.poll()
        world.sampler.stop_bytes = 2**40
        assert world.sampler.delay_seconds() == 0.005

    def test_moving_file_pages_are_read_finer(self, world):
        world.begin()
        world.cost = 0.001
        world.poll()
        assert world.sampler.delay_seconds() > sampler.MOVING_SECONDS
        world.set(ROOT, 10, file=100)
        world.poll()
        assert world.sampler.delay_seconds() == sampler.MOVING_SECONDS

    def test_so_is_a_tree_that_has_changed(self, world):
        world.begin()
        world.cost = 0.001
        world.poll()
        world.set(11, 1)
        world.poll()
        assert world.sampler.delay_seconds() == sampler.MOVING_SECONDS

    def test_a_window_begins_with_a_finer_reading(self, world):
        world.cost = 0.001
        world.begin()
        assert world.sampler.delay_seconds() == sampler.MOVING_SECONDS

    def test_finer_reading_lasts_as_long_as_its_credit(self, world):
        world.begin()
        world.cost = 0.001
        for number in range(200):
            world.set(ROOT, 10, file=100 + 2 * number)
            world.poll()
            world.sampler.delay_seconds()
        assert world.sampler.delay_seconds() > sampler.MOVING_SECONDS

    def test_reading_twins_does_not_put_off_what_is_read_seldom(self, world, monkeypatch):
        def read(pid):
            world.thread_seconds += 1.0
            return 300 * MIB

        monkeypatch.setattr(procfs, "proportional_bytes", read)
        world.set(ROOT, 600, image=7)
        world.set(11, 600, image=7, parent=ROOT)
        world.begin()
        assert world.sampler._slow_due == world.seconds + sampler.SLOW_SECONDS

    def test_what_is_read_seldom_delays_no_reading(self, world, monkeypatch):
        look = world.sampler._look_slowly

        def spend(*args, **options):
            world.thread_seconds += 1.0
            look(*args, **options)

        monkeypatch.setattr(world.sampler, "_look_slowly", spend)
        world.poll()
        assert world.sampler.delay_seconds() == sampler.SHORTEST_SECONDS


class TestWindow:
    def test_it_begins_with_fresh_marks_and_its_base(self, world):
        world.set(ROOT, 10, high=500)
        world.begin()
        assert ROOT in world.resets
        assert world.sampler.base_bytes == 10 * MIB

    def test_marks_that_can_not_be_reset_are_noted(self, world):
        world.refuses = {ROOT}
        world.begin()
        assert "did not let" in world.findings().notes[0]

    @pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE])
    def test_where_files_run_out_the_upper_end_is_all_memory_there_is(self, world, number):
        world.begin()
        world.set(11, 5)
        world.unopened = {11: number}
        world.poll()
        found = world.findings()
        assert found.upper_bytes == machine.most_bytes() > 2**30
        assert found.lower_bytes == 10 * MIB
        (note,) = found.notes
        assert note.startswith("too many open files: ")

    def test_where_no_file_is_left_who_seems_to_have_ended_may_be_there(self, world, monkeypatch):
        world.begin()
        monkeypatch.setattr(machine, "has_files_left", lambda: False)
        world.set(11, 5)
        world.poll()
        (note,) = world.findings().notes
        assert note.startswith("too many open files: ")

    def test_where_the_process_of_the_case_can_not_be_read_nothing_is_sure(self, world):
        world.memory[ROOT] = None
        world.begin()
        found = world.findings()
        assert (found.lower_bytes, found.upper_bytes) == (0, machine.most_bytes())
        (note,) = found.notes
        assert note.startswith("/proc does not tell of the test's process: ")

    def test_one_that_ended_before_it_was_opened_is_not_missing(self, world):
        world.begin()
        world.set(11, 5)
        world.unopened = {11: errno.ENOENT}
        world.poll()
        assert world.findings().notes == ()

    def test_the_mark_of_one_that_has_just_ended_is_not_missed(self, world):
        world.set(11, 5)
        world.poll()
        world.set(11, 5, state="Z")
        world.refuses = {11}
        world.begin()
        assert world.findings().notes == ()

    def test_memory_that_goes_from_one_to_another_while_all_are_read_counts_once(self, world):
        world.set(11, 0)
        world.begin()
        world.set(ROOT, 200)
        world.poll()
        world.set(11, 200)
        world.slow_to_read = {11: 0.05}
        world.poll()
        world.set(ROOT, 10)
        world.slow_to_read = {}
        assert world.findings().lower_bytes == 210 * MIB

    def test_nor_does_it_in_the_base(self, world):
        """The first reading met it twice, and the next one where it stayed."""
        world.set(ROOT, 300)
        world.set(11, 10)
        world.slow_to_read = {11: 0.05}
        world.when_read[11] = lambda: (world.set(ROOT, 10), world.set(11, 300))
        world.begin()
        world.slow_to_read = {}
        assert world.sampler.base_bytes <= 310 * MIB
        assert world.poll() == 310 * MIB
        world.set(ROOT, 110)
        findings = world.findings()
        assert findings.lower_bytes == 410 * MIB
        assert findings.upper_bytes - findings.base_bytes >= 100 * MIB

    def test_the_base_of_two_that_stand_still_is_known_however_long_they_took(self, world):
        world.set(11, 300)
        world.slow_to_read = {11: 0.05}
        world.begin()
        findings = world.findings()
        assert findings.base_bytes == findings.base_upper_bytes == 310 * MIB

    def test_one_that_ended_just_after_may_have_grown_since_its_own_reading(
        self, world, monkeypatch
    ):
        """The reading of another one took a second more."""
        monkeypatch.setattr(PageFaults, "all_bytes", lambda _: None)
        world.set(11, 20)
        world.set(12, 10)
        world.slow_to_read = {12: 1.0}
        world.begin()
        world.slow_to_read = {}
        world.end(11)
        world.poll(0.001)
        assert world.findings(largest_bytes=2000 * MIB).upper_bytes >= 2000 * MIB

    def test_the_time_for_threads_and_files_is_not_that_of_reading_memory(self, world, monkeypatch):
        def take_long():
            world.seconds += 0.05

        monkeypatch.setattr(world.sampler._spill, "read", take_long)
        world.set(11, 0)
        world.begin()
        world.set(ROOT, 100)
        world.set(11, 200)
        world.poll(1.0)
        world.set(ROOT, 10)
        world.set(11, 0)
        assert world.findings().lower_bytes == 300 * MIB

    def test_what_was_before_is_not_in_it(self, world):
        world.set(ROOT, 900, cpu=5.0)
        world.poll()
        world.set(ROOT, 10, cpu=6.0)
        world.begin()
        world.set(ROOT, 30, cpu=8.0)
        found = world.findings()
        assert (found.lower_bytes, found.cpu_seconds) == (30 * MIB, 2.0)

    def test_its_time_ends_before_the_last_reading(self, world):
        world.begin()
        world.seconds += 2.0
        assert world.findings().wall_seconds == pytest.approx(2.01)

    def test_a_burst_has_its_mark_reset(self, world):
        world.begin()
        world.resets.clear()
        world.set(ROOT, 10, high=50)
        world.poll()
        assert world.resets == [ROOT]

    def test_a_mark_that_stands_at_what_is_resident_is_left(self, world):
        world.begin()
        world.resets.clear()
        world.set(ROOT, 60)
        world.poll()
        assert world.resets == []

    def test_processes_are_told_by_name(self, world):
        world.begin()
        world.set(11, 20)
        world.poll()
        found = world.findings()
        assert [(life.name, life.at_peak_bytes // MIB) for life in found.processes] == [
            ("name11", 20),
            ("name10", 10),
        ]


class TestWho:
    def test_a_birth_is_seen_at_the_next_reading(self, world):
        world.begin()
        world.set(11, 20)
        assert world.poll() == 30 * MIB

    def test_without_a_birth_nobody_walks(self, world):
        world.begin()
        world.sampler._members._walk = None
        assert world.poll() == 10 * MIB

    def test_a_dear_walk_is_not_made_at_every_birth(self, world):
        world.begin()
        world.cost = 0.001
        world.set(11, 20)
        world.poll()
        world.set(12, 20)
        assert world.poll(0.04) == 30 * MIB
        assert world.poll(0.1) == 50 * MIB

    @pytest.fixture
    def misses_11(self, world, monkeypatch):
        """The first of two walks: the parent of 11 ended meanwhile, which then hung from another one."""

        def miss():
            walks = iter([[ROOT], [ROOT, 11]])
            monkeypatch.setattr(world.sampler._members, "_walk", lambda: next(walks, [ROOT, 11]))

        return miss

    def test_one_that_a_walk_passed_over_is_met_by_the_next(self, world, misses_11):
        world.begin()
        misses_11()
        world.set(11, 20)
        assert world.poll() == 10 * MIB
        assert world.poll() == 30 * MIB

    def test_so_is_one_that_was_there_before_the_window(self, world, misses_11):
        misses_11()
        world.set(11, 20)
        world.begin()
        assert world.sampler.base_bytes == 30 * MIB

    def test_one_that_ended_is_gone(self, world):
        world.set(11, 20)
        world.begin()
        world.end(11)
        assert world.poll() == 10 * MIB

    def test_a_zombie_is_not_taken_for_a_new_process(self, world):
        world.begin()
        world.set(11, 20, cpu=3.0)
        world.poll()
        del world.memory[11]
        for _ in range(3):
            world.last_pid += b"0"
            world.memory[11] = None
            world.poll()
        del world.memory[11]
        assert world.findings().cpu_seconds == 3.0

    def test_a_pid_that_another_process_has_by_now_is_that_process(self, world):
        world.begin()
        world.set(11, 20, cpu=3.0)
        world.poll()
        kept, world.memory[11] = world.who[11], None
        world.poll()
        world.memory[11] = Memory(5 * MIB, 5 * MIB, 0, 0, 0)
        world.who[11] = kept._replace(started=99)
        world.cpu[11] = 1.0
        world.last_pid = b"11 again"
        assert world.poll() == 15 * MIB
        assert world.findings().cpu_seconds == 4.0

    def test_so_it_is_where_the_end_of_the_one_before_was_not_seen(self, world):
        """A namespace of its own may have few numbers to hand out."""
        world.begin()
        world.set(11, 20, cpu=3.0, image=7)
        world.poll()
        world.set(11, 300, cpu=1.0, image=7)
        world.who[11] = world.who[11]._replace(started=99)
        world.last_pid = b"11 again"
        assert world.poll() == 310 * MIB
        assert world.sampler._tracker.ended[0].peak == 20 * MIB
        assert world.poll() == 310 * MIB
        assert world.findings().cpu_seconds == 4.0

    def test_the_size_when_the_cases_own_process_was_last_alive_is_kept(self, world):
        world.begin()
        world.end(ROOT)
        world.poll()
        assert world.sampler.last_bytes == 10 * MIB


class TestPageFaultsOfTheMachine:
    """What a process touched after its last reading, before it ended, is among them."""

    @pytest.fixture
    def asked(self, world, monkeypatch):
        """How often they were asked for; 3 MiB come from each question to the next."""
        found = []

        def faulted(pages):
            found.append(pages)
            return len(found) * 3 * MIB

        monkeypatch.setattr(PageFaults, "all_bytes", faulted)
        return found

    def test_they_bound_it_from_before_its_last_reading_to_after_its_end(self, world, asked):
        world.set(ROOT, 10)
        world.set(11, 100)
        world.begin()
        world.poll()
        world.end(11)
        world.seconds += 1
        world.poll()
        upper = world.findings(largest_bytes=500 * MIB).upper_bytes
        assert upper == 110 * MIB + 2 * 3 * MIB + 2 * machine.mark_slack_bytes()

    def test_one_process_alone_is_not_worth_the_price(self, world, asked):
        world.set(ROOT, 10)
        world.begin()
        world.poll()
        assert asked == []


class TestTwins:
    @pytest.fixture
    def forked(self, world):
        """One and its fork, which share 600 MiB and were read so."""
        return self.fork(world, 300)

    @pytest.fixture
    def forked_apart(self, world):
        """The same, but together they hold 602 MiB."""
        return self.fork(world, 301)

    @staticmethod
    def fork(world, proportional):
        world.set(ROOT, 600, image=7)
        world.begin()
        world.set(11, 600, image=7, parent=ROOT)
        world.proportional.update({ROOT: proportional * MIB, 11: proportional * MIB})
        world.poll()
        return world

    def test_they_count_by_their_proportional_sizes(self, world):
        world.set(ROOT, 600, image=7)
        world.begin()
        for pid in (11, 12):
            world.set(pid, 600, image=7, parent=ROOT)
        for pid in (ROOT, 11, 12):
            world.proportional[pid] = 201 * MIB
        assert world.poll() == 603 * MIB

    def test_while_they_stand_still_they_are_not_read_again(self, forked_apart):
        forked_apart.proportional.clear()
        assert forked_apart.poll() == 602 * MIB

    def test_once_they_moved_they_are_read_again(self, forked_apart):
        forked_apart.set(11, 600, image=7, parent=ROOT, faults=10**6 + 30_000)
        forked_apart.poll()
        forked_apart.proportional.update({ROOT: 360 * MIB, 11: 360 * MIB})
        assert forked_apart.poll() == 720 * MIB

    @pytest.mark.parametrize(
        "later", [None, Memory(100 * MIB, 100 * MIB, 0, 0, 0)], ids=["ended", "shrank"]
    )
    def test_what_one_gave_up_while_they_were_read_is_not_counted_twice(
        self, world, monkeypatch, later
    ):
        """The last of three that share 600 MiB then holds half of what the second one's share was."""
        world.set(ROOT, 600, image=7)
        world.begin()
        for pid in (11, 12):
            world.set(pid, 600, image=7, parent=ROOT)

        def read(pid):
            if pid == 11:
                world.memory[11] = later
            return {ROOT: 200, 11: 200, 12: 300}[pid] * MIB

        monkeypatch.setattr(procfs, "proportional_bytes", read)
        assert world.poll() == 600 * MIB
        assert world.findings().upper_bytes >= 700 * MIB

    def test_where_one_can_not_be_read_the_largest_stands_for_all(self, world):
        world.set(ROOT, 600, image=7)
        world.begin()
        world.set(11, 610, image=7, parent=ROOT)
        world.proportional[ROOT] = 300 * MIB
        assert world.poll() == 610 * MIB

    def test_one_that_runs_another_program_is_no_twin_any_more(self, world):
        world.set(ROOT, 600, image=7)
        world.begin()
        world.set(11, 600, image=7, parent=ROOT)
        world.poll()
        world.set(11, 5, parent=ROOT)
        world.poll()
        assert world.poll() == 605 * MIB
        assert not any(life.family for life in world.sampler._tracker.lives.values())

    def test_one_that_gives_its_memory_back_as_it_is_read_is_still_one(self, forked):
        """Its end may come between its sizes and its image, of which the kernel tells nothing then."""
        forked.who[11] = forked.who[11]._replace(image=(0, 0))
        forked.proportional[11] = None
        forked.poll()
        assert forked.findings().lower_bytes == 600 * MIB

    def test_one_that_no_walk_has_met_yet_may_keep_what_its_parent_replaced(self, world):
        world.set(ROOT, 600, image=7, faults=1000)
        world.begin()
        world.sampler._scan_due = world.seconds + 0.5
        world.borrows[11] = False
        world.set(11, 600, image=7, parent=ROOT, faults=100)
        world.set(ROOT, 600, image=7, faults=1000 + 25_600)
        world.poll()
        world.poll(1.0)
        assert world.findings().upper_bytes >= 700 * MIB

    def test_nor_do_both_count_in_full_while_it_becomes_one(self, forked):
        """A process that is born meanwhile has all looked at: the parent is then alone with its image."""
        forked.set(11, 5, parent=ROOT)
        forked.set(12, 1, parent=ROOT)
        forked.poll()
        assert forked.findings().upper_bytes < 620 * MIB

    @pytest.mark.parametrize("is_seen", [True, False])
    def test_of_one_that_was_born_as_they_were_read_they_lack_its_share(
        self, forked, monkeypatch, is_seen
    ):
        """It took 200 MiB of them, and is there, or has ended and was waited for."""
        told = {ROOT: 200 * MIB, 11: 200 * MIB}

        def shared_out(pid):
            if is_seen:
                forked.set(12, 600, image=7, parent=ROOT, faults=100)
            who = forked.who[ROOT]
            if not is_seen:
                forked.who[ROOT] = who._replace(children=ChildUsage(minor_faults=100))
            forked.last_pid = b"12"
            return told.get(pid)

        forked.set(11, 601, image=7, parent=ROOT, faults=10**6 + 512)
        forked.poll(1.0)
        monkeypatch.setattr(procfs, "proportional_bytes", shared_out)
        forked.poll(1.0)
        monkeypatch.setattr(procfs, "proportional_bytes", lambda _: None)
        forked.set(11, 701, image=7, parent=ROOT, faults=10**6 + 512 + 25_600)
        forked.memory[ROOT] = forked.memory[11]
        forked.poll()
        assert forked.findings().upper_bytes >= 800 * MIB

    def test_their_number_stays_where_one_is_born_with_a_lower_pid(self, world):
        world.set(ROOT, 600, image=7)
        world.set(11, 600, image=7, parent=ROOT)
        world.proportional.update({ROOT: 300 * MIB, 11: 300 * MIB})
        world.begin()
        world.set(2, 600, image=7, parent=ROOT, faults=0)
        world.last_pid = b"2"
        world.proportional.clear()
        world.poll()
        assert world.findings().upper_bytes < 620 * MIB

    def test_a_child_between_vfork_and_exec_is_its_parent(self, world):
        world.set(ROOT, 600, file=20, image=7)
        world.begin()
        world.set(11, 600, file=20, image=7, parent=ROOT, faults=3)
        world.proportional.update({ROOT: 600 * MIB, 11: 600 * MIB})
        assert world.poll() == 600 * MIB
        assert world.findings().upper_bytes < 602 * MIB

    def test_so_it_is_while_other_threads_of_it_take_memory(self, world):
        world.set(ROOT, 600, file=20, image=7)
        world.begin()
        world.borrows[11] = True
        world.set(11, 664, file=20, image=7, parent=ROOT, faults=3)
        world.proportional.update({ROOT: 600 * MIB, 11: 664 * MIB})
        assert world.poll() == 600 * MIB
        assert world.findings().upper_bytes < 602 * MIB

    def test_a_fork_whose_parent_wrote_to_all_pages_is_not_however_alike(self, world):
        world.set(ROOT, 600, image=7)
        world.begin()
        world.borrows[11] = False
        world.set(11, 600, image=7, parent=ROOT, faults=3)
        world.proportional.update({ROOT: 600 * MIB, 11: 600 * MIB})
        assert world.poll() == 1200 * MIB

    def test_a_true_fork_that_wrote_to_its_pages_is_not(self, world):
        world.set(ROOT, 600, file=20, image=7)
        world.begin()
        world.set(11, 600, file=20, image=7, parent=ROOT, faults=10_000)
        world.proportional.update({ROOT: 580 * MIB, 11: 580 * MIB})
        assert world.poll() == 1160 * MIB


class TestTwinsNearAStopLine:
    """Their sizes are dear to read: meanwhile they could take much more."""

    @pytest.fixture
    def near(self, world, monkeypatch):
        """Two that shared 600 MiB, one of which may have added 100; `seen` is who stood still at each size read."""
        world.set(ROOT, 600, image=7)
        world.begin()
        world.set(11, 600, image=7, parent=ROOT)
        sizes = {ROOT: 300 * MIB, 11: 300 * MIB}
        world.proportional.update(sizes)
        world.poll()
        world.seen = []

        def read(pid):
            world.seen.append(sorted(world.frozen))
            return world.proportional[pid]

        monkeypatch.setattr(procfs, "proportional_bytes", read)
        world.set(11, 600, image=7, parent=ROOT, faults=10**6 + 25_600)
        return world

    def test_they_stand_still_until_it_is_read_that_they_are_within_it(self, near):
        near.sampler.stop_bytes = 650 * MIB
        near.poll()
        assert near.seen == []
        near.proportional[11] = 340 * MIB
        assert near.poll() == 640 * MIB
        assert near.seen == [[ROOT, 11], [ROOT, 11]]
        assert near.frozen == set()

    def test_past_it_they_go_on_only_when_the_line_is_drawn_anew(self, near):
        near.sampler.stop_bytes = 650 * MIB
        near.poll()
        near.proportional[11] = 380 * MIB
        assert near.poll() == 680 * MIB
        assert near.frozen == {ROOT, 11}
        near.sampler.stop_bytes = None
        near.poll()
        assert near.frozen == set()

    def test_far_from_it_nobody_is_disturbed(self, near):
        near.sampler.stop_bytes = 2**40
        near.poll()
        near.poll()
        assert near.seen == [[], []]

    def test_as_near_as_they_can_come_while_they_are_read_they_stand_still_too(self, near):
        near.sampler.stop_bytes = 750 * MIB
        near.poll()
        near.sampler._blind_bytes = 60 * MIB
        near.poll()
        assert near.seen == [[ROOT, 11], [ROOT, 11]]
        assert near.frozen == set()

    def test_one_that_was_stopped_by_the_test_stays_so(self, near):
        near.sampler.stop_bytes = 650 * MIB
        near.poll()
        near.who[11] = near.who[11]._replace(state="T")
        near.poll()
        assert near.seen == [[ROOT], [ROOT]]

    def test_their_line_is_looked_for_from_what_they_may_hold(self, near):
        near.sampler.stop_bytes = 800 * MIB
        near.poll()
        bound = near.sampler._tracker.reach_bytes
        assert bound >= 700 * MIB > near.sampler.footprint_bytes
        ahead = (800 * MIB - bound) / sampler.ALLOCATION_BYTES_PER_SECOND
        assert near.sampler.delay_seconds() == min(0.005, ahead)

    def test_no_sooner_than_they_may_be_read_again(self, near):
        near.sampler.stop_bytes = 650 * MIB
        near.poll()
        near.sampler._urgent_due = near.seconds + 0.003
        assert near.sampler.delay_seconds() == pytest.approx(0.003)


class TestCpu:
    def test_cpu_of_a_process_that_ended_counts(self, world):
        world.begin()
        world.set(11, 1, cpu=2.0)
        world.poll()
        world.end(11)
        world.poll()
        assert world.findings().cpu_seconds == 2.0

    def test_what_it_burnt_after_its_last_reading_is_told_by_the_kernel(self, world):
        world.begin()
        world.set(11, 1, cpu=2.0)
        world.poll()
        world.end(11)
        assert world.findings(cpu_seconds=2.5).cpu_seconds == 2.5

    def test_what_a_child_burnt_before_the_window_does_not_count(self, world):
        world.set(11, 1, cpu=5.0, told=ChildUsage(1.0))
        world.begin()
        world.cpu[11] = 6.0
        world.poll()
        world.end(11)
        assert world.findings(cpu_seconds=7.25).cpu_seconds == 1.25

    def test_what_a_process_burnt_that_ended_before_the_window_does_not_count_when_it_is_waited_for(
        self, world
    ):
        world.set(11, 1, cpu=5.0, told=ChildUsage(1.0), state="Z")
        world.begin()
        world.end(11)
        assert world.findings(cpu_seconds=6.25).cpu_seconds == 0.25

    def test_nor_is_it_left_out_twice_where_it_was_seen_alive(self, world):
        world.set(11, 1, cpu=5.0)
        world.poll()
        world.set(11, 1, cpu=5.0, state="Z")
        world.begin()
        world.end(11)
        assert world.findings(cpu_seconds=5.25).cpu_seconds == 0.25

    def test_nor_is_it_left_out_where_nobody_waits_for_it(self, world):
        world.set(11, 1, cpu=5.0, state="Z")
        world.begin()
        assert world.findings(cpu_seconds=0.25).cpu_seconds == 0.25

    def test_another_process_with_its_number_is_not_it(self, world):
        world.set(11, 1, cpu=5.0, state="Z")
        world.begin()
        world.who[11] = world.who[11]._replace(started=99)
        assert world.findings(cpu_seconds=5.25).cpu_seconds == 0.25

    def test_children_of_a_child_are_told_too(self, world):
        world.set(11, 1, cpu=5.0, told=ChildUsage(1.0))
        world.begin()
        world.set(11, 1, cpu=5.5, told=ChildUsage(3.0))
        assert world.findings().cpu_seconds == 2.5

    def test_those_reaped_by_the_supervisor_count(self, world):
        world.begin()
        world.sampler.adopted(ChildUsage(1.5))
        assert world.findings().cpu_seconds == 1.5

    def test_a_parent_that_ignores_its_children_hides_nothing(self, world):
        world.begin()
        world.set(11, 1, cpu=2.0)
        world.poll()
        world.end(11)
        assert world.findings(cpu_seconds=0.0).cpu_seconds == 2.0

    def test_a_clock_that_went_back_a_tick_is_not_believed(self, world):
        account = Processes()
        world.cpu[ROOT] = 1.0
        account.read([ROOT], opening=True)
        world.cpu[ROOT] = 2.0
        account.read([ROOT], opening=False)
        world.cpu[ROOT] = 1.9
        assert account.read([ROOT], opening=False) == 1.0


SECOND = 10**9


class TestThreads:
    @pytest.fixture
    def times(self, monkeypatch):
        """Times of threads by descriptor, which is the thread's number."""
        times = {}
        monkeypatch.setattr(procfs, "thread_ids", lambda pid: [str(key) for key in times])
        monkeypatch.setattr(procfs, "open_thread", lambda pid, thread: int(thread))
        monkeypatch.setattr(procfs, "thread_times", times.get)
        monkeypatch.setattr("pytest_layers.measure.cpu.os.close", lambda descriptor: None)
        return times

    @pytest.fixture
    def switches(self, monkeypatch):
        """Switches of threads by number; those that are not here have none."""
        switches = {}

        def found(pid, thread):
            return switches.get(int(thread), Switches(0, 0))

        monkeypatch.setattr(procfs, "switches", found)
        return switches

    def test_they_leave_descriptors_for_others(self, times, switches, monkeypatch):
        monkeypatch.setattr(procfs, "most_open_files", lambda: 6)
        threads = Threads()
        times.update({number: ThreadTimes(0, 0) for number in range(5)})
        threads.read([ROOT], opening=True)
        times.update({number: ThreadTimes(SECOND, 0) for number in range(5)})
        threads.read([ROOT], opening=False)
        assert threads.totals().cpu == 3

    def test_those_of_the_opening_count_from_now_on(self, times, switches):
        threads = Threads()
        times[1] = ThreadTimes(SECOND, SECOND)
        threads.read([ROOT], opening=True)
        times[1] = ThreadTimes(3 * SECOND, 2 * SECOND)
        threads.read([ROOT], opening=False)
        assert threads.totals() == (2.0, 1.0, 0.0)

    def test_new_ones_count_from_nothing(self, times, switches):
        threads = Threads()
        threads.read([ROOT], opening=True)
        times[1] = ThreadTimes(3 * SECOND, 2 * SECOND)
        threads.read([ROOT], opening=False)
        assert threads.totals() == (3.0, 2.0, 0.0)

    def test_a_number_that_another_thread_has_by_now_counts_for_both(self, times, switches):
        threads = Threads()
        times[1] = ThreadTimes(3 * SECOND, 0)
        threads.read([ROOT], opening=False)
        times[1] = None
        threads.read([], opening=False)
        times[1] = ThreadTimes(SECOND, 0)
        threads.read([ROOT], opening=False)
        assert threads.totals() == (4.0, 0.0, 0.0)

    def test_sums_stay_when_all_is_closed(self, times, switches):
        threads = Threads()
        times[1] = ThreadTimes(3 * SECOND, SECOND)
        switches[1] = Switches(0, 5)
        threads.read([ROOT], opening=False)
        threads.close()
        assert threads.totals() == (3.0, 1.0, 1.0)

    def test_waiting_is_shared_out_among_the_switches_since_the_last_reading(self, times, switches):
        threads = Threads()
        times[1], switches[1] = ThreadTimes(SECOND, SECOND), Switches(100, 100)
        threads.read([ROOT], opening=True)
        times[1], switches[1] = ThreadTimes(SECOND, 5 * SECOND), Switches(103, 101)
        threads.read([ROOT], opening=False)
        assert threads.totals() == (0.0, 4.0, 1.0)
        times[1], switches[1] = ThreadTimes(SECOND, 7 * SECOND), Switches(103, 102)
        threads.read([ROOT], opening=False)
        assert threads.totals() == (0.0, 6.0, 3.0)

    def test_a_thread_that_hardly_waits_is_not_asked_for_its_switches(self, times, monkeypatch):
        monkeypatch.delattr(procfs, "switches")
        threads = Threads()
        times[1] = ThreadTimes(SECOND, cpu.UNTOLD_WAIT_NANOSECONDS)
        threads.read([ROOT], opening=False)
        assert threads.totals() == (1.0, 0.001, 0.0)

    def test_one_that_ends_as_it_is_asked_keeps_what_it_told(self, times, monkeypatch):
        monkeypatch.setattr(procfs, "switches", lambda pid, thread: None)
        threads = Threads()
        times[1] = ThreadTimes(SECOND, SECOND)
        threads.read([ROOT], opening=False)
        assert threads.totals() == (1.0, 1.0, 0.0)

    def test_a_busy_one_that_ended_tells_how_far_others_were_held_up(self, times, switches):
        threads = Threads()
        times[1], switches[1] = ThreadTimes(2 * SECOND, SECOND), Switches(0, 1)
        times[2], switches[2] = ThreadTimes(SECOND // 2, 5 * SECOND), Switches(0, 1)
        threads.read([ROOT], opening=False)
        times[1] = None
        threads.read([ROOT], opening=False)
        assert threads.totals() == (2.5, 6.0, 6.0)
        assert threads.settled() == (2.5, 6.0, 1.25)


class TestHeldUp:
    @pytest.mark.parametrize(
        ("threads", "seconds"),
        [
            ([], 0.0),
            ([(0.0, 3.0, 3.0)], 0.0),
            ([(2.0, 3.0, 1.0)], 1.0),
            # One that hardly worked was held up no more than the busy one.
            ([(2.0, 3.0, 1.0), (0.01, 4.6, 3.4)], 1.005),
            # Of two busy ones, the one that was held up more tells.
            ([(2.0, 1.0, 1.0), (1.0, 2.0, 2.0), (0.5, 9.0, 9.0)], 4.0),
            # One that worked less than half as much does not.
            ([(2.0, 1.0, 1.0), (0.9, 9.0, 9.0)], 1.45),
            # Nobody held the busy one up.
            ([(2.0, 1.0, 0.0), (0.5, 9.0, 9.0)], 0.0),
        ],
    )
    def test_it_is_that_of_the_busy_ones(self, threads, seconds):
        found = cpu.held_up_seconds([cpu.ThreadSeconds(*spent) for spent in threads])
        assert found == pytest.approx(seconds)


class TestOthers:
    def spent(self, monkeypatch, *busy):
        told = iter(busy)
        monkeypatch.setattr(machine, "busy_seconds", lambda cpus: next(told))
        monkeypatch.setattr(procfs, "cpu_seconds", {ROOT: 1.5}.get)
        account = cpu.Account(frozenset({0}))
        account.processes.read([ROOT], opening=False)
        return account.spent(ROOT, 0.0, 2.0)

    def test_they_took_what_the_tree_did_not(self, monkeypatch):
        assert self.spent(monkeypatch, 100.0, 104.0).others == 2.5

    def test_they_took_no_less_than_nothing(self, monkeypatch):
        assert self.spent(monkeypatch, 100.0, 101.0).others == 0.0

    def test_what_the_machine_beneath_took_may_have_been_waited_for(self, monkeypatch):
        """A stolen core is in neither the CPU seconds nor the waiting of the thread that had it."""
        stolen = iter([7.0, 9.0])
        monkeypatch.setattr(machine, "stolen_seconds", lambda cpus: next(stolen))
        spent = self.spent(monkeypatch, 100.0, 104.0)
        assert (spent.threads.wait, spent.threads.preempted) == (2.0, 0.0)

    @pytest.mark.parametrize(
        ("cpus", "wait"),
        [
            ({1: {0}, 2: {0}, 3: {0, 1}}, 1.02),  # one core for 2 s, less the work of those on it
            ({1: {0}, 2: {1}, 3: {0, 1}}, 2.0),
            ({1: {0, 1}, 2: {0}, 3: {0}}, 2.0),
            ({1: {0}, 2: set(), 3: {0}}, 2.0),  # one has ended: it may have had the other one
        ],
    )
    def test_threads_on_the_same_core_wait_for_each_other(self, monkeypatch, cpus, wait):
        monkeypatch.setattr(machine, "busy_seconds", lambda cpus: 100.0)
        monkeypatch.setattr(machine, "stolen_seconds", lambda cpus: 0.0)
        monkeypatch.setattr(procfs, "cpu_seconds", {ROOT: 1.0}.get)
        monkeypatch.setattr(procfs, "cpus_allowed", lambda thread: frozenset(cpus[thread]))
        times = {1: (490, 1000), 2: (490, 1000), 3: (20, 0)}
        account = cpu.Account(frozenset({0, 1}))
        for number, milliseconds in times.items():
            thread = account.threads._alive[ROOT, str(number)] = cpu._Thread(-1)
            now = ThreadTimes(*(each * 10**6 for each in milliseconds))
            monkeypatch.setattr(procfs, "thread_times", lambda _, now=now: now)
            account.threads._read_one((ROOT, str(number)))
            assert thread.last == now
        account.processes.read([ROOT], opening=False)
        assert account.spent(ROOT, 0.0, 2.0).threads.wait == pytest.approx(wait)

    def test_where_the_cpus_say_nothing_it_is_not_known(self, monkeypatch):
        assert self.spent(monkeypatch, None, None).others is None


@pytest.mark.parametrize("_", range(3))
def test_a_real_child_between_vfork_and_exec_adds_nothing(_):
    """Such a child runs in our own memory: counted as a twin it would double it."""
    libc = ctypes.CDLL(None)
    stack = ctypes.create_string_buffer(MIB)
    top = ctypes.c_void_p((ctypes.addressof(stack) + MIB) & ~0xF)
    flags = 0x100 | 0x4000 | 17  # CLONE_VM | CLONE_VFORK | SIGCHLD
    asleep = ctypes.cast(libc.usleep, ctypes.c_void_p)
    own = os.getpid()
    watcher = Sampler(own, NoSegments(), lambda: [own, *tree.descendants(own)])
    watcher.begin(ChildUsage())
    base, seen = watcher.poll(), []

    def look():
        last = time.monotonic() + 5
        while not seen and time.monotonic() < last:
            footprint = watcher.poll()
            if len(watcher._members.processes) > 1:
                seen.append(footprint)

    thread = threading.Thread(target=look)
    thread.start()
    pid = libc.clone(asleep, top, flags, ctypes.c_void_p(300_000))
    thread.join()
    with suppress(ChildProcessError):
        os.waitpid(pid, 0)
    watcher.close()
    assert abs(seen[0] - base) < 4 * MIB
