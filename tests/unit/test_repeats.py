import pytest

from pytest_layers.judge import repeats
from pytest_layers.records import Limit, Verdict

ENOUGH, SHORT = 2.0, 0.1
"""CPU seconds of a run."""


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
        ],
    )
    def test_what_is_sure_is_not(self, runs):
        assert not repeats.worth_repeating(runs, ENOUGH)

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
        assert repeats.worth_repeating(runs, ENOUGH)

    def test_a_window_too_short_for_cores_is_not(self):
        assert not repeats.worth_repeating([[DOUBTFUL]], SHORT)
        assert repeats.worth_repeating([[DOUBTFUL, NEAR]], SHORT)


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

    def test_the_last_run_speaks_of_all_else(self):
        assert repeats.together([[FAILED, NEAR], [PASSED, OVER]]) == (PASSED, OVER)
