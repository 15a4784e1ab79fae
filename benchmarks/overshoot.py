"""How far past its hard limit a case gets that touches new memory as fast as the machine can.

    python benchmarks/overshoot.py [--repeats 10] [--processes "1 program,2 programs,2 forks"] [--neighbours 0,1]

Programs, or forks of the case, write new maps of small or of huge pages without a pause, and note in a file when each
MiB was done. Told, as median and worst of the repeats: what they held at their end beyond the limit of 1 GiB, and the
time from passing it to their last note. `--neighbours` is a list of busy processes beside them, in multiples of the
cores. The line of a ceiling is watched in the same way. Nothing is measured where the kernel keeps the limit, which is
never passed. Takes about six minutes, and up to 6 GiB of memory.
"""

from __future__ import annotations

import argparse
import ctypes
import mmap
import os
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import product
from pathlib import Path

import numpy as np
from load import neighbours

from pytest_layers.isolate import launch
from pytest_layers.isolate.job import Job
from pytest_layers.measure import machine

MIB = 2**20
LIMIT = 1024 * MIB
MOST = 4096 * MIB
"""What one program touches before it gives up."""
STEP = MIB
AREA = 256 * MIB
PAGES = ("small", "huge")
PROCESSES = "1 program,2 programs,2 forks"


def notes(path: Path) -> np.ndarray:
    """Of each step that a program went: when it was done (ns)."""
    return np.memmap(path, np.int64, mode="r+", shape=(MOST // STEP,))


def touch(path: Path, pages: str, word: int) -> None:
    """One process: wait for the word, then touch new memory to the end."""
    done = notes(path)
    done[:] = 0
    os.read(word, 1)
    areas = []
    for step in range(MOST // STEP):
        offset = step * STEP % AREA
        if not offset:
            areas.append(mmap.mmap(-1, AREA, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
            areas[-1].madvise(mmap.MADV_HUGEPAGE if pages == "huge" else mmap.MADV_NOHUGEPAGE)
            start = ctypes.addressof(ctypes.c_char.from_buffer(areas[-1]))
        ctypes.memset(start + offset, 1, STEP)
        done[step] = time.monotonic_ns()


def start(kind: str, path: str, pages: str, word: int) -> None:
    """One process that waits for the word."""
    if kind.startswith("program"):
        command = (sys.executable, __file__, "--touch", path, pages)
        subprocess.Popen(command, stdin=word)
    elif not os.fork():
        touch(Path(path), pages, word)
        os._exit(0)


def run_child(kind: str, pages: str, paths: list[str], read: int, write: int) -> None:
    """In the child: start the processes, and give the word to all within the window."""
    from pytest_layers.isolate.child import Wire

    wire = Wire(read, write)
    listen, say = os.pipe()
    for path in paths:
        start(kind, path, pages, listen)
    time.sleep(0.7)
    wire.begin()
    os.write(say, b"x" * len(paths))
    for _ in paths:
        os.wait()
    wire.end()
    wire.send("done")


def overshoot(pages: str, processes: str) -> tuple[float, float]:
    """MiB and ms past the limit of one case."""
    count, kind = processes.split()
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, f"notes-{number}") for number in range(int(count))]
        for path in paths:
            path.write_bytes(bytes(MOST // STEP * 8))
        command = (sys.executable, __file__, "--child", kind, pages, *map(str, paths))
        temp_dir = launch.make_temp_dir()
        job = Job(
            temp_dir=str(temp_dir),
            command=command,
            environment=dict(os.environ),
            hard_limit_bytes=LIMIT,
        )
        with launch.Supervised(job) as case:
            told = {message["kind"]: message for message in case.messages()}
        if "stopped" not in told:
            raise SystemExit(f"it was not stopped: {told['ended']}")
        base = told["findings"]["findings"]["base_bytes"]
        steps = np.sort(np.concatenate([notes(path) for path in paths]))
        steps = steps[steps > 0]
    within = (LIMIT - base) // STEP
    past = steps[within:]
    return len(past) * STEP / MIB, (past[-1] - steps[within - 1]) / 1e6 if len(past) else 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--processes", default=PROCESSES)
    parser.add_argument("--neighbours", default="0,1", help="multiples of the cores")
    options = parser.parse_args()
    multiples = [int(word) for word in options.neighbours.split(",")]
    print("pages  processes   neighbours  past the limit: median, worst      median, worst")
    for multiple, processes, pages in product(multiples, options.processes.split(","), PAGES):
        busy = multiple * machine.available_cores()
        with neighbours(busy):
            found = [overshoot(pages, processes) for _ in range(options.repeats)]
        sizes, times = zip(*found, strict=True)
        print(
            f"{pages}  {processes:10}  {busy:10}  {statistics.median(sizes):15.0f} {max(sizes):6.0f} MiB"
            f"  {statistics.median(times):13.1f} {max(times):6.1f} ms",
            flush=True,
        )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--touch"]:
        touch(Path(sys.argv[2]), sys.argv[3], sys.stdin.fileno())
    elif sys.argv[1:2] == ["--child"]:
        kind, pages, *paths, read, write = sys.argv[2:]
        run_child(kind, pages, paths, int(read), int(write))
    else:
        main()
