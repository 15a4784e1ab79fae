"""What watching costs: the share of a core that the supervisor takes beside idle and busy processes.

    python benchmarks/sampler_cost.py [--counts 1,10,50] [--threads 1,16] [--seconds 3]

Every child forks so many processes with so many threads each, idle or spinning; the supervisor's CPU time is read
from `/proc` at both ends. Takes a minute. Exits 1 where a share is above what README claims, of a quiet machine: 4 %
of a core for one process, 5 % for ten, 15 % for fifty; other counts are not judged.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
import time
from itertools import product

from pytest_layers.isolate import launch
from pytest_layers.isolate.job import Job
from pytest_layers.measure import procfs, reduce
from pytest_layers.measure.findings import Findings
from pytest_layers.records import Measurement, from_json

KINDS = ("idle", "busy")
MOST = {1: 0.04, 10: 0.05, 50: 0.15}
"""The share of a core at most, by the number of processes: as README has it."""


def work(kind: str, threads: int, seconds: float) -> None:
    """One watched process."""
    last = time.monotonic() + seconds
    for _ in range(threads - 1):
        threading.Thread(target=time.sleep, args=(seconds,), daemon=True).start()
    while time.monotonic() < last:
        if kind == "idle":
            time.sleep(max(0.0, last - time.monotonic()))


def run_child(kind: str, count: int, threads: int, seconds: float, read: int, write: int) -> None:
    """In the child: so many processes, and the supervisor's CPU time while they work."""
    from pytest_layers.isolate.child import Wire

    pids = []
    for _ in range(count - 1):
        pid = os.fork()
        if not pid:
            work(kind, threads, seconds + 1)
            os._exit(0)
        pids.append(pid)
    time.sleep(0.5)
    wire = Wire(read, write)
    wire.begin()
    before = procfs.cpu_seconds(os.getppid()) or 0.0
    work(kind, threads, seconds)
    wire.send("data", spent=(procfs.cpu_seconds(os.getppid()) or 0.0) - before)
    wire.end()
    for pid in pids:
        os.waitpid(pid, 0)
    wire.send("done")


def measure(kind: str, count: int, threads: int, seconds: float) -> tuple[float, Measurement]:
    """CPU seconds of the supervisor, and what it found."""
    words = (kind, str(count), str(threads), str(seconds))
    command = (sys.executable, __file__, "--child", *words)
    job = Job(temp_dir=str(launch.make_temp_dir()), command=command, environment=dict(os.environ))
    spent, found = 0.0, None
    with launch.Supervised(job) as case:
        for message in case.messages():
            if message["kind"] == "data":
                spent = message["spent"]
            elif message["kind"] == "findings":
                found = message["findings"]
            elif message["kind"] == "ended" and message["status"]:
                raise SystemExit(message["tail"])
    assert found is not None
    return spent, reduce.measurement(from_json(Findings, found), cores_given=1)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--counts", default="1,10,50")
    parser.add_argument("--threads", default="1,16")
    parser.add_argument("--seconds", type=float, default=3.0)
    options = parser.parse_args()
    counts = [int(word) for word in options.counts.split(",")]
    threads = [int(word) for word in options.threads.split(",")]
    too_much = False
    print("kind  processes  threads  share of a core  samples a second  longest gap")
    for kind, count, each in product(KINDS, counts, threads):
        spent, found = measure(kind, count, each, options.seconds)
        share = spent / found.wall_seconds
        too_much |= share > MOST.get(count, share)
        rate, gap = found.samples / found.wall_seconds, found.longest_gap_seconds * 1000
        print(
            f"{kind}  {count:9}  {each:7}  {share:15.2%}  {rate:16.1f}  {gap:8.0f} ms", flush=True
        )
    return too_much


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        kind, count, threads, seconds, read, write = sys.argv[2:]
        run_child(kind, int(count), int(threads), float(seconds), int(read), int(write))
    else:
        sys.exit(main())
