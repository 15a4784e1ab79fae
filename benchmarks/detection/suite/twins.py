"""Makes a test of twins: two functions with equal answers, of which the bad one costs far more.

Every twin is held to the one limit of its test: the good one is to keep it, the bad one to break it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pytest_layers.testing import assert_same_rows

ceiling = pytest.mark.memory_ceiling
floor = pytest.mark.min_cores
spill = pytest.mark.max_spill
sizes = pytest.mark.sizes
bait = pytest.mark.parametrize("role", ["bait"])
"""For a test that looks bad and is not."""

MIB = 2**20
URGENT = "urgent|by noon"


def is_urgent(note: str | None) -> bool:
    """What `URGENT` matches, for loops in Python: cheap, so that eight million rows take seconds."""
    return note is not None and ("urgent" in note or "by noon" in note)


def twins(
    good: Callable[..., Any],
    bad: Callable[..., Any],
    *marks: pytest.MarkDecorator,
    ready: Callable[[Any], Any] | None = None,
    sort_by: str = "",
) -> Callable[..., None]:
    """A test over an engine; a twin gets what its parameters name.

    These are `sales` and `products` as scanned, `engine`, and `dataset`, the files of the sales. `ready`
    makes something else of the scanned sales, before the window.
    """

    @_both(good, bad, marks)
    def test(twin, engine, sales, products, measured):
        openers = {
            "engine": lambda: engine,
            "dataset": lambda: sales,
            "sales": lambda: (ready or _as_is)(engine.scan(sales)),
            "products": lambda: engine.scan(products),
        }
        asked = {twin: _parameters(twin), good: _parameters(good)}
        given = {name: openers[name]() for name in asked[twin] | asked[good]}

        def answer_of(function):
            return _done(function(**{name: given[name] for name in asked[function]}), engine)

        with measured:
            answer = answer_of(twin)
        if twin is not good:
            assert_same_rows(as_table(answer), as_table(answer_of(good)), sort_by=sort_by)

    return test


def plain_twins(
    good: Callable[[Any], float],
    bad: Callable[[Any], float],
    *marks: pytest.MarkDecorator,
    ready: Callable[[Path], Any] | None = None,
) -> Callable[..., None]:
    """A test without an engine; both twins get the test's folder, or what `ready` makes in it before the window."""

    @_both(good, bad, marks)
    def test(twin, tmp_path, measured):
        given = (ready or _as_is)(tmp_path)
        with measured:
            answer = twin(given)
        if twin is not good:
            assert_same_rows(as_table(answer), as_table(good(given)))

    return test


def _done(answer: Any, engine: Any) -> Any:
    """A frame of the engine as a table, which forces its work; else the answer as it is."""
    has_done = isinstance(answer, (int, float, pa.Table)) or _is_pandas(answer)
    return answer if has_done else engine.collect(answer)


def as_table(answer: Any) -> pa.Table:
    """A number, a table or a frame of pandas as rows to compare. Not for a window: Arrow may import pandas for it.

    Keys that a group-by of pandas left in the index come as columns.
    """
    if isinstance(answer, (int, float)):
        return pa.table({"amount": [float(answer)]})
    if not _is_pandas(answer):
        return answer
    frame = answer.to_frame() if answer.ndim == 1 else answer
    keyed = any(name is not None for name in frame.index.names)
    frame = frame.reset_index() if keyed else frame
    return pa.Table.from_pandas(frame, preserve_index=False)


def _is_pandas(answer: Any) -> bool:
    return type(answer).__module__.partition(".")[0] == "pandas"


def _both(
    good: Callable[..., Any], bad: Callable[..., Any], marks: tuple[pytest.MarkDecorator, ...]
) -> Callable[..., Any]:
    """A decorator: the test runs as `good` and as `bad`, with these marks and the bad twin's docstring."""
    roles = [pytest.param(good, id="good"), pytest.param(bad, id="bad")]

    def decorate(test):
        test.__doc__ = bad.__doc__
        for mark in (pytest.mark.parametrize("twin", roles), *marks):
            test = mark(test)
        return test

    return decorate


def _parameters(function: Callable[..., Any]) -> set[str]:
    return set(inspect.signature(function).parameters)


def _as_is(given: Any) -> Any:
    return given
