"""What measuring costs the measured: the same child with and without a supervisor that reads it, in turn.

    python benchmarks/overhead.py [--rounds 15]

Prints, for a CPU-bound, an allocation-heavy and a Polars group-by body, the ratio of wall seconds inside the window,
measured against unmeasured: the median of the ratios of neighbouring runs, and their quartiles. Then the ratio for
`pytest --collect-only` of a thousand tests that have nothing to do with the plugin, with it and with `-p no:layers`,
and whether an engine was imported there. About 5 minutes. Exits 1 where a median is over 1.02, or 1.05 for collecting.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from pytest_layers.isolate import launch
from pytest_layers.isolate.job import Job
from pytest_layers.isolate.wire import Decoder, decode, encode

MOST, MOST_COLLECTING = 1.02, 1.05
ENGINES = (
    "pandas",
    "polars",
    "duckdb",
    "vaex",
    "dask",
    "modin",
    "ray",
    "pyspark",
    "pyarrow",
    "numpy",
)


def cpu_bound() -> None:
    total = 0
    for number in range(12_000_000):
        total += number * number % 7


def allocation_heavy() -> None:
    for _ in range(60):
        blocks = [bytearray(2**16) for _ in range(800)]
        for block in blocks:
            block[::4096] = b"x" * 16


def polars_group_by() -> None:
    import polars as pl

    frame = pl.select(pl.int_range(4_000_000, eager=False).alias("n")).with_columns(
        key=pl.col("n").hash() % 1000, value=pl.col("n") * 0.5
    )
    for _ in range(6):
        frame.group_by("key").agg(pl.col("value").sum(), pl.col("n").mean())


BODIES: dict[str, Callable[[], None]] = {
    body.__name__: body for body in (cpu_bound, allocation_heavy, polars_group_by)
}


def run_body(name: str, read: int, write: int) -> None:
    """In the child: warmed up, then timed between the marks."""
    from pytest_layers.isolate.child import Wire

    if name == "polars_group_by":
        import polars as pl

        pl.select(pl.int_range(10)).group_by("literal").len()
    wire = Wire(read, write)
    wire.begin()
    started = time.perf_counter()
    BODIES[name]()
    seconds = time.perf_counter() - started
    wire.end()
    wire.send("progress", what="seconds taken", done=seconds, total=0)


def measured(name: str) -> float:
    """Seconds of a body under a supervisor."""
    command = (sys.executable, __file__, "--child", name)
    job = Job(str(launch.make_temp_dir()), command=command, environment=dict(os.environ))
    with launch.Supervised(job) as case:
        took = [message["done"] for message in case.messages() if message["kind"] == "progress"]
    return took[0]


def unmeasured(name: str) -> float:
    """Seconds of a body whose marks are answered by nobody who reads."""
    to_child, child_in = os.pipe()
    child_out, from_child = os.pipe()
    command = [sys.executable, __file__, "--child", name, str(to_child), str(from_child)]
    with subprocess.Popen(command, pass_fds=(to_child, from_child), start_new_session=True):
        os.close(to_child)
        os.close(from_child)
        decoder, seconds = Decoder(), 0.0
        while data := os.read(child_out, 65536):
            for message in filter(None, map(decode, decoder.feed(data))):
                if message["kind"] == "progress":
                    seconds = message["done"]
                else:
                    os.write(child_in, encode("go"))
    os.close(child_in)
    os.close(child_out)
    return seconds


def ratios(first: Callable[[], float], second: Callable[[], float], rounds: int) -> list[float]:
    """Ratios of runs in turn; who goes first changes, so that drift cancels out."""
    found = []
    for number in range(rounds):
        if number % 2:
            low = second()
            found.append(first() / low)
        else:
            high = first()
            found.append(high / second())
    return found


def show(name: str, found: list[float], most: float) -> bool:
    low, middle, high = statistics.quantiles(found, n=4)
    verdict = "ok" if middle <= most else f"over {most}"
    print(f"{name:20} {middle:6.3f}  [{low:.3f} - {high:.3f}]  {verdict}", flush=True)
    return middle > most


def collect(folder: str, *options: str) -> float:
    started = time.perf_counter()
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"]
    quiet = os.environ | {"PYTHONWARNINGS": "ignore"}
    subprocess.run(
        [*command, *options], cwd=folder, env=quiet, check=True, stdout=subprocess.DEVNULL
    )
    return time.perf_counter() - started


def unrelated_suite(folder: str) -> None:
    tests = "\n".join(f"def test_{number}(): pass" for number in range(1000))
    Path(folder, "test_unrelated.py").write_text(tests)
    Path(folder, "conftest.py").write_text(
        "import sys\n"
        "def pytest_sessionfinish():\n"
        f"    found = sorted(set({ENGINES!r}) & set(sys.modules))\n"
        "    open('imported', 'w').write(' '.join(found))\n"
    )
    Path(folder, "pytest.ini").write_text("[pytest]\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--only", default="", help="bodies whose name holds this")
    options = parser.parse_args()
    print(f"{'ratio of wall':20} median  [quartiles]")
    over = [
        show(
            name,
            ratios(lambda n=name: measured(n), lambda n=name: unmeasured(n), options.rounds),
            MOST,
        )
        for name in BODIES
        if options.only in name
    ]
    with tempfile.TemporaryDirectory() as folder:
        unrelated_suite(folder)
        with_it, without = lambda: collect(folder), lambda: collect(folder, "-p", "no:layers")
        collect(folder)
        imported = Path(folder, "imported").read_text()
        over.append(show("collecting", ratios(with_it, without, options.rounds), MOST_COLLECTING))
    print(f"engines imported while collecting: {imported or 'none'}")
    return bool(any(over) or imported)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        run_body(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    else:
        sys.exit(main())
