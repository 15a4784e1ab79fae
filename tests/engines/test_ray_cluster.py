"""Ray on a cluster that somebody else started: a head and a second node."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from pytest_layers.measure import procfs, tree

pytestmark = pytest.mark.real

MIB = 2**20

# `ray start` lets no second node be on loopback, on which this stays as it is asked to for Windows and macOS.
ENVIRONMENT = {
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_AUTH_MODE": "disabled",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
}

CLUSTER = """
import sys, threading, time
from ray.cluster_utils import Cluster

node = {
    "node_ip_address": "127.0.0.1",
    "num_cpus": 1,
    "object_store_memory": 200 * 2**20,
    "include_dashboard": False,
    "include_log_monitor": False,
}
cluster = Cluster(initialize_head=True, head_node_args=node)
print(cluster.address, flush=True)


def reap():
    # Workers outlive a raylet that was killed and not waited for.
    while True:
        for one in cluster.list_all_nodes():
            one.dead_processes()
        time.sleep(0.2)


threading.Thread(target=reap, daemon=True).start()
for line in sys.stdin:
    cluster.add_node(**node)
    print("added", flush=True)
"""

NODES = """
import contextlib, os, signal, threading
import pytest


def on_nodes(work):
    '''Run `work(own)` on each node. Nested functions: this file is not on the nodes.'''
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    own = ray.get_runtime_context().get_node_id()
    nodes = [node["NodeID"] for node in ray.nodes() if node["Alive"]]
    there = [NodeAffinitySchedulingStrategy(node, soft=True) for node in nodes]
    tasks = [ray.remote(work).options(scheduling_strategy=one) for one in there]
    ray.get([task.remote(node == own) for task, node in zip(tasks, nodes)])


def sleeping(seconds):
    def sleep(own):
        import time

        time.sleep(seconds)

    return sleep
"""

CASES = (
    NODES
    + """
@pytest.mark.layers("ray")
@pytest.mark.memory_ceiling("150MiB", of="node")
@pytest.mark.memory_ceiling("400MiB")
@pytest.mark.min_cores(1.2)
def test_one_holds_and_all_spin(engine, measured):
    def work(own):
        import time

        block = b"x" * (0 if own else 200 * 2**20)
        last = time.process_time() + 1
        while time.process_time() < last:
            pass
        del block

    block = b"x" * (60 * 2**20)
    with measured:
        stored = engine.namespace.put(block)
        on_nodes(work)
    del stored


@pytest.mark.layers("modin-ray")
def test_modin(engine, sales):
    totals = engine.scan(sales).groupby("product")["quantity"].sum()
    assert engine.collect(totals).num_rows == sales.products
    assert engine.cores == 2
"""
)

KILLED = (
    NODES
    + """
def test_killed(engine):
    threading.Timer(1, os.kill, [os.getpid(), signal.SIGKILL]).start()
    on_nodes(sleeping(30))
"""
)

LOST = (
    NODES
    + """
@pytest.mark.memory_ceiling("1GiB")
def test_lost(engine):
    def kill():
        with contextlib.suppress(ProcessLookupError):  # when it is run again
            os.kill(RAYLET, signal.SIGKILL)

    threading.Timer(1, kill).start()
    on_nodes(sleeping(3))


def test_next():
    pass
"""
)


class Cluster:
    """A process with a head and other nodes, and a folder for all that they write."""

    def __init__(self, folder):
        self.temp = folder
        (folder / "ray").mkdir()
        self._process = subprocess.Popen(
            [sys.executable, "-c", CLUSTER],
            env=os.environ | ENVIRONMENT | {"TMPDIR": str(folder)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.address = self._said()

    def add_node(self):
        """With one core."""
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        assert self._said() == "added"

    def _said(self):
        return self._process.stdout.readline().strip()

    def processes(self, word=""):
        """The command lines of all its processes that have `word` in it, by process id.

        Of workers the environment is gone: Ray writes their titles over it.
        """
        top = self._process.pid
        found = {pid: procfs.command_line(pid) for pid in [top, *tree.descendants(top)]}
        found |= {
            pid: procfs.command_line(pid)
            for pid in procfs.all_pids()
            if procfs.has_in_environment(pid, str(self.temp))
        }
        return {pid: line for pid, line in found.items() if word in line}

    def assert_nothing_left(self, seconds=20.0):
        """Of the plugin, after a moment."""
        last = time.monotonic() + seconds
        while (left := self.left()) and time.monotonic() < last:
            time.sleep(0.1)
        assert left == []

    def left(self):
        """Processes and folders of probes, and actors."""
        probes = self.processes("pytest_layers.measure.probe")
        actors = self.processes("ray::Caller")
        return [*probes.values(), *actors.values(), *map(str, self.temp.glob("layers-*"))]

    def end(self):
        """Kill whatever is there."""
        while alive := [pid for pid in self.processes() if not procfs.is_dead(pid)]:
            for pid in alive:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.1)
        self._process.communicate()


@pytest.fixture(scope="module")
def cluster():
    with tempfile.TemporaryDirectory(prefix="lt-") as folder:
        started = Cluster(Path(folder))
        try:
            started.add_node()
            yield started
        finally:
            started.end()


@pytest.fixture
def run(layers, monkeypatch):
    """Run a test file on a cluster; Ray Data takes longer to warm up than Modin."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)

    def start(address, text, engines="modin-ray", *args):
        options = (
            f"--layers={engines}",
            f"--layers-ray-address={address}",
            "--layers-timeout=5min",
        )
        return layers.run(text, *options, *args)

    return start


def test_figures_are_counted_where_they_belong(cluster, run):
    ran = run(cluster.address, CASES, "ray,modin-ray", "--layers-sizes=20k")
    case = ran.case("test_one_holds_and_all_spin[ray]")
    cost = case.measurement
    least, most = sorted(cost.nodes, key=lambda node: node.growth.upper_bytes)
    assert 199 <= most.growth.lower_bytes / MIB <= most.growth.upper_bytes / MIB < 230
    assert 60 <= least.growth.lower_bytes / MIB <= least.growth.upper_bytes / MIB < 90
    # What the process of the test puts into the store counts for itself, and for its node.
    assert 320 <= cost.growth.lower_bytes / MIB < 390
    assert [node.cores for node in cost.nodes] == [1, 1]
    assert cost.cores_given == 2
    assert all(1 <= node.cpu_seconds < 3 for node in cost.nodes)
    outcomes = {verdict.limit.of or "cores": verdict.outcome for verdict in case.verdicts}
    assert outcomes == {"node": "failed", "growth": "passed", "cores": "passed"}
    assert most.name in ran.out
    modin = ran.case("test_modin[modin-ray-20k]")
    assert modin.outcome == "passed", ran.out
    assert len(modin.measurement.nodes) == 2
    cluster.assert_nothing_left()


def test_a_killed_case_leaves_nothing_there(cluster, run):
    ran = run(cluster.address, KILLED)
    assert ran.case("test_killed[modin-ray]").outcome == "failed"
    cluster.assert_nothing_left()


def test_a_lost_node(cluster, run):
    # The loss leaves the verdict in doubt, so that the case is run again, on the node that is left.
    raylet = max(cluster.processes("raylet/raylet"))
    ran = run(cluster.address, LOST.replace("RAYLET", str(raylet)))
    lost = ran.case("test_lost[modin-ray]")
    if lost.reason.startswith("the test's process exited"):
        # Ray had put the test itself on that node.
        assert ran.outcomes == {"failed": 1, "passed": 1}
    else:
        assert lost.attempts == 2
        assert len(lost.measurement.nodes) == 1
        assert lost.measurement.lost_nodes == ()
        assert ran.outcomes == {"passed": 2}
    cluster.assert_nothing_left()


def test_nobody_answers(run):
    ran = run("127.0.0.1:1", KILLED)
    assert ran.case("test_killed[modin-ray]").outcome == "error"
    assert "--layers-ray-address=127.0.0.1:1: nobody answers there" in ran.out
