"""Runs cases in pytest's own process (`--layers-isolation=none`): hooks that measure them there."""

from __future__ import annotations

import contextlib
from collections.abc import Generator

import pytest

from pytest_layers import state
from pytest_layers.cases import PLAN
from pytest_layers.errors import LayersError
from pytest_layers.isolate.child import inside
from pytest_layers.isolate.in_place_window import InPlaceWindow
from pytest_layers.outcome import amend
from pytest_layers.runner import Runner

_OBSTACLE: pytest.StashKey[str] = pytest.StashKey()
"""On an item: why it can't be measured."""
_TOLD: pytest.StashKey[pytest.TestReport] = pytest.StashKey()
"""On an item: the report that its result rides on."""


class InPlace:
    """Measures each case while pytest runs it; the figures are tainted by what ran before."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._in_call = False

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Start a supervisor, which measures only, for the time of the case."""
        if PLAN not in item.stash or item.get_closest_marker("skip"):
            return (yield)
        with contextlib.ExitStack() as ends:
            try:
                window = ends.enter_context(InPlaceWindow(self._runner.progress))
            except LayersError as error:
                item.stash[_OBSTACLE] = str(error)
            else:
                item.config.stash[state.WINDOW] = window
                ends.callback(item.config.stash.__delitem__, state.WINDOW)
                item.config.stash[state.TEMP_DIR] = window.temp_dir
            return (yield)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Fail a case that has no supervisor before it is set up."""
        if _OBSTACLE in item.stash:
            pytest.fail(item.stash[_OBSTACLE], pytrace=False)

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        """The call phase is the window, unless a `measured` fixture narrows it."""
        self._in_call = True
        is_window = PLAN in item.stash and state.NARROWED not in item.stash
        try:
            with inside(item.config.stash[state.WINDOW]) if is_window else contextlib.nullcontext():
                return (yield)
        finally:
            self._in_call = False

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """The case's result on the report of the last phase that has a say in it."""
        self._runner.progress.end()
        report = yield
        is_met = state.WINDOW in item.config.stash or _OBSTACLE in item.stash
        is_subtests = self._in_call  # theirs come while the call goes on
        if PLAN in item.stash and is_met and not is_subtests:
            self._tell(item, report)
        return report

    def _tell(self, item: pytest.Item, report: pytest.TestReport) -> None:
        if report.when == "call" or (report.when == "setup" and not report.passed):
            # Where pytest fails a test for its subtests.
            item.config.hook.pytest_report_teststatus(report=report, config=item.config)
            self._runner.conclude_in_place(item, report)
            item.stash[_TOLD] = report
        elif not report.passed and _TOLD in item.stash:
            amend(item, item.stash[_TOLD], report)
