"""How often verdicts are right: runs the corpus in `suite/` again and again, and tallies what its cases came to.

    python benchmarks/detection/run.py [--repeats 20] [--loads 0,1,4] [--layers all] [--only EXPR] [-o results.json]

The suite holds twins with equal answers, a `good` and a `bad` one, which are to pass and to be caught by their limit,
and `bait`, which looks bad and is to pass. `--loads` are busy neighbours beside it, in multiples of the cores. On 2
cores a pass over all engines takes 12 minutes alone, 30 beside as many neighbours as cores, 105 beside four times as
many. Every pass is added to the results file when it is done; the tally is of all in that file. Exits 1 where a bad
twin was missed or a false alarm was raised, else 2 where a case came to no verdict for another reason than a skip.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from load import neighbours
from tally import BROKEN, WRONG, Finding, finding, margins, named, table

from pytest_layers.measure import machine
from pytest_layers.report import document

SUITE = Path(__file__).resolve().parent / "suite"
WENT_THROUGH = (0, 1)
"""What pytest exits with where it ran all tests: bad twins are to fail."""
NO_PLUGINS = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
ALONE = ("-p", "pytest_layers.plugin", "-p", "no:cacheprovider")
"""No other plugin, which every case would import again."""
HOG = """
import os, time
parent = os.getppid()
held = b"x" * (300 << 20)
while os.getppid() == parent:
    more = b"x" * (100 << 20)
    time.sleep(0.5)
    del more
    time.sleep(0.3)
"""


@contextlib.contextmanager
def hog() -> Iterator[int]:
    """A process that takes and gives back memory all the time; gives its pid."""
    process = subprocess.Popen([sys.executable, "-S", "-c", HOG])
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait()


def run_pass(load: int, options: argparse.Namespace, hog_pid: int) -> dict[str, Any]:
    """One pass over the suite: its load, its seconds and what each case came to."""
    started = time.time()
    with tempfile.TemporaryDirectory() as folder, neighbours(load * machine.available_cores()):
        report = Path(folder, "report.json")
        command = [sys.executable, "-m", "pytest", str(SUITE), "-q", *ALONE]
        command += [f"--layers={options.layers}", f"--layers-report={report}", "-k", options.only]
        done = subprocess.run(
            command,
            env=os.environ | NO_PLUGINS | {"DETECTION_HOG": str(hog_pid)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode not in WENT_THROUGH:
            raise SystemExit(f"{done.stdout[-4000:]}\npytest exited with status {done.returncode}")
        cases = document.read(report).cases
    findings = [found for found in map(finding, cases) if found]
    return {
        "load": load,
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started)),
        "seconds": round(time.time() - started, 1),
        "cases": [dataclasses.asdict(found) for found in findings],
    }


def read(path: Path | None) -> list[dict[str, Any]]:
    """The passes in a results file that is there."""
    if path is None or not path.exists():
        return []
    return json.loads(path.read_text())["passes"]


def write(path: Path | None, passes: list[dict[str, Any]]) -> None:
    """All of them or, where that fails, what was there before."""
    if path is not None:
        temporary = path.with_name(f".{path.name}.tmp")
        temporary.write_text(json.dumps({"passes": passes}, indent=1) + "\n")
        temporary.replace(path)


def by_load(passes: list[dict[str, Any]]) -> dict[int, list[Finding]]:
    found: dict[int, list[Finding]] = {}
    for one in passes:
        found.setdefault(one["load"], []).extend(Finding(**case) for case in one["cases"])
    return found


def exit_status(outcomes: set[str]) -> int:
    if outcomes & set(WRONG.values()):
        return 1
    return 2 if BROKEN in outcomes else 0


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=20, help="passes for each load; may be 0")
    parser.add_argument("--loads", default="0,1,4", help="multiples of the cores")
    parser.add_argument("--layers", default="all", help="as pytest's")
    parser.add_argument("--only", default="", help="an expression as for pytest's -k")
    parser.add_argument("--margins", action="store_true", help="list how far cases are from limits")
    parser.add_argument("-o", "--output", type=Path, help="file that passes are added to")
    return parser.parse_args()


def main() -> int:
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    options = parsed()
    loads = [int(word) for word in options.loads.split(",")]
    passes = read(options.output)
    with hog() as pid:
        for number in range(options.repeats):
            for load in loads:
                passes.append(run_pass(load, options, pid))
                write(options.output, passes)
                seconds = passes[-1]["seconds"]
                print(f"pass {number + 1} at load {load}: {seconds:.0f} s", flush=True)
    found = by_load(passes)
    sections = [table(found), named(found), *([margins(found)] if options.margins else [])]
    print("\n\n".join(filter(None, ("\n".join(lines) for lines in sections))))
    return exit_status({one.outcome for findings in found.values() for one in findings})


if __name__ == "__main__":
    sys.exit(main())
