"""Whether a case needs another attempt, and one verdict on each limit from all its attempts.

One attempt is enough for a ceiling, broken or kept: memory that was held was held. Idle cores are less clear. They may
have waited for a disk, or been taken by a host that does not tell, which no reading can tell from code that wanted no
more cores. So a floor is kept once one attempt reaches it, and broken once two attempts miss it: what idles cores by
chance seldom does so twice. `benchmarks/floor_rule.py` shows how often this rule errs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pytest_layers.judge.limits import LEAST_CPU_SECONDS
from pytest_layers.records import Limit, Verdict

LEAST_BROKEN = 2
"""Attempts that must miss a floor before it is broken."""
ONCE_ONLY = "; that was so in one run only"

Verdicts = Sequence[Verdict]
"""The verdicts on one attempt."""
Numbered = tuple[int, Verdict]
"""The number of an attempt, from 1 on, and a verdict on it."""


def worth_repeating(attempts: Sequence[Verdicts], cpu_seconds: float, cores_given: int) -> bool:
    """Whether another attempt, with finer readings, may settle a verdict; `cpu_seconds` are the last attempt's."""
    settled = together(attempts)
    if any(v.outcome == "failed" and v.limit.kind != "min_cores" for v in settled):
        return False
    doubtful = {v.limit.kind for v in settled if v.outcome == "inconclusive"}
    if len(attempts) < LEAST_BROKEN and any(map(_breaks_floor, settled)):
        doubtful.add("min_cores")
    too_high = any(v.limit_value > cores_given for v in settled if v.limit.kind == "min_cores")
    if too_high or cpu_seconds < LEAST_CPU_SECONDS:
        doubtful.discard("min_cores")
    return bool(doubtful)


def together(attempts: Sequence[Verdicts]) -> tuple[Verdict, ...]:
    """One verdict on each limit from all attempts."""
    limits = dict.fromkeys(verdict.limit for attempt in attempts for verdict in attempt)
    return tuple(_of_limit(limit, attempts) for limit in limits)


def _of_limit(limit: Limit, attempts: Sequence[Verdicts]) -> Verdict:
    found = [
        (number, verdict)
        for number, attempt in enumerate(attempts, 1)
        for verdict in attempt
        if verdict.limit == limit
    ]
    if limit.kind == "min_cores":
        number, verdict = _settled_floor(found, len(attempts))
    else:
        number, verdict = _last(found, "failed") or _last(found, "passed") or found[-1]
    return verdict if number == len(attempts) else _numbered(number, verdict, len(attempts))


def _settled_floor(found: Sequence[Numbered], attempts: int) -> Numbered:
    """The last pass; else the last failure, which is in doubt if it is the only one of several attempts."""
    passed, failed = _last(found, "passed"), _last(found, "failed")
    if passed or not failed:
        return passed or found[-1]
    misses = sum(_breaks_floor(verdict) for _, verdict in found)
    if attempts > 1 and misses < LEAST_BROKEN:
        return failed[0], _doubted(failed[1])
    return failed


def _last(found: Sequence[Numbered], outcome: str) -> Numbered | None:
    return next((pair for pair in reversed(found) if pair[1].outcome == outcome), None)


def _breaks_floor(verdict: Verdict) -> bool:
    return verdict.limit.kind == "min_cores" and verdict.outcome == "failed"


def _doubted(verdict: Verdict) -> Verdict:
    return replace(verdict, outcome="inconclusive", text=verdict.text + ONCE_ONLY)


def _numbered(number: int, verdict: Verdict, attempts: int) -> Verdict:
    """The verdict with the number of its attempt: the figures shown beside it are those of the last one."""
    return replace(verdict, text=f"{verdict.text} (in run {number} of {attempts})")
