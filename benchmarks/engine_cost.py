"""What each engine costs before it does any work: to start, at rest, and for each further case.

    python benchmarks/engine_cost.py [--layers all] [--cases 4] [--repeats 3]

Runs a suite of the same small case several times over, once with a fresh engine for each and once with one that is
kept (`--layers-isolation=engine`), in turn. Of an engine, the start is the set-up of its first case; what is at rest
is the footprint when a window opens; a case costs the time of the whole run divided by its cases. Times are of this
machine, now: compare rows, not machines. Takes a quarter of an hour with all engines.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from pytest_layers.engines import BUILTIN
from pytest_layers.records import CaseResult
from pytest_layers.report import document
from pytest_layers.units import format_bytes

ROWS = "100k"
SUITE = """
import pytest

@pytest.mark.sizes("{rows}")
@pytest.mark.parametrize("number", range({cases}))
def test_it(engine, sales, number):
    engine.collect(engine.scan(sales))
"""


@dataclass(frozen=True)
class Cost:
    """Of one engine, in one way."""

    case_seconds: float
    base_bytes: int
    growth_bytes: tuple[int, ...]
    """Of each case, by its upper bound."""
    reused: int


def run(engine: str, isolation: str, cases: int) -> Cost:
    """One suite from its start to its end."""
    with tempfile.TemporaryDirectory(prefix="b-") as folder:
        place = Path(folder)
        (place / "pytest.ini").touch()
        (place / "test_it.py").write_text(SUITE.format(rows=ROWS, cases=cases))
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        options = [
            f"--layers={engine}",
            f"--layers-isolation={isolation}",
            "--layers-report=r.json",
        ]
        before = time.monotonic()
        ended = subprocess.run(
            [*command, *options], cwd=place, check=False, capture_output=True, text=True
        )
        seconds = time.monotonic() - before
        if ended.returncode:
            sys.exit(ended.stdout + ended.stderr)
        results = document.read(place / "r.json").cases
    return Cost(
        case_seconds=seconds / cases,
        base_bytes=_first(results).base_bytes,
        growth_bytes=tuple(
            one.measurement.growth.upper_bytes for one in results if one.measurement
        ),
        reused=sum(one.isolation == "engine" for one in results),
    )


def _first(results: tuple[CaseResult, ...]):
    (first, *_) = [one.measurement for one in results if one.measurement]
    return first


def row(name: str, fresh: list[Cost], kept: list[Cost], cases: int) -> str:
    """One line of the table."""
    per_case = [statistics.median(cost.case_seconds for cost in costs) for costs in (fresh, kept)]
    growths = [
        statistics.median(size for cost in costs for size in cost.growth_bytes)
        for costs in (fresh, kept)
    ]
    base = format_bytes(statistics.median(cost.base_bytes for cost in fresh))
    reused = f"{sum(cost.reused for cost in kept)} of {len(kept) * cases}"
    return (
        f"{name:17}{base:>10}{per_case[0]:>11.1f} s{per_case[1]:>10.1f} s"
        f"{per_case[0] / per_case[1]:>8.1f}x{reused:>11}"
        f"{format_bytes(growths[0]):>13}{format_bytes(growths[1]):>13}"
    )


def main() -> None:
    """Print a line for each engine that can run here."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--layers", default="all", help="names of engines, apart by commas")
    parser.add_argument("--cases", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    names = given.layers.split(",")
    print(
        f"{'engine':17}{'at rest':>10}{'fresh case':>13}{'kept case':>12}{'ratio':>9}{'reused':>11}"
        f"{'growth fresh':>13}{'growth kept':>13}"
    )
    for engine in BUILTIN:
        if engine.obstacle() or ("all" not in names and engine.name not in names):
            continue
        run(engine.name, "case", 1)  # makes the data
        pairs = [
            [run(engine.name, way, given.cases) for way in ("case", "engine")]
            for _ in range(given.repeats)
        ]
        print(row(engine.name, *map(list, zip(*pairs, strict=True)), given.cases), flush=True)


if __name__ == "__main__":
    main()
