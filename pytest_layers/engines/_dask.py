"""The cluster of Dask that engines run on: a small one on loopback, or the user's own."""

from __future__ import annotations

import contextlib
import gc
import logging
import math
import multiprocessing
import socket
import time
from collections.abc import Callable
from multiprocessing import resource_tracker
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_layers.engines import _on_node
from pytest_layers.engines._nodes import (
    CALL_SECONDS,
    REACH_SECONDS,
    Nodes,
    no_probe,
    on_node,
    open_lifeline,
    reach,
)
from pytest_layers.errors import LayersError

if TYPE_CHECKING:
    from pytest_layers.records import Budget

LOOPBACK = "127.0.0.1"
OPTION = "--layers-dask-scheduler"
_ROOT = "self"
_CLOSE_SECONDS = 5.0
_SETTLE_SECONDS = 60.0
_BUSY_LOOK_SECONDS = 0.01
_LOOK_SECONDS = 0.25
_GIVE_BACK_SECONDS = {"jemalloc": 1.5}
"""For an allocator, by Arrow's name of it, to return what was freed; others do at once. jemalloc returns pages after a
second, by a thread that sleeps in between (`dirty_decay_ms`, as Arrow sets it)."""
_STILL_BYTES = 8 << 20
"""Workers that give back less than this have come to rest."""
_CONFIG = {
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
    "distributed.worker.profile.enabled": False,  # what it samples only the dashboard shows
}
_WORKER = "Dask Worker process"
"""How the name of a worker's process begins, as its nanny gives it."""
_Figures = dict[str, float]


class DaskWorkers:
    """A scheduler in a thread of this process, and a worker process of one thread for each core.

    Python code and text hold the GIL, so threads of one worker would wait for each other; on up to
    four cores this is also the default of `LocalCluster`. Each worker has its share of the memory,
    and from 60% of that on it writes to disk.

    Where the budget has an address, the workers of the cluster there, as they are.
    """

    def __init__(self, budget: Budget, *modules: str) -> None:
        """Return when each worker runs and has imported `modules`.

        Raises:
            LayersError: nobody answers at the address, or that cluster has no workers.
        """
        from distributed import Client

        logging.getLogger("distributed").setLevel(logging.WARNING)  # for what pytest captures
        self._ends_tracker = not _tracker_runs()
        self._cluster: Any = None
        self._probes: Probes | None = None
        if budget.address:
            self.client = _connect(budget.address)
            self._probes = Probes(self.client, budget.address)
        else:
            self._cluster = _local_cluster(budget)
            self.client = Client(self._cluster)
        self.cores = sum(self.client.nthreads().values())
        self._warm_up(modules)

    def begin_window(self) -> None:
        """Let workers of our own come to rest, remember where counters stand, have probes read workers elsewhere."""
        if self._cluster:
            self._settle()
        self._before = self._counters()
        if self._probes:
            self._probes.begin()

    def end_window(self) -> _Figures:
        """What the workers counted since, in all; of a worker that died, nothing.

        `spilled_bytes` were written to disk for want of memory, `shuffle_bytes` because a shuffle
        goes through files; `sent_bytes` of results went to other workers or to the test. `held_bytes` is what the
        results that workers hold grew by.
        """
        if self._probes:
            self._probes.end()
        spent = [
            {
                name: value - self._before.get(worker, {}).get(name, 0.0)
                for name, value in now.items()
            }
            for worker, now in self._counters().items()
        ]
        return {name: sum(one[name] for one in spent) for name in (spent[0] if spent else ())}

    def nodes(self) -> list[dict[str, Any]]:
        """What the probes found on each worker of the user's own cluster."""
        return self._probes.found if self._probes else []

    def stop(self) -> None:
        """End the client, the workers, the scheduler, and the helper process that they needed.

        Where workers had to be killed, the helper ends with this process. The user's own cluster
        goes on.
        """
        self.client.close(timeout=_CLOSE_SECONDS)
        if self._probes:
            self._probes.close()
        if self._cluster:
            self._end_cluster()
        if self._ends_tracker:
            _end_tracker()

    def _end_cluster(self) -> None:
        """Close it; kill the workers that are there after that, or after a few seconds.

        A nanny whose worker died starts another. Closing waits for it without end where it does not come up
        (distributed 2024.8), or leaves it there (2026.8).
        """
        import asyncio

        try:
            self._cluster.close(timeout=_CLOSE_SECONDS)
        except (TimeoutError, asyncio.TimeoutError):  # one and the same since Python 3.11
            self._cluster.shutdown_on_close = False  # or it is tried once more at exit
        if _kill_workers():
            self._ends_tracker = False  # threads of the queues give semaphores back a moment later
        self._cluster = None

    def _warm_up(self, modules: tuple[str, ...]) -> None:
        """Have each worker import, and read a file as it will."""

        def work() -> None:  # an inner function goes to the workers whole, not as a name to import
            import importlib
            import io

            for module in modules:
                importlib.import_module(module)
            pa, pq = importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
            file = io.BytesIO()
            pq.write_table(pa.table({"key": ["a", "b"], "value": [1.0, 2.0]}), file)
            pq.read_table(file).to_pandas().groupby("key").sum()

        self.client.run(work)

    def _settle(self) -> None:
        """Wait for what runs in the background, and have workers give back what they need no more.

        What reading the data left there would be in the footprint when the window begins, and hide what it needs.
        """
        deadline = time.monotonic() + _SETTLE_SECONDS
        with contextlib.suppress(OSError):
            while self._is_at_work() and time.monotonic() < deadline:
                time.sleep(_BUSY_LOOK_SECONDS)
            least, since = math.inf, 0.0
            while time.monotonic() < deadline:
                held, patience = self._give_back()
                if least - held > _STILL_BYTES:
                    least, since = held, time.monotonic()
                elif time.monotonic() - since >= patience:
                    return
                time.sleep(_LOOK_SECONDS)

    def _give_back(self) -> tuple[int, float]:
        """Have workers free what they can; gives the bytes that they then hold, and how long that may take to show."""

        def give_back() -> tuple[int, str]:
            import ctypes
            import gc

            import psutil
            import pyarrow as pa

            gc.collect()
            pa.default_memory_pool().release_unused()
            with contextlib.suppress(AttributeError):  # of glibc alone
                ctypes.CDLL(None).malloc_trim(0)
            return int(psutil.Process().memory_info().rss), pa.default_memory_pool().backend_name

        told = _ask(self.client, give_back).values()
        patience = max((_GIVE_BACK_SECONDS.get(name, 0.0) for _, name in told), default=0.0)
        return sum(held for held, _ in told), patience

    def _is_at_work(self) -> bool:
        """Whether results are awaited, as Modin's frames are, or workers are busy."""
        awaited = any(future.status == "pending" for future in list(self.client.futures.values()))
        return awaited or any(self.client.processing().values())

    def _counters(self) -> dict[str, _Figures]:
        """The counters of each worker, by its address; none where the cluster is gone."""
        if self.client.status != "running":
            return {}

        def count(dask_worker: Any) -> _Figures:
            spilling = getattr(dask_worker.data, "cumulative_metrics", {})
            shuffled = [
                value
                for name, value in dask_worker.digests_total.items()
                if isinstance(name, tuple) and name[0] == "p2p" and name[-2:] == written
            ]
            return {
                "spilled_bytes": spilling.get(written, 0.0),
                "shuffle_bytes": sum(shuffled, 0.0),
                "sent_bytes": float(dask_worker.transfer_outgoing_bytes_total),
                "held_bytes": float(dask_worker.state.nbytes),
            }

        written = ("disk-write", "bytes")
        with contextlib.suppress(OSError):  # the scheduler went, or all did not answer in time
            return _ask(self.client, count)
        return {}


class Probes:
    """Measures the workers of the user's own cluster, a window at a time; `found` is what the last one gave.

    The workers outlive the case, so each probe is connected to this process, and ends when the connection does.
    """

    def __init__(self, client: Any, address: str) -> None:
        """Measure the workers of `client`, which is connected to `address`."""
        self._client, self._address = client, address
        self._own_host = reach(OPTION, address)
        self._lifeline: socket.socket | None = None
        self.found: list[dict[str, Any]] = []

    def begin(self) -> None:
        """Open a window on every worker.

        Raises:
            LayersError: one of them has no probe; the text says why.
        """
        self._lifeline = open_lifeline(self._own_host)
        host, port = self._lifeline.getsockname()[:2]
        self._nodes = Nodes(self._on_each_node, _ROOT, lifeline=(host, port))
        self._on_error = "raise"
        try:
            self._nodes.begin()
        except Exception as error:  # whatever the library or the worker raises
            self.close()
            raise no_probe(OPTION, self._address, error) from error

    def end(self) -> None:
        """Close it. All workers are lost where the cluster is, or where the test closed the client."""
        self._on_error = "ignore"
        self.found = self._nodes.end()
        threads = self._threads() if self.found else {}
        for one in self.found:
            one["cores"] = threads.get(one["name"], one.get("cores"))
        self.close()

    def close(self) -> None:
        """End the connections of the probes."""
        if self._lifeline:
            self._lifeline.close()

    def _on_each_node(self, function: Callable[[], Any]) -> list[Any]:
        """What each worker answered; a lost one is passed over at the end of a window."""
        try:
            return list(_ask(self._client, function, on_error=self._on_error).values())
        except OSError:
            if self._on_error == "raise":
                raise
            return []

    def _threads(self) -> dict[str, int]:
        """The threads of each worker, by the name of its node."""
        node_name = on_node(_on_node.node_name, _ROOT)

        def count(dask_worker: Any) -> tuple[str, int]:
            return node_name(), dask_worker.state.nthreads

        with contextlib.suppress(OSError):
            return dict(_ask(self._client, count).values())
        return {}


def _ask(client: Any, function: Callable[..., Any], on_error: str = "ignore") -> dict[str, Any]:
    """What each worker answers, by its address; none where the client is closed.

    `Client.run` alone would wait without end for a worker that hangs.

    Raises:
        TimeoutError: the workers did not answer in time.
    """
    if client.status != "running":
        return {}
    call = client._run  # noqa: SLF001
    answers = client.sync(call, function, on_error=on_error, callback_timeout=CALL_SECONDS)
    return dict(answers)


def _connect(address: str) -> Any:
    """A client of the cluster at `address`, which must have workers."""
    from distributed import Client

    reach(OPTION, address)
    try:
        client = Client(address, timeout=REACH_SECONDS)
    except OSError as error:
        raise LayersError(f"{OPTION}={address}: no scheduler of Dask there ({error})") from None
    if not client.nthreads():
        client.close()
        raise LayersError(f"{OPTION}={address}: the cluster has no workers")
    return client


def _local_cluster(budget: Budget) -> Any:
    """What `LocalCluster` makes, but for its HTTP servers, which can't be switched off.

    Here they are on loopback and have nothing to serve. Those of its workers listen on every
    address (distributed 2024.8), unless there is to be a dashboard.
    """
    import dask
    from distributed import Nanny, Scheduler, SpecCluster

    folder = str(Path(budget.temp_dir, "dask"))
    everyone = {"host": LOOPBACK, "dashboard": False, "dashboard_address": f"{LOOPBACK}:0"}
    worker = {
        "nthreads": 1,
        "memory_limit": budget.memory_bytes // budget.cores,
        "local_directory": folder,
        "silence_logs": logging.CRITICAL,
    }
    with dask.config.set({**_CONFIG, "temporary-directory": folder}):
        return SpecCluster(
            scheduler={"cls": Scheduler, "options": everyone},
            workers={
                number: {"cls": Nanny, "options": everyone | worker}
                for number in range(budget.cores)
            },
            silence_logs=logging.CRITICAL,
        )


def _kill_workers() -> int:
    """Kill the workers of this process that are there; gives their number."""
    left = [one for one in multiprocessing.active_children() if one.name.startswith(_WORKER)]
    for worker in left:
        worker.kill()
        worker.join(_CLOSE_SECONDS)
    return len(left)


def _tracker_runs() -> bool:
    return _tracker()._fd is not None  # noqa: SLF001


def _end_tracker() -> None:
    """End the process in which `multiprocessing` keeps the names of semaphores.

    It would only end with this process. While a worker runs it would be waited for in vain.
    """
    gc.collect()  # queues to workers that ended: their semaphores are given back
    if not multiprocessing.active_children():
        _tracker()._stop()  # noqa: SLF001


def _tracker() -> Any:
    return resource_tracker._resource_tracker  # noqa: SLF001
