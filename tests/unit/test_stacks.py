"""What was seen running at some moments, and the line that is named of it."""

import pytest

from pytest_layers.measure import stacks
from pytest_layers.measure.cpu import Demand
from pytest_layers.measure.stacks import Frame, StackSample, Stretch

MIB = 2**20
BUSY = Frame("/team/shop/reports.py", 41, "best_customers", "polars.lazyframe.frame.collect")
OTHER = Frame("/team/shop/reports.py", 7, "read", "")


def seen(at, mib=100, frame=BUSY, until=None):
    return StackSample(at, at if until is None else until, mib * MIB, frame)


def peak(*stack_samples, base=100, top=500, end=2.0):
    return stacks.at_peak(stack_samples, base * MIB, top * MIB, end)


def test_the_line_at_the_peak_is_that_which_ran_longest_near_it():
    below = [seen(0.01 * number, 200, OTHER) for number in range(50)]
    line = peak(*below, seen(1, 450), seen(1.2, 480), seen(1.5, 500, OTHER), seen(1.7, 300))
    assert (line.when, line.file, line.line, line.function, line.call) == (
        "peak", "/team/shop/reports.py", 41, "best_customers", "polars.lazyframe.frame.collect",
    )  # fmt: skip
    assert line.stack_samples == 2
    assert line.seconds == pytest.approx(1.6 - (0.49 + 1) / 2)
    assert line.share == pytest.approx((1.35 - 0.745) / (1.6 - 0.745))


def test_a_stack_sample_stands_for_the_time_asked_and_half_way_to_its_neighbours():
    line = peak(seen(0, 500, until=0.4), seen(0.6, 500, OTHER, until=0.8), seen(1, 500), end=1.1)
    assert line.share == pytest.approx((0.5 + 0.2) / 1.1)


def test_near_the_peak_is_the_upper_quarter_of_the_growth():
    assert peak(seen(1, 400), seen(1.5, 400)).stack_samples == 2
    assert peak(seen(1, 399), seen(1.5, 399)) is None


def test_a_share_is_of_time_however_often_was_asked():
    often = [seen(1 + 0.01 * number, 500, OTHER) for number in range(10)]
    assert peak(*often, seen(1.1, 500), seen(1.5, 500), end=1.6).line == BUSY.line


def test_time_without_a_line_of_the_team_lowers_the_share():
    assert peak(seen(1, 500), seen(1.5, 500, None), end=2).share == pytest.approx(0.25)


def test_the_call_named_is_the_usual_one_of_the_line():
    rare = Frame(BUSY.file, BUSY.line, BUSY.function, "gc.callback")
    assert peak(seen(1, 500, rare), seen(1.1, 500), seen(1.2, 500)).call == BUSY.call


def test_nothing_is_named_where_nothing_was_seen_near_the_peak():
    assert peak() is None
    assert peak(seen(1, 500, None)) is None


def test_nothing_is_named_where_nothing_grew():
    assert peak(seen(1, 100), seen(2, 100), top=100) is None


WANTED = [0, 2, 3, 4, 6, 6.4]
DEMANDS = [Demand(at, wanted, 0, 0) for at, wanted in enumerate(WANTED)]


def test_stretches_of_one_core_at_most():
    assert list(stacks.stretches(DEMANDS)) == [Stretch(1, 3), Stretch(4, 5)]


def test_no_stretch_where_two_cores_are_wanted_all_the_time_nor_in_one_look():
    demands = [Demand(0, 0, 0, 0), Demand(1, 1.5, 0, 0), Demand(2, 4, 0, 0)]
    assert list(stacks.stretches(demands)) == []
    assert list(stacks.stretches(demands[:1])) == []


@pytest.mark.parametrize(("others", "alone"), [(0, True), (0.4, True), (0.6, False), (None, False)])
def test_waiting_counts_as_far_as_others_had_the_cores(others, alone):
    demands = [Demand(0, 0, 0, others and 0.0), Demand(1, 1, 1, others)]
    assert list(stacks.stretches(demands)) == ([Stretch(0, 1)] if alone else [])


def test_the_line_alone_is_that_which_ran_longest_in_the_longest_stretch():
    before = [seen(0.1 * number, frame=OTHER) for number in range(9)]
    stack_samples = [
        *before,
        seen(0.9),
        seen(1.5),
        seen(2),
        seen(2.5, frame=OTHER),
        seen(3, frame=OTHER),
    ]
    line = stacks.alone(stack_samples, DEMANDS)
    assert (line.when, line.line, line.share, line.stack_samples) == ("one_core", 41, 0.625, 3)
    assert line.seconds == 2


def test_a_call_that_went_on_beyond_the_stretch_counts_for_what_lies_within():
    line = stacks.alone([seen(0, frame=OTHER, until=1), seen(1.5, until=9)], DEMANDS)
    assert (line.line, line.share, line.seconds) == (41, 0.875, 2)


def test_a_line_seen_once_alone_is_not_named():
    assert stacks.alone([seen(1)], DEMANDS) is None
    assert stacks.alone([seen(1, until=1.05)], DEMANDS) is None
    assert stacks.alone([seen(1), seen(1.5)], []) is None


def test_a_line_seen_once_that_went_on_for_long_is_named():
    assert stacks.alone([seen(1, until=1.2)], DEMANDS).stack_samples == 1


def test_the_line_itself_is_quoted_where_its_file_can_be_read(tmp_path):
    path = tmp_path / "shop.py"
    path.write_text("import time\n    frame.collect()  # all\n")
    quoted = [
        peak(*[seen(1, 500, Frame(file, number, "f", ""))] * 2).source
        for file, number in ((str(path), 2), (str(path), 99), ("/nowhere.py", 1))
    ]
    assert quoted == ["frame.collect()  # all", "", ""]
