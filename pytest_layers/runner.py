"""One case from start to verdict: the only place where the rooms meet.

launch gives the child's messages -> findings -> measurement -> verdicts -> they ride on the test's report
"""

from __future__ import annotations

import dataclasses
import os
import sys
import time
import warnings
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from pytest_layers import state
from pytest_layers.attempt import Attempt, how_it_ended, phase_of_death
from pytest_layers.cases import PLAN, Plan
from pytest_layers.engines.base import Engine
from pytest_layers.engines.catalog import skip_reason
from pytest_layers.errors import ChildFailed, LayersError
from pytest_layers.isolate import launch
from pytest_layers.isolate.child import inside
from pytest_layers.isolate.job import Job
from pytest_layers.isolate.place import Place
from pytest_layers.isolate.wire import Message
from pytest_layers.judge import limits as judge
from pytest_layers.measure import machine, reduce
from pytest_layers.measure.sampler import SHARE, Findings
from pytest_layers.outcome import conclude, failed_report, has_passed
from pytest_layers.records import Budget, CaseResult, Measurement, Verdict, from_json
from pytest_layers.settings import default_cache_dir

ATTEMPTS = 3
"""How often a case is run while its verdict is inconclusive and another run may settle it."""
REMAKES = 6
"""How many data sets one case may have made before its own run: each costs a start."""
FINER_SHARE = 0.05
"""Of one core, for reading in a repeated attempt."""
RESERVE_SHARE, RESERVE_BYTES = 0.05, 2**28
"""Memory left to the machine: a case that would take it is stopped."""

NEVER_ENTERED = "`measured` was never entered"

Progress = Callable[[str, int, int], None]


class Runner:
    """Runs cases of one session, one at a time on this machine."""

    def __init__(self, config: pytest.Config, progress: Progress) -> None:
        self._config = config
        self._settings = config.stash[state.SETTINGS]
        self._progress = progress
        self._ram_bytes = machine.memory_limit_bytes()

    def run(self, item: pytest.Item, plan: Plan) -> list[pytest.TestReport]:
        """Run one case in a fresh process; gives its reports, the verdicts on them.

        Raises:
            pytest.exit.Exception: the test asked for the end of the session.
        """
        obstacle = self._obstacle(plan)
        if obstacle:
            return self._refused(item, plan, f"{obstacle} (a failure for --layers-strict)")
        try:
            with self._machine_lock():
                return self._run(item, plan)
        except LayersError as error:
            return self._refused(item, plan, str(error))

    def _obstacle(self, plan: Plan) -> str | None:
        """Why the engine can't run here: asked only where strictness took away the skip."""
        engine = self._engine(plan)
        return skip_reason(engine) if engine and self._settings.strict else None

    def _refused(self, item: pytest.Item, plan: Plan, message: str) -> list[pytest.TestReport]:
        reports = [failed_report(item, "setup", message)]
        conclude(item, reports, CaseResult(plan.case, "", limits=plan.limits), strict=True)
        return reports

    def _run(self, item: pytest.Item, plan: Plan) -> list[pytest.TestReport]:
        for number in range(1, ATTEMPTS + 1):
            attempt = self._attempt(item, plan, finer=number > 1)
            measurement = self._measurement(plan, attempt)
            result = self._result(plan, attempt, measurement, number)
            worth = measurement and judge.worth_repeating(result.verdicts, measurement)
            if not worth or self._went_wrong(attempt):
                break
        if attempt.exit_reason is not None:
            pytest.exit(attempt.exit_reason, attempt.exit_status)
        reports = [*attempt.reports, *self._missing_reports(item, attempt)]
        conclude(item, reports, result, strict=self._settings.strict)
        return reports

    def _result(
        self, plan: Plan, attempt: Attempt, measurement: Measurement | None, number: int
    ) -> CaseResult:
        return CaseResult(
            case=plan.case,
            outcome="",
            rows=attempt.rows,
            data_bytes=attempt.data_bytes,
            limits=plan.limits,
            measurement=measurement,
            verdicts=self._verdicts(plan, attempt, measurement),
            attempts=number,
        )

    def _attempt(self, item: pytest.Item, plan: Plan, *, finer: bool) -> Attempt:
        """One run of the case; started again while it had to make data first."""
        for _ in range(REMAKES):
            attempt = self._run_child(item, plan, finer=finer)
            if not attempt.again:
                return attempt
        raise LayersError(f"{plan.case.nodeid}: more than {REMAKES} times anew: {attempt.again}")

    def _run_child(self, item: pytest.Item, plan: Plan, *, finer: bool) -> Attempt:
        attempt, started = Attempt(), time.monotonic()
        job = self._job(item, plan, launch.make_temp_dir(), finer=finer)
        try:
            with launch.Supervised(job) as supervised:
                self._draw_lines(supervised, plan, attempt)
                for message in supervised.messages():
                    self._take(attempt, message)
                    if message["kind"] == "data":
                        self._draw_lines(supervised, plan, attempt)
        except (ChildFailed, pytest.fail.Exception) as error:
            attempt.collect_errors.append(str(error))
        finally:
            for descriptor in job.output:
                os.close(descriptor)
        attempt.seconds = time.monotonic() - started
        return attempt

    def _job(self, item: pytest.Item, plan: Plan, temp_dir: Path, *, finer: bool) -> Job:
        invocation = self._config.invocation_params
        nodeid = f"{plan.path}::{item.nodeid.partition('::')[2]}"
        args = [*map(str, invocation.args), *self._own_arguments()]
        return Job(
            temp_dir=str(temp_dir),
            command=launch.child_command(nodeid, args, program=sys.argv[0], temp_dir=temp_dir),
            environment=self._environment(plan, temp_dir),
            folder=str(invocation.dir),
            cores=self._cores(),
            timeout_seconds=self._settings.timeout_seconds,
            output=launch.terminal_descriptors() if self._prints() else (),
            reserve_bytes=max(RESERVE_BYTES, int(RESERVE_SHARE * self._ram_bytes)),
            share=FINER_SHARE if finer else SHARE,
        )

    def _prints(self) -> bool:
        """Whether tests print straight to the terminal (`-s`)."""
        return bool(self._config.getoption("capture") == "no")

    def _own_arguments(self) -> list[str]:
        """What keeps other plugins from doing in every child what they do for the session."""
        return ["--no-cov"] if self._config.pluginmanager.hasplugin("_cov") else []

    def _environment(self, plan: Plan, temp_dir: Path) -> dict[str, str]:
        environment = {**os.environ, "TMPDIR": str(temp_dir)}
        for name in ("PYTEST_CURRENT_TEST", "PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT"):
            environment.pop(name, None)
        engine = self._engine(plan)
        if engine is not None:
            budget = Budget(self._settings.cores, self._ram_bytes, str(temp_dir))
            environment |= engine.environment(budget)
        return environment

    def _engine(self, plan: Plan) -> type[Engine] | None:
        if plan.case.engine is None:
            return None
        return self._config.stash[state.CATALOG].get(plan.case.engine)

    def _cores(self) -> tuple[int, ...]:
        """The cores to run on, where fewer are given than there are; all otherwise."""
        there = sorted(os.sched_getaffinity(0))
        return tuple(there[: self._settings.cores]) if self._settings.cores < len(there) else ()

    def _take(self, attempt: Attempt, message: Message) -> None:
        """One message of the child or its supervisor."""
        kind = message["kind"]
        if kind == "report":
            attempt.reports.append(self._report(message["report"]))
        elif kind == "findings":
            attempt.findings = from_json(Findings, message["findings"])
            attempt.finished = message["finished"]
        elif kind == "data":
            attempt.rows = max(attempt.rows, message["rows"])
            attempt.data_bytes += message["arrow_bytes"]
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
        elif kind == "stopped":
            attempt.stopped = message
        elif kind == "ended":
            attempt.ended = message

    def _report(self, data: dict[str, Any]) -> pytest.TestReport:
        hook = self._config.hook
        report: pytest.TestReport = hook.pytest_report_from_serializable(
            config=self._config, data=data
        )
        # JSON has no tuples, and pytest relies on these.
        report.location = tuple(report.location)  # type: ignore[assignment]
        report.sections = [tuple(section) for section in report.sections]  # type: ignore[misc]
        report.user_properties = [tuple(pair) for pair in report.user_properties]  # type: ignore[misc]
        if isinstance(report.longrepr, list):
            report.longrepr = tuple(report.longrepr)
        return report

    def _warn(self, message: Message) -> None:
        """Have a warning of the child in this session's summary."""
        category = type(message["category"], (Warning,), {})
        warning = warnings.WarningMessage(
            category(message["text"]), category, message["filename"], message["lineno"]
        )
        location = message["location"] and tuple(message["location"])
        self._config.hook.pytest_warning_recorded.call_historic(
            kwargs={
                "warning_message": warning,
                "when": message["when"],
                "nodeid": message["nodeid"],
                "location": location,
            }
        )

    def _draw_lines(self, supervised: launch.Supervised, plan: Plan, attempt: Attempt) -> None:
        """Tell the supervisor where this case is to be stopped, by what is known of its data."""
        lines = judge.stop_lines(plan.limits, self.ground(plan, attempt.rows, attempt.data_bytes))
        supervised.stop_at(growth_bytes=lines.growth_bytes, total_bytes=lines.total_bytes)

    @property
    def progress(self) -> Progress:
        """Who is told of data being made."""
        return self._progress

    def conclude_in_place(self, item: pytest.Item, report: pytest.TestReport) -> None:
        """Judge a case that ran in this process, and put the verdicts on its report."""
        plan, place = item.stash[PLAN], item.config.stash[state.WINDOW]
        assert isinstance(place, Place)
        attempt = Attempt(
            [report], place.findings, finished=True, data_bytes=place.data_bytes, rows=place.rows
        )
        result = self._result(plan, attempt, self._measurement(plan, attempt), 1)
        result = dataclasses.replace(result, isolation="none")
        conclude(item, [report], result, strict=self._settings.strict)

    def ground(self, plan: Plan, rows: int, data_bytes: int) -> judge.Ground:
        """What the limits of a case refer to."""
        engine = self._engine(plan)
        cores = self._settings.cores
        return judge.Ground(
            data_bytes=data_bytes,
            rows=rows,
            ram_bytes=self._ram_bytes,
            cores_given=engine.usable_cores(cores) if engine else cores,
        )

    def _measurement(self, plan: Plan, attempt: Attempt) -> Measurement | None:
        if attempt.findings is None:
            return None
        cores = self.ground(plan, 0, 0).cores_given
        return reduce.measurement(attempt.findings, cores_given=cores)

    def _verdicts(
        self, plan: Plan, attempt: Attempt, measurement: Measurement | None
    ) -> tuple[Verdict, ...]:
        """A verdict for each limit, where the call phase was reached."""
        ground = self.ground(plan, attempt.rows, attempt.data_bytes)
        if measurement is not None:
            verdicts = [judge.judge(limit, measurement, ground) for limit in plan.limits]
            return tuple(v for v in verdicts if attempt.finished or v.outcome == "failed")
        if attempt.call is None or attempt.call.skipped:
            return ()
        return tuple(judge.unmeasured(limit, NEVER_ENTERED) for limit in plan.limits)

    def _went_wrong(self, attempt: Attempt) -> bool:
        """Whether the case failed by itself, so that there is nothing to measure again."""
        return attempt.call is None or not has_passed(attempt.call)

    def _missing_reports(self, item: pytest.Item, attempt: Attempt) -> Iterator[pytest.TestReport]:
        """What a child that died did not send: the failure in its place, and a teardown."""
        when = phase_of_death(attempt)
        if when is None:
            return
        tail = (attempt.ended or {}).get("tail", "").strip()
        message = how_it_ended(attempt, when)
        yield failed_report(item, when, message, tail=tail, seconds=attempt.seconds)
        if when != "teardown":
            yield pytest.TestReport(item.nodeid, item.location, {}, "passed", None, "teardown")

    @contextmanager
    def _machine_lock(self) -> Iterator[None]:
        """One case at a time on a machine: windows that overlap would measure each other."""
        folder = self._settings.cache_dir or default_cache_dir()
        lock = FileLock(folder / "machine.lock")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except OSError as error:
            raise LayersError(f"can't write in {folder} (--layers-cache-dir): {error}") from error
        try:
            yield
        finally:
            lock.release()


class InPlace:
    """Runs cases in pytest's own process (`--layers-isolation=none`): measured, but tainted by what ran before."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """A supervisor looks on while the case runs."""
        if PLAN not in item.stash or item.get_closest_marker("skip"):
            return (yield)
        with Place(self._runner.progress) as place:
            item.config.stash[state.WINDOW] = place
            item.config.stash[state.TEMP_DIR] = place.temp_dir
            return (yield)

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        """The call phase is the window, unless a `measured` fixture narrows it."""
        if PLAN not in item.stash or state.NARROWED in item.stash:
            return (yield)
        with inside(item.config.stash[state.WINDOW]):
            return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """The verdicts on the call's report."""
        report = yield
        if PLAN in item.stash and report.when == "call":
            self._runner.conclude_in_place(item, report)
        return report
