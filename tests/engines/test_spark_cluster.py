"""Spark on clusters that somebody else started: a standalone master with two workers, and Spark Connect."""

import importlib.util
import re
import sys
from pathlib import Path

import pytest

pytest.importorskip("pyspark")
pytestmark = pytest.mark.real

MIB = 2**20
JVM = "-XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:-UsePerfData"

NODES = """
import os, signal, threading
import pytest


def on_nodes(engine, work):
    '''Run `work(number)` in two tasks. Nested functions: this file is not on the nodes.'''

    def run(batches):
        import pyarrow as pa

        for batch in batches:
            (number,) = batch.column(0).to_pylist()
            work(number)
            yield pa.RecordBatch.from_pydict({"done": [number]})

    return engine.session.range(0, 2, 1, 2).mapInArrow(run, "done long").collect()


def sleeping(seconds):
    def sleep(number):
        import time

        time.sleep(seconds)

    return sleep
"""

CASES = (
    NODES
    + """
@pytest.mark.memory_ceiling("150MiB", of="node")
@pytest.mark.memory_ceiling("300MiB")
@pytest.mark.min_cores(1.2)
def test_one_holds_and_all_spin(engine, measured):
    def work(number):
        import time

        block = b"x" * (200 * 2**20 if number == 0 else 0)
        last = time.process_time() + 1
        while time.process_time() < last:
            pass
        del block

    # What nodes start for Python costs them more than the work where they are slow.
    on_nodes(engine, sleeping(0))
    with measured:
        on_nodes(engine, work)
"""
)

KILLED = (
    NODES
    + """
def test_killed(engine):
    threading.Timer(1, os.kill, [os.getpid(), signal.SIGKILL]).start()
    on_nodes(engine, sleeping(3))
"""
)

LOST = (
    NODES
    + """
@pytest.mark.memory_ceiling("1GiB")
def test_lost(engine):
    threading.Timer(1, os.kill, [WORKER, signal.SIGKILL]).start()
    on_nodes(engine, sleeping(3))


def test_next():
    pass
"""
)


class Cluster:
    """A master, workers and a Spark Connect server, on loopback."""

    def __init__(self, programs):
        self._programs = programs
        self._temp_dir = f"-Djava.io.tmpdir={programs.temp} {JVM}"
        self.workers = []

    def start(self, program, *words, heap="256m"):
        """Start a program of Spark's; gives it and the file of what it says."""
        home = Path(importlib.util.find_spec("pyspark").origin).parent
        folder = self._programs.folder
        environment = {
            "PYSPARK_PYTHON": sys.executable,
            "SPARK_DAEMON_JAVA_OPTS": self._temp_dir,
            "SPARK_DAEMON_MEMORY": heap,
            "SPARK_LOCAL_DIRS": str(folder / "local"),
            "SPARK_LOCAL_IP": "127.0.0.1",
            "SPARK_WORKER_DIR": str(folder / "work"),
        }
        return self._programs.start(home / "bin" / program, *words, **environment)

    def start_master(self):
        _, log = self.start(
            "spark-class",
            "-Dspark.master.rest.enabled=false",
            "org.apache.spark.deploy.master.Master",
            *("--host", "127.0.0.1", "--port", 0, "--webui-port", 0),
        )
        self.url = self._programs.said(log, r"spark://127.0.0.1:\d+")

    def start_workers(self, count):
        """With one core and 1 GiB each."""
        options = ("--cores", 1, "--memory", "1g", "--host", "127.0.0.1", "--webui-port", 0)
        worker = "org.apache.spark.deploy.worker.Worker"
        started = [self.start("spark-class", worker, *options, self.url) for _ in range(count)]
        for _, log in started:
            self._programs.said(log, "Successfully registered with master")
        self.workers += [process for process, _ in started]

    def start_connect(self):
        """A Spark Connect server, with executors on the workers; gives its address."""
        options = {
            "spark.connect.grpc.binding.address": "127.0.0.1",
            "spark.connect.grpc.binding.port": "0",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.driver.extraJavaOptions": self._temp_dir,
            "spark.driver.host": "127.0.0.1",
            "spark.executor.extraJavaOptions": self._temp_dir,
            "spark.ui.enabled": "false",
        }
        process, log = self.start(
            "spark-submit",
            *("--class", "org.apache.spark.sql.connect.service.SparkConnectServer"),
            *("--master", self.url),
            *(word for key, value in options.items() for word in ("--conf", f"{key}={value}")),
            "spark-internal",
            heap="512m",
        )
        port = re.search(
            r"\d+$", self._programs.said(log, r"Connect server started at: 127.0.0.1:\d+")
        )[0]
        return process, f"sc://127.0.0.1:{port}"

    def assert_nothing_left(self, executors):
        """Of the plugin, after a moment, but `executors` of somebody else."""

        def too_many():
            running = self._programs.running("CoarseGrainedExecutorBackend").values()
            return list(running)[executors:]

        self._programs.assert_nothing_left(too_many)


@pytest.fixture(scope="module")
def cluster(programs):
    started = Cluster(programs)
    started.start_master()
    started.start_workers(2)
    return started


@pytest.fixture(scope="module")
def connect(cluster):
    pytest.importorskip("grpc_status")
    process, address = cluster.start_connect()
    yield address
    process.terminate()
    process.wait()


@pytest.fixture
def run(layers):
    """Run a test file on a cluster."""

    def start(address, text, *args):
        options = ("--layers=spark", f"--layers-spark-master={address}", "--layers-timeout=150s")
        return layers.run(text, *options, *args)

    return start


@pytest.fixture
def contract(layers):
    """Have a test file beside: that of the engine on this machine; and its data, to be made only once."""
    data = "def test(engine, sales, products): pass"
    layers.run(data, "--layers=pandas", "--layers-sizes=20k")
    text = Path(__file__).with_name("test_spark.py").read_text(encoding="utf-8")
    layers.write("test_contract.py", text)


def check(ran):
    """That operations work, and that figures are counted where they belong."""
    assert ran.case("test_operations[spark-20k]").outcome == "passed", ran.out
    case = ran.case("test_one_holds_and_all_spin[spark]")
    cost = case.measurement
    least, most = sorted(cost.nodes, key=lambda node: node.growth.upper_bytes)
    assert 199 <= most.growth.lower_bytes / MIB <= most.growth.upper_bytes / MIB < 215
    assert least.growth.upper_bytes / MIB < 15
    assert [node.cores for node in cost.nodes] == [1, 1]
    assert cost.cores_given == 2
    assert all(1 <= node.cpu_seconds < 2 for node in cost.nodes), cost.nodes
    outcomes = {verdict.limit.of or "cores": verdict.outcome for verdict in case.verdicts}
    assert outcomes == {"node": "failed", "growth": "passed", "cores": "passed"}
    assert most.name in ran.out


@pytest.mark.usefixtures("contract")
def test_standalone(cluster, run):
    ran = run(cluster.url, CASES, "-k", "spin or operations")
    check(ran)
    native = ran.case("test_operations[spark-20k]").measurement.native
    assert native["shuffle_written_bytes"] > 0
    cluster.assert_nothing_left(executors=0)


def test_standalone_when_the_case_is_killed(cluster, run):
    ran = run(cluster.url, KILLED)
    assert ran.case("test_killed[spark]").outcome == "failed"
    cluster.assert_nothing_left(executors=0)


def test_standalone_loses_a_worker(cluster, run):
    ran = run(cluster.url, LOST.replace("WORKER", str(cluster.workers.pop().pid)))
    lost = ran.case("test_lost[spark]")
    # The loss left the verdict in doubt, so that the case was run again, on the node that was left.
    assert lost.attempts == 2
    assert len(lost.measurement.nodes) == 1
    assert lost.measurement.lost_nodes == ()
    assert lost.outcome == "passed"
    assert ran.outcomes == {"passed": 2}
    cluster.assert_nothing_left(executors=0)
    cluster.start_workers(1)


@pytest.mark.usefixtures("contract")
def test_connect(cluster, connect, run):
    check(run(connect, CASES, "-k", "spin or operations"))
    cluster.assert_nothing_left(executors=2)


def test_connect_when_the_case_is_killed(cluster, connect, run):
    ran = run(connect, KILLED)
    assert ran.case("test_killed[spark]").outcome == "failed"
    cluster.assert_nothing_left(executors=2)


@pytest.mark.parametrize("address", ["spark://127.0.0.1:1", "sc://127.0.0.1:1"])
def test_nobody_answers(run, address):
    ran = run(address, CASES)
    case = ran.case("test_one_holds_and_all_spin[spark]")
    assert case.outcome == "error"
    assert f"--layers-spark-master={address}: nobody answers there" in ran.out
