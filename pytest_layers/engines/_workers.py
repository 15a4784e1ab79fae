"""Base of engines whose work is done by worker processes: started for the case, or of the user's own cluster."""

from __future__ import annotations

from typing import Any, Protocol

from pytest_layers.engines.base import Engine


class Workers(Protocol):
    """The workers of an engine, which its `start` starts or connects to."""

    def begin_window(self) -> None:
        """Remember counters; on the user's own cluster start probes that measure its nodes."""

    def end_window(self) -> dict[str, float]:
        """What the library counted in the window."""

    def nodes(self) -> list[dict[str, Any]]:
        """What the probes found on each node of the user's own cluster."""

    def stop(self) -> None:
        """End the workers; the user's own cluster goes on."""


class WorkersEngine(Engine):
    """An engine that passes windows and its end on to its workers."""

    starts_processes = True
    _workers: Workers

    def begin_window(self) -> None:
        """Open the window at the workers."""
        self._workers.begin_window()

    def end_window(self) -> dict[str, float]:
        """What its workers counted."""
        return self._workers.end_window()

    def nodes(self) -> list[dict[str, Any]]:
        """What was measured on each node of the user's own cluster."""
        return self._workers.nodes()

    def stop(self) -> None:
        """End its workers, or leave the user's own cluster."""
        self._workers.stop()
