"""When a case is run again, and what its runs say together, each limit by itself.

What was held was held: a broken ceiling needs one run, and so does a kept one. Cores that were left idle may have
waited for a disk or been stolen untold, which no reading can tell from code that wanted none: a floor is kept once one
run reaches it, and broken once two runs say so, since what idles cores by chance seldom does so twice.
`benchmarks/floor_rule.py` shows how often the rule errs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pytest_layers.judge.limits import LEAST_CPU_SECONDS
from pytest_layers.records import Limit, Verdict

BROKEN_RUNS = 2
"""Runs that a floor must be broken in."""
ONCE_ONLY = "; that was so in one run only"

Verdicts = Sequence[Verdict]
"""Those on one run of a case."""


def worth_repeating(runs: Sequence[Verdicts], cpu_seconds: float, cores_given: int) -> bool:
    """Whether a further run, read more finely, may settle a verdict; `cpu_seconds` are the last run's."""
    settled = together(runs)
    if any(v.outcome == "failed" and v.limit.kind != "min_cores" for v in settled):
        return False
    doubtful = {v.limit.kind for v in settled if v.outcome == "inconclusive"}
    if len(runs) < BROKEN_RUNS and any(map(_breaks_floor, settled)):
        doubtful.add("min_cores")
    too_high = any(v.limit_value > cores_given for v in settled if v.limit.kind == "min_cores")
    if too_high or cpu_seconds < LEAST_CPU_SECONDS:
        doubtful.discard("min_cores")
    return bool(doubtful)


def together(runs: Sequence[Verdicts]) -> tuple[Verdict, ...]:
    """One verdict on each limit by all runs: a failure, else a pass, else the last doubt; on a core floor as above."""
    limits = dict.fromkeys(verdict.limit for run in runs for verdict in run)
    return tuple(_of_limit(limit, runs) for limit in limits)


def _of_limit(limit: Limit, runs: Sequence[Verdicts]) -> Verdict:
    found = [
        (number, verdict)
        for number, run in enumerate(runs, 1)
        for verdict in run
        if verdict.limit == limit
    ]
    passed, failed = (_last(found, outcome) for outcome in ("passed", "failed"))
    if limit.kind != "min_cores":
        number, verdict = failed or passed or found[-1]
    elif passed or not failed:
        number, verdict = passed or found[-1]
    elif len(runs) > 1 and sum(_breaks_floor(verdict) for _, verdict in found) < BROKEN_RUNS:
        number, verdict = failed[0], _doubted(failed[1])
    else:
        number, verdict = failed
    return verdict if number == len(runs) else _of_run(number, verdict, len(runs))


def _last(found: Sequence[tuple[int, Verdict]], outcome: str) -> tuple[int, Verdict] | None:
    return next((pair for pair in reversed(found) if pair[1].outcome == outcome), None)


def _breaks_floor(verdict: Verdict) -> bool:
    return verdict.limit.kind == "min_cores" and verdict.outcome == "failed"


def _doubted(verdict: Verdict) -> Verdict:
    return replace(verdict, outcome="inconclusive", text=verdict.text + ONCE_ONLY)


def _of_run(number: int, verdict: Verdict, runs: int) -> Verdict:
    """Say of which run a verdict is, where it is not the last one, whose figures are shown."""
    return replace(verdict, text=f"{verdict.text} (in run {number} of {runs})")
