"""Runs one case from start to verdict: the only place where the rooms meet.

One attempt at the case -> its findings -> a measurement -> verdicts; in doubt another attempt. The verdicts of all
attempts are put on the test's report, which carries them to the end of the session, also through xdist.
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
from pytest_layers.isolate.in_place_window import InPlaceWindow
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
    Pair,
    Speedup,
    Timing,
    Verdict,
    from_json,
)
from pytest_layers.report.progress import QUIET_SECONDS, TerminalProgress
from pytest_layers.settings import default_cache_dir
from pytest_layers.survival import survival

REMAKES = 6
"""How often a case may be restarted because it made the same data set."""
REMAKES_IN_ALL = 50
"""The same, of all its data sets."""
SAME_AT_EVERY_START = (
    "its name, its rows and what makes it must be the same at every start, and all data of a case must fit in the cache"
    " (--layers-cache-size)"
)
NEVER_ENTERED = "`measured` was never entered"
NEVER_LEFT = "`measured` was entered and never left"
NOT_HELD = "this system can't hold a process to some of its cores"
RAN_IN_PLACE = "in pytest's own process a case runs once, on all cores (isolation none)"


class Runner:
    """Runs the cases of one session, one at a time on this machine."""

    def __init__(self, config: pytest.Config, progress: TerminalProgress) -> None:
        self._config = config
        self._settings = config.stash[state.SETTINGS]
        self._progress = progress
        self._ram_bytes = self._settings.memory_bytes(machine.memory_limit_bytes())
        self._processes = Processes(config, self._stop_lines, progress)

    def run(self, item: pytest.Item, plan: Plan) -> Iterator[pytest.TestReport]:
        """Run one case in processes of its own; gives its reports, with the verdicts on them.

        Raises:
            pytest.exit.Exception: after the last report, if the test asked for the end of the session.
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
        """Why the engine can't run here; asked only under `--layers-strict`, where such a case is no skip."""
        engine = self._processes.engine(plan)
        return skip_reason(engine) if engine and self._settings.strict else None

    def _refused(self, item: pytest.Item, plan: Plan, message: str) -> list[pytest.TestReport]:
        reports = [failed_report(item, "setup", message)]
        conclude(item, reports, CaseResult(plan.case, "", limits=plan.limits), strict=True)
        return reports

    def _run(self, item: pytest.Item, plan: Plan) -> tuple[Attempt, list[pytest.TestReport]]:
        """Make attempts until the verdicts are settled; gives the last attempt, and the reports of the case."""
        judged: list[repeats.Verdicts] = []
        attempts = 0
        while True:
            attempt = self._attempt(item, plan, finer=attempts > 0)
            attempts += 1
            measurement = self._measurement(plan, attempt)
            judged.append(self._verdicts(plan, attempt, measurement))
            if not self._needs_another(attempt, measurement, judged):
                break
            if attempt.reused:
                judged.clear()  # what earlier cases left in the kept engine may be the reason
        result = self._result(plan, attempt, measurement, judged, attempts)
        if _is_clean_pass(attempt):
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
        judged: Sequence[repeats.Verdicts],
        attempts: int = 1,
    ) -> CaseResult:
        return CaseResult(
            case=plan.case,
            outcome="",
            rows=attempt.rows,
            data_bytes=attempt.data_bytes,
            limits=plan.limits,
            measurement=measurement,
            verdicts=repeats.together(judged),
            attempts=attempts,
            isolation="engine" if attempt.reused else "case",
            survival=survival(attempt, measurement),
        )

    def _needs_another(
        self,
        attempt: Attempt,
        measurement: Measurement | None,
        judged: Sequence[repeats.Verdicts],
    ) -> bool:
        """Whether to make another attempt: in a kept engine after anything but a pass, elsewhere in doubt."""
        if attempt.exit_reason is not None:
            return False
        if attempt.reused and not (went_well(attempt.reports) and _all_passed(judged[-1])):
            return True
        if measurement is None or attempt.call is None or not has_passed(attempt.call):
            return False
        if len(judged) >= self._settings.repeat or _passed_with_open_window(attempt):
            return False
        return repeats.worth_repeating(judged, measurement.cpu_seconds, measurement.cores_given)

    def _judge_speedup(self, item: pytest.Item, plan: Plan, result: CaseResult) -> CaseResult:
        """The result with the verdict on `min_speedup`, if the case has that limit."""
        limit, cost = _speedup_limit(plan), result.measurement
        if limit is None or cost is None:
            return result
        if not machine.can_hold_to_cores():
            return _with_verdict(result, judge.unmeasured(limit, NOT_HELD))
        try:
            if not speedup.obstacle(limit, cost):
                found = self._speedup(item, plan, limit, cost.cores_given)
                cost = dataclasses.replace(cost, speedup=found)
            verdict = speedup.judge(limit, cost)
        except LayersError as error:
            verdict = judge.unmeasured(limit, str(error))
        return _with_verdict(dataclasses.replace(result, measurement=cost), verdict)

    def _speedup(self, item: pytest.Item, plan: Plan, limit: Limit, cores: int) -> Speedup:
        """Run a case on all cores and on one core in turn, until its speed-up is sure enough.

        The attempt that the other limits were judged by is in no pair: it may have read its data from disk.
        """
        pairs: list[Pair] = []
        while speedup.is_open(limit, pairs, cores):
            all_cores = self._timing(item, plan, self._settings.cores)
            pairs.append(Pair(all_cores, self._timing(item, plan, 1)))
        return speedup.of_pairs(pairs, cores)

    def _timing(self, item: pytest.Item, plan: Plan, cores: int) -> Timing:
        """How long one more attempt takes, on this many cores.

        Raises:
            LayersError: the test did not pass on them.
        """
        attempt = self._attempt(item, plan, cores=cores)
        cost = self._measurement(plan, attempt)
        if cost is None or not _is_clean_pass(attempt):
            raise LayersError(f"run again on {cores} of the cores, the test did not pass")
        return Timing(cost.wall_seconds, cost.cpu_seconds, cost.wait_seconds)

    def _stop_lines(self, plan: Plan, attempt: Attempt) -> judge.StopLines:
        """Where this case is stopped, by what is known of its data so far."""
        return judge.stop_lines(plan.limits, self._basis(plan, attempt.rows, attempt.data_bytes))

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
        """One attempt at the case; started again as long as its process had to make data first."""
        again: Counter[str] = Counter()
        while True:
            attempt = self._processes.attempt(item, plan, finer=finer, cores=cores)
            if not attempt.again:
                return attempt
            again[attempt.again] += 1
            if again[attempt.again] == REMAKES or again.total() == REMAKES_IN_ALL:
                told = f"restarted {again.total()} times: {attempt.again}; {SAME_AT_EVERY_START}"
                raise LayersError(f"{plan.case.nodeid}: {told}")

    @property
    def progress(self) -> TerminalProgress:
        """What shows on the terminal that data is being made."""
        return self._progress

    def conclude_in_place(self, item: pytest.Item, report: pytest.TestReport) -> None:
        """Judge a case that ran in this process, and put the verdicts on its report."""
        plan, window = item.stash[PLAN], item.config.stash.get(state.WINDOW, None)
        attempt = Attempt([report])
        if isinstance(window, InPlaceWindow):
            attempt = _attempt_in_place(window, report)
        measurement = self._measurement(plan, attempt)
        judged = [self._verdicts(plan, attempt, measurement)]
        result = self._result(plan, attempt, measurement, judged)
        result = dataclasses.replace(result, isolation="none")
        limit = _speedup_limit(plan)
        if limit is not None and _is_clean_pass(attempt):
            result = _with_verdict(result, judge.unmeasured(limit, RAN_IN_PLACE))
        conclude(item, [report], result, strict=self._settings.strict)

    def _basis(self, plan: Plan, rows: int, data_bytes: int) -> judge.Basis:
        """What the relative limits of a case are relative to."""
        engine = self._processes.engine(plan)
        cores = self._settings.cores
        return judge.Basis(
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
            cores_given=sum(node.cores for node in nodes) or self._basis(plan, 0, 0).cores_given,
            native=attempt.native,
            left_bytes=attempt.left_bytes,
            nodes=nodes,
            lost_nodes=tuple(told["name"] for told in attempt.nodes if not told["findings"]),
        )

    def _verdicts(
        self, plan: Plan, attempt: Attempt, measurement: Measurement | None
    ) -> tuple[Verdict, ...]:
        """A verdict on each limit that one attempt is enough for; none where the call phase was not reached."""
        basis = self._basis(plan, attempt.rows, attempt.data_bytes)
        if measurement is not None:
            basis = dataclasses.replace(basis, cores_given=measurement.cores_given)
            limits = [limit for limit in plan.limits if limit.kind != "min_speedup"]
            verdicts = [judge.judge(limit, measurement, basis) for limit in limits]
            if attempt.finished:
                return tuple(verdicts)
            failed = {v.limit: v for v in verdicts if v.outcome == "failed"}
            if not _passed_with_open_window(attempt):
                return tuple(failed.values())
            # A floor can't be judged: what came after the test is in its window.
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
        """The reports that a child did not send because it died: a failure of that phase, and a teardown."""
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
        """Take the lock; say so where it waits for the case of another session."""
        try:
            lock.acquire(timeout=QUIET_SECONDS)
        except Timeout:
            with self._progress.waiting(folder):
                lock.acquire()


def _attempt_in_place(window: InPlaceWindow, report: pytest.TestReport) -> Attempt:
    """What this process told of a case that ran in it."""
    finished = not window.is_open
    if not finished:
        with contextlib.suppress(LayersError):  # its supervisor may be gone
            window.end()
    return Attempt(
        [report],
        window.findings,
        finished=finished,
        native=window.native,
        nodes=window.nodes,
        data_bytes=window.data_bytes,
        rows=window.rows,
    )


def _nodes(attempt: Attempt) -> Iterator[Node]:
    for told in attempt.nodes:
        if told["findings"]:
            findings = from_json(Findings, told["findings"])
            yield reduce.node(told["name"], told["cores"], findings)


def _speedup_limit(plan: Plan) -> Limit | None:
    return next((limit for limit in plan.limits if limit.kind == "min_speedup"), None)


def _with_verdict(result: CaseResult, verdict: Verdict) -> CaseResult:
    return dataclasses.replace(result, verdicts=(*result.verdicts, verdict))


def _is_clean_pass(attempt: Attempt) -> bool:
    """Whether the test passed and closed its window itself, and did not end the session."""
    passed = attempt.call is not None and has_passed(attempt.call)
    return attempt.finished and passed and attempt.exit_reason is None


def _is_set_up_only(reports: Sequence[pytest.TestReport]) -> bool:
    """Whether there is no more than a set-up that passed."""
    return all(report.when == "setup" and report.passed for report in reports)


def _passed_with_open_window(attempt: Attempt) -> bool:
    """Whether the test passed, but entered `measured` and never left it."""
    return not attempt.finished and attempt.call is not None and has_passed(attempt.call)


def _all_passed(verdicts: Sequence[Verdict]) -> bool:
    return all(verdict.outcome == "passed" for verdict in verdicts)
