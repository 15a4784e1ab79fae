"""A small cluster of Dask on this machine, on loopback alone, for the engines that run on one."""

from __future__ import annotations

import contextlib
import gc
import logging
import multiprocessing
from multiprocessing import resource_tracker
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_layers.records import Budget

LOOPBACK = "127.0.0.1"
_SECONDS_TO_CLOSE = 5.0
_CONFIG = {
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
    "distributed.worker.profile.enabled": False,  # what it samples only the dashboard shows
}
_Figures = dict[str, float]


class DaskWorkers:
    """A scheduler in a thread of this process, and a worker process of one thread for each core.

    Python code and text hold the GIL, so threads of one worker would wait for each other; on up to
    four cores it is also what `LocalCluster` does when told nothing. Each worker has its share of
    the memory, and from 60% of that on it writes to disk.
    """

    def __init__(self, budget: Budget, *modules: str) -> None:
        """Return when each worker runs and has imported `modules`."""
        from distributed import Client

        logging.getLogger("distributed").setLevel(logging.WARNING)  # for what pytest captures
        self._shares_tracker = _tracker_runs()
        self._cluster = _local_cluster(budget)
        self.client = Client(self._cluster)
        self._warm_up(modules)

    def begin_window(self) -> None:
        """Remember where the counters of the workers stand."""
        self._before = self._counters()

    def end_window(self) -> _Figures:
        """What the workers counted since, in all; of a worker that died, nothing.

        `spilled_bytes` were written to disk for want of memory, `shuffle_bytes` because a shuffle
        goes through files; `sent_bytes` of results went to other workers or to the test.
        """
        spent = [
            {
                name: value - self._before.get(worker, {}).get(name, 0.0)
                for name, value in now.items()
            }
            for worker, now in self._counters().items()
        ]
        return {name: sum(one[name] for one in spent) for name in (spent[0] if spent else ())}

    def stop(self) -> None:
        """End the client, the workers, the scheduler, and the helper process that they needed.

        After a worker died by SIGKILL, closing may take minutes; what is there after a few seconds
        is left to whoever watches over this process.
        """
        self.client.close(timeout=_SECONDS_TO_CLOSE)
        with contextlib.suppress(TimeoutError):
            self._cluster.close(timeout=_SECONDS_TO_CLOSE)
        if not self._shares_tracker:
            _end_tracker()

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
            }

        written = ("disk-write", "bytes")
        counters: dict[str, _Figures] = self.client.run(count, on_error="ignore")
        return counters


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
