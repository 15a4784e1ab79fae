"""Whether growth tells what a Spark program needs: one report, sound and spoilt, in fresh JVMs.

    python benchmarks/jvm_memory.py [--rows 2M] [--repeats 3] [--plain]

Four ways to revenue by product, each measured as a case is: `sound` groups in Spark, `to_pandas` fetches all rows and
groups them in pandas, `cache` keeps all rows for nothing, `coalesce` runs in a single task. For every run: footprint of
the tree when the window began, growth, cores wanted, seconds. `--plain` takes a JVM as it comes (G1, both compilers,
Spark's own page size), for comparison, and judges nothing. Exits 1 where the growth of one way differs from run to run
by more than 10 % of the tree, where `to_pandas` or `cache` does not grow by twice what `sound`
does, or where `coalesce` does not want fewer cores than `sound`. Takes about ten minutes on a busy machine of 2 cores,
less on a quiet one.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pytest_layers.records import Measurement, from_json

MIB = 2**20
WAYS = ("sound", "to_pandas", "cache", "coalesce")
SPREAD = 0.1
SPOILT = 2.0

TESTS = """
import pyarrow as pa
import pytest


def revenue(frame):
    from pyspark.sql import functions

    return frame.groupBy("product").agg(functions.sum("amount").alias("amount"))


def in_pandas(frame):
    grouped = frame.toPandas().groupby("product", as_index=False)["amount"].sum()
    return pa.Table.from_pandas(grouped, preserve_index=False)


WAYS = {
    "sound": revenue,
    "to_pandas": in_pandas,
    "cache": lambda frame: revenue(frame.cache()),
    "coalesce": lambda frame: revenue(frame.coalesce(1)),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.memory_ceiling("100%ram")  # so that it is measured
def test_revenue(engine, sales, measured, way):
    frame = engine.scan(sales)
    with measured:
        table = engine.collect(WAYS[way](frame))
    assert table.num_rows == sales.products
"""
PLAIN = """
from pytest_layers.engines import spark

spark._JVM = ()
del spark._SETTINGS["spark.buffer.pageSize"]
"""


def measure(rows: str, *, plain: bool) -> Iterator[tuple[str, Measurement]]:
    """Each way, measured once in a process and a JVM of its own."""
    with tempfile.TemporaryDirectory(prefix="jvm-") as folder:
        Path(folder, "test_ways.py").write_text(TESTS)
        Path(folder, "conftest.py").write_text(PLAIN if plain else "")
        report = Path(folder, "report.json")
        command = [sys.executable, "-m", "pytest", "-q", "--layers=spark"]
        options = [f"--layers-sizes={rows}", f"--layers-report={report}", f"--rootdir={folder}"]
        ended = subprocess.run(
            [*command, *options, folder], cwd=folder, check=False, capture_output=True, text=True
        )
        if ended.returncode:
            raise SystemExit(ended.stdout + ended.stderr)
        for case in json.loads(report.read_text())["cases"]:
            way = next(way for way in WAYS if way in case["case"]["nodeid"])
            yield way, from_json(Measurement, case["measurement"])


def growth(found: Measurement) -> int:
    """The upper end, which a ceiling has to hold for."""
    return found.growth.upper_bytes


def show(way: str, found: Measurement) -> None:
    print(
        f"{way:10} {found.base_bytes / MIB:6.0f} MiB {growth(found) / MIB:7.0f} MiB"
        f" {found.cores_wanted_upper:6.2f} {found.wall_seconds:7.1f} s",
        flush=True,
    )


def faults(runs: dict[str, list[Measurement]]) -> Iterator[str]:
    """What the figures of all runs should not be."""
    for way, found in runs.items():
        least, most = min(map(growth, found)), max(map(growth, found))
        tree = max(one.total.upper_bytes for one in found)
        if most - least > SPREAD * tree:
            yield f"{way} grows by {least / MIB:.0f} to {most / MIB:.0f} MiB"
    sound = max(map(growth, runs["sound"]))
    for way in ("to_pandas", "cache"):
        if min(map(growth, runs[way])) < SPOILT * sound:
            yield f"{way} is not told from sound by its growth"
    single = max(one.cores_wanted_upper for one in runs["coalesce"])
    if single >= min(one.cores_wanted_lower for one in runs["sound"]):
        yield "coalesce is not told from sound by the cores it wants"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", default="2M")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--plain", action="store_true", help="a JVM as it comes")
    options = parser.parse_args()
    runs: dict[str, list[Measurement]] = {way: [] for way in WAYS}
    print(f"{'way':10} {'base':>10} {'growth':>11} {'wanted':>6} {'wall':>9}")
    for _ in range(options.repeats):
        for way, found in measure(options.rows, plain=options.plain):
            runs[way].append(found)
            show(way, found)
    if options.plain:
        return 0
    wrong = list(faults(runs))
    print("\n".join(wrong) or "growth and cores tell sound from spoilt, run after run")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
