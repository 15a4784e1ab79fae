"""From stack samples of running code to the line that ran longest when it mattered, with its share of the time.

A line is named only if it was seen often enough.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from pytest_layers.measure.cpu import Demand
from pytest_layers.records import CodeLine

Location = tuple[str, int, str]
"""A file, a line of it, and the function there."""

NEAR_SHARE = 0.75
"""A stack sample is near the peak if growth was at least this share of that at the peak."""
ALONE_CORES = 1.5
"""A stretch that wanted fewer cores than this is nearer to one core than to two."""
LEAST_ALONE = 2
"""Stack samples that a line needs to be named. A long one counts for one more per `LASTING_SECONDS`."""
LASTING_SECONDS = 0.1
"""No shorter than between two readings."""


@dataclass(frozen=True)
class Frame:
    """The innermost frame of the team's code on a stack."""

    file: str
    line: int
    function: str
    call: str
    """What it called that ran then, where that is not the team's: `pandas.core.apply.apply_standard`."""

    @property
    def location(self) -> Location:
        """The line, whatever it called."""
        return self.file, self.line, self.function


class StackSample(NamedTuple):
    """What ran between a question and its answer, both in seconds since the window began."""

    asked: float
    answered: float
    footprint_bytes: int
    """The largest in that time."""
    frame: Frame | None
    """None where no code of the team was on the stack."""


class Stretch(NamedTuple):
    """A part of the window, in seconds since the window began."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        """How long it was."""
        return self.end - self.start


def at_peak(
    stack_samples: Sequence[StackSample], base_bytes: int, peak_bytes: int, end: float
) -> CodeLine | None:
    """The line that ran longest near the peak of a window that closed at `end`; None where nothing was seen."""
    least = base_bytes + NEAR_SHARE * (peak_bytes - base_bytes)
    spans = [
        (one, span.seconds)
        for one, span in _spans(stack_samples, end)
        if one.footprint_bytes >= least > base_bytes
    ]
    return _longest(spans, "peak", least=1)


def alone(stack_samples: Sequence[StackSample], demands: Sequence[Demand]) -> CodeLine | None:
    """The line that ran longest in the longest stretch that wanted nearer to one core than to two."""
    stretch = max(stretches(demands), key=lambda one: one.seconds, default=Stretch(0, 0))
    spans = [
        (one, min(span.end, stretch.end) - max(span.start, stretch.start))
        for one, span in _spans(stack_samples, stretch.end)
        if span.start < stretch.end and span.end > stretch.start
    ]
    return _longest(spans, "one_core", least=LEAST_ALONE)


def stretches(demands: Sequence[Demand]) -> Iterator[Stretch]:
    """The parts of the window that wanted less than `ALONE_CORES`."""

    def is_alone(pair: tuple[Demand, Demand]) -> bool:
        before, after = pair
        return after.cores_since(before) < ALONE_CORES

    for found, pairs in itertools.groupby(itertools.pairwise(demands), is_alone):
        if found:
            (first, last), *others = pairs
            yield Stretch(first.seconds, others[-1][1].seconds if others else last.seconds)


def _spans(
    stack_samples: Sequence[StackSample], end: float
) -> Iterator[tuple[StackSample, Stretch]]:
    """Each with the time it stands for: from its question to its answer, and half way to its neighbours."""
    halves = [(one.answered + after.asked) / 2 for one, after in itertools.pairwise(stack_samples)]
    for number, one in enumerate(stack_samples):
        start = halves[number - 1] if number else one.asked
        last = halves[number] if number < len(halves) else max(one.answered, end)
        yield one, Stretch(start, last)


def _longest(
    spans: Sequence[tuple[StackSample, float]], when: str, *, least: int
) -> CodeLine | None:
    """The line that ran longest; each stack sample comes with the seconds that it stands for."""
    seconds = _seconds_of(spans)
    if not seconds:
        return None
    location = max(seconds, key=seconds.__getitem__)
    seen = [one for one, _ in spans if one.frame is not None and one.frame.location == location]
    if sum(map(_counts_for, seen)) < least:
        return None
    whole = sum(span_seconds for _, span_seconds in spans)
    share = seconds[location] / whole if whole else 1.0
    return CodeLine(
        when, *location, _usual_call(seen), share, len(seen), whole, _source(*location[:2])
    )


def _seconds_of(spans: Sequence[tuple[StackSample, float]]) -> dict[Location, float]:
    found: dict[Location, float] = {}
    for one, seconds in spans:
        if one.frame is not None:
            found[one.frame.location] = found.get(one.frame.location, 0.0) + seconds
    return found


def _usual_call(seen: Sequence[StackSample]) -> str:
    [(call, _)] = Counter(one.frame.call for one in seen if one.frame).most_common(1)
    return call


def _counts_for(one: StackSample) -> int:
    return 1 + int((one.answered - one.asked) / LASTING_SECONDS)


def _source(file: str, line: int) -> str:
    """The line itself, where the file can be read."""
    try:
        with Path(file).open(encoding="utf-8", errors="replace") as lines:
            return next(itertools.islice(lines, line - 1, None), "").strip()
    except OSError:
        return ""
