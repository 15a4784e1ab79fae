"""Which line of code runs, the supervisor's side: asks now and then, and when memory has grown; keeps the answers."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import replace
from typing import Any

from pytest_layers.isolate.stack_responder import QUESTION
from pytest_layers.isolate.wire import Decoder, decode
from pytest_layers.measure import stacks
from pytest_layers.measure.findings import Findings
from pytest_layers.measure.sampler import Sampler
from pytest_layers.measure.stacks import Frame, StackSample
from pytest_layers.records import CodeLine

ASK_SECONDS = 0.05
"""Between two questions on average, varied from 50% to 150%: code may repeat itself at the same pace."""
GOLDEN = 0.618
"""Fractional parts of multiples of the golden ratio are spread evenly over 0 to 1."""
GROWN_SHARE, GROWN_BYTES = 0.1, 2**20
"""It is asked at once when growth exceeds the largest growth at earlier questions by this share and this much."""


class StackSampler:
    """Asks `pid` while a window is open, one question at a time: it is answered as soon as the GIL is free."""

    def __init__(self, pid: int, sampler: Sampler) -> None:
        self._pid = pid
        self._sampler = sampler
        self._descriptors: tuple[int, ...] = ()
        self.begin(None)

    def begin(self, answers: dict[str, Any] | None) -> None:
        """The window is open. `answers` are the descriptors, in the child, that it is asked by; None to ask nothing."""
        self.close()
        self._root = ""
        self._decoder = Decoder()
        self._demands = [self._sampler.demand]
        self._stack_samples: list[StackSample] = []
        self._asked: StackSample | None = None
        self._largest_bytes = self._count = 0
        self._due = ASK_SECONDS
        if answers is not None:
            self._root = answers["root"]
            with contextlib.suppress(OSError):
                self._descriptors = (
                    os.open(self._path(answers["ask"]), os.O_WRONLY | os.O_NONBLOCK),
                    os.open(self._path(answers["answers"]), os.O_RDONLY | os.O_NONBLOCK),
                )

    def look(self) -> None:
        """After a reading: take the answer if it has come, else ask if it is time to."""
        if not self._descriptors:
            return
        self._note_demand()
        self._listen()
        if self._asked is None and self._is_due():
            self._ask()

    def end(self, findings: Findings) -> Findings:
        """The window is closed: the findings, with the lines that ran near the peak and while one core worked alone."""
        self._listen()
        self._note_demand()
        self.close()
        bounds = findings.base_bytes, findings.lower_bytes
        peak = stacks.at_peak(self._stack_samples, *bounds, findings.wall_seconds)
        alone = stacks.alone(self._stack_samples, self._demands)
        found = (self._shown(line) for line in (peak, alone) if line is not None)
        return replace(findings, where=tuple(found))

    def close(self) -> None:
        """Ask no more."""
        for descriptor in self._descriptors:
            os.close(descriptor)
        self._descriptors = ()

    def _note_demand(self) -> None:
        """Keep the demand for cores, if the sampler has looked at threads since."""
        if self._sampler.demand.seconds > self._demands[-1].seconds:
            self._demands.append(self._sampler.demand)

    def _shown(self, line: CodeLine) -> CodeLine:
        """The same line with its file relative to the root, if it lies there."""
        return replace(line, file=line.file.removeprefix(self._root.rstrip(os.sep) + os.sep))

    def _path(self, descriptor: int) -> str:
        return f"/proc/{self._pid}/fd/{descriptor}"

    def _grown_bytes(self) -> int:
        return self._sampler.footprint_bytes - self._sampler.base_bytes

    def _is_due(self) -> bool:
        most = self._largest_bytes * (1 + GROWN_SHARE) + GROWN_BYTES
        return self._sampler.seconds >= self._due or self._grown_bytes() > most

    def _ask(self) -> None:
        """Send a question; a process that has become another program (exec) does not hear it."""
        self._largest_bytes = max(self._largest_bytes, self._grown_bytes())
        now = self._sampler.seconds
        self._count += 1
        self._due = now + ASK_SECONDS * (0.5 + self._count * GOLDEN % 1)
        self._asked = StackSample(now, now, self._sampler.footprint_bytes, None)
        try:
            os.write(self._descriptors[0], QUESTION)
        except OSError:
            self.close()

    def _listen(self) -> None:
        """Take an answer, if there is one.

        The line named ran from the question to the answer, so footprints read in between are counted as its own.
        """
        if self._asked is None or not self._descriptors:
            return
        answer = self._read()
        if answer is None:
            most = max(self._asked.footprint_bytes, self._sampler.footprint_bytes)
            self._asked = self._asked._replace(footprint_bytes=most)
            return
        frame = Frame(**answer["frame"]) if answer["frame"] else None
        answered = self._sampler.seconds - (time.perf_counter() - answer["at"])
        self._stack_samples.append(self._asked._replace(answered=answered, frame=frame))
        self._asked = None

    def _read(self) -> dict[str, Any] | None:
        """The answer, or None if it has not come yet."""
        with contextlib.suppress(BlockingIOError):
            for line in self._decoder.feed(os.read(self._descriptors[1], 65536)):
                return decode(line)
        return None
