"""Makes attempts at cases, each in a fresh process, or in one that is kept with its engine for several cases.

With `--layers-isolation=engine` an engine is started once and kept, as long as each case leaves it as it was: all went
well, the footprint is back within `KEPT_BYTES` of what it was after the start, and nothing is still at work. What
earlier cases left in it may serve a later one, and so is added to what that one may have grown by.
"""

from __future__ import annotations

import builtins
import os
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from pytest_layers import state
from pytest_layers.attempt import Attempt
from pytest_layers.cases import PLAN, Plan
from pytest_layers.engines.base import Engine
from pytest_layers.errors import ChildFailed
from pytest_layers.isolate import launch
from pytest_layers.isolate.job import Job
from pytest_layers.isolate.wire import Message
from pytest_layers.judge import limits as judge
from pytest_layers.measure import machine
from pytest_layers.measure.findings import Findings
from pytest_layers.measure.sampler import SHARE
from pytest_layers.outcome import went_well
from pytest_layers.records import from_json, spill_dir_in
from pytest_layers.settings import Settings

FINER_SHARE = 0.05
"""Share of one core that sampling may take in a repeated attempt."""
RESERVE_SHARE, RESERVE_BYTES = 0.05, 2**28
"""Memory left to the machine: a case that would take it is stopped."""
KEPT_BYTES = 256 * 2**20
"""The most that cases may leave in a kept engine: small ones leave 6 to 115 MiB (`benchmarks/engine_cost.py`)."""
KEPT_CORES = 0.3
"""Cores that a kept engine may use at rest: Ray's own processes take about a tenth of one."""

CASE_FOLDER = "LAYERS_CASE_FOLDER"
"""In the environment of a case: its folder, where cases of a pytest that it starts itself take turns."""
WHOLE = {"stopped", "rested", "ended"}
"""Kinds of messages that an attempt keeps as they are."""
WHERE_LIMITS = frozenset({"memory_ceiling", "min_cores"})
"""Kinds of limits whose failure names a line."""

Progress = Callable[[str, int, int], None]
StopLinesOf = Callable[[Plan, Attempt], judge.StopLines]
"""Where a case is stopped, by what is known of its data so far."""


@dataclass
class Kept:
    """A started engine in its process, waiting for the next case."""

    engine: str
    supervised: launch.Supervised
    ready_bytes: int = 0
    """Footprint when it had started."""
    left_bytes: int = 0
    """By how much the cases so far have raised it."""


class Processes:
    """Makes one attempt after another; at most one engine is kept at a time."""

    def __init__(self, config: pytest.Config, stop_lines: StopLinesOf, progress: Progress) -> None:
        self._config = config
        self._settings = config.stash[state.SETTINGS]
        self._stop_lines = stop_lines
        self._progress = progress
        self._ram_bytes = machine.memory_limit_bytes()
        self._kept: Kept | None = None

    def attempt(
        self, item: pytest.Item, plan: Plan, *, finer: bool = False, cores: int = 0
    ) -> Attempt:
        """Run a case once; with `finer` readings, or on `cores` other than the settings', in a fresh process."""
        if not finer and not cores and self._may_keep(plan):
            return self._run_kept(item, plan)
        if plan.case.engine is not None:
            self.close()
        return self._run_fresh(plan, self._job(item, plan, finer=finer, cores=cores))

    def close(self) -> None:
        """End the kept engine, if there is one."""
        kept, self._kept = self._kept, None
        if kept is not None:
            kept.supervised.__exit__(None, None, None)

    def engine(self, plan: Plan) -> type[Engine] | None:
        """The engine of a case, if it has one."""
        if plan.case.engine is None:
            return None
        return self._config.stash[state.CATALOG].get(plan.case.engine)

    def _may_keep(self, plan: Plan) -> bool:
        engine = self.engine(plan)
        return bool(engine and engine.starts_processes) and self._settings.isolation == "engine"

    def _run_fresh(self, plan: Plan, job: Job) -> Attempt:
        attempt = Attempt()
        try:
            with launch.Supervised(job) as supervised:
                self._converse(supervised, plan, attempt)
        except (ChildFailed, pytest.fail.Exception) as error:
            attempt.collect_errors.append(str(error))
        finally:
            _close(job.output)
        return attempt

    def _run_kept(self, item: pytest.Item, plan: Plan) -> Attempt:
        """Run a case on the kept engine, or start one to keep; anything that goes wrong ends the engine."""
        if self._kept is not None and self._kept.engine != plan.case.engine:
            self.close()
        attempt = Attempt(reused=self._kept is not None)
        try:
            kept = self._kept or self._start_kept(item, plan)
            if attempt.reused:
                kept.supervised.run(state.full_id(item), self._team_folders(plan))
                attempt.left_bytes = kept.left_bytes
            self._converse(kept.supervised, plan, attempt)
            if not self._is_as_it_was(kept, attempt):
                self.close()
        except (ChildFailed, pytest.fail.Exception) as error:
            attempt.collect_errors.append(str(error))
            self.close()
        except BaseException:
            self.close()
            raise
        return attempt

    def _start_kept(self, item: pytest.Item, plan: Plan) -> Kept:
        job = self._job(item, plan, keep=True)
        try:
            self._kept = Kept(str(plan.case.engine), launch.Supervised(job).__enter__())
        finally:
            _close(job.output)
        return self._kept

    def _is_as_it_was(self, kept: Kept, attempt: Attempt) -> bool:
        """Whether the next case may use this engine."""
        if attempt.rested is None or attempt.findings is None or not went_well(attempt.reports):
            return False
        if attempt.ready_bytes is not None:
            kept.ready_bytes = attempt.ready_bytes
        kept.left_bytes = max(0, int(attempt.rested["footprint_bytes"]) - kept.ready_bytes)
        return kept.left_bytes <= KEPT_BYTES and float(attempt.rested["cores_used"]) <= KEPT_CORES

    def _converse(self, supervised: launch.Supervised, plan: Plan, attempt: Attempt) -> None:
        """Take in all messages of one attempt."""
        started = time.monotonic()
        try:
            self._tell_stop_lines(supervised, plan, attempt)
            for message in supervised.messages():
                self._take(attempt, message)
                if message["kind"] == "data":
                    self._tell_stop_lines(supervised, plan, attempt)
        finally:
            attempt.seconds = time.monotonic() - started

    def _team_folders(self, plan: Plan) -> tuple[str, ...]:
        """The folders of the code of which a broken limit names a line; none where no limit does."""
        if WHERE_LIMITS.isdisjoint(limit.kind for limit in plan.limits):
            return ()
        return str(self._config.rootpath), str(plan.path.parent)

    def _tell_stop_lines(self, supervised: launch.Supervised, plan: Plan, attempt: Attempt) -> None:
        """Tell the supervisor where this case is stopped."""
        lines = self._stop_lines(plan, attempt)
        supervised.stop_at(growth_bytes=lines.growth_bytes, total_bytes=lines.total_bytes)

    def _job(
        self,
        item: pytest.Item,
        plan: Plan,
        *,
        finer: bool = False,
        cores: int = 0,
        keep: bool = False,
    ) -> Job:
        """What the supervisor is asked to do; 0 `cores` for those of the settings.

        Raises:
            ChildFailed: nothing can be written for the case.
        """
        settings = replace(self._settings, cores=cores or self._settings.cores)
        with launch.case_folder() as temp_dir:
            return Job(
                temp_dir=str(temp_dir),
                spill_dir=spill_dir_in(str(temp_dir)),
                command=self._command(item, plan, temp_dir, cores=cores, keep=keep),
                environment=self._environment(plan, settings, temp_dir),
                folder=str(self._config.invocation_params.dir),
                cores=_core_numbers(settings.cores),
                timeout_seconds=self._settings.timeout_seconds,
                output=launch.terminal_descriptors() if self._prints() else (),
                reserve_bytes=max(RESERVE_BYTES, int(RESERVE_SHARE * self._ram_bytes)),
                hard_limit_bytes=settings.hard_limit_bytes,
                share=FINER_SHARE if finer else SHARE,
            )

    def _command(
        self, item: pytest.Item, plan: Plan, temp_dir: Path, *, cores: int, keep: bool
    ) -> tuple[str, ...]:
        """The command that starts the case's process: with the arguments of this session and some more."""
        arguments = [*map(str, self._config.invocation_params.args), *self._own_arguments()]
        if cores:
            arguments.append(f"--layers-cores={cores}")
        return launch.child_command(
            state.full_id(item),
            arguments,
            program=sys.argv[0],
            temp_dir=temp_dir,
            files=_files_of_engine(item, plan) if keep else (),
            roots=self._team_folders(plan),
        )

    def _prints(self) -> bool:
        """Whether tests print straight to the terminal (`-s`, `-p no:capture`)."""
        return bool(self._config.getoption("capture", "no") == "no")

    def _own_arguments(self) -> list[str]:
        """Arguments that keep plugins from doing in every child what they are to do once in the session."""
        arguments = ["--no-cov"] if self._config.pluginmanager.hasplugin("_cov") else []
        if self._config.getoption("debug"):
            arguments.append(f"--debug={os.devnull}")
        seed = self._config.getoption("randomly_seed", None)
        if isinstance(seed, int):  # pytest-randomly draws one for itself
            arguments.append(f"--randomly-seed={seed}")
        return arguments

    def _environment(self, plan: Plan, settings: Settings, temp_dir: Path) -> dict[str, str]:
        environment = {**os.environ, "TMPDIR": str(temp_dir), CASE_FOLDER: str(temp_dir)}
        for name in ("PYTEST_CURRENT_TEST", "PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT"):
            environment.pop(name, None)
        engine = self.engine(plan)
        if engine is not None:
            budget = settings.budget(engine, temp_dir, self._ram_bytes)
            environment |= engine.environment(budget)
        return environment

    def _take(self, attempt: Attempt, message: Message) -> None:
        """Take in one message of the child or its supervisor."""
        kind = message["kind"]
        if kind == "report":
            attempt.reports.append(self._report(message["report"]))
        elif kind == "findings":
            attempt.findings = from_json(Findings, message["findings"])
            attempt.finished = message["finished"]
        elif kind == "data":
            attempt.rows, attempt.data_bytes = message["rows"], message["arrow_bytes"]
        elif kind == "native":
            attempt.native, attempt.nodes = message["figures"], message["nodes"]
        elif kind == "progress":
            self._progress(message["what"], message["done"], message["total"])
        elif kind == "again":
            attempt.again = message["reason"]
        elif kind == "exit":
            attempt.exit_reason, attempt.exit_status = message["reason"], message["status"]
        elif kind == "collect_error":
            attempt.collect_errors.append(message["text"])
        elif kind == "warning":
            self._warn(message)
        elif kind == "ready":
            attempt.ready_bytes = message["footprint_bytes"]
        elif kind in WHOLE:
            setattr(attempt, kind, message)

    def _report(self, data: dict[str, Any]) -> pytest.TestReport:
        hook = self._config.hook
        report: pytest.TestReport = hook.pytest_report_from_serializable(
            config=self._config, data=data
        )
        # JSON has no tuples, and pytest relies on these.
        report.location = tuple(report.location)  # type: ignore[assignment]
        report.sections = [tuple(section) for section in report.sections]  # type: ignore[misc]
        report.user_properties = [
            tuple(pair) if isinstance(pair, list) else pair for pair in report.user_properties
        ]
        if isinstance(report.longrepr, list):
            report.longrepr = tuple(report.longrepr)
        return report

    def _warn(self, message: Message) -> None:
        """Show a warning of the child in this session's summary."""
        told = self._warning(message["category"], message["text"])
        warning = warnings.WarningMessage(told, type(told), message["filename"], message["lineno"])
        location = message["location"] and tuple(message["location"])
        self._config.hook.pytest_warning_recorded.call_historic(
            kwargs={
                "warning_message": warning,
                "when": message["when"],
                "nodeid": message["nodeid"],
                "location": location,
            }
        )

    def _warning(self, name: str, text: str) -> Warning:
        """A warning of a class of that name; a worker of xdist can pass on only classes that every process has."""
        known = getattr(builtins, name, None)
        if isinstance(known, type) and issubclass(known, Warning):
            return known(text)
        if hasattr(self._config, "workerinput"):
            return Warning(f"{name}: {text}")
        made: type[Warning] = type(name, (Warning,), {})
        return made(text)


def _files_of_engine(item: pytest.Item, plan: Plan) -> tuple[str, ...]:
    """The files of all cases in the session with this case's engine, its own first."""
    plans = [other.stash.get(PLAN, None) for other in item.session.items]
    paths = [str(one.path) for one in plans if one and one.case.engine == plan.case.engine]
    return tuple(dict.fromkeys([str(plan.path), *paths]))


def _core_numbers(cores: int) -> tuple[int, ...]:
    """The numbers of the cores to run on; empty for all, also where a process can't be held to some of them."""
    if not machine.can_hold_to_cores():
        return ()
    there = sorted(os.sched_getaffinity(0))
    return tuple(there[:cores]) if cores < len(there) else ()


def _close(descriptors: tuple[int, ...]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
