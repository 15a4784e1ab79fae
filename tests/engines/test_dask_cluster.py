"""Dask and Modin on a cluster that somebody else started: a scheduler with two workers."""

import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.real

MIB = 2**20

SLEEPING = """
import os, signal, threading
import pytest


def sleep_on_both(engine):
    '''A nested function: this file is not on the workers.'''

    def sleep(number):
        import time

        time.sleep(3)

    engine.session.gather(engine.session.map(sleep, range(2), pure=False))
"""

CASES = """
import pytest


@pytest.mark.memory_ceiling("150MiB", of="node")
@pytest.mark.memory_ceiling("300MiB")
@pytest.mark.min_cores(1.2)
def test_one_holds_and_all_spin(engine):
    def work(number):
        import time

        block = b"x" * (200 * 2**20 if number == 0 else 0)
        last = time.process_time() + 1
        while time.process_time() < last:
            pass
        del block

    client = engine.session
    client.gather([
        client.submit(work, number, workers=[worker], pure=False)
        for number, worker in enumerate(client.nthreads())
    ])
"""

KILLED = (
    SLEEPING
    + """
def test_killed(engine):
    threading.Timer(1, os.kill, [os.getpid(), signal.SIGKILL]).start()
    sleep_on_both(engine)
"""
)

LOST = (
    SLEEPING
    + """
@pytest.mark.memory_ceiling("1GiB")
def test_lost(engine):
    threading.Timer(1, os.kill, [WORKER, signal.SIGKILL]).start()
    sleep_on_both(engine)


def test_next():
    pass
"""
)


class Cluster:
    """A scheduler and workers of one thread, on loopback."""

    def __init__(self, programs):
        self._programs = programs
        self.workers = []
        _, log = self._start("scheduler", "--port", 0, "--no-show")
        self.address = programs.said(log, r"tcp://127.0.0.1:\d+")

    def start_workers(self, count):
        """With 1 GiB each, and without a nanny that would start a lost one again."""
        folder = self._programs.folder / "local"
        options = ("--no-nanny", "--nthreads", 1, "--memory-limit", "1GiB")
        options = (*options, "--local-directory", folder, self.address)
        started = [self._start("worker", *options) for _ in range(count)]
        for _, log in started:
            self._programs.said(log, "Registered to")
        self.workers += [process for process, _ in started]

    def _start(self, program, *options):
        command = (sys.executable, "-m", f"distributed.cli.dask_{program}")
        return self._programs.start(
            *command, "--host", "127.0.0.1", "--no-dashboard", "--dashboard-address", ":0", *options
        )


@pytest.fixture(scope="module")
def cluster(programs):
    started = Cluster(programs)
    started.start_workers(2)
    return started


@pytest.fixture
def run(layers):
    """Run a test file on a cluster."""

    def start(address, text, *args, engine="dask"):
        options = (f"--layers={engine}", f"--layers-dask-scheduler={address}")
        return layers.run(text, *options, "--layers-timeout=120s", *args)

    return start


@pytest.fixture
def contract(layers):
    """Have the test files of the engines on this machine beside, and their data, to be made only once."""
    data = "def test(engine, sales, products): pass"
    layers.run(data, "--layers=pandas", "--layers-sizes=20k")
    for name in ("test_dask.py", "test_modin_dask.py"):
        layers.write(name, Path(__file__).with_name(name).read_text(encoding="utf-8"))


@pytest.mark.usefixtures("contract")
@pytest.mark.parametrize("engine", ["dask", "modin-dask"])
def test_memory_and_cores_of_the_workers(cluster, programs, run, engine):
    ran = run(cluster.address, CASES, "-k", "spin or operations", engine=engine)
    assert ran.case(f"test_operations[{engine}-20k]").outcome == "passed", ran.out
    case = ran.case(f"test_one_holds_and_all_spin[{engine}]")
    cost = case.measurement
    least, most = sorted(cost.nodes, key=lambda node: node.growth.upper_bytes)
    assert 199 <= most.growth.lower_bytes / MIB <= most.growth.upper_bytes / MIB < 215
    assert least.growth.upper_bytes / MIB < 15
    assert [node.cores for node in cost.nodes] == [1, 1]
    assert cost.cores_given == 2
    assert all(1 <= node.cpu_seconds < 2 for node in cost.nodes)
    outcomes = {verdict.limit.of or "cores": verdict.outcome for verdict in case.verdicts}
    assert outcomes == {"node": "failed", "growth": "passed", "cores": "passed"}
    assert most.name in ran.out
    programs.assert_nothing_left()


def test_the_case_is_killed(cluster, programs, run):
    ran = run(cluster.address, KILLED)
    assert ran.case("test_killed[dask]").outcome == "failed"
    programs.assert_nothing_left()


def test_a_worker_is_lost(cluster, programs, run):
    ran = run(cluster.address, LOST.replace("WORKER", str(cluster.workers.pop().pid)))
    lost = ran.case("test_lost[dask]")
    # The loss left the verdict in doubt, so that the case was run again, on the worker that was left.
    assert lost.attempts == 2, ran.out
    assert len(lost.measurement.nodes) == 1
    assert lost.measurement.lost_nodes == ()
    assert lost.outcome == "passed"
    assert ran.outcomes == {"passed": 2}
    programs.assert_nothing_left()
    cluster.start_workers(1)


def test_nobody_answers(run):
    address = "tcp://127.0.0.1:1"
    ran = run(address, CASES)
    assert ran.case("test_one_holds_and_all_spin[dask]").outcome == "error"
    assert f"--layers-dask-scheduler={address}: nobody answers there" in ran.out
