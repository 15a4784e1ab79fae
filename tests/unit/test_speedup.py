"""The speed-up of known pairs, and what is said of it."""

import dataclasses
import math

import pytest

from pytest_layers.judge import speedup
from pytest_layers.records import Bracket, Limit, Measurement, Node, Pair, Timing

QUIET = Measurement(
    wall_seconds=1.0,
    cpu_seconds=2.0,
    wait_seconds=0.0,
    preempted_seconds=0.0,
    cores_given=2,
    base_bytes=0,
    total=Bracket(0, 0),
    growth=Bracket(0, 0),
    file_bytes=0,
    shared_bytes=0,
    peak_seconds=0.0,
    processes=(),
    timeline=(),
    samples=2,
    longest_gap_seconds=0.1,
)


def busy(wall_seconds, cores):
    """A run that kept its cores busy and waited for none."""
    return Timing(wall_seconds, wall_seconds * cores, 0.0)


def pairs_of(*ratios, cores=2):
    return [Pair(busy(1.0, cores), busy(ratio, 1)) for ratio in ratios]


def floor(asked):
    return Limit("min_speedup", asked)


def judged(asked, pairs, cores=2):
    found = speedup.of_pairs(pairs, cores)
    measured = dataclasses.replace(QUIET, cores_given=cores, speedup=found)
    return speedup.judge(floor(asked), measured)


def test_the_interval_is_that_of_student_on_logarithms():
    found = speedup.of_pairs(pairs_of(1.8, 1.9, 2.0), 2)
    mean = math.log(1.8 * 1.9 * 2.0) / 3
    deviation = math.sqrt(sum((math.log(one) - mean) ** 2 for one in (1.8, 1.9, 2.0)) / 2)
    half = 6.965 * deviation / math.sqrt(3)
    assert found.factor == pytest.approx(math.exp(mean))
    assert found.lower == pytest.approx(math.exp(mean - half))
    assert found.upper == pytest.approx(math.exp(mean + half))


def test_pairs_that_agree_leave_no_doubt():
    found = speedup.of_pairs(pairs_of(1.9, 1.9, 1.9), 2)
    assert (found.lower, found.upper) == (pytest.approx(1.9), pytest.approx(1.9))


@pytest.mark.parametrize(
    ("asked", "ratios", "expected"),
    [
        ("1.5", (1.9, 1.9, 1.9), "passed"),
        ("75%", (1.9, 1.9, 1.9), "passed"),
        ("1.5", (1.0, 1.0, 1.01), "failed"),
        ("1.5", (1.2, 1.5, 1.9), "inconclusive"),
    ],
)
def test_a_verdict_is_sure_where_the_interval_is_on_one_side(asked, ratios, expected):
    assert judged(asked, pairs_of(*ratios)).outcome == expected


def test_the_floor_itself_passes():
    assert judged("1", [Pair(busy(1.0, 2), busy(1.0, 1))] * 3).outcome == "passed"


def test_neighbours_take_away_certainty_and_add_none():
    hindered = Pair(Timing(2.0, 2.0, 2.0), busy(2.0, 1))  # of 2 s, 1 s was the neighbours'
    found = speedup.of_pairs([hindered] * 3, 2)
    assert (found.lower, found.upper) == (pytest.approx(1.0), pytest.approx(2.0))
    assert judged("1.5", [hindered] * 3).outcome == "inconclusive"
    slowed = Pair(busy(1.0, 2), Timing(4.0, 2.0, 2.0))
    found = speedup.of_pairs([slowed] * 3, 2)
    assert (found.lower, found.upper) == (pytest.approx(2.0), pytest.approx(4.0))


def test_more_threads_than_cores_are_no_neighbours():
    crowded = Pair(Timing(1.0, 2.0, 6.0), Timing(2.0, 2.0, 14.0))
    found = speedup.of_pairs([crowded] * 3, 2)
    assert (found.lower, found.upper) == (pytest.approx(2.0), pytest.approx(2.0))


@pytest.mark.parametrize(
    ("factor", "cores", "share"),
    [(2.0, 2, 0.0), (1.0, 2, 1.0), (1.6, 4, 0.5), (2.5, 2, 0.0), (0.8, 2, 1.0)],
)
def test_amdahl(factor, cores, share):
    assert speedup.serial_share(factor, cores) == pytest.approx(share)


def test_it_is_open_until_sure_or_at_its_end():
    asked = floor("1.5")
    assert speedup.is_open(asked, [], 2)
    assert speedup.is_open(asked, pairs_of(1.9, 1.9), 2)
    assert not speedup.is_open(asked, pairs_of(1.9, 1.9, 1.9), 2)
    doubtful = pairs_of(*(1.2, 1.9) * 4)
    assert all(speedup.is_open(asked, doubtful[:number], 2) for number in range(8))
    assert not speedup.is_open(asked, doubtful, 2)


def test_passing_says_by_how_much():
    verdict = judged("75%", pairs_of(1.9, 1.9, 1.9))
    assert verdict.text == (
        "speed-up 1.90 (between 1.90 and 1.90) on 2 cores reaches"
        " the floor of 1.50 (75% of 2 cores given) by 0.40"
    )
    assert (verdict.limit_value, verdict.measured_value) == (1.5, pytest.approx(1.9))
    assert verdict.details == ""


def test_failing_says_what_is_serial_and_what_the_runs_took():
    verdict = judged("1.5", pairs_of(1.0, 1.0, 1.0))
    text = "speed-up 1.00 (between 1.00 and 1.00) on 2 cores is under the floor of 1.50 by 0.50"
    assert verdict.text == text
    assert verdict.details.splitlines() == [
        "serial share 100% by Amdahl's law",
        "on 2 cores: 1.00 s, 1.00 s, 1.00 s (waited for a core 0 ms on average)",
        "on 1 core: 1.00 s, 1.00 s, 1.00 s (waited for a core 0 ms on average)",
    ]


def test_in_doubt_it_says_between_what():
    verdict = judged("1.5", [Pair(Timing(2.0, 2.0, 2.0), busy(2.0, 1))] * 3)
    text = "speed-up on 2 cores lies between 1.00 and 2.00, and so does the floor of 1.50"
    assert verdict.text == text


@pytest.mark.parametrize(
    ("asked", "changes", "text"),
    [
        ("1.5", {}, ""),
        ("2.5", {}, "the floor of 2.50 can't be judged with 2 cores given"),
        ("1", {"cores_given": 1}, "the floor of 1.00 can't be judged with 1 core given"),
        (
            "1.5",
            {"wall_seconds": 0.02},
            "the floor of 1.50: 20 ms is too short to judge a speed-up by (50 ms at least);"
            " use a larger size",
        ),
        (
            "1.5",
            {"nodes": (Node("n", 2, 0, Bracket(0, 0), Bracket(0, 0), 0.0, 0.0, 0.0, ()),)},
            "the floor of 1.50 can't be judged on a cluster that has cores of its own",
        ),
    ],
)
def test_what_stands_in_the_way(asked, changes, text):
    measured = dataclasses.replace(QUIET, **changes)
    assert speedup.obstacle(floor(asked), measured) == text
    if text:
        verdict = speedup.judge(floor(asked), measured)
        assert (verdict.outcome, verdict.text) == ("inconclusive", text)
