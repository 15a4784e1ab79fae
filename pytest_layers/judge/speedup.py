"""How much faster a case is on all cores given than on one. Cores that only spin don't make it faster.

The case is run in pairs, on all cores and on one core in turn, so that changes on the machine affect both. Busy
neighbours slow it down. The wall time that an attempt would have needed without them lies between two bounds: what it
took, and that less all the time that its threads waited for a core, but no less than its CPU seconds divided by the
cores. So the speed-up of a pair has two bounds too. For each bound an interval is computed from all pairs, by Student's
t on the logarithms (NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.5.2), as ratios scatter log-normally:

    exp(mean(log ratio) -+ t(n - 1) * deviation(log ratio) / sqrt(n)), for n pairs

A verdict is sure if the lower end of the interval of the lower bound reaches the floor, or the upper end of that of the
upper bound does not. This is tried after each pair from the third to the eighth. As six tries err more often than one,
each interval contains the value in 98 of 100 cases; `benchmarks/speedup_rule.py` shows how often the whole rule errs.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from pytest_layers.judge.limits import floor_text, given_text
from pytest_layers.records import Limit, Measurement, Pair, Speedup, Timing, Verdict
from pytest_layers.units import format_seconds, parse_speedup

T = {3: 6.965, 4: 4.541, 5: 3.747, 6: 3.365, 7: 3.143, 8: 2.998}
"""Student's t at the 99 % point by the number of pairs, one more than its degrees of freedom (the same handbook,
table 1.3.6.7.2)."""
LEAST_PAIRS, MOST_PAIRS = min(T), max(T)
LEAST_WALL_SECONDS = 0.05
"""A shorter window consists of its ends: opening it and waking threads take up to milliseconds."""


def obstacle(limit: Limit, measurement: Measurement) -> str:
    """Why no speed-up can be measured for this limit, judged by the first measurement; empty where it can."""
    cores = measurement.cores_given
    if measurement.nodes:
        return f"{_asked(limit, cores)} can't be judged on a cluster that has cores of its own"
    if cores == 1 or _floor(limit, cores) > cores:
        return f"{_asked(limit, cores)} can't be judged with {given_text(cores)}"
    if measurement.wall_seconds < LEAST_WALL_SECONDS:
        wall, least = format_seconds(measurement.wall_seconds), format_seconds(LEAST_WALL_SECONDS)
        text = f"{wall} is too short to judge a speed-up by ({least} at least); use a larger size"
        return f"{_asked(limit, cores)}: {text}"
    return ""


def of_pairs(pairs: Sequence[Pair], cores: int) -> Speedup:
    """The speed-up by `LEAST_PAIRS` to `MOST_PAIRS` pairs, on one core and on `cores` (2 or more)."""
    factor = math.exp(statistics.fmean(math.log(_ratio(pair)) for pair in pairs))
    lower, _ = _interval(
        [_least_wall_seconds(pair.one_core, 1) / pair.all_cores.wall_seconds for pair in pairs]
    )
    _, upper = _interval(
        [pair.one_core.wall_seconds / _least_wall_seconds(pair.all_cores, cores) for pair in pairs]
    )
    return Speedup(tuple(pairs), factor, lower, upper, serial_share(factor, cores))


def serial_share(factor: float, cores: int) -> float:
    """The share of the work, 0 to 1, that only one core does where `cores` make it faster by `factor`.

    G. M. Amdahl, "Validity of the single processor approach to achieving large scale computing capabilities",
    AFIPS Spring Joint Computer Conference, 1967: factor = 1 / (share + (1 - share) / cores), solved for the share.
    """
    return min(1.0, max(0.0, (cores / factor - 1) / (cores - 1)))


def is_open(limit: Limit, pairs: Sequence[Pair], cores: int) -> bool:
    """Whether another pair is needed for a verdict."""
    if len(pairs) < LEAST_PAIRS:
        return True
    decided = outcome(_floor(limit, cores), of_pairs(pairs, cores)) != "inconclusive"
    return not decided and len(pairs) < MOST_PAIRS


def judge(limit: Limit, measurement: Measurement) -> Verdict:
    """The verdict on `min_speedup`, by the pairs in the measurement."""
    cores, found = measurement.cores_given, measurement.speedup
    floor, asked = _floor(limit, cores), _asked(limit, cores)
    if found is None:
        return Verdict(limit, "inconclusive", floor, 0, obstacle(limit, measurement))
    word = outcome(floor, found)
    ends = f"{found.lower:.2f} and {found.upper:.2f}"
    shown = f"speed-up {found.factor:.2f} (between {ends}) on {cores} cores"
    text = {
        "passed": f"{shown} reaches {asked} by {found.factor - floor:.2f}",
        "failed": f"{shown} is under {asked} by {floor - found.factor:.2f}",
        "inconclusive": f"speed-up on {cores} cores lies between {ends}, and so does {asked}",
    }
    details = "" if word == "passed" else _how_long(found, cores)
    return Verdict(limit, word, floor, found.factor, text[word], details)


def outcome(floor: float, found: Speedup) -> str:
    """`passed` or `failed` if the whole interval is on one side of the floor, else `inconclusive`."""
    if found.lower >= floor:
        return "passed"
    return "failed" if found.upper < floor else "inconclusive"


def _ratio(pair: Pair) -> float:
    return pair.one_core.wall_seconds / pair.all_cores.wall_seconds


def _least_wall_seconds(timing: Timing, cores: int) -> float:
    """The shortest wall time that this attempt can have needed, had it had the cores for itself."""
    unhindered = timing.wall_seconds - timing.wait_seconds
    return min(timing.wall_seconds, max(timing.cpu_seconds / cores, unhindered, LEAST_WALL_SECONDS))


def _interval(ratios: Sequence[float]) -> tuple[float, float]:
    logs = [math.log(ratio) for ratio in ratios]
    mean = statistics.fmean(logs)
    half = T[len(logs)] * statistics.stdev(logs) / math.sqrt(len(logs))
    return math.exp(mean - half), math.exp(mean + half)


def _floor(limit: Limit, cores: int) -> float:
    return parse_speedup(limit.asked).resolve(cores)


def _asked(limit: Limit, cores: int) -> str:
    return floor_text(limit, _floor(limit, cores), cores)


def _how_long(found: Speedup, cores: int) -> str:
    """How long all attempts took, and the serial share of the work."""
    runs = {
        f"on {cores} cores": [pair.all_cores for pair in found.pairs],
        "on 1 core": [pair.one_core for pair in found.pairs],
    }
    lines = [f"serial share {found.serial_share:.0%} by Amdahl's law"]
    for where, timings in runs.items():
        walls = ", ".join(format_seconds(timing.wall_seconds) for timing in timings)
        wait = format_seconds(statistics.fmean(timing.wait_seconds for timing in timings))
        lines.append(f"{where}: {walls} (waited for a core {wait} on average)")
    return "\n".join(lines)
