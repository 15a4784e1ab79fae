"""Which line runs: the case's side. A thread of the case's process answers with what another thread runs.

It takes Python's lock for that. Where a native call holds that lock the answer comes when it gives it away, which is on
the same line: no other Python code has run by then. The handler of a signal, which walks the stack without the lock,
crashes the process within some thousand signals: between two instructions of the interpreter its stack can't be walked
(CPython 3.11 to 3.13).
"""

from __future__ import annotations

import _thread
import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from os import F_OK, access, close, read, sep, write  # not what a test put in their place
from pathlib import Path
from time import perf_counter, sleep
from types import FrameType
from typing import Any

from pytest_layers.isolate.wire import encode, write_all
from pytest_layers.measure.host import EXACT

QUESTION, STOP = b"?", b"!"
STEP_SECONDS = 0.0001
_INSTALLED = (f"{sep}site-packages{sep}", f"{sep}dist-packages{sep}")
_OWN = str(Path(__file__).absolute().parent.parent)
_STANDARD = str(Path(os.__file__).absolute().parent)


@dataclass(frozen=True)
class Team:
    """Whose code counts: what lies under one of these folders, but for what is installed there."""

    roots: tuple[str, ...]

    def owns(self, file: str) -> bool:
        """Whether the team wrote it: neither the standard library, nor a package, nor this one."""
        below = any(_lies_in(file, root) for root in self.roots)
        foreign = _lies_in(file, _STANDARD) or _lies_in(file, _OWN)
        return below and not foreign and not any(folder in file for folder in _INSTALLED)

    def innermost(self, top: FrameType | None) -> dict[str, Any] | None:
        """The team's innermost frame below `top`, as the fields of a `Frame`; None where there is none."""
        found = next((frame for frame in _walk(top) if self.owns(frame.f_code.co_filename)), None)
        if found is None or top is None:
            return None
        code = found.f_code
        return {
            "file": code.co_filename,
            "line": found.f_lineno or code.co_firstlineno,
            "function": code.co_name,
            "call": "" if found is top else f"{top.f_globals.get('__name__')}.{top.f_code.co_name}",
        }


class Answering:
    """Answers about the thread that opens a window, while that is open; about nothing without a team.

    It ends before the process forks: Python warns of forks of a process with several threads.
    """

    _clock = staticmethod(perf_counter)
    """Kept here, for freezegun puts its own in the place of what a module has."""

    def __init__(self) -> None:
        self.team = Team(())
        self._ask = -1
        self._task: list[int] = []
        self._minds_forks = False

    def begin(self) -> dict[str, Any] | None:
        """From now on; gives by which descriptors it is asked and answers, None where no line is wanted or told.

        The supervisor opens these by `/proc`: without that no line is told.
        """
        if not (self.team.roots and EXACT):
            return None
        if not self._minds_forks:
            os.register_at_fork(before=self.end)
            self._minds_forks = True
        questions, ask = os.pipe2(os.O_CLOEXEC)
        answers, tell = os.pipe2(os.O_CLOEXEC)
        self._ask, self._task = ask, []
        about = _thread.get_ident()
        # Not of the `threading` module: a test that counts threads there does not meet it.
        _thread.start_new_thread(self._answer, (about, questions, answers, tell))
        return {"ask": ask, "answers": answers, "root": self.team.roots[0]}

    def end(self) -> None:
        """Until now: returns when the thread is gone."""
        if self._ask < 0:
            return
        with contextlib.suppress(OSError):
            write(self._ask, STOP)
            close(self._ask)
        self._ask = -1
        while not self._task or access(f"/proc/self/task/{self._task[0]}", F_OK):
            sleep(STEP_SECONDS)

    def _answer(self, about: int, questions: int, answers: int, tell: int) -> None:
        """In the thread: answer each question until it is told to stop.

        Where the test closed these descriptors, their numbers may be those of its own files.
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        self._task.append(_thread.get_native_id())
        with contextlib.suppress(OSError):
            while (word := read(questions, 1)) == QUESTION:
                # Documented, whatever its name: there is no other way to another thread's stack.
                frame = self.team.innermost(sys._current_frames().get(about))  # noqa: SLF001
                write_all(tell, encode("answer", frame=frame, at=self._clock()))
            for descriptor in (questions, answers, tell) if word == STOP else ():
                close(descriptor)


def _walk(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _lies_in(file: str, folder: str) -> bool:
    return file.startswith(folder.rstrip(sep) + sep)
