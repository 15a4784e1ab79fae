import itertools
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_layers.measure.life import TICK_SECONDS, Reading
from pytest_layers.measure.life import TOUCH_BYTES_PER_SECOND as TOUCHED
from pytest_layers.measure.pagefaults import Faulted
from pytest_layers.measure.procfs import PAGE_BYTES, Memory
from pytest_layers.measure.timeline import MAX_POINTS
from pytest_layers.measure.tracker import (
    MAX_NAMED,
    TORN_SECONDS,
    Tracker,
    tree_upper,
)
from pytest_layers.measure.unseen import MAX_STRETCHES, Accounting, Unseen
from pytest_layers.records import Bracket

MIB = 2**20
SLACK = 0


def exactly(mib):
    return Bracket(mib * MIB, mib * MIB)


def huge(mib, after=None):
    """What page faults brought in huge pages, before a reading and after it; sizes in MiB."""
    return Faulted(mib * MIB), Faulted((mib if after is None else after) * MIB)


def of_any_size(before, after):
    return Faulted(0, before * MIB), Faulted(0, after * MIB)


def reading(pid=1, anon=0, *, high=None, file=0, shared=0, swap=0, cpu=None, faults=0, family=0):
    """One process; sizes in MiB; its mark stands at what is resident unless told."""
    resident = anon + file + shared
    memory = Memory(
        (resident if high is None else high) * MIB, anon * MIB, file * MIB, shared * MIB, swap * MIB
    )
    return Reading(pid, memory, cpu, faults, family)


class Watched:
    """A tracker whose readings come a second apart, of busy processes, with sizes in MiB."""

    def __init__(self, **options):
        self.tracker = Tracker(SLACK, **options)
        self.seconds = 0.0

    def read(self, *readings, segments=0, proportional=None, **options):
        busy = [
            one if one.cpu_seconds is not None else one._replace(cpu_seconds=self.seconds)
            for one in readings
        ]
        self.tracker.observe(
            self.seconds,
            busy,
            segments=segments if isinstance(segments, Bracket) else exactly(segments),
            proportional={key: exactly(size) for key, size in (proportional or {}).items()},
            **options,
        )
        self.seconds += 1.0
        return self

    def reset(self, pid=1, high=0):
        life = self.tracker.lives[pid]
        sizes = life.anon - life.swap, life.file, life.shared, life.swap
        marked = Memory(high * MIB or life.high_water, *sizes)
        self.tracker.reset(pid, marked, marked._replace(high_water=marked.resident))
        return self

    def bracket(self, *, largest=10**6, touched=10**6):
        """Lower and upper bound once the kernel's accounting is known."""
        upper = tree_upper(
            self.tracker, largest_bytes=largest * MIB, child_faults=touched * MIB // PAGE_BYTES
        )
        return self.tracker.lower_bytes / MIB, upper / MIB


@pytest.fixture
def watched():
    return Watched()


class TestOneProcess:
    def test_what_it_holds_is_known_exactly(self, watched):
        watched.read(reading(anon=10)).read(reading(anon=210)).read(reading(anon=10, high=210))
        assert watched.bracket() == (210, 210)

    def test_the_base_is_what_it_held_at_the_first_reading(self, watched):
        watched.read(reading(anon=10, file=5), segments=3).read(reading(anon=20))
        assert watched.tracker.base_bytes == 13 * MIB

    def test_shared_memory_that_was_there_before_is_not_its_own_though_it_maps_it(self, watched):
        watched.read(reading(anon=10)).read(reading(anon=10, shared=200))
        assert watched.bracket()[0] == 10

    def test_of_its_own_it_is_known_exactly(self, watched):
        watched.read(reading(anon=10, shared=200), segments=200)
        watched.read(reading(anon=10, shared=200, high=260), segments=200)
        assert watched.bracket() == (260, 260)

    def test_segments_are_no_surer_than_they_were_read(self, watched):
        watched.read(reading(anon=10)).read(reading(anon=10), segments=Bracket(20 * MIB, 90 * MIB))
        assert watched.bracket() == (30, 100)

    def test_a_burst_of_huge_pages_after_a_reading_is_not_lost_with_the_reset_of_its_mark(self):
        tracker = Tracker(SLACK)
        tracker.observe(0.0, [reading(anon=100, file=20, cpu=1.0, faults=1000)])
        moved = reading(anon=100, file=22, cpu=1.0, faults=1512)
        tracker.observe(0.02, [moved], faulted=huge(0, 200))
        burst = reading(anon=100, high=322, file=22).memory
        tracker.reset(1, burst, burst._replace(high_water=122 * MIB))
        tracker.observe(0.04, [moved._replace(faults=1612)], faulted=huge(200))
        assert tracker.upper_bytes >= 300 * MIB

    def test_a_burst_between_two_readings_is_known_from_the_mark(self, watched):
        watched.read(reading(anon=10)).read(reading(anon=10, high=210))
        assert watched.bracket() == (210, 210)

    def test_but_for_what_may_be_the_file_that_it_maps_again_and_again(self, watched):
        """Where it came and left between two readings, the mark alone can't tell it from anonymous memory."""
        watched.read(reading(anon=10)).read(reading(anon=10, high=90)).reset()
        assert watched.bracket() == (90, 90)
        watched.read(reading(anon=20, file=64)).reset()
        assert watched.bracket() == (26, 90)
        watched.read(reading(anon=10, high=90))
        assert watched.bracket() == (26, 90)

    def test_a_burst_counts_once_after_the_mark_was_reset(self, watched):
        watched.read(reading(anon=10)).read(reading(anon=10, high=50)).reset()
        watched.read(reading(anon=30))
        assert watched.bracket() == (50, 50)

    def test_a_burst_between_a_reading_and_its_reset_is_not_lost(self, watched):
        watched.read(reading(anon=10)).reset(high=60).read(reading(anon=10))
        assert watched.bracket() == (60, 60)

    def test_file_pages_that_came_before_a_reset_are_not_taken_for_a_burst(self, watched):
        watched.read(reading(anon=10, file=100))
        watched.tracker.reset(
            1, reading(anon=10, file=130).memory, reading(anon=10, file=130).memory
        )
        watched.read(reading(anon=10, file=0, high=140))
        assert watched.bracket() == (10, 140)

    def test_file_pages_that_stand_still_are_left_out_of_both_bounds(self, watched):
        watched.read(reading(anon=10, file=400)).read(reading(anon=10, file=400, high=500))
        assert watched.bracket() == (100, 100)

    def test_file_pages_that_come_widen_the_bracket_by_what_they_can_hide(self, watched):
        watched.read(reading(anon=10)).read(reading(anon=10, file=400))
        assert watched.bracket() == (10, 410)

    def test_where_page_faults_are_not_told_file_pages_hide_what_its_cpu_seconds_can_have_touched(
        self,
    ):
        tracker = Tracker(SLACK)
        tracker.observe(0.0, [reading(anon=10, cpu=5.0)])
        tracker.observe(0.001, [reading(anon=10, file=400, cpu=5.001)])
        assert tracker.upper_bytes == pytest.approx(10 * MIB + (0.001 + TICK_SECONDS) * TOUCHED)

    def test_those_of_several_threads_are_more_than_the_time(self):
        tracker = Tracker(SLACK)
        tracker.observe(0.0, [reading(anon=10, cpu=5.0)])
        tracker.observe(0.005, [reading(anon=10, file=400, cpu=5.01)])
        assert tracker.upper_bytes == pytest.approx(10 * MIB + (0.01 + TICK_SECONDS) * TOUCHED)

    def test_page_faults_that_came_faster_than_one_core_touches_4_kib_pages_can_hide_all_they_brought(
        self,
    ):
        tracker = Tracker(SLACK)
        tracker.observe(0.0, [reading(anon=10, cpu=5.0, faults=1000)])
        came = reading(anon=10, file=400, cpu=5.005, faults=1050)
        tracker.observe(0.005, [came], faulted=huge(100))
        assert tracker.upper_bytes == 110 * MIB + 50 * PAGE_BYTES

    def test_no_more_is_hidden_than_page_faults_brought(self):
        tracker = Tracker(SLACK)
        tracker.observe(0.0, [reading(anon=10, file=400, cpu=0.0, faults=1000)], faulted=huge(64))
        came = reading(anon=10, file=420, cpu=5.0, faults=1010)
        tracker.observe(5.0, [came], faulted=huge(66))
        assert tracker.upper_bytes == 10 * MIB + 10 * PAGE_BYTES + 2 * MIB

    def test_what_page_faults_brought_is_not_hidden_once_it_is_seen(self):
        tracker = Tracker(SLACK)
        tracker.observe(0.0, [reading(anon=10, file=400, cpu=0.0, faults=1000)])
        tracker.observe(5.0, [reading(anon=50, file=420, cpu=5.0, faults=1000 + 41 * 256)])
        assert tracker.upper_bytes == 51 * MIB

    def test_file_pages_that_came_and_left_are_no_burst(self):
        tracker = Tracker(SLACK)
        tracker.observe(0.0, [reading(anon=10, file=400, cpu=0.0, faults=1000)])
        tracker.observe(5.0, [reading(anon=10, high=420, file=400, cpu=5.0, faults=1010)])
        assert tracker.lower_bytes == tracker.upper_bytes == 10 * MIB + 10 * PAGE_BYTES

    def test_a_burst_that_page_faults_brought_is_one(self):
        tracker = Tracker(SLACK)
        tracker.observe(0.0, [reading(anon=10, cpu=0.0, faults=1000)])
        tracker.observe(5.0, [reading(anon=10, high=20, cpu=5.0, faults=1005)], faulted=huge(10))
        assert (tracker.lower_bytes, tracker.upper_bytes) == (20 * MIB, 20 * MIB)

    def test_a_fork_has_pages_that_no_fault_brought(self):
        tracker = Tracker(SLACK)
        tracker.observe(0.0, [reading(1, anon=10, cpu=0.0, faults=1000)])
        fork = reading(2, anon=5, high=10, cpu=0.0, faults=1)
        tracker.observe(5.0, [reading(1, anon=10, cpu=5.0, faults=1000), fork])
        assert tracker.upper_bytes == 20 * MIB

    def test_file_pages_are_told_apart(self, watched):
        watched.read(reading(anon=10, file=400)).read(reading(anon=10))
        assert watched.tracker.file_bytes == 400 * MIB

    def test_swapped_pages_count(self, watched):
        watched.read(reading(anon=10)).read(reading(anon=110)).read(
            reading(anon=10, high=110, swap=100)
        )
        assert watched.bracket()[0] == 110

    def test_pages_that_went_to_swap_are_not_taken_for_a_burst(self, watched):
        watched.read(reading(anon=100)).read(reading(anon=50, high=100, swap=50))
        assert watched.bracket() == (100, 150)

    def test_marks_that_could_not_be_reset_say_nothing_for_the_lower_bound(self):
        watched = Watched(marks_hold=False).read(reading(anon=10, high=300))
        assert watched.bracket() == (10, 300)

    def test_the_slack_of_the_mark_is_in_the_upper_bound_alone(self):
        tracker = Tracker(MIB)
        tracker.observe(0.0, [reading(anon=10, cpu=0)])
        assert (tracker.lower_bytes, tracker.upper_bytes) == (10 * MIB, 11 * MIB)

    def test_the_time_of_the_peak_is_that_of_its_reading(self, watched):
        watched.read(reading(anon=10)).read(reading(anon=30)).read(reading(anon=20, high=30))
        assert watched.tracker.peak_seconds == 1.0


class TestSharedMemory:
    def test_a_mapped_segment_counts_once(self, watched):
        watched.read(reading(anon=10)).read(reading(anon=10, shared=100), segments=100)
        assert watched.bracket()[0] == 110

    def test_one_segment_in_two_processes_counts_once(self, watched):
        both = [reading(1, anon=10, shared=100), reading(2, anon=10, shared=100)]
        watched.read(*both, segments=100)
        assert watched.bracket() == (120, 120)

    def test_a_segment_that_nobody_maps_counts(self, watched):
        watched.read(reading(anon=10), segments=100)
        assert watched.bracket() == (110, 110)

    def test_one_that_is_mapped_between_two_readings_is_not_told_from_a_burst(self, watched):
        """Mapped for some milliseconds again and again, it may be all that the mark tells of."""
        watched.read(reading(anon=10), segments=100)
        watched.read(reading(anon=10, high=90), segments=100)
        assert watched.bracket() == (110, 190)

    def test_a_burst_that_is_more_than_it_is_known_at_least(self, watched):
        watched.read(reading(anon=10), segments=100)
        watched.read(reading(anon=10, high=310), segments=100)
        assert watched.bracket() == (310, 410)

    def test_a_file_made_after_a_burst_is_not_added_to_it(self, watched):
        watched.read(reading(anon=10)).read(reading(anon=10, high=110), segments=100)
        assert watched.bracket() == (110, 210)

    def test_a_file_removed_after_a_burst_may_have_been_there_with_it(self, watched):
        watched.read(reading(anon=10), segments=100).read(reading(anon=10, high=60))
        assert watched.bracket() == (110, 160)

    def test_a_file_that_is_mapped_later_counts_beside_a_burst_before(self, watched):
        watched.read(reading(), segments=100).read(reading(shared=100, high=100), segments=100)
        assert watched.bracket() == (100, 200)

    def test_a_segment_given_back_long_ago_is_not_added_to_a_later_peak(self, watched):
        watched.read(reading(anon=10)).read(reading(anon=10, shared=100), segments=100).reset()
        watched.read(reading(anon=10, high=110)).reset().read(reading(anon=150))
        assert watched.bracket()[0] == 150
        assert watched.bracket()[1] <= 210

    def test_what_appeared_is_in_the_upper_bound_once(self, watched):
        watched.read(reading(anon=10), doubtful_bytes=50 * MIB)
        watched.read(reading(anon=10), segments=Bracket(0, 300 * MIB), doubtful_bytes=50 * MIB)
        watched.read(reading(anon=10), doubtful_bytes=350 * MIB)
        assert watched.bracket() == (10, 310)
        watched.read(reading(anon=10), segments=300, doubtful_bytes=50 * MIB)
        assert watched.bracket() == (310, 310)

    def test_what_appeared_and_went_is_in_it_too(self, watched):
        watched.read(reading(anon=10)).read(reading(anon=10), doubtful_bytes=300 * MIB)
        watched.read(reading(anon=10, high=60))
        assert watched.bracket() == (60, 360)

    def test_the_largest_shared_memory_is_told(self, watched):
        watched.read(reading(), segments=30).read(reading(), segments=10)
        assert watched.tracker.shared_bytes == 30 * MIB


class TestSeveralProcesses:
    def test_what_they_hold_at_once_is_added(self, watched):
        watched.read(reading(1, 10)).read(reading(1, 10), reading(2, 200), reading(3, 200))
        assert watched.bracket() == (410, 410)

    def test_what_they_hold_one_after_the_other_is_not(self, watched):
        watched.read(reading(1, 10)).read(reading(1, 10), reading(2, 200))
        watched.read(reading(1, 10)).read(reading(1, 10), reading(3, 200)).read(reading(1, 10))
        assert watched.bracket(largest=200) == (210, 210)

    def test_what_one_handed_to_another_while_all_were_read_does_not_count_twice(self, watched):
        watched.read(reading(1, 210), reading(2, 10))
        watched.read(reading(1, 210), reading(2, 210), reading_seconds=2 * TORN_SECONDS)
        assert watched.bracket()[0] == 220
        assert watched.tracker.footprint_bytes == 220 * MIB

    def test_nor_what_went_from_one_into_a_segment(self, watched):
        watched.read(reading(1, 210)).read(
            reading(1, 210), segments=200, reading_seconds=2 * TORN_SECONDS
        )
        assert watched.bracket()[0] == 210

    def test_what_both_hold_counts_at_the_next_reading_though_that_took_long_too(self, watched):
        watched.read(reading(1, 210), reading(2, 10))
        for _ in range(2):
            watched.read(reading(1, 210), reading(2, 210), reading_seconds=2 * TORN_SECONDS)
        assert watched.bracket()[0] == 420

    @pytest.mark.parametrize(
        ("one", "other"), [(reading(1, 210), ()), (reading(1, 210, family=7), reading(2, 10))]
    )
    def test_the_first_reading_counts_however_long_it_took(self, watched, one, other):
        readings = [one, *([other] if other else [])]
        watched.read(*readings, reading_seconds=2 * TORN_SECONDS)
        assert watched.tracker.base_bytes == (210 if not other else 220) * MIB

    def test_a_child_that_ended_may_have_grown_to_the_largest_child_that_is_told(self, watched):
        watched.read(reading(1, 10)).read(reading(1, 10), reading(2, 100)).read(reading(1, 10))
        assert watched.bracket(largest=150) == (110, 160)

    def test_a_child_that_ended_can_have_grown_by_no_more_than_all_cores_touch_in_the_time(self):
        tracker = Tracker(SLACK, cores=3)
        tracker.observe(0.0, [reading(1, 10, cpu=0), reading(2, 100, cpu=0)])
        tracker.observe(0.005, [reading(1, 10, cpu=0)])
        upper = tree_upper(tracker, largest_bytes=2**40, child_faults=0)
        assert upper == 110 * MIB + int(0.015 * TOUCHED)

    def test_nor_by_more_than_page_faults_of_the_machine_brought_since_before_its_last_reading(
        self,
    ):
        tracker, own = Tracker(SLACK), reading(1, 10, cpu=0)
        tracker.observe(0.1, [own, reading(2, 100, cpu=0)], faulted=of_any_size(500, 503))
        tracker.observe(0.2, [own], faulted=of_any_size(506, 507))
        assert tree_upper(tracker, largest_bytes=2**40, child_faults=0) == 117 * MIB

    @pytest.mark.parametrize(
        ("told", "grown"),
        [
            pytest.param(500, 0, id="all were read"),
            pytest.param(756, 256 * PAGE_BYTES, id="some were not"),
            pytest.param(10**9, int(0.005 * TOUCHED), id="no more than time allows"),
            pytest.param(499, int(0.005 * TOUCHED), id="those of another alone are told"),
            pytest.param(0, int(0.005 * TOUCHED), id="none are told"),
        ],
    )
    def test_a_child_of_one_that_lives_on_grew_by_page_faults_that_were_not_read(self, told, grown):
        tracker, server = Tracker(SLACK), reading(7, 10, cpu=0)
        child = reading(2, 100, cpu=0, faults=500)._replace(parent=7)
        tracker.observe(0.0, [server, child])
        tracker.observe(0.005, [server])
        upper = tree_upper(tracker, largest_bytes=0, child_faults=told, faults_by_parent={7: told})
        assert upper == 110 * MIB + grown

    def test_a_twin_that_nobody_waited_for_grew_by_no_more_than_time_allows(self):
        tracker = Tracker(SLACK)
        one, twin = (reading(pid, 100, cpu=0, faults=500, family=7) for pid in (1, 2))
        tracker.observe(0.0, [one, twin], proportional={7: exactly(100)})
        tracker.observe(0.005, [one])
        waited, not_waited = (
            tree_upper(tracker, largest_bytes=2**40, child_faults=told) for told in (500, 0)
        )
        assert not_waited == waited + int(0.005 * TOUCHED)

    def test_a_process_that_runs_another_program_counts_with_what_it_held_before(self, watched):
        watched.read(reading(1, 10), reading(2, 100)).read(reading(1, 10), reading(2, 5))
        watched.read(reading(1, 10), reading(2, 8))
        assert watched.bracket(largest=100) == (110, 115)

    def test_file_pages_that_go_while_the_mark_is_reset_are_not_another_program(self, watched):
        watched.read(reading(anon=10, file=400))
        before, after = reading(anon=10, file=300), reading(anon=10, file=200)
        watched.tracker.reset(1, before.memory, after.memory)
        watched.read(reading(anon=10, high=210))
        assert watched.tracker.ended == []

    def test_bursts_of_two_may_have_met(self, watched):
        watched.read(reading(1, 10), reading(2, 10))
        watched.read(reading(1, 10, high=60), reading(2, 10, high=60))
        assert watched.bracket() == (20, 120)

    def test_a_first_reading_bounds_what_file_pages_may_hide(self, watched):
        watched.read(reading(1, 10)).read(reading(1, 10), reading(2, 5, file=30))
        assert watched.bracket() == (15, 45)

    def test_a_first_reading_counts_the_faults_of_all_its_life(self, watched):
        watched.read(reading(1, 10)).read(reading(1, 10), reading(2, 5, file=30, faults=1024))
        assert watched.bracket() == (15, 19)

    def test_each_process_tells_what_it_held_at_the_peak(self, watched):
        watched.read(reading(1, 10), reading(2, 50)).read(reading(1, 30), reading(2, 100))
        watched.read(reading(1, 90, high=90))
        lives = [*watched.tracker.lives.values(), *watched.tracker.ended]
        assert {life.pid: (life.peak // MIB, life.at_peak // MIB) for life in lives} == {
            1: (90, 30),
            2: (100, 100),
        }

    def test_an_ended_process_holds_nothing_at_a_later_peak(self, watched):
        watched.read(reading(1, 10), reading(2, 50)).read(reading(1, 10)).read(reading(1, 90))
        assert watched.tracker.ended[0].at_peak == 0

    def test_of_thousands_that_ended_only_the_largest_are_kept(self, watched):
        watched.read(reading(1, 10))
        for pid in range(2, 2002):
            watched.read(reading(1, 10), reading(pid, pid % 100))
        assert len(watched.tracker.ended) == MAX_NAMED
        assert {life.peak for life in watched.tracker.ended} <= {99 * MIB, 98 * MIB}
        assert len(watched.tracker.unseen.stretches) <= MAX_STRETCHES

    def test_cpu_counts_from_the_opening_of_the_window(self, watched):
        watched.read(reading(1, cpu=5.0)).read(reading(1, cpu=7.0), reading(2, cpu=0.5))
        lives = watched.tracker.lives
        assert lives[1].cpu_seconds - lives[1].first_cpu_seconds == 2.0
        assert lives[2].cpu_seconds - lives[2].first_cpu_seconds == 0.5


class TestTwins:
    def test_pages_shared_since_a_fork_count_by_their_proportional_size(self, watched):
        watched.read(reading(1, 600))
        watched.read(*(reading(pid, 600, family=1) for pid in (1, 2, 3)), proportional={1: 605})
        assert watched.bracket() == (605, 605)

    def test_what_a_mark_rose_to_before_its_reset_is_of_the_next_reading_alone(self, watched):
        watched.read(reading(anon=100)).reset(high=520).read(reading(anon=100))
        watched.read(reading(anon=100), segments=500).read(reading(anon=100), segments=500)
        assert watched.bracket()[0] == 600

    def test_without_a_proportional_size_only_the_largest_twin_is_sure(self, watched):
        watched.read(reading(1, 600, family=1), reading(2, 610, family=1))
        assert watched.bracket() == (610, 1210)

    def test_where_they_could_not_be_read_at_first_growth_counts_from_the_sum_of_them(
        self, watched
    ):
        forks = [reading(pid, 600, family=7) for pid in (1, 2, 3, 4)]
        watched.read(*forks).read(*forks, proportional={7: 2400})
        assert watched.tracker.base_bytes == 600 * MIB
        assert watched.tracker.base_upper_bytes == watched.tracker.lower_bytes == 2400 * MIB

    def test_one_that_ended_while_it_was_read_has_lost_no_page_faults(self, watched):
        one, other = (reading(pid, 600, faults=160_000, family=7) for pid in (1, 2))
        watched.read(one, other, proportional={7: 620}).read(one, other._replace(faults=0))
        assert watched.bracket(touched=0)[0] == 620

    def test_since_the_last_proportional_size_they_added_what_they_faulted(self, watched):
        twins = [reading(pid, 600, family=1, faults=1000) for pid in (1, 2)]
        written = reading(2, 600, family=1, faults=1000 + 256)
        watched.read(*twins, proportional={1: 600}).read(twins[0], written)
        assert watched.bracket() == (600, 601)

    def test_a_burst_of_a_twin_is_added_to_the_last_proportional_size(self, watched):
        twins = [reading(pid, 600, family=1) for pid in (1, 2)]
        watched.read(*twins, proportional={1: 600})
        watched.read(twins[0], reading(2, 600, high=650, family=1))
        assert watched.bracket() == (600, 650)

    def test_a_twin_that_ended_may_have_written_to_shared_pages(self, watched):
        twins = [reading(pid, 600, family=1) for pid in (1, 2)]
        watched.read(*twins, proportional={1: 600}).read(twins[0])
        assert watched.bracket(largest=600, touched=0) == (600, 600)
        assert watched.bracket(largest=600, touched=70) == (600, 670)

    def test_a_fork_of_one_that_was_alone_adds_what_both_touched(self, watched):
        watched.read(reading(1, 600, faults=1000))
        forked = reading(2, 590, family=1, faults=512)._replace(parent=1)
        watched.read(reading(1, 600, family=1, faults=1256), forked)
        assert watched.bracket(touched=0) == (600, 603)

    def test_of_one_that_was_there_unread_it_may_have_all_that_the_other_replaced(self, watched):
        watched.read(reading(1, 600, faults=1000))
        watched.read(reading(1, 600, faults=1000 + 25_600), all_met=False)
        forked = reading(2, 600, family=1, faults=256)._replace(parent=1)
        watched.read(reading(1, 600, family=1, faults=1000 + 25_600), forked)
        assert watched.bracket(touched=0) == (600, 701)

    @pytest.mark.parametrize(
        "first",
        [
            pytest.param([reading(1, 600, faults=1000), reading(9, 5)], id="another's"),
            pytest.param([reading(1, 600)], id="page faults are not told"),
            pytest.param(
                [reading(pid, 600, family=1, faults=1000) for pid in (1, 3)], id="not alone"
            ),
        ],
    )
    def test_else_it_may_add_all_that_it_has(self, watched, first):
        parent = 1 if len(first) == 1 or first[1].family else 9
        watched.read(*first)
        forked = reading(2, 590, family=1, faults=512)._replace(parent=parent)
        others = [one for one in first[1:] if not one.family]
        watched.read(reading(1, 600, family=1, faults=1256), forked, *others)
        assert watched.bracket(touched=0)[1] >= 1190

    def test_also_in_huge_pages(self, watched):
        """Of which each is one page fault, of those that the kernel tells of waited children."""
        twins = [reading(pid, 600, family=1) for pid in (1, 2)]
        watched.read(*twins, proportional={1: 600}, faulted=huge(0))
        watched.read(twins[0], faulted=huge(200))
        assert watched.bracket(largest=600, touched=0) == (600, 800)

    def test_what_two_took_in_huge_pages_before_they_were_first_read_counts(self, watched):
        twins = [reading(pid, 600, family=1) for pid in (1, 2)]
        watched.read(*twins, proportional={1: 600}, faulted=huge(0))
        born = [reading(pid, 800, family=1) for pid in (3, 4)]
        watched.read(*twins, *born, faulted=huge(400)).read(*twins, *born, faulted=huge(500))
        assert watched.bracket(largest=800) == (800, 1000)

    def test_what_an_ended_twin_added_may_live_on_in_one_forked_from_it(self, watched):
        watched.read(*(reading(pid, 10, family=1) for pid in (1, 2)), proportional={1: 10})
        watched.read(reading(1, 10, family=1), reading(3, 40, family=1))
        watched.read(reading(1, 10, family=1), reading(3, 40, family=1))
        assert watched.bracket(largest=10, touched=0)[1] == 10
        assert watched.bracket(largest=10, touched=30)[1] == 40

    def test_a_first_proportional_size_says_nothing_of_a_twin_that_ended_before_it(self, watched):
        twins = [reading(pid, 10, family=1) for pid in (1, 2)]
        watched.read(*twins, reading(3, 100, family=1)).read(*twins, proportional={1: 10})
        assert watched.bracket(largest=100, touched=0) == (100, 120)

    def test_unread_twins_hold_what_they_held_less_what_they_may_have_lost(self, watched):
        twins = [reading(pid, 100, family=1) for pid in (1, 2)]
        watched.read(*twins, proportional={1: 200})
        watched.read(reading(1, 100, family=1), reading(2, 90, high=100, family=1, faults=256))
        assert watched.tracker.footprint_bytes == 189 * MIB

    def test_a_proportional_size_is_stale_where_pages_were_touched_or_freed_or_twins_are_new(
        self, watched
    ):
        twins = [reading(pid, 100, family=1) for pid in (1, 2)]
        watched.read(*twins)
        assert watched.tracker.has_stale_families()
        watched.read(*twins, proportional={1: 100})
        assert not watched.tracker.has_stale_families()
        for changed in (
            [twins[0], reading(2, 100, family=1, faults=257)],
            [twins[0], reading(2, 98, high=100, family=1)],
            [*twins, reading(3, 100, family=1)],
        ):
            watched.read(*changed)
            assert watched.tracker.has_stale_families()
            watched.read(*twins, proportional={1: 100})

    def test_a_twin_that_runs_another_program_is_not_added_to_its_parent(self, watched):
        twins = [reading(pid, 600, family=1) for pid in (1, 2)]
        watched.read(*twins, proportional={1: 600}).read(twins[0], reading(2, 5))
        assert watched.bracket(largest=600, touched=0) == (605, 605)


class TestTimeline:
    def test_every_reading_is_a_point(self, watched):
        watched.read(reading(anon=10)).read(reading(anon=30))
        points = [
            (point.seconds, point.footprint_bytes // MIB)
            for point in watched.tracker.timeline.points()
        ]
        assert points == [(0.0, 10), (1.0, 30)]

    @pytest.mark.parametrize("peak", [0, 1, 398, 399, 400, 401, 800, 2998, 2999])
    def test_a_long_one_is_thinned_and_keeps_its_peak(self, watched, peak):
        for number in range(3000):
            watched.read(reading(anon=500 if number == peak else 10)).reset()
        points = watched.tracker.timeline.points()
        assert len(points) <= MAX_POINTS
        assert max((p.footprint_bytes // MIB, p.seconds) for p in points) == (500, peak)
        assert [p.seconds for p in points] == sorted(p.seconds for p in points)

    def test_the_longest_time_without_a_reading_is_told(self):
        tracker = Tracker(SLACK)
        for seconds in (0.0, 0.1, 0.4, 0.5):
            tracker.observe(seconds, [reading(cpu=0)])
        assert tracker.longest_gap_seconds == pytest.approx(0.3)


UNIT = 2 * MIB
FAULTS = UNIT // PAGE_BYTES


@dataclass
class Simulated:
    """A process as the kernel sees it, in units of 2 MiB."""

    image: int
    anon: set = field(default_factory=set)
    shared: set = field(default_factory=set)
    """Names of the segments that it maps."""
    file: int = 0
    high: int = 0
    read_high: int | None = None
    """The mark when it was read last; None where it was not yet."""
    faults: int = 0
    read_faults: int = 0
    moves: dict = field(default_factory=dict)
    """Which way file and shared pages go until the next reading: one way only."""


class World:
    """Processes whose true footprint is known at every time, and a tracker that reads them now and then."""

    def __init__(self):
        self.numbers = itertools.count(1)
        self.processes = {next(self.numbers): Simulated(image=0)}
        self.segments = {}
        self.segments_move = 0
        self.largest = self.child_faults = self.seconds = 0
        self.tracker = Tracker(SLACK)
        self.peak = 0
        self.stretches = []
        """Of every stretch between two readings: its true peak, its bounds, and what waits for accounting."""
        self.read(0, 0)

    @property
    def footprint(self):
        pages = set().union(*(process.anon for process in self.processes.values()))
        return len(pages) + sum(self.segments.values())

    def resident(self, process):
        return len(process.anon) + process.file + self.mapped(process)

    def mapped(self, process):
        return sum(self.segments[name] for name in process.shared)

    def note(self):
        """After every step: marks and the true peak."""
        for process in self.processes.values():
            process.high = max(process.high, self.resident(process))
        self.peak = max(self.peak, self.footprint)

    def note_only(self, pid, amount):
        pass

    def do(self, step, who, amount):
        pid = list(self.processes)[who % len(self.processes)]
        getattr(self, step)(pid, amount)
        self.note()

    def may_move(self, process, what, way):
        return process.moves.setdefault(what, way) == way

    def allocate(self, pid, amount):
        process = self.processes[pid]
        process.anon |= {next(self.numbers) for _ in range(amount)}
        process.faults += amount * FAULTS

    def free(self, pid, amount):
        process = self.processes[pid]
        process.anon -= set(sorted(process.anon)[:amount])

    def write(self, pid, amount):
        """To pages that may be shared since a fork: those are copied."""
        process = self.processes[pid]
        others = [p.anon for key, p in self.processes.items() if key != pid]
        for page in sorted(process.anon, reverse=True)[:amount]:
            if any(page in other for other in others):
                process.anon.remove(page)
                process.anon.add(next(self.numbers))
                process.faults += FAULTS

    def map_file(self, pid, amount):
        if self.may_move(self.processes[pid], "file", 1):
            self.processes[pid].file += amount

    def unmap_file(self, pid, amount):
        process = self.processes[pid]
        if self.may_move(process, "file", -1):
            process.file = max(0, process.file - amount)

    def share(self, pid, amount):
        """A new segment."""
        process = self.processes[pid]
        if self.segments_move >= 0 and self.may_move(process, "shared", 1):
            self.segments_move = 1
            name = next(self.numbers)
            self.segments[name] = amount
            process.shared.add(name)

    def attach(self, pid, amount):
        process = self.processes[pid]
        if self.segments and self.may_move(process, "shared", 1):
            process.shared.add(list(self.segments)[amount % len(self.segments)])

    def detach(self, pid, amount):
        process = self.processes[pid]
        if process.shared and self.may_move(process, "shared", -1):
            process.shared.remove(min(process.shared))

    def unlink(self, pid, amount):
        free = [n for n in self.segments if not any(n in p.shared for p in self.processes.values())]
        if free and self.segments_move <= 0:
            self.segments_move = -1
            del self.segments[free[0]]

    def fork(self, pid, amount):
        process = self.processes[pid]
        if len(self.processes) < 5:
            self.processes[next(self.numbers)] = Simulated(
                process.image, set(process.anon), set(process.shared), high=0
            )

    def execute(self, pid, amount):
        """It goes on as another program; what it held more than was read would be lost to everybody."""
        process = self.processes[pid]
        if pid != 1 and (process.high, process.faults) == (process.read_high, process.read_faults):
            self.largest = max(self.largest, process.high)
            process.image = next(self.numbers)
            process.anon, process.shared, process.file, process.high = set(), set(), 0, 0
            process.read_high = None
            process.moves = {}

    def leave(self, pid, amount):
        """It ends; one that was never read would be lost to everybody."""
        process = self.processes[pid]
        if pid != 1 and process.read_high is not None:
            self.largest = max(self.largest, process.high)
            self.child_faults += process.faults
            del self.processes[pid]

    def memory(self, process):
        sizes = (process.high, len(process.anon), process.file, self.mapped(process))
        return Memory(*(size * UNIT for size in sizes), 0)

    def reading(self, pid, families):
        process = self.processes[pid]
        memory = self.memory(process)
        process.read_high, process.read_faults = process.high, process.faults
        process.moves = {}
        family = families.get(pid, 0)
        # Who runs what is read of twins alone; of others it is as known from before, and the mark has to tell.
        life = self.tracker.lives.get(pid)
        image = life.image if life and not (family or life.family) else (process.image, 0)
        faults = process.faults if family else 0
        return Reading(pid, memory, self.seconds, faults, family, image)

    def families(self):
        members = {}
        for pid, process in self.processes.items():
            members.setdefault(process.image, []).append(pid)
        return {pid: min(pids) for pids in members.values() if len(pids) > 1 for pid in pids}

    def proportional(self, families):
        holders = {}
        for process in self.processes.values():
            for page in process.anon:
                holders[page] = holders.get(page, 0) + 1
        found = {}
        for pid, family in families.items():
            size = sum(UNIT / holders[page] for page in self.processes[pid].anon)
            found[family] = found.get(family, 0) + size
        return {family: Bracket(round(size), round(size)) for family, size in found.items()}

    def read(self, who, amount):
        """One reading of all, sometimes with proportional sizes of twins; then marks are reset, as by the sampler."""
        self.seconds += 1
        families = self.families()
        readings = [self.reading(pid, families) for pid in self.processes]
        self.tracker.observe(
            float(self.seconds),
            readings,
            segments=Bracket(*(sum(self.segments.values()) * UNIT,) * 2),
            proportional=self.proportional(families) if amount % 2 else None,
        )
        self.close_stretch()
        for one in readings:
            process, life = self.processes[one.pid], self.tracker.lives[one.pid]
            # What happens between a reading and its reset is known to the mark alone.
            getattr(self, LATE[(who + amount) % len(LATE)])(one.pid, amount)
            self.note()
            moved = (
                life.file_seen[1] - life.file_seen[0] + life.shared_seen[1] - life.shared_seen[0]
            )
            if moved or process.high > self.resident(process):
                risen = self.memory(process)
                process.high = process.read_high = self.resident(process)
                self.tracker.reset(one.pid, risen, self.memory(process))

    def close_stretch(self):
        tracker = self.tracker
        bounds = tracker.lower_bytes, tracker.upper_bytes, tracker.unseen
        self.stretches.append((self.peak * UNIT, *bounds))
        tracker._read_bytes = tracker.upper_bytes = 0
        tracker._marked = tracker._marked[0], 0
        tracker.unseen = Unseen()
        self.peak = 0  # what is held right now belongs to the stretch that ends
        self.segments_move = 0

    def check(self):
        """Every stretch by itself: a bound that is wrong can't hide below a larger peak elsewhere."""
        touched = max(0, self.child_faults - self.tracker.ended_faults) * PAGE_BYTES
        told = Accounting(self.largest * UNIT, touched)
        for peak, lower, upper, unseen in self.stretches:
            assert lower <= peak <= max(upper, unseen.bound(told))


LATE = ["allocate", "free", "map_file", "unmap_file", "note_only", "note_only"]
STEPS = [
    "allocate", "free", "write", "map_file", "unmap_file", "share", "attach", "detach", "unlink",
    "fork", "execute", "leave", "read", "read", "read",
]  # fmt: skip


@settings(deadline=None, max_examples=150)
@given(
    st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 4), st.integers(1, 60)), max_size=60)
)
def test_whatever_the_tree_does_its_true_peak_lies_in_the_bracket(history):
    world = World()
    for step, who, amount in history:
        world.do(step, who, amount)
    world.read(0, 1)
    world.check()
