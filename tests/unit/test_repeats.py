import dataclasses

import pytest

from pytest_layers.judge import repeats
from pytest_layers.records import Limit, Verdict

ENOUGH, SHORT = 2.0, 0.1
"""CPU seconds of a run."""
CORES = 2


def verdict(kind, outcome):
    return Verdict(Limit(kind, "1"), outcome, 1, 1, f"{kind} {outcome}")


PASSED, FAILED, DOUBTFUL = (
    verdict("min_cores", outcome) for outcome in ("passed", "failed", "inconclusive")
)
HELD, OVER, NEAR = (
    verdict("memory_ceiling", outcome) for outcome in ("passed", "failed", "inconclusive")
)


class TestWorthRepeating:
    @pytest.mark.parametrize(
        "runs",
        [
            [[PASSED]],
            [[HELD, PASSED]],
            [[OVER]],
            [[OVER, DOUBTFUL]],
            [[OVER, FAILED]],
            [[verdict("max_spill", "failed"), NEAR]],
            [[FAILED], [PASSED]],
            [[FAILED], [FAILED]],
            [[FAILED], [DOUBTFUL], [FAILED]],
            [[PASSED, NEAR], [FAILED, HELD]],
            [[DOUBTFUL, HELD], [PASSED, NEAR]],
        ],
    )
    def test_what_is_sure_is_not(self, runs):
        assert not repeats.worth_repeating(runs, ENOUGH, CORES)

    @pytest.mark.parametrize(
        "runs",
        [
            [[NEAR]],
            [[DOUBTFUL]],
            [[HELD, DOUBTFUL]],
            [[FAILED]],
            [[DOUBTFUL], [FAILED]],
            [[FAILED], [DOUBTFUL]],
            [[FAILED], [FAILED, NEAR]],
        ],
    )
    def test_what_is_in_doubt_is(self, runs):
        assert repeats.worth_repeating(runs, ENOUGH, CORES)

    def test_a_window_too_short_for_cores_is_not(self):
        assert not repeats.worth_repeating([[DOUBTFUL]], SHORT, CORES)
        assert repeats.worth_repeating([[DOUBTFUL, NEAR]], SHORT, CORES)

    def test_a_floor_above_the_cores_given_is_not(self):
        high = dataclasses.replace(DOUBTFUL, limit_value=CORES + 1)
        assert not repeats.worth_repeating([[high]], ENOUGH, CORES)
        assert repeats.worth_repeating([[high, NEAR]], ENOUGH, CORES)


class TestTogether:
    @pytest.mark.parametrize(
        "runs", [[[FAILED]], [[FAILED], [FAILED]], [[FAILED], [DOUBTFUL], [FAILED, HELD]]]
    )
    def test_a_floor_broken_twice_or_in_the_only_run_is_broken(self, runs):
        assert repeats.together(runs) == tuple(runs[-1])

    def test_a_floor_broken_once_of_several_runs_is_in_doubt(self):
        doubted, held = repeats.together([[DOUBTFUL, NEAR], [FAILED, HELD]])
        assert (doubted.outcome, held) == ("inconclusive", HELD)
        assert doubted.text == f"{FAILED.text}; that was so in one run only"

    def test_the_one_that_broke_it_is_named_where_another_is_shown(self):
        doubted, _ = repeats.together([[FAILED, NEAR], [DOUBTFUL, HELD]])
        assert doubted.text == f"{FAILED.text}; that was so in one run only (in run 1 of 2)"

    def test_doubt_is_ended_by_the_run_that_is_sure(self):
        assert repeats.together([[FAILED, NEAR], [PASSED, OVER]]) == (PASSED, OVER)

    @pytest.mark.parametrize("later", [[DOUBTFUL], [FAILED], [FAILED, FAILED]])
    def test_a_floor_that_one_run_reached_is_kept(self, later):
        (kept,) = repeats.together([[PASSED], *([one] for one in later)])
        assert (kept.outcome, kept.limit) == ("passed", PASSED.limit)
        assert kept.text == f"{PASSED.text} (in run 1 of {1 + len(later)})"

    def test_a_ceiling_kept_for_sure_is_not_in_doubt_again(self):
        held, floor = repeats.together([[HELD, DOUBTFUL], [NEAR, PASSED]])
        assert (held.outcome, floor) == ("passed", PASSED)
        assert held.text == f"{HELD.text} (in run 1 of 2)"

    def test_a_ceiling_broken_once_is_broken(self):
        (broken,) = repeats.together([[NEAR], [OVER], [HELD]])
        assert (broken.outcome, broken.text) == ("failed", f"{OVER.text} (in run 2 of 3)")

    def test_a_run_that_died_adds_what_it_broke(self):
        assert repeats.together([[NEAR, PASSED], [OVER]])[0] == OVER
