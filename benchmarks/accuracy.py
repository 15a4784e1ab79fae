"""How true the measuring is: children of known cost, measured as a case is, against what they cost.

    python benchmarks/accuracy.py [--repeats 3] [--neighbours 0,1,2]

For every child: the truth, the bracket found, whether it holds the truth, its width, and for busy threads the cores
wanted and used. `--neighbours` is a list of busy processes beside it, in multiples of the cores. Exits 1 where a
bracket misses the truth, is wider than 2 % and 4 MiB for one process, or a bound of the cores wanted is more than 5 %
off: either bound where threads never sleep. Where they sleep in between, the lower one may be 15 % too high. Takes five
to ten minutes: 81 children of three seconds and more.
"""

from __future__ import annotations

import argparse
import mmap
import multiprocessing
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from load import neighbours

from pytest_layers.isolate import launch
from pytest_layers.isolate.job import Job
from pytest_layers.measure import machine, reduce
from pytest_layers.measure.findings import Findings
from pytest_layers.records import Measurement, from_json

MIB = 2**20
HELD = 200 * MIB
SHARED = 600 * MIB
MAPPED = 400 * MIB
BUSY_SECONDS = 1.5


def hold(size: int = HELD) -> None:
    array = np.ones(size, np.uint8)
    time.sleep(0.2)
    del array


def burst(size: int = HELD) -> None:
    """`size` bytes of huge pages, written and given back within a few milliseconds."""
    time.sleep(0.1)
    with mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as area:
        area.madvise(mmap.MADV_HUGEPAGE)
        np.frombuffer(area, np.uint8)[:: mmap.PAGESIZE] = 1
        time.sleep(0.005)
    time.sleep(0.1)


def _hold_code(seconds: float) -> list[str]:
    code = f"import time; block = b'x' * {HELD}; time.sleep({seconds})"
    return [sys.executable, "-S", "-c", code]


def two_at_once() -> None:
    children = [subprocess.Popen(_hold_code(1.0)) for _ in range(2)]
    for child in children:
        child.wait()


def one_after_the_other() -> None:
    for _ in range(2):
        subprocess.run(_hold_code(0.3), check=True)


def _read(array: np.ndarray) -> None:
    array.sum()
    time.sleep(0.5)


def forks() -> None:
    """Four forks read an array of their parent: it is there once."""
    array = np.ones(SHARED, np.uint8)
    fork = multiprocessing.get_context("fork")
    children = [fork.Process(target=_read, args=(array,)) for _ in range(4)]
    for child in children:
        child.start()
    for child in children:
        child.join()


def mapped(path: str) -> None:
    array = np.memmap(path, np.uint8, mode="r")
    array.sum()
    del array


def busy(threads: int) -> None:
    """Threads that hash for a fixed amount of work; they ask for the interpreter's lock ten times a second."""
    import hashlib

    block = bytes(64 * MIB)
    spent = time.process_time()

    def work() -> None:
        while time.process_time() - spent < BUSY_SECONDS * threads:
            hashlib.sha256(block)

    _in_threads(work, threads)


def contend(threads: int) -> None:
    """Threads that run Python alone: one at a time, as there is one lock."""
    spent = time.process_time()

    def work() -> None:
        while time.process_time() - spent < BUSY_SECONDS:
            pass

    _in_threads(work, threads)


def _in_threads(work: Callable[[], None], threads: int) -> None:
    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


@dataclass(frozen=True)
class Known:
    """A child whose cost is known."""

    name: str
    work: Callable[[], None]
    bytes_held: int = 0
    single: bool = True
    """One process: the bracket must be narrow."""
    cores: int = 0
    sleepless: bool = True
    """Threads that want their core without a break: both bounds of the cores wanted must be near the truth."""


def known_children(path: str) -> list[Known]:
    cores = machine.available_cores()
    interpreter = 8 * MIB  # what `python -S` itself holds, taken as slack of the truth
    return [
        Known("hold 200 MiB", hold, HELD),
        Known("burst of 200 MiB for 5 ms", burst, HELD),
        Known(
            "200 MiB in each of 2 processes", two_at_once, 2 * (HELD + interpreter), single=False
        ),
        Known(
            "the same, one after the other", one_after_the_other, HELD + interpreter, single=False
        ),
        Known("600 MiB shared by 4 forks", forks, SHARED, single=False),
        Known("400 MiB file, mapped and read", lambda: mapped(path), 0),
        *(
            Known(f"{count} busy thread{'s' * (count > 1)}", lambda n=count: busy(n), cores=count)
            for count in range(1, cores + 1)
        ),
        Known("2 threads at Python's lock", lambda: contend(2), cores=1, sleepless=False),
    ]


def run_child(name: str, path: str, read: int, write: int) -> None:
    """In the child: the work, between the marks of the window."""
    from pytest_layers.isolate.child import Wire

    child = next(known for known in known_children(path) if known.name == name)
    wire = Wire(read, write)
    wire.begin()
    child.work()
    wire.end()
    wire.send("done")


def measure(name: str, path: str) -> Measurement:
    """One child, measured as a case is."""
    temp_dir = launch.make_temp_dir()
    command = (sys.executable, __file__, "--child", name, path)
    job = Job(temp_dir=str(temp_dir), command=command, environment=dict(os.environ))
    found = None
    with launch.Supervised(job) as case:
        for message in case.messages():
            if message["kind"] == "findings":
                found = message["findings"]
            elif message["kind"] == "ended" and message["status"]:
                raise SystemExit(message["tail"])
    assert found is not None
    return reduce.measurement(from_json(Findings, found), cores_given=machine.available_cores())


def core_faults(known: Known, found: Measurement) -> Iterator[str]:
    least, most = found.cores_wanted_lower / known.cores, found.cores_wanted_upper / known.cores
    if known.sleepless and (least < 0.95 or most > 1.05):
        yield "cores wanted off by more than 5 %"
    elif least > 1.15 or most < 0.95:
        yield "truth outside the bounds"


def faults(known: Known, found: Measurement, neighbours: int) -> list[str]:
    """What is wrong with a measurement of a known child."""
    bracket = found.growth
    wrong = []
    if known.cores:
        return list(core_faults(known, found))
    slack = 1.5 * MIB if known.single else 0.06 * known.bytes_held
    if not bracket.lower_bytes - slack <= known.bytes_held <= bracket.upper_bytes + slack:
        wrong.append("truth outside the bracket")
    if known.single and bracket.width_bytes > max(4 * MIB, 0.02 * known.bytes_held):
        wrong.append("bracket too wide")
    return wrong


def show(known: Known, found: Measurement, busy_ones: int, wrong: list[str]) -> None:
    low, high = found.growth.lower_bytes / MIB, found.growth.upper_bytes / MIB
    truth = f"{known.cores} cores" if known.cores else f"{known.bytes_held / MIB:.0f} MiB"
    cost = f"{low:8.1f} - {high:8.1f} MiB"
    if known.cores:
        wanted = f"{found.cores_wanted_lower:.2f} - {found.cores_wanted_upper:.2f}"
        cost = f"wanted {wanted}, used {found.cores_used:.2f}"
    print(
        f"{known.name:32} {busy_ones:3} {truth:>9}  {cost:28} {'; '.join(wrong) or 'ok'}",
        flush=True,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--neighbours", default="0,1,2", help="multiples of the cores")
    parser.add_argument("--only", default="", help="children whose name holds this")
    options = parser.parse_args()
    bad = 0
    print(f"{'child':32} {'busy':>4}{'truth':>9}   growth or cores")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "mapped")
        path.write_bytes(bytes(MAPPED))
        for multiple in (int(word) for word in options.neighbours.split(",")):
            count = multiple * machine.available_cores()
            for known in known_children(str(path)):
                if options.only not in known.name:
                    continue
                for _ in range(options.repeats):
                    with neighbours(count):
                        found = measure(known.name, str(path))
                    wrong = faults(known, found, count)
                    bad += bool(wrong)
                    show(known, found, count, wrong)
    print(f"{bad} measurements were off" if bad else "every bracket holds the truth")
    return bool(bad)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        name, path, read, write = sys.argv[2:]
        run_child(name, path, int(read), int(write))
    else:
        sys.exit(main())
