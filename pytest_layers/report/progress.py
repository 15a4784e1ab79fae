"""What the terminal shows while a case can't start: data being made, the case of another session."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pytest_layers.report.text import progress_line

QUIET_SECONDS = 1.5
"""What takes no longer is not worth a line."""


class TerminalProgress:
    """Rewrites one line on a terminal; elsewhere writes one line when the making takes long."""

    def __init__(self, reporter: Any, clock: Callable[[], float] = time.monotonic) -> None:
        self._reporter = reporter
        self._clock = clock
        self._making: tuple[str, int] | None = None
        self._started = 0.0
        self._shown = False
        self._has_waited = False

    def __call__(self, what: str, done: int, total: int) -> None:
        """`done` of `total` rows of `what` are made."""
        if self._making != (what, total):
            self._making, self._started, self._shown = (what, total), self._clock(), False
        if self._reporter is not None and self._clock() - self._started >= QUIET_SECONDS:
            self._show(progress_line(what, done, total))
        if done >= total:
            self._end()

    @contextlib.contextmanager
    def waiting(self, folder: Path) -> Iterator[None]:
        """While a case waits for that of another session with this cache folder; once where no line is rewritten."""
        self._end()
        if self._reporter is not None and (self._reporter.isatty or not self._has_waited):
            self._show(f"waiting for the case of another session that keeps its data in {folder}")
        self._has_waited = True
        try:
            yield
        finally:
            self._end()

    def _show(self, line: str) -> None:
        if self._reporter.isatty:
            self._reporter.rewrite(line, erase=True)
        elif not self._shown:
            self._reporter.write_line(f"\n{line}")
        self._shown = True

    def _end(self) -> None:
        if self._shown and self._reporter.isatty:
            self._reporter.rewrite("", erase=True)
        self._making, self._shown = None, False
