"""Puts the verdicts of a case on its test reports, names its outcome, and writes reports for a child that died."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Sequence
from typing import Any

import pytest

from pytest_layers import state
from pytest_layers.records import CaseResult, Measurement, from_json, to_json
from pytest_layers.report import junit, text, timeline

_SUBTESTS = {"SubtestReport", "SubTestReport"}
"""Reports of pytest's own subtests, since pytest 9, and of the plugin pytest-subtests."""


class LimitBroken(AssertionError):  # noqa: N818  (a finding, not a fault)
    """A case broke one of its limits."""


def conclude(
    item: pytest.Item,
    reports: Sequence[pytest.TestReport],
    result: CaseResult,
    *,
    strict: bool,
) -> None:
    """Put the verdicts on a case's reports: a broken limit fails it, but never hides its own failure."""
    call = call_of(reports)
    verdicts = {verdict.outcome for verdict in result.verdicts}
    if call is not None and has_passed(call):
        if "failed" in verdicts or (strict and "inconclusive" in verdicts):
            _fail(item, call, result)
        elif "inconclusive" in verdicts:
            _leave_in_doubt(item, call)
    elif call is not None and call.failed and "failed" in verdicts:
        call.sections.append(("Broken limits", _failure(item, result)))
    if reports:
        _put(item, reports, result, carrier=call or reports[0])


def amend(item: pytest.Item, told: pytest.TestReport, last: pytest.TestReport) -> None:
    """Tell the result that rides on an earlier report once more, with what its teardown has come to."""
    result = from_json(CaseResult, told.layers)
    _put(item, [told, last], result, carrier=last)


def _put(
    item: pytest.Item,
    reports: Sequence[pytest.TestReport],
    result: CaseResult,
    *,
    carrier: pytest.TestReport,
) -> None:
    outcome, reason = outcome_of(reports)
    final = dataclasses.replace(result, outcome=outcome, reason=reason)
    carrier.layers = to_json(final)  # type: ignore[attr-defined]
    for report in reports:
        report.user_properties = junit.renewed(report.user_properties, final)
    item.user_properties[:] = reports[-1].user_properties  # JUnit takes those of the teardown


def call_of(reports: Sequence[pytest.TestReport]) -> pytest.TestReport | None:
    """The report of the call phase; the last one where a plugin ran the test again."""
    calls = (one for one in reversed(reports) if one.when == "call" and not is_subtest(one))
    return next(calls, None)


def is_subtest(report: pytest.TestReport) -> bool:
    """Whether it is the report of a subtest, sent while the call phase goes on."""
    return type(report).__name__ in _SUBTESTS


def has_passed(call: pytest.TestReport) -> bool:
    """Whether the test itself passed: also where it was expected to fail (xfail)."""
    return call.passed or _strict_xpass(call) is not None


def went_well(reports: Sequence[pytest.TestReport]) -> bool:
    """Whether a test reached its teardown, and each of its phases passed or was skipped."""
    ended = any(report.when == "teardown" for report in reports)
    return ended and all(report.skipped or has_passed(report) for report in reports)


def _strict_xpass(call: pytest.TestReport) -> str | None:
    """The reason of a strict xfail that passed, which pytest reports as a failure; None for any other report."""
    prefix = "[XPASS(strict)] "
    message = call.longrepr if isinstance(call.longrepr, str) else ""
    return message.removeprefix(prefix) if call.failed and message.startswith(prefix) else None


def _fail(item: pytest.Item, call: pytest.TestReport, result: CaseResult) -> None:
    """Fail the call for its broken limits; where an xfail expected a failure, this is it."""
    reason = _expected_because(item, call)
    if reason is not None:
        call.longrepr = _representation(item, _failure(item, result))
        call.outcome, call.wasxfail = "skipped", reason
    else:
        _fail_with(item, call, _failure(item, result))


def _leave_in_doubt(item: pytest.Item, call: pytest.TestReport) -> None:
    """Neither a broken limit nor a kept one: where an xfail expected the first, that was not disproved."""
    if _expected_because(item, call) is not None:
        call.outcome, call.longrepr = "passed", None
        call.__dict__.pop("wasxfail", None)
    call.layers_inconclusive = True  # type: ignore[attr-defined]


def _expected_because(item: pytest.Item, call: pytest.TestReport) -> str | None:
    """The reason of an xfail that may have expected a broken limit, where the test itself has passed."""
    marks = list(item.iter_markers("xfail"))  # none where the test set it while it ran
    expected = not marks or any(_expects_a_broken_limit(mark) for mark in marks)
    return getattr(call, "wasxfail", _strict_xpass(call)) if expected else None


def _fail_with(item: pytest.Item, call: pytest.TestReport, message: str) -> None:
    call.outcome, call.longrepr = "failed", _representation(item, message)
    if hasattr(call, "wasxfail"):
        del call.wasxfail


def refuse(item: pytest.Item, call: pytest.TestReport, result: CaseResult, why: str) -> None:
    """Fail a case that passed but can't be judged."""
    _fail_with(item, call, why)
    conclude(item, [call], result, strict=False)


def _expects_a_broken_limit(xfail: pytest.Mark) -> bool:
    raises = xfail.kwargs.get("raises", LimitBroken)
    return raises is None or (isinstance(raises, (type, tuple)) and issubclass(LimitBroken, raises))


def expect_stop(item: pytest.Item, report: pytest.TestReport) -> None:
    """Make the report of a case that was stopped for its memory an xfail, if a mark without condition expects that."""
    if item.config.getoption("runxfail", False):
        return
    for mark in item.iter_markers("xfail"):
        if _expects_a_broken_limit(mark) and not mark.args and "condition" not in mark.kwargs:
            report.outcome, report.wasxfail = "skipped", mark.kwargs.get("reason", "")
            return


def _failure(item: pytest.Item, result: CaseResult) -> str:
    """The text of broken limits, with the test named relative to where pytest was started."""
    path = os.path.relpath(item.path, item.config.invocation_params.dir)
    nodeid = f"{path}::{state.collected_id(item)}"
    shown = text.failure(result, nodeid=nodeid, ascii_only=_ascii_only())
    if any(verdict.outcome == "failed" for verdict in result.verdicts):
        return shown
    return f"inconclusive, a failure for --layers-strict: {shown}"


def drawn(measurement: Measurement) -> str:
    """The window of a case as a small chart for the terminal."""
    return "\n".join(timeline.draw(measurement, ascii_only=_ascii_only()))


def _ascii_only() -> bool:
    return "utf" not in (sys.stdout.encoding or "").lower()


def _representation(item: pytest.Item, message: str) -> Any:
    """A failure's text as pytest shows it, located at the test."""
    with pytest.raises(LimitBroken) as caught:
        raise LimitBroken(message)
    shown = caught.getrepr(style="value", chain=False)
    if shown.reprcrash is not None:
        shown.reprcrash.path = str(item.path)
        shown.reprcrash.lineno = (item.location[1] or 0) + 1
        shown.reprcrash.message = message.partition("\n")[0]
    return shown


def outcome_of(reports: Sequence[pytest.TestReport]) -> tuple[str, str]:
    """The outcome of a case in one word, and why, from the reports of its phases."""
    for report in reports:
        if is_subtest(report) and not report.failed:
            continue
        if hasattr(report, "wasxfail"):
            return ("xfailed" if report.skipped else "xpassed"), str(report.wasxfail)
        if report.skipped:
            return "skipped", _skip_reason(report)
        if report.failed:
            return ("failed" if report.when == "call" else "error"), first_line(report)
    in_doubt = any(getattr(report, "layers_inconclusive", False) for report in reports)
    return ("inconclusive" if in_doubt else "passed"), ""


def _skip_reason(report: pytest.TestReport) -> str:
    if isinstance(report.longrepr, tuple):
        return report.longrepr[2].removeprefix("Skipped: ")
    return str(report.longrepr)


def first_line(report: pytest.TestReport) -> str:
    """The first line of its failure's message."""
    crash = getattr(report.longrepr, "reprcrash", None)
    message = crash.message if crash is not None else report.longreprtext
    return str(message).strip().partition("\n")[0]


def failed_report(
    item: pytest.Item, when: str, message: str, *, tail: str = "", seconds: float = 0.0
) -> pytest.TestReport:
    """The report of a failure that the case's process could not send itself, with the end of what it printed."""
    sections = [("Last output of the test's process", tail)] if tail else []
    return pytest.TestReport(
        item.nodeid,
        item.location,
        dict.fromkeys(item.keywords, 1),
        "failed",
        _representation(item, message),
        when,  # type: ignore[arg-type]
        sections=sections,
        duration=seconds,
    )
