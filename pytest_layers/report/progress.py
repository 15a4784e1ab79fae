"""Shows on the terminal why a case can't start yet: data is being made, or another session runs a case."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pytest_layers.report.text import progress_line

QUIET_SECONDS = 1.5
"""A shorter wait is not shown."""


class TerminalProgress:
    """Updates one line on a terminal; elsewhere, and below pytest 9, writes a single line if making data takes long.

    After it pytest's own line is started again, with the name of the file or test.
    """

    def __init__(self, config: Any, clock: Callable[[], float] = time.monotonic) -> None:
        self._config = config
        self._clock = clock
        self._making: tuple[str, int] | None = None
        self._started = 0.0
        self._shown = self._in_place = False
        self._has_waited = False

    def __call__(self, what: str, done: int, total: int) -> None:
        """Show that `done` of `total` rows of `what` have been made."""
        if self._making != (what, total):
            self.end()
            self._making, self._started = (what, total), self._clock()
        if self._reporter is not None and self._clock() - self._started >= QUIET_SECONDS:
            self._show(progress_line(what, done, total))
        if done >= total:
            self.end()

    @contextlib.contextmanager
    def waiting(self, folder: Path) -> Iterator[None]:
        """Show, for the `with` block, that a case waits for that of another session with this cache folder.

        Where lines can't be rewritten, only the first wait is shown.
        """
        self.end()
        if self._reporter is not None and (self._rewrites or not self._has_waited):
            self._show(f"waiting for the case of another session that keeps its data in {folder}")
        self._has_waited = True
        try:
            yield
        finally:
            self.end()

    def end(self) -> None:
        """Take the line away: the data is done, or making it was cut off."""
        if self._shown:
            with self._uncaptured():
                self._take_away()
        self._making, self._shown = None, False

    @property
    def _reporter(self) -> Any:
        """The terminal reporter of pytest; None where there is none, and until the session is configured."""
        return self._config.pluginmanager.get_plugin("terminalreporter")

    @property
    def _rewrites(self) -> bool:
        """Whether the line can be rewritten: on a terminal, by `write_raw`, which is new in pytest 9."""
        return self._reporter.isatty and hasattr(self._reporter, "write_raw")

    def _uncaptured(self) -> contextlib.AbstractContextManager[None]:
        """Switch capture off: a case that runs in place is captured."""
        manager = self._config.pluginmanager.get_plugin("capturemanager")
        return manager.global_and_fixture_disabled() if manager else contextlib.nullcontext()

    def _show(self, line: str) -> None:
        with self._uncaptured():
            if not self._shown:
                self._leave_line()
            if self._rewrites:
                self._rewrite(line)
            elif not self._shown:
                self._reporter.line(line)
        self._shown = True

    def _take_away(self) -> None:
        if self._rewrites:
            self._rewrite("")
        write = self._reporter.write_raw if self._in_place else self._reporter.write
        write(self._head(), flush=True)

    def _leave_line(self) -> None:
        """Go to the next line, unless pytest's own line has nothing on it that can't be written again."""
        writer = self._config.get_terminal_writer()
        width, head = writer.width_of_current_line, self._head()
        self._in_place = self._rewrites and width == len(head) < writer.fullwidth
        if width and not self._in_place:
            self._reporter.line("")

    def _rewrite(self, line: str) -> None:
        """Write over the current line, without pytest counting that as part of its own line."""
        width = self._config.get_terminal_writer().fullwidth - 1
        self._reporter.write_raw(f"\r{line[:width].ljust(width)}\r", flush=True)

    def _head(self) -> str:
        """The beginning of pytest's own line: the test with `-v`, nothing with `-q`, else the file."""
        at = self._reporter.currentfspath
        if not isinstance(at, Path):
            return at if isinstance(at, str) else ""
        try:
            return f"{os.path.relpath(at, self._reporter.startpath)} "
        except ValueError:  # on another drive
            return f"{at} "
