"""What a session says of all its cases: the table in the terminal, and the report files."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from pytest_layers import state
from pytest_layers.errors import LayersError

if TYPE_CHECKING:
    from pytest_layers.records import Run


class SessionReport:
    """Gathers the results of all cases; writes the report files at the end, and the table."""

    def __init__(self, config: pytest.Config, prepare: Callable[[pytest.Config], None]) -> None:
        self._config = config
        self._prepare = prepare
        self._results: list[Any] = []
        self._written: list[str] = []
        self._started = datetime.datetime.now(datetime.timezone.utc)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Results ride on the reports, those of xdist's workers too. In place the last one of a case counts."""
        if hasattr(report, "layers"):
            new = report.layers
            if new["isolation"] == "none":
                self._results = [old for old in self._results if old["case"] != new["case"]]
            self._results.append(new)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write the run to the files that were asked for, also after an interrupt."""
        for path in self._config.stash[state.SETTINGS].report:
            from pytest_layers.report import document

            try:
                document.write(self._run(), path)
                if self._results:
                    self._written.append(f"written to {path}")
            except LayersError as error:
                self._written.append(f"ERROR: {error}")
                session.exitstatus = session.exitstatus or pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Show the table of cases, and where the run was written."""
        lines = self._table() if self._results else []
        if lines:
            terminalreporter.write_sep("=", "layers")
        for line in [*lines, *self._written]:
            terminalreporter.write_line(line)

    def _table(self) -> list[str]:
        from pytest_layers.report.text import table

        writer = self._config.get_terminal_writer()
        return table(
            self._run(),
            verbosity=self._config.get_verbosity(),
            width=writer.fullwidth,
            colour=writer.hasmarkup,
        )

    def _run(self) -> Run:
        from pytest_layers import __version__
        from pytest_layers.measure import machine
        from pytest_layers.records import SCHEMA_VERSION, CaseResult, Run, from_json

        cases = tuple(from_json(CaseResult, data) for data in self._results)
        here = machine.describe()
        return Run(
            schema_version=SCHEMA_VERSION,
            plugin_version=__version__,
            started=self._started.isoformat(timespec="seconds"),
            machine=here,
            cores_given=self._config.stash[state.SETTINGS].cores or here.cores,
            engines=self._versions({case.case.engine for case in cases}),
            cases=cases,
        )

    def _versions(self, names: set[str | None]) -> dict[str, str]:
        """Versions of the engines that took part; under xdist this process has not looked for engines yet."""
        if names <= {None}:
            return {}
        self._prepare(self._config)
        known = self._config.stash[state.CATALOG]
        found = {name: known.get(name).version() for name in known.names if name in names}
        return {name: version for name, version in found.items() if version}
