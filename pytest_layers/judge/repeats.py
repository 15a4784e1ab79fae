"""When a case is run again, and what its runs say together.

What was held was held: a broken ceiling needs one run. Cores that were left idle may have waited for a disk or been
stolen, which no reading can tell from code that wanted none: a floor is kept once one run reaches it, and broken once
two runs say so, since what idles cores by chance seldom does so twice. `benchmarks/floor_rule.py` shows how often the
rule errs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pytest_layers.judge.limits import LEAST_CPU_SECONDS
from pytest_layers.records import Verdict

BROKEN_RUNS = 2
"""Runs that a floor must be broken in."""
ONCE_ONLY = "; that was so in one run only"

Run = Sequence[Verdict]
"""The verdicts on one run of a case."""


def worth_repeating(runs: Sequence[Run], cpu_seconds: float) -> bool:
    """Whether a further run, read more finely, may settle a verdict; `cpu_seconds` are the last run's."""
    found = {(verdict.limit.kind, verdict.outcome) for verdict in runs[-1]}
    if any(outcome == "failed" and kind != "min_cores" for kind, outcome in found):
        return False
    doubtful = {kind for kind, outcome in found if outcome == "inconclusive"}
    if ("min_cores", "failed") in found and _broken(runs) < BROKEN_RUNS:
        doubtful.add("min_cores")
    if cpu_seconds < LEAST_CPU_SECONDS:
        doubtful.discard("min_cores")
    return bool(doubtful)


def together(runs: Sequence[Run]) -> tuple[Verdict, ...]:
    """The verdicts of the last of several runs; a floor that only this one says is broken is in doubt."""
    if len(runs) == 1 or _broken(runs) >= BROKEN_RUNS:
        return tuple(runs[-1])
    return tuple(_doubted(verdict) if _breaks_floor(verdict) else verdict for verdict in runs[-1])


def _broken(runs: Sequence[Run]) -> int:
    return sum(any(map(_breaks_floor, run)) for run in runs)


def _breaks_floor(verdict: Verdict) -> bool:
    return verdict.limit.kind == "min_cores" and verdict.outcome == "failed"


def _doubted(verdict: Verdict) -> Verdict:
    return replace(verdict, outcome="inconclusive", text=verdict.text + ONCE_ONLY)
