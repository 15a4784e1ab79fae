"""What became of a case under a hard limit: it finished, spilled or died, and how."""

from __future__ import annotations

import re
from typing import Any

from pytest_layers.attempt import Attempt, kind_of_end, phase_of_death
from pytest_layers.outcome import first_line, has_passed
from pytest_layers.records import Measurement, Survival
from pytest_layers.units import format_bytes

_WORKER = re.compile(r"KilledWorker|WorkerCrashedError|ActorDiedError|Worker.{0,80}\b(died|killed)")
"""How Dask and Ray say that one of their processes has died."""
_MEMORY = re.compile(
    r"MemoryError|OutOfMemory|out of memory|bad_alloc|cannot allocate", re.IGNORECASE
)
"""How Python, Arrow, Java, DuckDB, Ray and the C++ library say that they got no more memory."""
_JVM = re.compile(r"java\.lang\.OutOfMemoryError.*")
"""What a JVM that dies of it writes, while Python is only told that nobody answers any more."""
_STOPPED = {
    "hard_limit": "stopped at the limit by the supervisor",
    "memory": "stopped far past its memory ceiling",
    "machine": "stopped before it took the machine's last memory",
    "timeout": "stopped at the timeout",
}


def survival(attempt: Attempt, measurement: Measurement | None) -> Survival | None:
    """What became of an attempt; None without a hard limit, or where the test was skipped."""
    limit = attempt.hard_limit
    if limit is None or any(_is_skip(report) for report in attempt.reports):
        return None
    outcome, text = _what_it_did(attempt, limit, measurement)
    return Survival(limit["limit_bytes"], limit["kept_by"], outcome, text)


def _what_it_did(
    attempt: Attempt, limit: dict[str, Any], measurement: Measurement | None
) -> tuple[str, str]:
    cause = _cause_of_death(attempt)
    if cause:
        return "died", cause
    troubles = [report for report in attempt.reports if _is_trouble(report)]
    if troubles:
        return _trouble(troubles[0], limit["kills"])
    lost = f"; the kernel killed {limit['kills']} of its processes" if limit["kills"] else ""
    if measurement is not None and measurement.spilled_bytes:
        return "spilled", f"spilled {format_bytes(measurement.spilled_bytes)} to disk{lost}"
    return "finished", f"finished{lost}"


def _cause_of_death(attempt: Attempt) -> str:
    """How the case's own process died; empty where it reported its test to the end."""
    if attempt.stopped is not None:
        return _STOPPED[attempt.stopped["why"]]
    if phase_of_death(attempt) is None:
        return ""
    if attempt.died_at_limit:
        return "killed at the limit by the kernel"
    return kind_of_end(attempt.ended) if attempt.ended else "its process was lost"


def _trouble(report: Any, kills: int) -> tuple[str, str]:
    """What the test's own error tells, and what a JVM wrote."""
    line, message = first_line(report), str(_message(report))
    if kills:
        return "died", f"the kernel killed {kills} of its processes: {line}"
    if _WORKER.search(message):
        return "died", f"a worker of the engine was killed: {line}"
    if _MEMORY.search(message):
        return "died", f"got no more memory: {line}"
    if told := _JVM.search(report.capstderr):
        return "died", f"its JVM got no more memory, {told[0]}: {line}"
    return "failed", line


def _is_trouble(report: Any) -> bool:
    """Whether it is a failure, expected (xfail) or not."""
    expected = report.skipped and hasattr(report, "wasxfail")
    return expected or (report.failed and not has_passed(report))


def _is_skip(report: Any) -> bool:
    return bool(report.skipped and not hasattr(report, "wasxfail"))


def _message(report: Any) -> Any:
    """The whole message of the error, without its traceback."""
    crash = getattr(report.longrepr, "reprcrash", None)
    return crash.message if crash is not None else report.longreprtext
