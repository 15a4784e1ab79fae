"""The measured window of a case in pytest's own process: the supervisor measures, but starts and ends nothing."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable
from typing import Any

from pytest_layers.engines.base import Engine
from pytest_layers.isolate import launch
from pytest_layers.isolate.child import Wire
from pytest_layers.isolate.job import Job
from pytest_layers.measure.findings import Findings
from pytest_layers.records import from_json, spill_dir_in


class InPlaceWindow(contextlib.AbstractContextManager["InPlaceWindow"]):
    """The window of one case in this process, as `state.Window` has it; `findings` is set when it has ended.

    Raises:
        ChildFailed: on entering, where no supervisor can be started.
    """

    def __init__(self, progress: Callable[[str, int, int], None]) -> None:
        self.findings: Findings | None = None
        self._engine: Engine | None = None
        self.nodes: list[dict[str, Any]] = []
        self.native: dict[str, float] = {}
        self.rows = self.data_bytes = 0
        self.is_open = False
        """Whether the window was entered and not left yet."""
        self.progress = progress

    def __enter__(self) -> InPlaceWindow:
        with (
            launch.case_folder() as self.temp_dir,
            contextlib.ExitStack() as ends,
            contextlib.ExitStack() as supervisors_ends,
        ):
            ends.callback(shutil.rmtree, self.temp_dir, ignore_errors=True)
            from_us, to_supervisor = os.pipe()
            to_us, from_supervisor = os.pipe()
            passed = (from_us, from_supervisor)
            for descriptor in (to_supervisor, to_us):
                ends.callback(os.close, descriptor)
            for descriptor in passed:
                supervisors_ends.callback(os.close, descriptor)
            self._wire = Wire(to_us, to_supervisor)
            supervised = launch.Supervised(self._job(passed), pass_descriptors=passed)
            self._supervised = ends.enter_context(supervised)
            self._ends = ends.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._ends.close()

    def _job(self, wire: tuple[int, int]) -> Job:
        return Job(
            temp_dir=str(self.temp_dir),
            spill_dir=spill_dir_in(str(self.temp_dir)),
            attach=os.getpid(),
            attach_wire=wire,
        )

    def ready(self) -> None:
        """Does nothing: no engine is kept in place."""

    def begin(self) -> None:
        """Open the window; returns when measuring has begun."""
        if self._engine is not None:
            self._engine.begin_window()
        self.is_open = True
        self._wire.begin()

    def end(self) -> None:
        """Close the window and take the findings."""
        self.is_open = False
        self._wire.end()
        message = next(self._supervised.messages())
        self.findings = from_json(Findings, message["findings"])
        if self._engine is not None:
            self.native = self._engine.end_window()
            self.nodes = self._engine.nodes()

    def watch(self, engine: Engine) -> None:
        """The case runs on this engine."""
        self._engine = engine

    def data(self, *, rows: int, arrow_bytes: int) -> None:
        """The case works on this much data."""
        self.rows, self.data_bytes = rows, arrow_bytes

    def start_again(self, reason: str) -> None:
        """Does nothing: this process can't be restarted, and figures taken in place are tainted anyway."""
