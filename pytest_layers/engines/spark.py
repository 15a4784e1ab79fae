"""Spark on this machine: one JVM as driver and executor, and Python workers where there are UDFs.

Or on the user's own cluster: by `spark://` with a driver on this machine, or by Spark Connect (`sc://`). There each
executor is a node, measured by a probe beside it, from its JVM down. The executors of a `spark://` master are the
case's own, and are given the same options as the JVM here. Those of a Spark Connect server are as the user started
them: garbage in their JVMs is measured with what they need, and the server's own process is not measured.

How the memory of the JVM here is made to show what the program needs:

By default a JVM takes memory from the system before it collects what it holds already, so its size
tells how long ago it collected. Here it is told to be frugal, and each window starts after a collection:

- The serial collector, with a young generation of fixed size that is touched as the JVM starts:
  garbage that dies young is in the base of every window, not in its growth.
- What was collected goes back to the system: the old generation is kept within a tenth of what lives.
- Pages of Spark's own memory manager have a fixed size; by default they grow with the heap, up to
  64 MiB for each task, whatever the data.
- Code is compiled by the quick compiler only: the other takes a core and much memory while it works,
  and would pass for a second busy core where a program keeps just one.

So growth is what outlives the young generation, what Spark holds outside the heap, and all of Python.
It can't tell apart garbage that came to the old generation from what is needed there: the old
generation is collected only when the heap is full. It says nothing of what the program needs under
another collector, and nothing of speed in a long-running JVM. `benchmarks/jvm_memory.py` compares it
with a JVM by default.

Spark writes every shuffle to its local folder, beside what it spills: `spilled_bytes` are those that
it counts itself.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_layers.engines import _java, _spark
from pytest_layers.engines._nodes import Nodes, open_lifeline, reach
from pytest_layers.engines.base import Engine
from pytest_layers.errors import LayersError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from pytest_layers.records import Budget, Dataset

_MIB = 2**20
LEAST_JAVA = 17
LEAST_HEAP_BYTES = 512 * _MIB
"""Spark itself refuses to start below 450 MiB."""
MOST_HEAP_BYTES = 4096 * _MIB
"""Unless asked for: old garbage may fill the heap, so that a large one blurs what is measured."""

_LOOPBACK = "127.0.0.1"
_JVM = (
    "-XX:+UseSerialGC",
    "-XX:-UseG1GC",  # one that `JAVA_TOOL_OPTIONS` asks for: a JVM does not start with two collectors
    "-XX:-UseParallelGC",
    "-Xmn128m",
    "-Xms144m",
    "-XX:SurvivorRatio=4",
    "-XX:+AlwaysPreTouch",
    "-XX:MinHeapFreeRatio=5",
    "-XX:MaxHeapFreeRatio=10",
    "-XX:-ShrinkHeapInSteps",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",  # a file in /tmp, whatever java.io.tmpdir says
)
_SETTINGS = {
    "spark.buffer.pageSize": "4m",
    "spark.log.level": "ERROR",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
}
_SESSION_SETTINGS = {
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    "spark.sql.session.timeZone": "UTC",
}


class Spark(Engine):
    """`scan` gives a `pyspark.sql.DataFrame`; `session` is the `SparkSession`.

    `pyspark.pandas` works beside it: `frame.pandas_api()`.
    """

    name, layer = "spark", "cluster"
    modules, distribution = ("pyspark", "pandas", "pyarrow"), "pyspark"
    install = 'pip install "pytest-layers[spark]"'
    python_from = (3, 11)
    starts_processes = True
    address_setting = "spark_master"

    _executors: _spark.Executors | None = None
    """Of a cluster."""
    _jvm: Any = None
    """The driver's, where that is here."""
    _lifeline: socket.socket | None = None
    _found: list[dict[str, Any]] = []  # noqa: RUF012

    @classmethod
    def obstacle(cls) -> str | None:
        """Why it can't run on this machine: Python, PySpark, Java, or None. Imports nothing."""
        return super().obstacle() or _java.obstacle(cls.name, LEAST_JAVA)

    @classmethod
    def mend(cls) -> str:
        """What to do about its obstacle: about Java only where that is all that is missing."""
        return super().mend() if super().obstacle() else _java.mend(LEAST_JAVA)

    @classmethod
    def environment(cls, budget: Budget) -> dict[str, str]:
        """The Python of its workers, one thread in each, and where it listens and writes: these win over its settings.

        The user of a cluster may have set which Python there is on it.
        """
        python = os.environ.get("PYSPARK_PYTHON") if budget.address else None
        listen = {} if budget.address else {"SPARK_LOCAL_IP": _LOOPBACK}
        own = {
            "PYSPARK_PYTHON": python or sys.executable,
            "PYSPARK_DRIVER_PYTHON": sys.executable,
            "SPARK_LOCAL_DIRS": str(Path(budget.temp_dir, "spark")),
        }
        return dict.fromkeys(super().environment(budget), "1") | own | listen

    def start(self, budget: Budget) -> None:
        """Start a JVM within the budget, and run a first query in it, so that its classes are loaded.

        With an address, have that cluster start executors for it, or connect to those that it has.

        Raises:
            LayersError: that cluster can't be reached, or gives no executor in a minute.
        """
        from pyspark import sql

        self.namespace = sql
        own_host = reach(_spark.OPTION, budget.address) if budget.address else _LOOPBACK
        if budget.address.startswith(_spark.CONNECT):
            self.session = _spark.connect(budget.address, _SESSION_SETTINGS)
            self._watch(_spark.ConnectExecutors(self.session, budget.address), own_host)
        else:
            self._start_driver(budget, own_host)
            if budget.address:
                self._watch(_spark.Executors(self.session, budget.address))
        self.session.range(1000).groupBy("id").count().toArrow()

    def _start_driver(self, budget: Budget, own_host: str) -> None:
        builder = self.namespace.SparkSession.builder
        builder = builder.master(budget.address or f"local[{budget.cores}]")
        self.session = builder.config(map=_settings(budget, own_host)).getOrCreate()
        self._gateway = self.session.sparkContext._gateway  # noqa: SLF001
        self._jvm = self._gateway.jvm
        self._last_stage = -1

    def _watch(self, executors: _spark.Executors, own_host: str = "") -> None:
        """Measure these. Where they outlive the case, probes are connected to it, at its address `own_host`."""
        self._executors = executors
        self._lifeline = open_lifeline(own_host) if own_host else None
        at = self._lifeline.getsockname()[:2] if self._lifeline else None
        self._nodes = Nodes(executors.on_each_node, _spark.ROOT, lifeline=at)
        self.cores = sum(executors.cores.values())
        self.session.conf.set("spark.sql.shuffle.partitions", str(self.cores))

    def scan(self, dataset: Dataset) -> Any:
        """A lazy `DataFrame` over Parquet files."""
        return self.open_with(dataset, parquet=lambda paths: self.session.read.parquet(*paths))

    def collect(self, frame: Any) -> pa.Table:
        """The rows of a Spark `DataFrame`, or of a `DataFrame` or `Series` of `pyspark.pandas`.

        Of the latter, named levels of the index come as columns before the others; an index without
        names is dropped.
        """
        if not isinstance(frame, self.namespace.DataFrame):
            if not hasattr(frame, "spark"):
                return super().collect(frame)
            frame = _keyed(frame)
        return super().collect(frame.toArrow())

    def begin_window(self) -> None:
        """Collect garbage, so that every window starts from what lives; have the probes open it."""
        if self._jvm:
            self._jvm.System.gc()
            self._last_stage = max((stage.stageId() for stage in self._stages()), default=-1)
        if self._executors:
            self._executors.collect_garbage()
            self._nodes.begin()

    def end_window(self) -> dict[str, float]:
        """What its stages shuffled and spilled, and the heap of the driver in use after a collection.

        `spilled_bytes` were written to disk; `spilled_memory_bytes` is what the same rows took in
        memory. Nothing is known where the test itself stopped the engine, where the JVM died, nor by Spark Connect.
        """
        if self._executors:
            self._found = self._end_probes(self._executors)
        if self.session is not None and self._jvm is not None:
            with _unless_it_died():
                return self._figures()
        return {}

    def _figures(self) -> dict[str, float]:
        stages = [stage for stage in self._stages() if stage.stageId() > self._last_stage]
        self._jvm.System.gc()
        runtime = self._jvm.Runtime.getRuntime()
        return {
            "shuffle_read_bytes": sum(stage.shuffleReadBytes() for stage in stages),
            "shuffle_written_bytes": sum(stage.shuffleWriteBytes() for stage in stages),
            "spilled_bytes": sum(stage.diskBytesSpilled() for stage in stages),
            "spilled_memory_bytes": sum(stage.memoryBytesSpilled() for stage in stages),
            "heap_after_gc_bytes": runtime.totalMemory() - runtime.freeMemory(),
        }

    def nodes(self) -> list[dict[str, Any]]:
        """What was measured on the executors of a cluster."""
        return self._found

    def stop(self) -> None:
        """Stop the session and end the JVM, which PySpark would leave running until Python ends.

        By Spark Connect only the session on the server ends.
        """
        if self.session is None:
            return
        with _unless_it_died():
            self.session.stop()
        self.session = None
        if self._lifeline:
            self._lifeline.close()
        if self._jvm:
            with _unless_it_died():
                self._gateway.shutdown()
            self._gateway.proc.stdin.close()  # on which the JVM waits, to end when it does
            self._gateway.proc.wait()

    def _end_probes(self, executors: _spark.Executors) -> list[dict[str, Any]]:
        """All nodes are lost where the whole cluster is, or where the test stopped the engine."""
        lost: list[dict[str, Any]] = [{"name": name, "findings": None} for name in executors.cores]
        try:
            found = self._nodes.end() if self.session else lost
        except LayersError:
            return lost
        return [{**one, "cores": executors.cores.get(one["name"], 0)} for one in found]

    def _stages(self) -> list[Any]:
        """What Spark knows of the stages that it ran, of the last thousand at most."""
        context = self.session.sparkContext._jsc.sc()  # noqa: SLF001
        context.listenerBus().waitUntilEmpty()
        no_quantiles = self._gateway.new_array(self._jvm.double, 0)
        found = context.statusStore().stageList(None, False, False, no_quantiles, None)
        return [found.apply(at) for at in range(found.size())]


@contextlib.contextmanager
def _unless_it_died() -> Iterator[None]:
    """What is asked of a JVM, which may have died during the test: then that is the test's failure."""
    from py4j.protocol import Py4JError

    with contextlib.suppress(OSError, Py4JError):
        yield


def _settings(budget: Budget, own_host: str) -> dict[str, str]:
    """Those of a driver that listens at `own_host`, and of the executors that a cluster starts for it."""
    temp = Path(budget.temp_dir)
    java = (*_JVM, f"-Djava.io.tmpdir={temp}", f"-Dderby.system.home={temp / 'derby'}")
    driver = {
        "spark.driver.host": own_host,
        "spark.driver.bindAddress": own_host,
        "spark.driver.memory": f"{_heap_bytes(budget) // _MIB}m",
        "spark.driver.extraJavaOptions": shlex.join(java),
        "spark.local.dir": str(temp / "spark"),
        "spark.sql.shuffle.partitions": str(budget.cores),
        "spark.sql.warehouse.dir": str(temp / "warehouse"),
    }
    return _SETTINGS | _SESSION_SETTINGS | driver | (_executor(budget) if budget.address else {})


def _executor(budget: Budget) -> dict[str, str]:
    """As many executors as the cluster gives from the start, with Spark's own 1 GiB if nothing was asked for."""
    heap = {"spark.executor.memory": f"{budget.heap_bytes // _MIB}m"} if budget.heap_bytes else {}
    return heap | {
        "spark.dynamicAllocation.enabled": "false",
        "spark.executor.extraJavaOptions": " ".join(_JVM),
    }


def _heap_bytes(budget: Budget) -> int:
    """What was asked for, or a quarter of the memory, as a JVM takes by default, within bounds."""
    quarter = min(MOST_HEAP_BYTES, max(LEAST_HEAP_BYTES, budget.memory_bytes // 4))
    return budget.heap_bytes or quarter


def _keyed(frame: Any) -> Any:
    """A frame or series of `pyspark.pandas` as a Spark frame, with the named levels of its index."""
    frame = frame.to_frame() if hasattr(frame, "to_frame") else frame
    unnamed = [f"__level_{at}__" for at in range(frame.index.nlevels)]
    names = [str(name or spare) for name, spare in zip(frame.index.names, unnamed, strict=True)]
    return frame.to_spark(index_col=names).drop(*unnamed)
