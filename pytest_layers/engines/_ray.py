"""What the engines on Ray share: a small Ray that only this machine reaches, or the user's own."""

from __future__ import annotations

import os
import secrets
import shutil
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_layers.engines import _ray_cluster
from pytest_layers.engines.base import Engine
from pytest_layers.errors import LayersError
from pytest_layers.units import format_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_layers.records import Budget

MIB = 1 << 20
_OPTION = "--layers-ray-store"
_LOOPBACK = "127.0.0.1"
_SHARED_FOLDER = Path("/dev/shm")  # noqa: S108  (the kernel's name for it: shm_overview(7))
_STORE_DIVISOR = 20
_STORE_BYTES_MIN, _STORE_BYTES_MAX = 80 * MIB, 1024 * MIB
_TEMP_DIR_BYTES = 42
"""A socket's path has 107 at most, and `/session_DATE_TIME_PID/sockets/plasma_store` takes up to 65 of them."""
_MORE_SHARED_MEMORY = "give it more (docker run --shm-size=2g)"
_END_SECONDS = 5.0
_NEEDLESS = ("start_monitor", "start_api_server", "start_log_monitor")

ENVIRONMENT = {
    # Ray on Windows and macOS stays on the loopback address; this is how it is asked to on Linux.
    # `ray.init(_node_ip_address="127.0.0.1")` alone is replaced by the address of the host.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # what a FutureWarning at every start asks for
    "RAY_memory_monitor_refresh_ms": "0",  # it kills workers when other programs fill the machine
    "RAY_AUTH_MODE": "token",
    # Ray ends workers beyond its cores that were idle for a second: whether a window had to start
    # them anew (100 MiB and more than a second of CPU each) was a matter of luck.
    "RAY_idle_worker_killing_time_threshold_ms": "3600000",
}
"""What must be set before Ray is imported, here and in all that it starts."""


def environment(budget: Budget) -> dict[str, str]:
    """What keeps Ray small and off the network; where the budget has an address, only what its driver needs.

    The token is new each time: by itself Ray makes one and leaves it in the user's home.
    """
    if budget.address:
        return _ray_cluster.ENVIRONMENT
    return ENVIRONMENT | {"RAY_AUTH_TOKEN": secrets.token_hex(32)}


class OnRay(Engine):
    """What engines on Ray need of the machine."""

    @classmethod
    def obstacle(cls) -> str | None:
        """Why it can't run on this machine: Python, a package, shared memory, or None. Imports nothing."""
        return super().obstacle() or _small_shared_memory(cls.name)

    @classmethod
    def mend(cls) -> str:
        """What to do about its obstacle: about shared memory only where that is all that is missing."""
        return super().mend() if super().obstacle() else f"in a container, {_MORE_SHARED_MEMORY}"


def _small_shared_memory(who: str) -> str | None:
    """Whether the smallest store would not fit: Docker gives a container 64 MiB."""
    if not _SHARED_FOLDER.is_dir():
        return None
    there = shutil.disk_usage(_SHARED_FOLDER).total
    if there >= _STORE_BYTES_MIN:
        return None
    wanted = format_bytes(_STORE_BYTES_MIN)
    return f"{who} needs {wanted} of shared memory for its objects; {_SHARED_FOLDER} has {format_bytes(there)}"


class RayWorkers:
    """A Ray of the case's own, or, where the budget has an address, the one there, as it is."""

    def __init__(self, budget: Budget) -> None:
        """Return when workers are past their imports.

        Raises:
            LayersError: Ray can't start here, or can't be reached at the address.
        """
        self._nodes = None
        if budget.address:
            self.context = _ray_cluster.connect(budget.address)
            self._nodes = _ray_cluster.RayNodes(budget.address)
        else:
            self.context = start(budget)
        self.cores = self._nodes.cores if self._nodes else budget.cores

    def begin_window(self) -> None:
        """Have probes read the nodes of a cluster."""
        if self._nodes:
            self._nodes.begin()

    def end_window(self) -> dict[str, float]:
        """What objects take in the store, by whomever they are."""
        if self._nodes:
            self._nodes.end()
        return figures()

    def nodes(self) -> list[dict[str, Any]]:
        """What the probes found on each node of the user's own cluster."""
        return self._nodes.found if self._nodes else []

    def stop(self) -> None:
        """End Ray and all its processes, or leave the cluster."""
        if self._nodes:
            self._nodes.close()
        stop()


def store_bytes(budget: Budget) -> int:
    """The size of the object store: as given, or a twentieth of the memory, from 80 MiB to 1 GiB.

    Ray takes at least 75 MiB, and 30% of the memory by default. Pages of objects that were dropped
    stay with the store, so a large one keeps whatever has passed through it; what a small one can't
    hold is spilled.
    """
    derived = min(max(budget.memory_bytes // _STORE_DIVISOR, _STORE_BYTES_MIN), _STORE_BYTES_MAX)
    return budget.store_bytes or derived


def start(budget: Budget) -> Any:
    """Start Ray within the budget, its workers past their imports; gives what `ray.init` does.

    Raises:
        LayersError: its sockets don't fit below the temp folder, or would be open to the network; its store does
            not fit into shared memory.
    """
    _check_temp_dir(budget.temp_dir)
    _check_store(store_bytes(budget))
    import ray

    with _few_helpers():
        context = ray.init(
            address="local",
            num_cpus=budget.cores,
            object_store_memory=store_bytes(budget),
            object_spilling_directory=budget.spill_dir,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="ERROR",
            _node_ip_address=_LOOPBACK,
            _temp_dir=budget.temp_dir,
        )
    if ray.util.get_node_ip_address() != _LOOPBACK:
        stop()
        raise LayersError(f"Ray {ray.__version__} would listen on the network, and was stopped")
    _gather_workers(budget)
    return context


def stop() -> None:
    """End Ray and wait for its processes; does nothing when called again."""
    import psutil
    import ray

    if not ray.is_initialized():
        return
    parts = [
        process
        for child in psutil.Process().children()
        if child.name() in {"gcs_server", "raylet"}
        for process in (child, *child.children(recursive=True))
    ]
    ray.shutdown()
    for process in psutil.wait_procs(parts, timeout=_END_SECONDS)[1]:
        process.kill()


def figures() -> dict[str, float]:
    """What objects take in the store now; nothing where Ray has ended."""
    import ray

    if not ray.is_initialized():
        return {}
    name = "object_store_memory"
    used = ray.cluster_resources().get(name, 0) - ray.available_resources().get(name, 0)
    return {"object_store_bytes": float(used)}


def _check_temp_dir(temp_dir: str) -> None:
    if len(os.fsencode(temp_dir)) > _TEMP_DIR_BYTES:
        raise LayersError(
            f"Ray's sockets need a temp folder of at most {_TEMP_DIR_BYTES} bytes, not {temp_dir};"
            " set TMPDIR to a shorter one"
        )


def _check_store(wanted_bytes: int) -> None:
    """Refuse what Ray would keep in a file on disk: objects there are not in the footprint."""
    if not _SHARED_FOLDER.is_dir():
        return
    free_bytes = shutil.disk_usage(_SHARED_FOLDER).free
    if free_bytes < wanted_bytes:
        raise LayersError(
            f"Ray's object store of {format_bytes(wanted_bytes)} does not fit into {_SHARED_FOLDER}, which has"
            f" {format_bytes(free_bytes)} free; in a container {_MORE_SHARED_MEMORY}, or ask for a smaller store"
            f" ({_OPTION})"
        )


@contextmanager
def _few_helpers() -> Iterator[None]:
    """Let Ray start without autoscaler, dashboard and log reader, which nobody uses here.

    They take half of the time to start, and 150 MiB, and no setting turns them off. In a version of
    Ray that starts them by other names they just run.
    """
    from ray._private.node import Node

    kept = {name: getattr(Node, name) for name in _NEEDLESS if hasattr(Node, name)}
    for name in kept:
        setattr(Node, name, _start_nothing)
    try:
        yield
    finally:
        for name, method in kept.items():
            setattr(Node, name, method)


def _start_nothing(_node: Any, **_asked: Any) -> None:
    """In place of a method of `Node`."""


def _gather_workers(budget: Budget) -> None:
    """Have as many tasks as cores wait for each other, so that all workers are up afterwards."""
    import ray

    folder = Path(budget.temp_dir, "workers")
    folder.mkdir()

    def arrive() -> None:  # nested, so that workers get its code, and need not import this module
        import pandas  # noqa: F401
        import pyarrow.parquet  # noqa: F401

        Path(folder, str(os.getpid())).touch()
        while len(os.listdir(folder)) < budget.cores:  # noqa: PTH208
            time.sleep(0.01)

    ray.get([ray.remote(arrive).remote() for _ in range(budget.cores)])
