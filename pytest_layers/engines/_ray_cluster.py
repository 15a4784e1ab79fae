"""The user's own Ray: how to connect to it, and how to run a function on each of its nodes.

A node is a raylet and the processes below it, its object store included. For a window each node gets an actor that
needs no core, beside which the probe runs. Ray ends actors with the job, so a probe that watches its actor ends with
the case.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pytest_layers.engines import _on_node
from pytest_layers.engines._nodes import (
    CALL_SECONDS,
    Nodes,
    first_line,
    no_probe,
    on_node,
    reach,
)
from pytest_layers.errors import LayersError

OPTION = "--layers-ray-address"
_ROOT = "parent"
WARM_UP_SECONDS = 60.0
"""For workers to start: cores may be taken by somebody else."""
_LINGER_SECONDS = 0.5

ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # By default Ray tries 20 times for 40 s each where no Ray answers.
    "RAY_NUM_REDIS_GET_RETRIES": "1",
    "RAY_py_gcs_connect_timeout_s": "10",
    "RAY_gcs_server_request_timeout_seconds": "10",  # not 60, where no node is on this machine
}
"""For the case's own process; what runs on the cluster has the cluster's environment."""


def connect(address: str) -> Any:
    """Connect to the cluster as a driver; gives what `ray.init` does.

    Raises:
        LayersError: nobody answers at `address`, or it is no Ray with a node on this machine.
    """
    import ray

    reach(OPTION, address)
    try:
        return ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except Exception as error:  # of many kinds
        raise LayersError(
            f"{OPTION}={address}: no Ray there that has a node on this machine ({first_line(error)})"
        ) from error


class RayNodes:
    """The nodes of the cluster that this process is connected to, measured a window at a time."""

    def __init__(self, address: str) -> None:
        """Have a worker started and warmed up for each core."""
        self._address = address
        self._actors: list[Any] = []
        self._nodes = Nodes(self._on_each_node, _ROOT)
        self.found: list[dict[str, Any]] = []
        """What the last window gave."""
        self.cores = sum(_cpus(node) for node in _alive())
        _warm_up()

    def begin(self) -> None:
        """Open a window on every node that is there now.

        Raises:
            LayersError: one of them has no probe; the text says why.
        """
        nodes = _alive()
        self._actors = [_actor_on(node) for node in nodes]
        self._all_must_answer = True
        try:
            names = self._on_each_node(on_node(_on_node.node_name, _ROOT))
            self._cores = dict(zip(names, map(_cpus, nodes), strict=True))
            self._nodes.begin()
        except Exception as error:  # whatever the library or the node raises
            self.close()
            raise no_probe(OPTION, self._address, error) from error

    def end(self) -> None:
        """Close it. All nodes are lost where the test itself ended Ray."""
        self._all_must_answer = False
        self.found = [
            {**one, "cores": self._cores.get(one["name"], 0)} for one in self._nodes.end()
        ]
        self.close()

    def close(self) -> None:
        """End the actors."""
        import ray

        if ray.is_initialized():
            for actor in self._actors:
                ray.kill(actor)
        self._actors = []

    def _on_each_node(self, function: Callable[[], Any]) -> list[Any]:
        """What each node answered in time; one that did not is passed over at the end of a window."""
        import ray

        if not ray.is_initialized():
            return []
        calls = [actor.call.remote(function) for actor in self._actors]
        ready, late = ray.wait(calls, num_returns=len(calls), timeout=CALL_SECONDS)
        if late and self._all_must_answer:
            raise TimeoutError(f"{len(late)} of {len(calls)} nodes don't answer")
        answers = [_answer(call) for call in ready]
        failed = [one for one in answers if isinstance(one, Exception)]
        if failed and self._all_must_answer:
            raise failed[0]
        return [one for one in answers if not isinstance(one, Exception)]


def _answer(call: Any) -> Any:
    """What a call that is done returned, or the error that it raised."""
    import ray

    try:
        return ray.get(call, timeout=CALL_SECONDS)
    except Exception as error:  # noqa: BLE001  (the library's, or whatever the call raised)
        return error


def _alive() -> list[dict[str, Any]]:
    import ray

    return [node for node in ray.nodes() if node["Alive"]]


def _cpus(node: dict[str, Any]) -> int:
    return int(node["Resources"].get("CPU", 0))


def _only_on(node: dict[str, Any]) -> Any:
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)


def _actor_on(node: dict[str, Any]) -> Any:
    import ray

    class Caller:  # nested, so that nodes get its code, and need not import this module
        def call(self, function: Callable[[], Any]) -> Any:
            return function()

    options = {"num_cpus": 0, "max_restarts": 0, "scheduling_strategy": _only_on(node)}
    return ray.remote(Caller).options(**options).remote()


def _warm_up() -> None:
    """Have a task for each core of each node, so that its worker is up afterwards."""
    import ray

    def arrive() -> None:  # nested, as above
        import time

        import pandas  # noqa: F401
        import pyarrow.parquet  # noqa: F401

        time.sleep(seconds)

    seconds = _LINGER_SECONDS  # or else the first worker runs the tasks of all
    task = ray.remote(arrive)
    calls = [
        task.options(num_cpus=1, max_retries=0, scheduling_strategy=_only_on(node)).remote()
        for node in _alive()
        for _ in range(_cpus(node))
    ]
    late = ray.wait(calls, num_returns=len(calls), timeout=WARM_UP_SECONDS)[1] if calls else ()
    for call in late:
        ray.cancel(call, force=True)
