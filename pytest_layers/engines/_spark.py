"""The user's own Spark cluster: how to connect to it, and how to run a function on each of its executors.

A function is run by what any client of Spark may start: a job of as many tasks as the executors have cores. Spark
spreads the tasks of a stage over the executors with a free core, one for each in turn. A barrier stage would be sure
to reach all of them, but if it asks for more cores than are there at the moment it waits for ten minutes, and can't be
cancelled meanwhile.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

from pytest_layers.engines import _on_node
from pytest_layers.engines._nodes import CALL_SECONDS, no_probe, on_node
from pytest_layers.errors import LayersError

OPTION = "--layers-spark-master"
CONNECT = "sc://"
ROOT = "java"
"""The program that an executor is: the root of its node."""
EXECUTOR_SECONDS = 60.0
"""For the cluster to start the first executor."""
SETTLE_SECONDS = 1.0
"""Without another executor, until all are taken to be there."""
COVER_SECONDS = 5.0
"""For tasks to come to every executor: cores may be taken by what a failed test left running."""
LINGER_SECONDS = 0.5
_RETRIES, _MOST_PAUSE_MILLISECONDS = 8, 5000
"""Of a call to a Spark Connect server: half a minute in all. By default a call to a dead one takes ten."""


def connect(address: str, settings: dict[str, str]) -> Any:
    """A session with `settings` on a Spark Connect server.

    Raises:
        LayersError: a package is missing that PySpark needs for it.
    """
    from pyspark import sql
    from pyspark.errors import PySparkImportError

    try:
        session = sql.SparkSession.builder.remote(address).config(map=settings).getOrCreate()
        from pyspark.sql.connect.client.retries import DefaultPolicy
    except PySparkImportError as error:
        told = str(error).splitlines()[0]
        raise LayersError(
            f'{OPTION}={address} wants pip install "pyspark[connect]": {told}'
        ) from None
    policy = DefaultPolicy(max_retries=_RETRIES, max_backoff=_MOST_PAUSE_MILLISECONDS)
    session.client.set_retry_policies([policy])
    return session


class Executors:
    """The executors of a session. Started with the session, they run until it stops."""

    def __init__(self, session: Any, address: str) -> None:
        """Wait until they are there, and learn where.

        Raises:
            LayersError: the cluster gives none.
        """
        self._session, self._address = session, address
        self.cores: dict[str, int] = {}
        """Of each executor that was there at the last call, by `host:pid`."""
        self._settle()

        def linger(seconds: float = LINGER_SECONDS) -> None:
            """Hold the core, so that each of the tasks gets one of its own."""
            import time

            time.sleep(seconds)

        self.on_each_node(linger)

    def on_each_node(self, function: Callable[[], Any]) -> list[Any]:
        """What `function` returned on each executor, of as many calls as there are cores; it must be JSON.

        Raises:
            LayersError: a call failed, or took longer than `CALL_SECONDS`.
        """
        told: list[Any] = []
        cores: dict[str, int] = {}
        last = time.monotonic() + COVER_SECONDS
        with self._cancelled_later():
            while True:
                executors, tasks = self._count()
                calls = self._session.range(0, tasks, 1, tasks)
                for row in calls.mapInArrow(_task(function), "told string").collect():
                    name, cores[name], returned = json.loads(row.told)
                    told.append(returned)
                if len(cores) >= executors or time.monotonic() > last:
                    self.cores = cores
                    return told

    def collect_garbage(self) -> None:
        """In the JVM of each executor."""
        with self._cancelled_later():
            _, tasks = self._count()
            calls = self._session.range(0, tasks, 1, tasks)
            calls.selectExpr("java_method('java.lang.System', 'gc')").collect()

    @contextlib.contextmanager
    def _cancelled_later(self) -> Iterator[None]:
        """Jobs within end after `CALL_SECONDS`, with an error."""
        tag = f"layers-{uuid.uuid4().hex}"
        timer = threading.Timer(CALL_SECONDS, self._session.interruptTag, [tag])
        try:
            self._session.addTag(tag)
            timer.start()
            yield
            self._session.removeTag(tag)
        except Exception as error:
            raise no_probe(OPTION, self._address, error) from error
        finally:
            timer.cancel()

    def _settle(self) -> None:
        """Wait until they have started."""
        last = time.monotonic() + EXECUTOR_SECONDS
        before, since = 0, time.monotonic()
        while not before or time.monotonic() - since < SETTLE_SECONDS:
            if time.monotonic() > last:
                raise LayersError(
                    f"{OPTION}={self._address}: no executor in {EXECUTOR_SECONDS:.0f} s;"
                    " are all its cores and memory taken?"
                )
            time.sleep(0.05)
            now = self._count()[0]
            if now != before:
                before, since = now, time.monotonic()

    def _count(self) -> tuple[int, int]:
        """How many there are just now, and how many cores they have."""
        store = self._session.sparkContext._jsc.sc().statusStore()  # noqa: SLF001
        listed = store.executorList(True)
        found = [listed.apply(at) for at in range(listed.size())]
        cores = [one.totalCores() for one in found if one.id() != "driver"]
        return len(cores), sum(cores)


class ConnectExecutors(Executors):
    """Those of a Spark Connect server, which does not tell how many there are.

    It splits a range of numbers in as many parts as it has cores, if not told otherwise.
    """

    def _settle(self) -> None:
        from pyspark.sql import functions

        parts = self._session.range(100_000).select(functions.spark_partition_id())
        with self._cancelled_later():
            self._parts = parts.distinct().count()

    def _count(self) -> tuple[int, int]:
        return len(self.cores), max(1, self._parts)


def _task(function: Callable[[], Any]) -> Callable[[Any], Any]:
    """What a task does, in one piece: it is sent by value. Gives executor, its cores, and what was returned."""
    node_name = on_node(_on_node.node_name, ROOT)

    def run(batches: Any) -> Iterator[Any]:
        import json
        import os
        from pathlib import Path

        import pyarrow as pa

        for _ in batches:  # read to its end, or else Spark ends this process, and starts another
            pass
        name = node_name()
        pid = name.rpartition(":")[2]
        words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
        where = words.index("--cores") + 1 if "--cores" in words else 0  # 0 in local mode
        cores = int(words[where]) if where else len(os.sched_getaffinity(0))
        told = json.dumps([name, cores, function()])
        yield pa.RecordBatch.from_pydict({"told": [told]})

    return run
