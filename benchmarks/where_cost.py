"""What it costs a test to be asked which of its lines runs, and how true the answers are.

    python benchmarks/where_cost.py [--rounds 9]

For the bodies of `overhead.py`, below as many calls as pytest has above a test: the CPU that the answering thread took,
as a share of the window, and the ratio of the CPU seconds of the whole process, asked against measured alone, in turn;
medians and quartiles. Then, of bodies that spend 3 tenths of their time in one line and 7 in another, the share that is
told of the second, against that by the process's own clock. About 3 minutes. Exits 1 where a median ratio is over 1.02,
or a share over 2 %, or another line was named.
"""

from __future__ import annotations

import argparse
import functools
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import overhead

from pytest_layers.isolate import launch
from pytest_layers.isolate.job import Job

FOLDER = str(Path(__file__).absolute().parent)
DEPTH = 45
MOST_SHARE = 0.02
TIMES = 20
Take = Callable[[str, Callable[[], object]], object]
Body = Callable[[Take], Iterator[None]]
"""Sets up until its first step, and works after that."""


def native_with_the_lock(take: Take) -> Iterator[None]:
    yield
    for _ in range(TIMES):
        take("less", lambda: sum(range(1_500_000)))
        take("more", lambda: sum(range(3_500_000)))


def native_without_it(take: Take) -> Iterator[None]:
    import numpy as np

    numbers = np.random.default_rng(1).random(1_400_000)
    yield
    for _ in range(TIMES):
        take("less", lambda: np.sort(numbers[:400_000]))
        take("more", lambda: np.sort(numbers[400_000:]))


def row_by_row(take: Take) -> Iterator[None]:
    import pandas as pd

    frame = pd.DataFrame({"n": range(7000), "m": range(7000)})
    yield
    for _ in range(TIMES):
        take("less", lambda: frame[:3000].apply(sum, axis=1))
        take("more", lambda: frame.apply(sum, axis=1))


def plain_python(take: Take) -> Iterator[None]:
    def less() -> None:
        for number in range(900_000):
            number * number % 7

    def more() -> None:
        for number in range(2_100_000):
            number * number % 7

    yield
    for _ in range(TIMES):
        take("less", less)
        take("more", more)


def held_at_the_peak(take: Take) -> Iterator[None]:
    yield
    held = [b"x" * 100 * 2**20]
    take("less", lambda: time.sleep(0.6))
    held.append(b"x" * 100 * 2**20)
    take("more", lambda: time.sleep(1.4))


KNOWN: dict[str, Body] = {
    body.__name__: body
    for body in (
        native_with_the_lock,
        native_without_it,
        row_by_row,
        plain_python,
        held_at_the_peak,
    )
}


def at_depth(calls: int, body: Callable[[], object]) -> None:
    """Below so many calls."""
    if calls:
        at_depth(calls - 1, body)
    else:
        body()


def run_body(name: str, asked: bool, read: int, write: int) -> None:
    """In the child: one body between the marks, and what it cost."""
    from pytest_layers.isolate.child import Wire

    spent = {"less": 0.0, "more": 0.0}

    def take(line: str, work: Callable[[], object]) -> None:
        started = time.perf_counter()
        work()
        spent[line] += time.perf_counter() - started

    body = overhead.BODIES.get(name)
    if body is None:
        steps = KNOWN[name](take)
        next(steps)
        body = functools.partial(next, steps, None)
    wire = Wire(read, write)
    wire.set_team_folders([FOLDER] if asked else [])
    before = threads()
    wire.begin()
    new = threads() - before
    started, cpu = time.perf_counter(), time.process_time()
    at_depth(DEPTH, body)
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    answering = sum(map(cpu_of, new))
    wire.end()
    wire.send("progress", what=spent, done=[cpu, answering / seconds], total=0)


def threads() -> set[Path]:
    return set(Path("/proc/self/task").iterdir())


def cpu_of(thread: Path) -> float:
    """Seconds that it has had since it started."""
    return int((thread / "schedstat").read_text().split()[0]) / 1e9


def run(name: str, *, asked: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the child told of one run of a body, and what was found."""
    command = (sys.executable, __file__, "--child", name, "asked" if asked else "alone")
    job = Job(str(launch.make_temp_dir()), command=command, environment=dict(os.environ))
    with launch.Supervised(job) as case:
        told = {message["kind"]: message for message in case.messages()}
    return told["progress"], told["findings"]["findings"]


def show_cost(name: str, rounds: int) -> bool:
    shares: list[float] = []

    def asked() -> float:
        cpu, share = run(name, asked=True)[0]["done"]
        shares.append(share)
        return float(cpu)

    found = overhead.ratios(asked, lambda: float(run(name, asked=False)[0]["done"][0]), rounds)
    over = overhead.show(name, found, overhead.MOST)
    share = statistics.median(shares)
    print(f"{'':20} answering took {share:.2%} of the window")
    return over or share > MOST_SHARE


def show_truth(name: str) -> bool:
    told, findings = run(name, asked=True)
    spent, when = told["what"], "peak" if name == "held_at_the_peak" else "one_core"
    true = 1.0 if when == "peak" else spent["more"] / sum(spent.values())
    line = next((line for line in findings["where"] if line["when"] == when), None)
    right = line is not None and "more" in line["source"] + line["function"]
    said = (
        f"{line['share']:.0%} of {line['stack_samples']} stack samples in {line['seconds']:.1f} s"
        if line and right
        else f"not named: {line}"
    )
    print(f"{name:20} {true:.0%} of the time in the line, told {said}", flush=True)
    return not right


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    print(f"{'ratio of CPU':20} median  [quartiles]")
    over = [show_cost(name, options.rounds) for name in overhead.BODIES]
    return any([*over, *(show_truth(name) for name in KNOWN for _ in range(3))])


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        run_body(sys.argv[2], sys.argv[3] == "asked", int(sys.argv[4]), int(sys.argv[5]))
    else:
        sys.exit(main())
