"""Other tools on the corpus, as far as they can express it: ceilings, of no engine or of one in pytest's process.

    python benchmarks/detection/peers.py [--repeats 1] [--tools layers,memray,benchmem,isolate,monitor]

Each tool is installed into an environment of its own. It gets the same limits: pytest-memray's `limit_memory`,
pytest-benchmem's `max_peak`, pytest-isolate's `mem_limit` over what pytest holds already; pytest-monitor records, and
what it recorded is held against the limit here. None has a window within a test, so each measures the whole call. A
pass of a tool is 62 cases of a few seconds each, and the installing: minutes a tool, longer where one hangs.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import venv
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from run import SUITE, hog
from tally import RIGHT, ROLES, WRONG, finding

from pytest_layers.report import document

ROOT = SUITE.parents[2]
SILENT_SECONDS = 40
"""After which a case hangs: a fork of a process with threads may wait for ever. None takes half as long."""
EXTRAS = "pandas,polars,duckdb,vaex"
PACKAGES = {
    "layers": ("pytest-layers", []),
    "memray": ("pytest-memray", ["--memray", "--native"]),
    "benchmem": ("pytest-benchmem", ["--benchmark-memory", "--benchmark-quiet"]),
    "isolate": ("pytest-isolate", []),
    "monitor": ("pytest-monitor", ["--db", "monitored.db"]),
}
"""Of each tool its package, and the options that it needs."""
OLDER = {tool: ["pytest<9"] for tool in ("isolate", "monitor")}
"""What they need that is not the newest: pytest-isolate calls a private function which pytest 9.2 has no more."""


def environment(tool: str, folder: Path) -> Path:
    """Its Python, in a new environment with the tool and what the corpus imports."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    install = [str(python), "-m", "pip", "install", "--quiet", f"{ROOT}[{EXTRAS}]"]
    package = [] if tool == "layers" else [PACKAGES[tool][0], *OLDER.get(tool, [])]
    subprocess.run([*install, *package], check=True)
    return python


def run(tool: str, python: Path, folder: Path, hog_pid: int) -> dict[str, str]:
    """What each case came to, by its node id: `limit`, `passed`, `skipped`, `hung`, or `failed` by another cause."""
    told = folder / "outcomes.json"
    command = [str(python), "-m", "pytest", str(SUITE), "-q", "-p", "no:cacheprovider"]
    command += PACKAGES[tool][1]
    own = {"DETECTION_HOG": str(hog_pid), "DETECTION_PEER": tool, "DETECTION_OUTCOMES": str(told)}
    own["PYTHONPATH"] = str(SUITE.parent)
    if tool == "layers":
        command += ["--layers=local", f"--layers-report={told}"]
    else:
        command += ["-p", "no:layers", "-p", "peer_engines", "-p", "peer"]
    told.unlink(missing_ok=True)
    tried = 0
    while not goes_through(command, folder, own):
        before, tried = tried, len(json.loads(told.read_text())) if told.exists() else 0
        if tried == before:
            sys.exit(f"{tool} hangs before it comes to a case")
        print(f"{tool} hung: it is started again for the cases that are left", flush=True)
    if not told.exists():
        sys.exit((folder / "output").read_text()[-3000:])
    if tool == "layers":
        return dict(of_layers(told))
    outcomes = {nodeid: outcome for nodeid, (outcome, _) in json.loads(told.read_text()).items()}
    return outcomes | dict(recorded(folder / "monitored.db", outcomes))


def goes_through(command: list[str], folder: Path, environment: dict[str, str]) -> bool:
    """Whether pytest comes to its end; it is ended, with all that it started, where it falls silent before."""
    path = folder / "output"
    with path.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=os.environ | environment,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        while process.poll() is None:
            time.sleep(0.2)
            if time.time() - path.stat().st_mtime > SILENT_SECONDS:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                return False
    return True


def of_layers(report: Path) -> Iterator[tuple[str, str]]:
    """By the verdicts of pytest-layers, of the cases that the other tools are asked for."""
    for case in document.read(report).cases:
        found = finding(case)
        if found and found.kind in {"memory_ceiling", ""} and found.outcome != "skipped":
            told = {"caught": "limit", "false alarm": "limit", "missed": "passed"}
            yield found.nodeid, told.get(found.outcome, found.outcome)


def recorded(database: Path, outcomes: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Of the cases that passed, those whose recorded memory is over the limit, which the name can't tell."""
    if not database.exists():
        return
    limits = json.loads((database.parent / "limits.json").read_text())
    with sqlite3.connect(database) as rows:
        used = dict(rows.execute("select ITEM_VARIANT, MEM_USAGE from TEST_METRICS"))
    for nodeid, outcome in outcomes.items():
        name = nodeid.partition("::")[2].replace("-", ", ")  # as pytest-monitor writes it
        if outcome == "passed" and used.get(name, 0.0) > limits[nodeid]:
            yield nodeid, "limit"


def role_of(nodeid: str) -> str:
    return next(role for role in ROLES if nodeid.endswith((f"[{role}]", f"-{role}]")))


def line(tool: str, outcomes: list[dict[str, str]]) -> str:
    """Of each role what was right, wrong, or came to no verdict."""
    counts = Counter((role_of(nodeid), how) for found in outcomes for nodeid, how in found.items())
    words = [f"{PACKAGES[tool][0]:16}"]
    for role in ROLES:
        right, wrong = ("limit", "passed") if role == "bad" else ("passed", "limit")
        of_role = sum(count for (name, _), count in counts.items() if name == role)
        none = of_role - counts[role, right] - counts[role, wrong]
        words.append(f"{counts[role, right]:4} {counts[role, wrong]:5} {none:5}")
    return "   ".join(words)


def heading() -> str:
    words = [f"{RIGHT[role]}, {WRONG[role]}, other" for role in ROLES]
    return "of bad twins, good twins and baits: " + "; ".join(words)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--tools", default=",".join(PACKAGES))
    options = parser.parse_args()
    print(heading())
    with tempfile.TemporaryDirectory() as temporary, hog() as pid:
        for tool in options.tools.split(","):
            folder = Path(temporary, tool)
            python = environment(tool, folder)
            found = [run(tool, python, folder, pid) for _ in range(options.repeats)]
            print(line(tool, found), flush=True)
            for nodeid, how in sorted(found[-1].items()):
                right = "limit" if role_of(nodeid) == "bad" else "passed"
                if how != right:
                    print(f"    {how:12} {nodeid}", flush=True)


if __name__ == "__main__":
    main()
