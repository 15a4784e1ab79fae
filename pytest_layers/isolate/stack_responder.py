"""Which line of code runs, the child's side: a thread that answers the supervisor's stack sampler.

It needs the GIL to look at the stack of another thread. While a native call holds the GIL the answer is late, but names
the right line: no other Python code has run by then. A signal handler that walks the stack without the GIL is no
alternative: it crashes the process within some thousand signals, since the stack can't be walked between two
instructions of the interpreter (CPython 3.11 to 3.13).
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
    """The team's own code: what lies under one of these folders and is not an installed package."""

    roots: tuple[str, ...]

    def owns(self, file: str) -> bool:
        """Whether the team wrote this file: it is not of the standard library, an installed package or this plugin."""
        below = any(_lies_in(file, root) for root in self.roots)
        foreign = _lies_in(file, _STANDARD) or _lies_in(file, _OWN)
        return below and not foreign and not any(folder in file for folder in _INSTALLED)

    def innermost(self, top: FrameType | None) -> dict[str, Any] | None:
        """The innermost frame of the team's code on the stack of `top`, as the fields of a `stacks.Frame`, or None."""
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


class StackResponder:
    """Says what the thread that opened the window runs, while the window is open; nothing where no team is set.

    It ends before the process forks, as Python warns of forks in a process with several threads.
    """

    _clock = staticmethod(perf_counter)
    """Kept on the class: freezegun replaces the clocks that it finds in modules."""

    def __init__(self) -> None:
        self.team = Team(())
        self._ask = -1
        self._task: list[int] = []
        self._minds_forks = False

    def begin(self) -> dict[str, Any] | None:
        """Start answering; gives the descriptors for questions and answers, or None where no line is wanted.

        The supervisor opens them through `/proc`; without `/proc` no line is named.
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
        # Unknown to the `threading` module: a test that counts threads there does not see it.
        _thread.start_new_thread(self._answer, (about, questions, answers, tell))
        return {"ask": ask, "answers": answers, "root": self.team.roots[0]}

    def end(self) -> None:
        """Stop answering; returns when the thread is gone."""
        if self._ask < 0:
            return
        with contextlib.suppress(OSError):
            write(self._ask, STOP)
            close(self._ask)
        self._ask = -1
        while not self._task or access(f"/proc/self/task/{self._task[0]}", F_OK):
            sleep(STEP_SECONDS)

    def _answer(self, about: int, questions: int, answers: int, tell: int) -> None:
        """In the thread: answer each question until told to stop.

        The descriptors are closed only after `STOP`: had the test closed them, their numbers may be its own files' now.
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        self._task.append(_thread.get_native_id())
        with contextlib.suppress(OSError):
            while (word := read(questions, 1)) == QUESTION:
                # A documented function, despite its name: there is no other way to the stack of another thread.
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
