"""What the cases of the corpus came to: what was right, in doubt or wrong, and how sure that is."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pytest_layers.records import CaseResult, Verdict
from pytest_layers.units import format_bytes

ROLES = ("bad", "good", "bait")
RIGHT = {"bad": "caught", "good": "passed", "bait": "passed"}
WRONG = {"bad": "missed", "good": "false alarm", "bait": "false alarm"}
IN_DOUBT, BROKEN, SKIPPED = "inconclusive", "broken", "skipped"
_Z = 1.959964
"""Of the normal distribution, for 95 %."""
_OF_BYTES = ("memory_ceiling", "max_spill")
_STOPPED = "far past its memory ceiling"
"""How the reason of a case ends that was stopped before it could take more."""


@dataclass(frozen=True)
class Finding:
    """What one case came to in one pass."""

    nodeid: str
    role: str
    outcome: str
    """`caught`, `missed`, `passed`, `false alarm`, `inconclusive`, `broken` or `skipped`."""
    kind: str = ""
    """Of its limit."""
    measured: float = 0.0
    limit: float = 0.0
    text: str = ""
    """What the verdict says, or why there is none that counts."""


def finding(result: CaseResult) -> Finding | None:
    """What the case came to by its role; None where it has none."""
    nodeid = result.case.nodeid
    words = set(re.split(r"[\[\]-]", nodeid.partition("::")[2]))
    role = next((role for role in ROLES if role in words), None)
    if role is None:
        return None
    fault = _fault(result)
    if fault is not None:
        return Finding(nodeid, role, SKIPPED if result.outcome == "skipped" else BROKEN, text=fault)
    verdict = result.verdicts[0]
    right = "failed" if role == "bad" else "passed"
    outcome = RIGHT[role] if verdict.outcome == right else WRONG[role]
    return Finding(
        nodeid,
        role,
        IN_DOUBT if verdict.outcome == IN_DOUBT else outcome,
        verdict.limit.kind,
        verdict.measured_value,
        verdict.limit_value,
        verdict.text,
    )


def _fault(result: CaseResult) -> str | None:
    """Why the verdict does not count: the test came to no verdict, or failed by itself."""
    if result.outcome not in {"passed", "failed", IN_DOUBT}:
        return f"{result.outcome}: {result.reason}"
    if len(result.limits) != 1 or len(result.verdicts) != 1:
        return f"{len(result.limits)} limits, {len(result.verdicts)} verdicts: {result.reason}"
    if result.outcome == "failed" and not _failed_for(result.verdicts[0], result.reason):
        return result.reason
    return None


def _failed_for(verdict: Verdict, reason: str) -> bool:
    """Whether the limit failed the test, not an error or a wrong answer of its own."""
    stopped = verdict.limit.kind == "memory_ceiling" and _STOPPED in reason
    return verdict.outcome == "failed" and (stopped or reason == verdict.text)


def wilson(count: int, of: int) -> tuple[float, float]:
    """The 95 % interval of a share (E. B. Wilson, "Probable Inference, the Law of Succession, and
    Statistical Inference", Journal of the American Statistical Association, 1927).
    """
    if not of:
        return 0.0, 1.0
    share, square = count / of, _Z**2
    middle = share + square / (2 * of)
    half = _Z * math.sqrt(share * (1 - share) / of + square / (4 * of**2))
    least, most = ((middle + sign * half) / (1 + square / of) for sign in (-1, 1))
    return max(0.0, least), min(1.0, most)


def table(by_load: dict[int, Sequence[Finding]]) -> Iterator[str]:
    """A line for each load and role; shares are of the cases that came to a verdict."""
    yield (
        f"{'load':>4}  {'role':4} {'judged':>6}  {'right':26} {'inconclusive':26} {'wrong':26}"
        f" {'broken':>6} {'skipped':>7}"
    )
    for load, findings in sorted(by_load.items()):
        for role in ROLES:
            counts = Counter(found.outcome for found in findings if found.role == role)
            right, doubt, wrong = counts[RIGHT[role]], counts[IN_DOUBT], counts[WRONG[role]]
            judged = right + doubt + wrong
            shares = " ".join(f"{_share(count, judged):26}" for count in (right, doubt, wrong))
            apart = f"{counts[BROKEN]:6} {counts[SKIPPED]:7}"
            yield f"{load:4}  {role:4} {judged:6}  {shares} {apart}"


def _share(count: int, of: int) -> str:
    """`19  (75.1 - 99.9 %)`"""
    least, most = wilson(count, of)
    return f"{count:5}  ({100 * least:.1f} - {100 * most:.1f} %)"


def named(by_load: dict[int, Sequence[Finding]]) -> Iterator[str]:
    """Every case that was not right, by outcome: how often, at which load, what was measured."""
    for outcome in ("missed", "false alarm", IN_DOUBT, BROKEN):
        for load, findings in sorted(by_load.items()):
            alike: dict[str, list[Finding]] = {}
            for found in findings:
                if found.outcome == outcome:
                    alike.setdefault(found.nodeid, []).append(found)
            for nodeid, all_of_it in sorted(alike.items()):
                yield f"{outcome:12} load {load}  {len(all_of_it):3} times  {nodeid}: {_told(all_of_it)}"


def _told(findings: Sequence[Finding]) -> str:
    first = findings[0]
    if not first.kind:
        return first.text
    values = [found.measured for found in findings]
    return (
        f"{_amount(first.kind, min(values), max(values))}, limit {_amount(first.kind, first.limit)}"
    )


def margins(by_load: dict[int, Sequence[Finding]]) -> Iterator[str]:
    """What every case measured at least and at most, in percent of its limit: to choose limits by."""
    yield f"{'load':>4}  {'measured':>14} {'least':>7} {'most':>7}  case"
    for load, findings in sorted(by_load.items()):
        alike: dict[str, list[Finding]] = {}
        for found in findings:
            if found.kind and found.limit:
                alike.setdefault(found.nodeid, []).append(found)
        for nodeid, all_of_it in sorted(alike.items()):
            values = [found.measured for found in all_of_it]
            least, most = (100 * end / all_of_it[0].limit for end in (min(values), max(values)))
            most_of = _amount(all_of_it[0].kind, max(values))
            yield f"{load:4}  {most_of:>14} {least:5.0f} % {most:5.0f} %  {nodeid}"


def _amount(kind: str, *values: float) -> str:
    """In words, from the first value to the last where they differ."""
    shown = [
        format_bytes(round(value)) if kind in _OF_BYTES else f"{value:.2f}" for value in values
    ]
    unit = {"min_cores": " cores", "min_speedup": " times"}.get(kind, "")
    return " to ".join(dict.fromkeys(shown)) + unit
