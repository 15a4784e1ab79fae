import dataclasses

import pytest

from pytest_layers.judge import limits
from pytest_layers.judge.limits import Basis, StopLines, judge
from pytest_layers.records import Bracket, CodeLine, Limit, Measurement, Node, ProcessPeak

MIB, GIB = 2**20, 2**30
BASIS = Basis(data_bytes=100 * MIB, rows=1_000_000, ram_bytes=16 * GIB, cores_given=4)
NO_DATA = Basis(data_bytes=0, rows=0, ram_bytes=16 * GIB, cores_given=4)
MEASURED = Measurement(
    wall_seconds=10.0,
    cpu_seconds=20.0,
    wait_seconds=0.0,
    preempted_seconds=0.0,
    cores_given=4,
    base_bytes=50 * MIB,
    total=Bracket(250 * MIB, 260 * MIB),
    growth=Bracket(200 * MIB, 210 * MIB),
    file_bytes=0,
    shared_bytes=0,
    peak_seconds=3.0,
    processes=(
        ProcessPeak(7, "python", 250 * MIB, 200 * MIB, 5.0),
        ProcessPeak(8, "worker", 60 * MIB, 50 * MIB, 15.0),
        ProcessPeak(9, "helper", 60 * MIB, 0, 0.0),
    ),
    timeline=(),
    samples=5,
    longest_gap_seconds=0.1,
)


def measured(**changes):
    return dataclasses.replace(MEASURED, **changes)


def ceiling(asked, of="growth"):
    return Limit("memory_ceiling", asked, of)


def floor(asked):
    return Limit("min_cores", asked)


def outcome(limit, measurement=MEASURED, basis=BASIS):
    return judge(limit, measurement, basis).outcome


class TestCeiling:
    @pytest.mark.parametrize(
        ("asked", "expected"),
        [
            (f"{210 * MIB}B", "passed"),
            (f"{210 * MIB - 1}B", "inconclusive"),
            (f"{200 * MIB}B", "inconclusive"),
            (f"{200 * MIB - 1}B", "failed"),
        ],
    )
    def test_it_is_sure_where_both_ends_of_the_bracket_agree(self, asked, expected):
        assert outcome(ceiling(asked)) == expected

    @pytest.mark.parametrize(
        ("asked", "expected"),
        [("260MiB", "passed"), ("255MiB", "inconclusive"), ("249MiB", "failed")],
    )
    def test_a_total_is_held_against_the_total(self, asked, expected):
        assert outcome(ceiling(asked, "total")) == expected

    def test_an_exact_peak_at_the_ceiling_passes(self):
        exact = measured(growth=Bracket(200 * MIB, 200 * MIB))
        assert outcome(ceiling("200MiB"), exact) == "passed"

    def test_it_may_be_asked_by_data(self):
        assert outcome(ceiling("2.1x")) == "passed"
        assert outcome(ceiling("1.9x")) == "failed"

    def test_passing_says_by_how_much(self):
        verdict = judge(ceiling("1x + 150MiB"), MEASURED, BASIS)
        assert verdict.text == (
            "memory growth 210 MiB is under the ceiling of 250 MiB (1x + 150MiB) by 40.0 MiB"
        )
        assert (verdict.limit_value, verdict.measured_value) == (250 * MIB, 210 * MIB)
        assert verdict.details == ""

    def test_failing_says_by_how_much_and_how_many_times(self):
        verdict = judge(ceiling("100MiB"), MEASURED, BASIS)
        assert verdict.text == (
            "memory growth 200 MiB is over the ceiling of 100 MiB by 100 MiB (2.0 times)"
        )
        assert (verdict.limit_value, verdict.measured_value) == (100 * MIB, 200 * MIB)

    def test_over_no_memory_at_all_is_not_counted_in_times(self):
        verdict = judge(ceiling("0B"), MEASURED, BASIS)
        assert verdict.text == "memory growth 200 MiB is over the ceiling of 0 B by 200 MiB"

    def test_a_doubt_names_both_ends(self):
        verdict = judge(ceiling("205MiB", "growth"), MEASURED, BASIS)
        assert verdict.text == (
            "memory growth lies between 200 MiB and 210 MiB, and so does the ceiling of 205 MiB"
        )

    def test_the_details_say_who_held_what_and_when(self):
        shared = measured(shared_bytes=30 * MIB, notes=("a note",))
        assert judge(ceiling("100MiB"), shared, BASIS).details.splitlines() == [
            "peak read 3.00 s into the 10.0 s measured",
            "footprint when the measuring began: 50.0 MiB",
            "data: 1,000,000 rows, 100 MiB in Arrow memory; growth 2.1 x data",
            "shared memory, counted once: 30.0 MiB",
            "held then:   200 MiB  python (pid 7)",
            "held then:  50.0 MiB  worker (pid 8)",
            "a note",
        ]

    def test_without_data_nothing_is_said_of_it(self):
        assert "data" not in judge(ceiling("100MiB"), MEASURED, NO_DATA).details

    def test_the_five_largest_are_named(self):
        many = tuple(ProcessPeak(pid, "python", MIB, MIB, 0.0) for pid in range(9))
        assert judge(ceiling("1B"), measured(processes=many), BASIS).details.count("held") == 5


class TestFloor:
    @pytest.mark.parametrize(
        ("asked", "expected"),
        [("2", "passed"), ("2.0001", "inconclusive"), ("2.1", "inconclusive"), ("2.2", "failed")],
    )
    def test_a_long_window_has_a_margin_of_a_twentieth(self, asked, expected):
        assert outcome(floor(asked)) == expected

    @pytest.mark.parametrize(
        ("asked", "expected"), [("2", "passed"), ("2.3", "inconclusive"), ("2.4", "failed")]
    )
    def test_a_short_one_has_a_wider_margin(self, asked, expected):
        short = measured(wall_seconds=0.4, cpu_seconds=0.8)
        assert outcome(floor(asked), short) == expected

    def test_a_second_of_work_is_long(self):
        long = measured(wall_seconds=0.5, cpu_seconds=1.0)
        assert outcome(floor("2.3"), long) == "failed"

    def test_too_little_work_is_not_judged(self):
        tiny = measured(wall_seconds=0.1, cpu_seconds=0.1999)
        verdict = judge(floor("4"), tiny, BASIS)
        assert verdict.outcome == "inconclusive"
        assert verdict.text == (
            "the floor of 4.00: 200 ms of CPU time is too short to judge cores by"
            " (200 ms at least); use a larger size"
        )

    def test_a_fifth_of_a_second_is_judged(self):
        least = measured(wall_seconds=0.1, cpu_seconds=limits.LEAST_CPU_SECONDS)
        assert outcome(floor("2"), least) == "passed"

    def test_waiting_counts_as_wanting_a_core_after_being_pushed_off_one(self):
        pushed = measured(wait_seconds=10.0, preempted_seconds=10.0)
        assert outcome(floor("3"), pushed) == "passed"

    def test_waiting_after_a_sleep_makes_a_floor_inconclusive(self):
        verdict = judge(floor("2.8"), measured(wait_seconds=10.0, preempted_seconds=2.0), BASIS)
        assert verdict.outcome == "inconclusive"
        assert verdict.text == (
            "cores wanted lie between 2.20 and 3.00, and so does the floor of 2.80:"
            " others took the cores"
        )

    def test_all_waiting_together_does_not_lift_a_broken_floor(self):
        assert outcome(floor("3.5"), measured(wait_seconds=10.0)) == "failed"

    def test_a_share_is_of_the_cores_given(self):
        assert outcome(floor("50%")) == "passed"
        assert outcome(floor("60%")) == "failed"

    def test_passing_says_by_how_much(self):
        pushed = measured(wait_seconds=6.0, preempted_seconds=5.0)
        verdict = judge(floor("1.5"), pushed, BASIS)
        assert verdict.text == "cores wanted 2.50 (used 2.00) reach the floor of 1.50 by 1.00"
        assert (verdict.limit_value, verdict.measured_value) == (1.5, 2.5)

    def test_failing_says_by_how_much_and_of_what(self):
        verdict = judge(floor("75%"), MEASURED, BASIS)
        assert verdict.text == (
            "cores wanted 2.00 (used 2.00) are under the floor of 3.00 (75% of 4 cores given)"
            " by 1.00"
        )

    def test_one_core_is_not_plural(self):
        one = dataclasses.replace(BASIS, cores_given=1)
        verdict = judge(floor("75%"), measured(wall_seconds=40.0), one)
        assert "(75% of 1 core given)" in verdict.text

    def test_the_details_say_where_the_time_went(self):
        verdict = judge(floor("4"), measured(wait_seconds=1.5, notes=("a note",)), BASIS)
        assert verdict.details.splitlines() == [
            "20.0 s of CPU time in 10.0 s, 1.50 s spent waiting for a core that others had",
            "  15.0 s  worker (pid 8)",
            "  5.00 s  python (pid 7)",
            "    0 ms  helper (pid 9)",
            "a note",
        ]


class TestStopLines:
    def test_a_runaway_is_stopped_far_past_its_ceiling(self):
        lines = limits.stop_lines([ceiling("100MiB")], BASIS)
        assert lines == StopLines(growth_bytes=200 * MIB + GIB)

    def test_the_nearest_of_each_kind_counts(self):
        asked = [ceiling("2GiB"), ceiling("1GiB"), ceiling("3GiB", "total"), floor("2")]
        assert limits.stop_lines(asked, BASIS) == StopLines(3 * GIB, 7 * GIB)

    def test_no_ceiling_has_no_line(self):
        assert limits.stop_lines([floor("2")], BASIS) == StopLines()

    def test_a_ceiling_by_data_has_none_before_the_data_is_known(self):
        assert limits.stop_lines([ceiling("2x")], NO_DATA) == StopLines()
        assert limits.stop_lines([ceiling("2x")], BASIS) == StopLines(400 * MIB + GIB)


def test_a_limit_without_a_measurement_is_not_judged():
    verdict = limits.unmeasured(ceiling("1x"), "the case crashed")
    assert verdict.outcome == "inconclusive"
    assert verdict.text == "memory_ceiling 1x not judged: the case crashed"


class TestSpill:
    @pytest.mark.parametrize(
        ("asked", "spilled", "expected"),
        [
            ("0B", 0, "passed"),
            ("0B", 1, "failed"),
            ("0.5x", 50 * MIB, "passed"),
            ("0.5x", 50 * MIB + 1, "failed"),
        ],
    )
    def test_it_holds_up_to_its_last_byte(self, asked, spilled, expected):
        assert outcome(Limit("max_spill", asked), measured(spilled_bytes=spilled)) == expected

    def test_text_says_how_much_and_what_the_engine_knows(self):
        native = {"spilled_bytes": 60 * MIB, "shuffle_bytes": 2 * GIB, "stages": 3}
        spilled = measured(spilled_bytes=60 * MIB, native=native)
        verdict = judge(Limit("max_spill", "0.5x"), spilled, BASIS)
        assert verdict.text == (
            "spilled 60.0 MiB to disk, over the 50.0 MiB allowed (0.5x) by 10.0 MiB"
        )
        assert verdict.details.splitlines() == [
            "the engine says: spilled 60.0 MiB",
            "the engine says: shuffle 2.00 GiB",
            "the engine says: stages 3",
        ]


def node(name, mib):
    return Node(
        name=name,
        cores=2,
        base_bytes=0,
        total=Bracket(mib * MIB, mib * MIB),
        growth=Bracket(mib * MIB, mib * MIB),
        cpu_seconds=1.0,
        wait_seconds=0.0,
        preempted_seconds=0.0,
        processes=(),
    )


class TestNodes:
    NODES = (node("one", 30), node("two", 120))

    def test_the_worst_node_is_judged_alone(self):
        on_two = measured(nodes=self.NODES)
        assert outcome(ceiling("120MiB", "node"), on_two) == "passed"
        verdict = judge(ceiling("100MiB", "node"), on_two, BASIS)
        assert verdict.text == (
            "memory growth of the worst node 120 MiB is over the ceiling of 100 MiB"
            " by 20.0 MiB (1.2 times)"
        )
        assert "on node:     120 MiB  two" in verdict.details

    def test_no_node_may_have_grown_past_the_ceiling(self):
        unsure = dataclasses.replace(node("two", 25), growth=Bracket(25 * MIB, 200 * MIB))
        assert (
            outcome(ceiling("100MiB", "node"), measured(nodes=(node("one", 30), unsure)))
            == "inconclusive"
        )

    def test_without_nodes_the_tree_of_the_case_is_the_only_one(self):
        assert outcome(ceiling("210MiB", "node")) == "passed"
        assert outcome(ceiling("100MiB", "node")) == "failed"

    def test_a_pass_is_not_sure_where_a_node_was_lost(self):
        lost = measured(nodes=self.NODES, lost_nodes=("three",))
        verdict = judge(ceiling("1GiB"), lost, BASIS)
        assert verdict.outcome == "inconclusive"
        assert verdict.text.endswith("but a node was lost with its readings: three")
        assert outcome(ceiling("100MiB"), lost) == "failed"

    def test_a_broken_floor_is_not_sure_where_a_node_was_lost_with_its_cpu_seconds(self):
        idle = measured(cpu_seconds=2.0, nodes=self.NODES)
        assert outcome(floor("90%"), idle) == "failed"
        verdict = judge(floor("90%"), dataclasses.replace(idle, lost_nodes=("three",)), BASIS)
        assert verdict.outcome == "inconclusive"
        assert verdict.text.endswith("but a node was lost with its readings: three")

    def test_a_runaway_is_stopped_by_the_ceiling_of_a_node_too(self):
        lines = limits.stop_lines([ceiling("1GiB", "node"), ceiling("2GiB")], BASIS)
        assert lines == StopLines(growth_bytes=3 * GIB)


class TestWhere:
    PEAK, ALONE = (
        CodeLine(when, "shop.py", 41, "best", "", 0.8, 5, 0.2, "") for when in ("peak", "one_core")
    )

    @pytest.mark.parametrize(
        ("limit", "lines"),
        [
            (ceiling("100MiB"), (PEAK,)),
            (ceiling("205MiB"), (PEAK,)),
            (ceiling("210MiB"), ()),
            (ceiling("100MiB", "node"), ()),
            (floor("3"), (ALONE,)),
            (floor("1"), ()),
            (Limit("max_spill", "0B"), ()),
        ],
    )
    def test_a_limit_that_is_not_kept_names_the_line_that_ran_then(self, limit, lines):
        found = measured(where=(self.PEAK, self.ALONE), spilled_bytes=MIB)
        assert judge(limit, found, BASIS).where == lines
