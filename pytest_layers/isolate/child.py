"""The plugin in a case's own process: runs one test, marks its window, sends its reports."""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from collections.abc import Generator, Iterator, Sequence
from json import loads
from os import getpid, read  # not what a test may have put in their place
from pathlib import Path
from typing import Any, NoReturn

import pytest

from pytest_layers import state
from pytest_layers.engines.base import Engine
from pytest_layers.errors import ChildFailed
from pytest_layers.isolate import pipes
from pytest_layers.isolate.stack_responder import StackResponder, Team
from pytest_layers.isolate.wire import Decoder, encode, write_all
from pytest_layers.measure.life import UNTOLD_BYTES

if sys.platform != "win32":
    from resource import RUSAGE_CHILDREN, getrusage

NAME = "layers-child"
"""The plugin's name in the child's plugin manager."""
REPORTER = "terminalreporter"
"""The name by which other plugins look for the terminal reporter."""

NO_TERMINAL = (
    "a case's own process has no terminal for a debugger; use --pdb, or --layers-isolation=none"
)

_PARENT_ONLY: dict[str, Any] = {
    "allure_report_dir": None,  # it would tell of a test that has passed, whatever the verdicts
    "benchmark_autosave": None,
    "benchmark_compare": [],
    "benchmark_json": None,
    "benchmark_save": None,
    "cacheclear": False,
    "collectonly": False,
    "dist": "no",
    "durations": None,
    "failedfirst": False,
    "forked": False,
    "htmlpath": None,
    "json_report": False,
    "lf": False,
    "looponfail": False,
    "markexpr": "",
    "keyword": "",
    "log_file": os.devnull,  # wins over the ini file, as None would not
    "maxfail": 0,
    "maxprocesses": None,
    "newfirst": False,
    "numprocesses": None,
    "pastebin": None,
    "report_log": None,
    "stepwise": False,
    "tx": [],
    "usepdb": False,
    "xmlpath": None,
}
"""Options of pytest and common plugins that belong to the session as a whole, and what switches them off."""

_PARENT_ONLY_PLUGINS = ("lfplugin", "nfplugin", "stepwiseplugin")
"""They remember results for the next run, which the parent does."""


class Wire:
    """The child's ends of the wire: marks the window, as `state.Window` has it. Each mark waits for the supervisor."""

    def __init__(self, read: int, write: int) -> None:
        self._read, self._write = read, write
        self._decoder = Decoder()
        self._owner = getpid()
        self._engine: Engine | None = None
        self._stack_responder = StackResponder()

    def send(self, kind: str, **fields: Any) -> None:
        """Send one message to the supervisor, or through it to pytest. In a fork of the test's process do nothing.

        It is on a line of its own, whatever the test may have written into the pipe.
        """
        if getpid() == self._owner:
            write_all(self._write, b"\n" + encode(kind, **fields))

    def set_team_folders(self, roots: Sequence[str]) -> None:
        """From the next window on, tell which line of the code in these folders runs; nothing where there are none."""
        self._stack_responder.team = Team(tuple(roots))

    def ready(self) -> None:
        """An engine that is to be kept has started: its footprint is read now."""
        self._mark("ready")

    def begin(self) -> None:
        """Open the window."""
        if self._engine is not None and getpid() == self._owner:
            self._engine.begin_window()
        self._mark("begin", answers=self._stack_responder.begin())

    def end(self) -> None:
        """Close the window, and send the engine's own figures."""
        self._mark("end")
        self._stack_responder.end()
        if self._engine is not None and getpid() == self._owner:
            figures = self._engine.end_window()
            self.send("native", figures=figures, nodes=self._engine.nodes())

    def rest(self) -> str | None:
        """Wait for another test; gives its node id, or None when there is none."""
        self.send("rest")
        while data := read(self._read, 65536):
            for line in self._decoder.feed(data):
                message = loads(line)
                self.set_team_folders(message["roots"])
                return str(message["nodeid"])
        return None

    def watch(self, engine: Engine) -> None:
        """The case runs on this engine."""
        self._engine = engine

    def data(self, *, rows: int, arrow_bytes: int) -> None:
        """The case works on this much data."""
        self.send("data", rows=rows, arrow_bytes=arrow_bytes)

    def progress(self, what: str, done: int, total: int) -> None:
        """Data is being made."""
        self.send("progress", what=what, done=done, total=total)

    def start_again(self, reason: str) -> NoReturn:
        """Ask for a restart of the case, and skip the rest of this test."""
        self.send("again", reason=reason)
        pytest.skip(reason)

    def _mark(self, kind: str, **fields: Any) -> None:
        with contextlib.suppress(
            *pipes.CLOSED
        ):  # waiting for the answer fails then, with a better message
            self.send(kind, usage=_usage_of_children(), **fields)
        while getpid() == self._owner and not self._answer():
            pass

    def _answer(self) -> list[bytes]:
        data = read(self._read, 64)
        if not data:
            raise ChildFailed("the supervisor of this test's process is gone")
        return self._decoder.feed(data)


def _usage_of_children() -> dict[str, float]:
    """What children that ended and were waited for took; Windows does not tell."""
    if sys.platform == "win32":
        return {"largest_bytes": UNTOLD_BYTES}
    usage = getrusage(RUSAGE_CHILDREN)
    unit = 1 if sys.platform == "darwin" else 1024
    return {
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "largest_bytes": usage.ru_maxrss * unit,
    }


@contextlib.contextmanager
def inside(window: state.Window) -> Iterator[None]:
    """Open the window for the `with` block; close it also where the test fails."""
    window.begin()
    try:
        yield
    finally:
        window.end()


class ChildSide:
    """The hooks that run the case in its child."""

    def __init__(self, nodeid: str, files: list[str], wire: Wire, temp_dir: Path) -> None:
        self._nodeid = nodeid
        self._files = files
        self._wire = wire
        self._temp_dir = temp_dir
        self._mute: _Mute | None = None
        self._terminal: Any = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_cmdline_main(self, config: pytest.Config) -> None:
        """Select this test only, and switch off what belongs to the session as a whole."""
        here = config.invocation_params.dir
        config.args[:] = [_seen_from(here, one) for one in self._files or [self._nodeid]]
        for name, value in _PARENT_ONLY.items():
            if hasattr(config.option, name):
                setattr(config.option, name, value)
        config.option.basetemp = str(
            self._temp_dir / "pytest"
        )  # pytest empties it on first use: not the session's
        if config.pluginmanager.hasplugin("terminal"):
            self._terminal = config.pluginmanager.unregister(name="terminal")
            self._mute = _Mute(config)
            config.pluginmanager.register(self._mute, REPORTER)
        config.stash[state.WINDOW] = self._wire
        config.stash[state.TEMP_DIR] = self._temp_dir
        config.stash[state.KEEPS] = bool(self._files)

    def pytest_plugin_registered(self, plugin: object, manager: pytest.PytestPluginManager) -> None:
        """Mute reporters too that other plugins register in place of the terminal's."""
        if self._mute not in (None, plugin) and manager.get_name(plugin) == REPORTER:
            manager.unregister(plugin)
            manager.register(self._mute, REPORTER)

    @pytest.hookimpl(trylast=True)
    def pytest_report_teststatus(self, report: pytest.TestReport) -> Any:
        """Answer as the terminal's plugin would: other plugins ask for it too."""
        return self._terminal and self._terminal.pytest_report_teststatus(report)

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        """Switch off plugins that remember results for the next run."""
        for name in _PARENT_ONLY_PLUGINS:
            with contextlib.suppress(AssertionError, ValueError):
                config.pluginmanager.unregister(name=name)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(
        self, items: list[pytest.Item]
    ) -> Generator[None, None, None]:
        """Undo what plugins select: the parent has chosen, and a shard of a single test may be none."""
        there = list(items)
        yield
        items[:] = there

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Report what could be collected in the parent, but not here."""
        if report.failed:
            self._wire.send("collect_error", text=str(report.longreprtext))

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Fail where the test was collected in the parent, but not here, as pytest does for a wrong node id."""
        if not session.items and not session.testsfailed:
            raise _no_such(self._nodeid)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        """With a kept engine, run one test after another as the parent asks for them."""
        if not self._files or session.testsfailed:
            return None
        items = {state.full_id(item): item for item in session.items}
        nodeid: str | None = self._nodeid
        while nodeid is not None:
            if nodeid not in items:
                raise _no_such(nodeid)
            item = items[nodeid]
            item.ihook.pytest_runtest_protocol(item=item, nextitem=None)
            nodeid = self._wire.rest()
        return True

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        """The call phase is the window, unless a `measured` fixture narrows it."""
        if state.NARROWED in item.stash:
            return (yield)
        with inside(self._wire):
            return (yield)

    def pytest_enter_pdb(self, config: pytest.Config) -> None:
        """There is no terminal here to debug at, and the end of an empty input would quit a debugger without a word."""
        if not config.getoption("usepdb_cls", None):  # that one may bring its own
            pytest.fail(NO_TERMINAL, pytrace=False)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Send a report, serialised by pytest itself."""
        hook = self._config_hook
        # In this hook pytest fails a test for its subtests, which the parent's pytest knows nothing of.
        hook.pytest_report_teststatus(report=report, config=self._config)
        data = hook.pytest_report_to_serializable(config=self._config, report=report)
        self._wire.send("report", report=data)

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Remember the configuration, which is needed to serialise reports."""
        self._config = session.config
        self._config_hook = session.config.hook

    def pytest_warning_recorded(
        self,
        warning_message: warnings.WarningMessage,
        when: str,
        nodeid: str,
        location: tuple[str, int, str] | None,
    ) -> None:
        """Send a warning of the test as text: the parent may not have its class, as where it is an engine's.

        Warnings of configuration and collection come up in the parent anyway.
        """
        if when != "runtest":
            return
        self._wire.send(
            "warning",
            text=str(warning_message.message),
            category=warning_message.category.__name__,
            filename=warning_message.filename,
            lineno=warning_message.lineno,
            when=when,
            nodeid=nodeid,
            location=location,
        )

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Report `pytest.exit()` in a test, or an interrupt: both end the whole session."""
        self._wire.send(
            "exit",
            reason=str(excinfo.value) or excinfo.typename,
            status=getattr(excinfo.value, "returncode", None),
        )

    def pytest_internalerror(self, excrepr: object) -> None:
        """A plugin failed: print the text, the end of which goes to the parent."""
        sys.stderr.write(f"{excrepr}\n")

    def pytest_sessionfinish(self) -> None:
        """Say that all reports are sent."""
        self._wire.send("done")


def main() -> NoReturn:
    """Run the job in the file `sys.argv[1]`; the next two arguments are the ends of the wire."""
    job = loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    wire = Wire(pipes.take(int(sys.argv[2])), pipes.take(int(sys.argv[3])))
    wire.set_team_folders(job["roots"])
    sys.argv[:] = [job["program"], *job["args"]]
    side = ChildSide(job["nodeid"], job["files"], wire, Path(job["temp_dir"]))
    status = pytest.main(job["args"], plugins=[_Named(side)])
    sys.exit(status)


class _Mute:
    """Stands in for the terminal reporter: what plugins write to it goes nowhere, and it has no hooks."""

    def __init__(self, config: pytest.Config) -> None:
        nowhere = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123
        self._reporter = pytest.TerminalReporter(config, nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reporter, name)


class _Named:
    """Registers the child's side under its name: plugins handed to `pytest.main` get none."""

    def __init__(self, side: ChildSide) -> None:
        self._side = side

    @pytest.hookimpl(tryfirst=True)
    def pytest_addoption(self, pluginmanager: pytest.PytestPluginManager) -> None:
        pluginmanager.register(self._side, NAME)


def _seen_from(here: Path, nodeid: str) -> str:
    """The node id relative to `here`, if it lies there: pytest takes a `[` in a folder's name for a parameter."""
    file, separator, rest = nodeid.partition("::")
    path = Path(file)
    return f"{path.relative_to(here) if path.is_relative_to(here) else path}{separator}{rest}"


def _no_such(nodeid: str) -> pytest.UsageError:
    return pytest.UsageError(f"not found: {nodeid}")
