"""One case from start to verdict: the only place where the rooms meet.

launch gives the child's messages -> findings -> measurement -> verdicts -> they ride on the test's report
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from filelock import FileLock, Timeout

from pytest_layers import state
from pytest_layers.attempt import Attempt, how_it_ended, phase_of_death
from pytest_layers.cases import PLAN, Plan
from pytest_layers.datasets import HALF
from pytest_layers.engines.catalog import skip_reason
from pytest_layers.errors import LayersError
from pytest_layers.isolate.place import Place
from pytest_layers.judge import limits as judge
from pytest_layers.judge import repeats, speedup
from pytest_layers.measure import machine, reduce
from pytest_layers.measure.findings import Findings
from pytest_layers.outcome import conclude, drawn, expect_stop, failed_report, has_passed, went_well
from pytest_layers.processes import CASE_FOLDER, Processes
from pytest_layers.records import (
    CaseResult,
    Limit,
    Measurement,
    Node,
    Pace,
    Pair,
    Speedup,
    Verdict,
    from_json,
)
from pytest_layers.report.progress import QUIET_SECONDS, TerminalProgress
from pytest_layers.settings import default_cache_dir
from pytest_layers.survival import survival

REMAKES = 6
"""How often one case may have the same data set made before its own run: each costs a start."""
REMAKES_IN_ALL = 50
SAME_AT_EVERY_START = (
    "its name, its rows and what makes it have to be the same at every start, and all data of a case have to find room"
    " (--layers-cache-size)"
)
NEVER_ENTERED = "`measured` was never entered"
NEVER_LEFT = "`measured` was entered and never left"
NOT_HELD = "this system can't hold a process to some of its cores"
RAN_IN_PLACE = "in pytest's own process a case runs once, on all cores (isolation none)"


class Runner:
    """Runs cases of one session, one at a time on this machine."""

    def __init__(self, config: pytest.Config, progress: TerminalProgress) -> None:
        self._config = config
        self._settings = config.stash[state.SETTINGS]
        self._progress = progress
        self._ram_bytes = self._settings.memory_bytes(machine.memory_limit_bytes())
        self._processes = Processes(config, self._stop_lines, progress)

    def run(self, item: pytest.Item, plan: Plan) -> Iterator[pytest.TestReport]:
        """Run one case in a fresh process; gives its reports, the verdicts on them.

        Raises:
            pytest.exit.Exception: after them, where the test asked for the end of the session.
        """
        obstacle = self._obstacle(plan)
        if obstacle:
            yield from self._refused(item, plan, f"{obstacle} (a failure for --layers-strict)")
            return
        attempt = Attempt()
        try:
            with self._machine_lock():
                attempt, reports = self._run(item, plan)
        except LayersError as error:
            reports = self._refused(item, plan, str(error))
        finally:
            self._progress.end()
        yield from reports
        if attempt.exit_reason is not None:
            pytest.exit(attempt.exit_reason, attempt.exit_status)

    def _obstacle(self, plan: Plan) -> str | None:
        """Why the engine can't run here: asked only where strictness took away the skip."""
        engine = self._processes.engine(plan)
        return skip_reason(engine) if engine and self._settings.strict else None

    def _refused(self, item: pytest.Item, plan: Plan, message: str) -> list[pytest.TestReport]:
        reports = [failed_report(item, "setup", message)]
        conclude(item, reports, CaseResult(plan.case, "", limits=plan.limits), strict=True)
        return reports

    def _run(self, item: pytest.Item, plan: Plan) -> tuple[Attempt, list[pytest.TestReport]]:
        """The last attempt, and the reports of the case."""
        runs: list[repeats.Verdicts] = []
        attempts = 0
        while True:
            attempt = self._attempt(item, plan, finer=attempts > 0)
            attempts += 1
            measurement = self._measurement(plan, attempt)
            runs.append(self._verdicts(plan, attempt, measurement))
            if not self._is_open(attempt, measurement, runs):
                break
            if attempt.reused:
                runs.clear()  # what earlier cases left in a kept engine may have had a say in it
        result = self._result(plan, attempt, measurement, runs, attempts)
        if _went_through(attempt):
            result = self._judge_speedup(item, plan, result)
        reports = [*attempt.reports, *self._missing_reports(item, attempt, measurement)]
        if attempt.exit_reason is not None and _is_set_up_only(reports):
            return attempt, []
        conclude(item, reports, result, strict=self._settings.strict)
        return attempt, reports

    def _result(
        self,
        plan: Plan,
        attempt: Attempt,
        measurement: Measurement | None,
        runs: Sequence[repeats.Verdicts],
        attempts: int = 1,
    ) -> CaseResult:
        return CaseResult(
            case=plan.case,
            outcome="",
            rows=attempt.rows,
            data_bytes=attempt.data_bytes,
            limits=plan.limits,
            measurement=measurement,
            verdicts=repeats.together(runs),
            attempts=attempts,
            isolation="engine" if attempt.reused else "case",
            survival=survival(attempt, measurement),
        )

    def _is_open(
        self, attempt: Attempt, measurement: Measurement | None, runs: Sequence[repeats.Verdicts]
    ) -> bool:
        """Whether to run the case once more: after anything but a pass in a kept engine, in doubt elsewhere."""
        if attempt.exit_reason is not None:
            return False
        if attempt.reused and not (went_well(attempt.reports) and _all_passed(runs[-1])):
            return True
        if measurement is None or attempt.call is None or not has_passed(attempt.call):
            return False
        if len(runs) >= self._settings.repeat or _is_left_open(attempt):
            return False
        return repeats.worth_repeating(runs, measurement.cpu_seconds, measurement.cores_given)

    def _judge_speedup(self, item: pytest.Item, plan: Plan, result: CaseResult) -> CaseResult:
        """The result with the verdict on `min_speedup`, where that is a limit of the case."""
        limit, cost = _speedup_limit(plan), result.measurement
        if limit is None or cost is None:
            return result
        if not machine.can_hold_to_cores():
            verdict = judge.unmeasured(limit, NOT_HELD)
            return dataclasses.replace(result, verdicts=(*result.verdicts, verdict))
        try:
            if not speedup.obstacle(limit, cost):
                found = self._speedup(item, plan, limit, cost.cores_given)
                cost = dataclasses.replace(cost, speedup=found)
            verdict = speedup.judge(limit, cost)
        except LayersError as error:
            verdict = judge.unmeasured(limit, str(error))
        return dataclasses.replace(result, measurement=cost, verdicts=(*result.verdicts, verdict))

    def _speedup(self, item: pytest.Item, plan: Plan, limit: Limit, cores: int) -> Speedup:
        """Run a case on all cores and on one in turn, until its speed-up is sure enough.

        The run that was judged by the other limits is in no pair: it may have found the files of its data uncached.
        """
        pairs: list[Pair] = []
        while speedup.is_open(limit, pairs, cores):
            all_cores = self._pace(item, plan, self._settings.cores)
            pairs.append(Pair(all_cores, self._pace(item, plan, 1)))
        return speedup.of_pairs(pairs, cores)

    def _pace(self, item: pytest.Item, plan: Plan, cores: int) -> Pace:
        """How long one more run takes on this many cores.

        Raises:
            LayersError: the test did not pass on them.
        """
        attempt = self._attempt(item, plan, cores=cores)
        cost = self._measurement(plan, attempt)
        if cost is None or not _went_through(attempt):
            raise LayersError(f"run again on {cores} of the cores, the test did not pass")
        return Pace(cost.wall_seconds, cost.cpu_seconds, cost.wait_seconds)

    def _stop_lines(self, plan: Plan, attempt: Attempt) -> judge.StopLines:
        """Where this case is to be stopped, by what is known of its data."""
        return judge.stop_lines(plan.limits, self.ground(plan, attempt.rows, attempt.data_bytes))

    def close(self) -> None:
        """End what was kept for further cases, and remove data that were being made when a case was ended."""
        self._processes.close()
        folder = self._settings.cache_dir or default_cache_dir()
        if any((folder / HALF).glob("*")):
            from pytest_layers.datasets.store import Store

            with contextlib.suppress(OSError):
                Store(folder, self._settings.cache_bytes, self._progress).sweep()

    def _attempt(
        self, item: pytest.Item, plan: Plan, *, finer: bool = False, cores: int = 0
    ) -> Attempt:
        """One run of the case; started again while it had to make data first."""
        again: Counter[str] = Counter()
        while True:
            attempt = self._processes.attempt(item, plan, finer=finer, cores=cores)
            if not attempt.again:
                return attempt
            again[attempt.again] += 1
            if again[attempt.again] == REMAKES or again.total() == REMAKES_IN_ALL:
                told = f"{again.total()} times anew: {attempt.again}; {SAME_AT_EVERY_START}"
                raise LayersError(f"{plan.case.nodeid}: {told}")

    @property
    def progress(self) -> TerminalProgress:
        """Who is told of data being made."""
        return self._progress

    def conclude_in_place(self, item: pytest.Item, report: pytest.TestReport) -> None:
        """Judge a case that ran in this process, and put the verdicts on its report."""
        plan, place = item.stash[PLAN], item.config.stash.get(state.WINDOW, None)
        attempt = _attempt_in(place, report) if isinstance(place, Place) else Attempt([report])
        measurement = self._measurement(plan, attempt)
        runs = [self._verdicts(plan, attempt, measurement)]
        result = self._result(plan, attempt, measurement, runs)
        result = dataclasses.replace(result, isolation="none")
        limit = _speedup_limit(plan)
        if limit is not None and _went_through(attempt):
            verdict = judge.unmeasured(limit, RAN_IN_PLACE)
            result = dataclasses.replace(result, verdicts=(*result.verdicts, verdict))
        conclude(item, [report], result, strict=self._settings.strict)

    def ground(self, plan: Plan, rows: int, data_bytes: int) -> judge.Ground:
        """What the limits of a case refer to."""
        engine = self._processes.engine(plan)
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
        nodes = tuple(_nodes(attempt))
        return reduce.measurement(
            attempt.findings,
            cores_given=sum(node.cores for node in nodes) or self.ground(plan, 0, 0).cores_given,
            native=attempt.native,
            left_bytes=attempt.left_bytes,
            nodes=nodes,
            lost_nodes=tuple(told["name"] for told in attempt.nodes if not told["findings"]),
        )

    def _verdicts(
        self, plan: Plan, attempt: Attempt, measurement: Measurement | None
    ) -> tuple[Verdict, ...]:
        """A verdict for each limit that one run is enough for, where the call phase was reached."""
        ground = self.ground(plan, attempt.rows, attempt.data_bytes)
        if measurement is not None:
            ground = dataclasses.replace(ground, cores_given=measurement.cores_given)
            limits = [limit for limit in plan.limits if limit.kind != "min_speedup"]
            verdicts = [judge.judge(limit, measurement, ground) for limit in limits]
            if attempt.finished:
                return tuple(verdicts)
            failed = {v.limit: v for v in verdicts if v.outcome == "failed"}
            if not _is_left_open(attempt):
                return tuple(failed.values())
            # Cores are none of them: what came after the test is in its window.
            ceilings = {limit: failed[limit] for limit in failed if limit.kind != "min_cores"}
            return tuple(
                ceilings.get(limit) or judge.unmeasured(limit, NEVER_LEFT) for limit in plan.limits
            )
        if attempt.call is None or attempt.call.skipped:
            return ()
        return tuple(judge.unmeasured(limit, NEVER_ENTERED) for limit in plan.limits)

    def _missing_reports(
        self, item: pytest.Item, attempt: Attempt, cost: Measurement | None
    ) -> Iterator[pytest.TestReport]:
        """What a child that died did not send: the failure in its place, and a teardown."""
        when = phase_of_death(attempt)
        if when is None or attempt.exit_reason is not None:
            return
        tail = (attempt.ended or {}).get("tail", "").strip()
        message = how_it_ended(attempt, when)
        if attempt.died_at_limit and cost is not None:
            message = f"{message}\n\n{drawn(cost)}"
        report = failed_report(item, when, message, tail=tail, seconds=attempt.seconds)
        ran_away = (attempt.stopped or {}).get("why") == "memory"
        if when == "call" and (ran_away or attempt.died_at_limit):
            expect_stop(item, report)
        yield report
        if when != "teardown":
            yield pytest.TestReport(item.nodeid, item.location, {}, "passed", None, "teardown")

    @contextlib.contextmanager
    def _machine_lock(self) -> Iterator[None]:
        """One case at a time on a machine: windows that overlap would measure each other.

        Within a case, which has the machine's lock, one of those that it starts.
        """
        folder = self._settings.cache_dir or default_cache_dir()
        lock = FileLock(Path(os.environ.get(CASE_FOLDER, folder), "machine.lock"))
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._acquire(lock, folder)
        except OSError as error:
            raise LayersError(f"can't write in {folder} (--layers-cache-dir): {error}") from error
        try:
            yield
        finally:
            lock.release()

    def _acquire(self, lock: FileLock, folder: Path) -> None:
        """Wait for the case of another session, and say so."""
        try:
            lock.acquire(timeout=QUIET_SECONDS)
        except Timeout:
            with self._progress.waiting(folder):
                lock.acquire()


def _attempt_in(place: Place, report: pytest.TestReport) -> Attempt:
    """What this process told of a case that ran in it."""
    finished = not place.is_open
    if not finished:
        with contextlib.suppress(LayersError):  # its supervisor may be gone
            place.end()
    return Attempt(
        [report],
        place.findings,
        finished=finished,
        native=place.native,
        nodes=place.nodes,
        data_bytes=place.data_bytes,
        rows=place.rows,
    )


def _nodes(attempt: Attempt) -> Iterator[Node]:
    for told in attempt.nodes:
        if told["findings"]:
            findings = from_json(Findings, told["findings"])
            yield reduce.node(told["name"], told["cores"], findings)


def _speedup_limit(plan: Plan) -> Limit | None:
    return next((limit for limit in plan.limits if limit.kind == "min_speedup"), None)


def _went_through(attempt: Attempt) -> bool:
    """Whether the test passed, closed its window itself, and the session goes on."""
    passed = attempt.call is not None and has_passed(attempt.call)
    return attempt.finished and passed and attempt.exit_reason is None


def _is_set_up_only(reports: Sequence[pytest.TestReport]) -> bool:
    """Whether they tell of nothing that the test itself came to."""
    return all(report.when == "setup" and report.passed for report in reports)


def _is_left_open(attempt: Attempt) -> bool:
    """Whether the test passed without closing its window."""
    return not attempt.finished and attempt.call is not None and has_passed(attempt.call)


def _all_passed(verdicts: Sequence[Verdict]) -> bool:
    return all(verdict.outcome == "passed" for verdict in verdicts)
