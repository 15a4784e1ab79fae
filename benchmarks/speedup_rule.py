"""How often `min_speedup` errs: its rule on simulated pairs of runs, with a known speed-up and known noise.

    python benchmarks/speedup_rule.py [--draws 4000]

Walls scatter log-normally, both those on all cores and those on one, by `noise`. For every true speed-up (as a multiple
of the floor) and noise: the share of passes, of failures and of doubt, and the mean number of pairs run. A failure at
or above the floor is a false alarm, a pass below it is a miss. Takes a minute. Exits 1 where more than 5 % err.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections import Counter

from pytest_layers.judge import speedup
from pytest_layers.records import Limit, Pair, Timing

CORES, FLOOR = 4, 2.0
LIMIT = Limit("min_speedup", str(FLOOR))
TRUTHS = (0.7, 0.9, 1.0, 1.1, 1.4)
NOISES = (0.02, 0.05, 0.10, 0.20)
MOST_WRONG = 0.05


def timing(wall: float, cores: int, noise: float) -> Timing:
    """A run that used all its cores without waiting, so that both bounds of its wall are one."""
    wall *= random.lognormvariate(0, noise)
    return Timing(wall, wall * cores, 0.0)


def outcome(factor: float, noise: float) -> tuple[str, int]:
    """One case judged: what came of it, and the number of its pairs."""
    pairs: list[Pair] = []
    while speedup.is_open(LIMIT, pairs, CORES):
        pairs.append(Pair(timing(1.0, CORES, noise), timing(factor, 1, noise)))
    return speedup.outcome(FLOOR, speedup.of_pairs(pairs, CORES)), len(pairs)


def row(truth: float, noise: float, draws: int) -> float:
    """Print the shares of one truth and noise; gives the share that errs."""
    outcomes, numbers = zip(*(outcome(truth * FLOOR, noise) for _ in range(draws)), strict=True)
    share = {name: count / draws for name, count in Counter(outcomes).items()}
    passed, failed, doubt = (share.get(name, 0) for name in ("passed", "failed", "inconclusive"))
    print(
        f"{truth:>5.1f} {noise:>6.0%} {passed:>8.1%} {failed:>8.1%} {doubt:>8.1%}"
        f" {sum(numbers) / draws:>6.1f}"
    )
    return failed if truth >= 1 else passed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--draws", type=int, default=4000)
    draws = parser.parse_args().draws
    random.seed(1)
    print("truth  noise   passed   failed    doubt  pairs")
    wrong = [row(truth, noise, draws) for truth in TRUTHS for noise in NOISES]
    print(f"errs at most {max(wrong):.1%}")
    return int(max(wrong) > MOST_WRONG)


if __name__ == "__main__":
    sys.exit(main())
