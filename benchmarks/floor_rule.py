"""How often `min_cores` errs: its rule on simulated runs, with a known want of cores and known noise.

    python benchmarks/floor_rule.py [--draws 4000] [--repeat 3]

The cores that a run wants scatter log-normally by `noise`; every tenth run stalls (a slow disk, a stolen core) and
wants but half to all of that. A contended run has bounds a fifth apart that hold what it wants. For every truth (as a
multiple of the floor), noise and amount of work: the share of passes, of failures and of doubt, and the mean number of
runs. A failure of what wants a tenth more than the floor, or yet more, is a false alarm; a pass of what wants three
quarters of it, or less, is a miss. Takes half a minute. Exits 1 where more than 2 % err.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections import Counter

from pytest_layers.judge import limits, repeats
from pytest_layers.records import Bracket, Limit, Measurement

CORES, FLOOR = 4, 2.0
LIMIT = Limit("min_cores", str(FLOOR), "cores")
BASIS = limits.Basis(data_bytes=0, rows=0, ram_bytes=0, cores_given=CORES)
TRUTHS = (0.5, 0.75, 0.9, 1.0, 1.1, 1.25)
NOISES = (0.02, 0.05, 0.10)
CPU_SECONDS = (0.4, 4.0)
STALLS, CONTENDED_WIDTH = 0.1, 0.2
ALARM, MISS, MOST_WRONG = 1.1, 0.75, 0.02


def run(wanted: float, noise: float, cpu_seconds: float, *, contended: bool) -> Measurement:
    """One run of a case that wants so many cores."""
    wanted *= random.lognormvariate(0, noise)
    if random.random() < STALLS:
        wanted *= random.uniform(0.5, 1)
    width = CONTENDED_WIDTH * wanted if contended else 0.0
    lower = wanted - random.uniform(0, width)
    wall = cpu_seconds / (0.9 * lower)
    nothing = Bracket(0, 0)
    return Measurement(
        wall_seconds=wall,
        cpu_seconds=cpu_seconds,
        preempted_seconds=lower * wall - cpu_seconds,
        wait_seconds=(lower + width) * wall - cpu_seconds,
        cores_given=CORES,
        base_bytes=0,
        total=nothing,
        growth=nothing,
        file_bytes=0,
        shared_bytes=0,
        peak_seconds=0.0,
        processes=(),
        timeline=(),
        samples=1,
        longest_gap_seconds=0.0,
    )


def outcome(
    wanted: float, noise: float, cpu_seconds: float, repeat: int, *, contended: bool
) -> tuple[str, int]:
    """One case judged: what came of it, and the number of its runs."""
    runs: list[repeats.Verdicts] = []
    while len(runs) < repeat:
        measurement = run(wanted, noise, cpu_seconds, contended=contended)
        runs.append([limits.judge(LIMIT, measurement, BASIS)])
        if not repeats.worth_repeating(runs, cpu_seconds, BASIS.cores_given):
            break
    (verdict,) = repeats.together(runs)
    return verdict.outcome, len(runs)


def row(truth: float, noise: float, cpu_seconds: float, draws: int, repeat: int) -> float:
    """Print the shares of one truth, noise and amount of work; gives the share that errs."""
    drawn = (
        outcome(truth * FLOOR, noise, cpu_seconds, repeat, contended=number % 2 == 1)
        for number in range(draws)
    )
    outcomes, numbers = zip(*drawn, strict=True)
    share = {name: count / draws for name, count in Counter(outcomes).items()}
    passed, failed, doubt = (share.get(name, 0) for name in ("passed", "failed", "inconclusive"))
    print(
        f"{truth:>5} {noise:>6.0%} {cpu_seconds:>6} s {passed:>8.1%} {failed:>8.1%} {doubt:>8.1%}"
        f" {sum(numbers) / draws:>6.1f}"
    )
    return failed * (truth >= ALARM) + passed * (truth <= MISS)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--draws", type=int, default=4000)
    parser.add_argument("--repeat", type=int, default=3, help="as of --layers-repeat")
    given = parser.parse_args()
    random.seed(1)
    print("truth  noise     work   passed   failed    doubt   runs")
    wrong = [
        row(truth, noise, cpu_seconds, given.draws, given.repeat)
        for truth in TRUTHS
        for noise in NOISES
        for cpu_seconds in CPU_SECONDS
    ]
    print(f"errs at most {max(wrong):.2%}")
    return int(max(wrong) > MOST_WRONG)


if __name__ == "__main__":
    sys.exit(main())
