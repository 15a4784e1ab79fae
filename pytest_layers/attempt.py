"""One attempt at a case: what its process reported, and how it ended where it did not report its test to the end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from pytest_layers.isolate import launch
from pytest_layers.isolate.wire import Message
from pytest_layers.measure.findings import Findings
from pytest_layers.outcome import call_of, is_subtest
from pytest_layers.units import format_bytes, format_seconds

SIGKILL = 9
"""Its number: on Windows `signal` does not have the name."""
_OUTCOMES = {"passed", "failed", "skipped"}


@dataclass
class Attempt:
    """What came of running a case once."""

    reports: list[pytest.TestReport] = field(default_factory=list)
    findings: Findings | None = None
    finished: bool = False
    """Whether the test closed the window itself, and not the end of its process."""
    native: dict[str, float] = field(default_factory=dict)
    nodes: list[dict[str, Any]] = field(default_factory=list)
    """Of the user's own cluster: name, cores and findings of each node; findings are None for a lost one."""
    data_bytes: int = 0
    rows: int = 0
    reused: bool = False
    """Whether it ran in a kept engine, which earlier cases had used."""
    ready_bytes: int | None = None
    """Footprint when its engine, which is to be kept, had started."""
    left_bytes: int = 0
    """What earlier cases left in the kept engine."""
    rested: Message | None = None
    """The message on its process at rest, where that waits for other cases."""
    again: str = ""
    """Why it does not count and is to be made again, as where its process had to make data; empty where it counts."""
    exit_reason: str | None = None
    """What the test ended the whole session with (`pytest.exit`), or None."""
    exit_status: int | None = None
    collect_errors: list[str] = field(default_factory=list)
    stopped: Message | None = None
    """The message on why the supervisor stopped it, or None."""
    ended: Message | None = None
    """The message on the end of its process, or None where the supervisor itself was lost."""
    seconds: float = 0.0

    @property
    def hard_limit(self) -> dict[str, Any] | None:
        """Its bytes, who kept it and how many processes the kernel killed at it; None without a hard limit."""
        told = self.ended or self.rested
        return told["hard_limit"] if told else None

    @property
    def died_at_limit(self) -> bool:
        """Whether the case's own process was ended at the hard limit, by the supervisor or the kernel."""
        if self.stopped is not None:
            return bool(self.stopped["why"] == "hard_limit")
        limit, ended = self.hard_limit, self.ended
        return bool(limit and limit["kills"] and ended and ended["status"] == -SIGKILL)

    @property
    def call(self) -> pytest.TestReport | None:
        """The report of the call phase."""
        return call_of(self.reports)


def phase_of_death(attempt: Attempt) -> str | None:
    """The phase in which the process died: the first one without an outcome; None where all were reported.

    A plugin that runs tests again (pytest-rerunfailures) gives what it repeats an outcome of its own, and sends the
    reports of each run only when that run is over.
    """
    last = {report.when: report.outcome for report in attempt.reports if not is_subtest(report)}
    for when in ("setup", "call"):
        if last.get(when) not in _OUTCOMES:
            return when if attempt.findings is None else "call"
        if last[when] != "passed":
            break
    return None if last.get("teardown") in _OUTCOMES else "teardown"


def how_it_ended(attempt: Attempt, when: str) -> str:
    """How a child ended that did not report its test to the end, for the failure's text."""
    if attempt.collect_errors and not attempt.reports and attempt.ended is not None:
        errors = "\n".join(attempt.collect_errors)
        return f"the test could not be collected in its own process:\n{errors}"
    if _was_not_found(attempt):
        return (
            "the test was not found in its own process: its id has to be the same at every start of pytest,"
            " so sets, times and random numbers make no good parameters"
        )
    where = (
        f"during {when}, {format_seconds(attempt.seconds)} after its start{_last_reading(attempt)}"
    )
    if attempt.ended is None:
        how, _, rest = "\n".join(attempt.collect_errors).partition("\n")
        return f"{how} {where}\n{rest}".strip()
    if attempt.stopped is not None:
        return "\n".join([_why_stopped(attempt.stopped, where), *_held(attempt)])
    told = f"the test's process {kind_of_end(attempt.ended)} {where}"
    return "\n".join([told, *_held(attempt)]) if attempt.died_at_limit else told


def _was_not_found(attempt: Attempt) -> bool:
    """Whether pytest in the child said that there is no such test."""
    ended = attempt.ended
    if ended is None or attempt.reports:
        return False
    is_refused = ended["status"] == pytest.ExitCode.USAGE_ERROR
    return is_refused and "ERROR: not found: " in ended["tail"]


def kind_of_end(ended: Message) -> str:
    """Its exit status, or the signal that ended it and who may have sent that."""
    status: int = ended["status"]
    if status >= 0:
        return f"exited with status {status}"
    how = f"ended with {launch.signal_name(-status)}"
    if status != -SIGKILL:
        return how
    limit = ended["hard_limit"]
    if limit and limit["kills"]:
        return f"{how}, killed by the kernel at {_hard_limit(limit['limit_bytes'])}"
    if ended["oom_killed"]:
        return f"{how}, killed by the kernel's OOM killer"
    return f"{how} (killed from outside, or out of memory in a container)"


def _last_reading(attempt: Attempt) -> str:
    """What it held at its end and, if the window was entered, at most within that."""
    held = ""
    if attempt.ended is not None:
        held = f"; last reading {format_bytes(attempt.ended['footprint_bytes'])}"
    if attempt.findings is not None:
        held += f", peak {format_bytes(attempt.findings.lower_bytes)}"
    return held


def _why_stopped(stopped: Message, where: str) -> str:
    footprint = format_bytes(stopped["footprint_bytes"])
    limit = format_bytes(stopped["limit_bytes"])
    if stopped["why"] == "timeout":
        timeout = format_seconds(stopped["timeout_seconds"])
        return f"stopped at the timeout of {timeout} (--layers-timeout) {where}"
    if stopped["why"] == "machine":
        return (
            f"stopped at {footprint}, before it took the machine's last memory"
            f" ({limit} were left for it) {where}"
        )
    if stopped["why"] == "hard_limit":
        return f"stopped at {footprint}, past {_hard_limit(stopped['limit_bytes'])} {where}"
    return f"stopped at {footprint}, far past its memory ceiling (line drawn at {limit}) {where}"


def _held(attempt: Attempt) -> Iterator[str]:
    """Which processes held how much: when it was stopped, else at the peak."""
    if attempt.stopped is not None:
        held = attempt.stopped["held"]
    else:
        found = attempt.findings.processes if attempt.findings else ()
        held = [(one.name, one.pid, one.at_peak_bytes) for one in found[:5]]
    for name, pid, size in held:
        yield f"held then: {format_bytes(size):>9}  {name} (pid {pid})"


def _hard_limit(limit_bytes: int) -> str:
    return f"the hard limit of {format_bytes(limit_bytes)} (--layers-hard-limit)"
