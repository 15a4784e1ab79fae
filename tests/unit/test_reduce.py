import dataclasses

import pytest

from pytest_layers.measure import reduce
from pytest_layers.measure.findings import Findings, LifeFinding, PointFinding
from pytest_layers.records import Bracket, CodeLine, Moment, ProcessPeak

FOUND = Findings(
    wall_seconds=2.0,
    cpu_seconds=3.0,
    thread_cpu_seconds=3.0,
    wait_seconds=0.5,
    preempted_seconds=0.25,
    others_seconds=None,
    base_bytes=100,
    base_upper_bytes=100,
    lower_bytes=400,
    upper_bytes=450,
    file_bytes=7,
    shared_bytes=8,
    peak_seconds=1.0,
    samples=3,
    longest_gap_seconds=0.7,
    processes=(LifeFinding(5, "python", 300, 200, 3.0),),
    points=(PointFinding(0.0, 100, 0.0), PointFinding(0.5, 400, 1.0), PointFinding(2.0, 200, 3.0)),
    notes=("said",),
)


def measured(**changes):
    return reduce.measurement(dataclasses.replace(FOUND, **changes), cores_given=2)


def test_growth_is_the_total_less_the_base():
    assert (measured().total, measured().growth) == (Bracket(400, 450), Bracket(300, 350))


def test_growth_is_never_below_zero():
    assert measured(base_bytes=420, base_upper_bytes=420).growth == Bracket(0, 30)


def test_growth_is_no_surer_than_what_it_is_counted_from():
    assert measured(base_bytes=100, base_upper_bytes=250).growth == Bracket(150, 350)


def test_processes_are_told_as_found():
    assert measured().processes == (ProcessPeak(5, "python", 300, 200, 3.0),)


def test_cores_used_along_the_timeline_are_of_each_stretch():
    assert measured().timeline == (
        Moment(0.0, 100, 0.0),
        Moment(0.5, 400, 2.0),
        Moment(2.0, 200, pytest.approx(4 / 3)),
    )


def test_cores_used_are_never_below_zero():
    points = (PointFinding(1.0, 1, 2.0), PointFinding(2.0, 1, 1.0))
    assert [moment.cores_used for moment in measured(points=points).timeline] == [2.0, 0.0]


def test_waiting_of_known_threads_is_all_where_all_are_known():
    assert measured().wait_seconds == 0.5


def test_waiting_is_scaled_to_the_cpu_of_all_threads():
    assert measured(thread_cpu_seconds=2.0).wait_seconds == pytest.approx(0.75)


def test_waiting_is_scaled_down_to_half_of_the_work():
    assert measured(thread_cpu_seconds=1.5).wait_seconds == 1.0
    assert measured(thread_cpu_seconds=1.5).notes == ("said",)


def test_where_less_than_half_of_the_work_is_known_the_rest_may_have_waited_for_all_that_others_did():
    found = measured(thread_cpu_seconds=1.2, others_seconds=0.9)
    assert (found.wait_seconds, found.preempted_seconds) == (0.9, 0.25)
    assert found.notes == ("said", "waiting for cores is known of 40% of the work only")


def test_where_that_is_not_known_either_it_may_have_waited_for_every_core_that_it_did_not_use():
    found = measured(thread_cpu_seconds=0.0, wait_seconds=0.0, preempted_seconds=0.0)
    assert (found.wait_seconds, found.preempted_seconds) == (1.0, 0.0)


def test_where_there_was_no_work_there_was_no_waiting():
    idle = measured(cpu_seconds=0.0, thread_cpu_seconds=0.0, wait_seconds=0.0)
    assert (idle.wait_seconds, idle.notes) == (0.0, ("said",))


def test_waiting_is_for_others_only_where_they_were_at_work():
    found = measured(others_seconds=0.3)
    assert (found.wait_seconds, found.preempted_seconds) == (0.3, 0.25)
    alone = measured(others_seconds=0.0)
    assert (alone.wait_seconds, alone.preempted_seconds) == (0.0, 0.0)


def test_waiting_after_being_pushed_off_is_scaled_too():
    assert measured(thread_cpu_seconds=2.0).preempted_seconds == pytest.approx(0.375)


def test_the_rest_is_handed_on():
    found = measured()
    assert (found.file_bytes, found.shared_bytes, found.samples) == (7, 8, 3)
    assert (found.peak_seconds, found.longest_gap_seconds, found.cores_given) == (1.0, 0.7, 2)


def test_what_a_kept_engine_held_before_may_have_served_this_case():
    kept = reduce.measurement(FOUND, cores_given=2, left_bytes=40)
    assert kept.growth == Bracket(300, 390)


def test_spilled_is_what_the_engine_counts_or_what_was_seen_if_that_is_more():
    found = dataclasses.replace(FOUND, spilled_bytes=7)
    told = [
        reduce.measurement(found, cores_given=2, native=native)
        for native in (None, {"spilled_bytes": 9.0})
    ]
    assert [one.spilled_bytes for one in told] == [7, 9]
    assert told[1].native == {"spilled_bytes": 9.0}


def test_nodes_are_added_to_the_tree_of_the_case():
    nodes = (reduce.node("one:7", 4, FOUND), reduce.node("two:8", 4, FOUND))
    assert (nodes[0].name, nodes[0].cores, nodes[0].growth) == ("one:7", 4, Bracket(300, 350))
    whole = reduce.measurement(FOUND, cores_given=8, nodes=nodes, lost_nodes=("three:9",))
    assert (whole.total, whole.growth) == (Bracket(1200, 1350), Bracket(900, 1050))
    assert (whole.base_bytes, whole.cpu_seconds, whole.wait_seconds) == (300, 9.0, 1.5)
    assert whole.nodes == nodes
    assert whole.lost_nodes == ("three:9",)


def test_lines_of_code_are_handed_on_but_not_where_the_peak_is_a_sum_over_nodes():
    line = CodeLine("peak", "shop.py", 3, "f", "", 0.8, 5, 0.2, "")
    assert measured(where=(line,)).where == (line,)
    found = dataclasses.replace(FOUND, where=(line,))
    nodes = (reduce.node("one:7", 4, FOUND),)
    assert reduce.measurement(found, cores_given=4, nodes=nodes).where == ()
