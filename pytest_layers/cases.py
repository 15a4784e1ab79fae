"""Spreads tests over engines and sizes: parametrisation, ids, skip reasons, and the plan of each case."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from pytest_layers import marks, state
from pytest_layers.engines.catalog import Catalog, Choice, skip_reason
from pytest_layers.errors import LayersError
from pytest_layers.records import Case, Limit
from pytest_layers.units import Size

ENGINE, SIZE, WINDOW = "_layers_engine", "_layers_size", "_layers_window"
"""Private fixtures behind the public ones: a test with an `engine` fixture of its own does not have ours."""
DATA = "_layers_data"


@dataclass(frozen=True)
class Plan:
    """One case, as an item carries it: what to run, and what to hold it to."""

    case: Case
    limits: tuple[Limit, ...]
    path: Path
    """The file of the test."""


PLAN: pytest.StashKey[Plan] = pytest.StashKey()


def parametrize(metafunc: pytest.Metafunc) -> None:
    """Run a test on each engine and size, where it asks for them.

    Raises:
        LayersError: a mark is wrong, or the test can't have it.
    """
    if ENGINE in metafunc.fixturenames:
        choices = list(_engines(metafunc))
        # With this scope pytest runs all cases of one engine in a row, so that they can share it.
        keeps = metafunc.config.stash[state.SETTINGS].isolation == "engine"
        scope: Literal["session"] | None = "session" if keeps else None
        metafunc.parametrize(ENGINE, choices, indirect=True, scope=scope)
    if SIZE in metafunc.fixturenames:
        settings = metafunc.config.stash[state.SETTINGS]
        sizes = marks.sizes_of(metafunc.definition) or settings.sizes
        metafunc.parametrize(SIZE, sizes, indirect=True, ids=[size.name for size in sizes])


def _engines(metafunc: pytest.Metafunc) -> Iterator[Any]:
    """The engines of one test as parameters; one that can't run here is skipped, with the reason."""
    config, definition = metafunc.config, metafunc.definition
    settings, catalog = config.stash[state.SETTINGS], config.stash[state.CATALOG]
    chosen = catalog.select(settings.layers, source=settings.layers_source)
    names = marks.layers_of(definition)
    wanted = catalog.names if names is None else _wanted(definition, catalog, names)
    found = [choice for choice in chosen if choice.engine.name in wanted]
    for choice in found:
        yield _parameter(choice, strict=settings.strict)
    if not found:
        asked, given = ", ".join(names or ()), ", ".join(settings.layers)
        skip = pytest.mark.skip(reason=f"for {asked} only, and {settings.layers_source} is {given}")
        yield pytest.param(None, id="none", marks=skip)


def _wanted(definition: pytest.Item, catalog: Catalog, names: tuple[str, ...]) -> set[str]:
    try:
        return catalog.expand(names, source="mark.layers")
    except LayersError as error:
        raise LayersError(f"{definition.nodeid}: {error}") from None


def _parameter(choice: Choice, *, strict: bool) -> Any:
    name, reason = choice.engine.name, skip_reason(choice.engine)
    if choice.obstacle is None or strict:
        return pytest.param(name, id=name)
    return pytest.param(name, id=name, marks=pytest.mark.skip(reason=str(reason)))


def plan_of(item: pytest.Item) -> Plan | None:
    """The plan of an item that is a case; None for any other test.

    Raises:
        LayersError: one of its marks is wrong.
    """
    fixtures = getattr(item, "fixturenames", ())
    for name, fixture, public in (("layers", ENGINE, "engine"), ("sizes", SIZE, "size or sales")):
        marks.check_place(item, name, missing=None if fixture in fixtures else public)
    if not _is_case(item, fixtures):
        return None
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    engine, catalog = parameters.get(ENGINE), item.config.stash[state.CATALOG]
    limits = marks.limits_of(
        item,
        engine=engine,
        engines=catalog.names,
        has_engine=ENGINE in fixtures,
        has_data=DATA in fixtures,
        settings=item.config.stash[state.SETTINGS],
    )
    return Plan(_case(item, catalog, engine, parameters.get(SIZE)), limits, item.path)


def _case(item: pytest.Item, catalog: Catalog, engine: str | None, size: Size | None) -> Case:
    return Case(
        nodeid=f"{item.nodeid.partition('::')[0]}::{state.id_in_file(item)}",
        engine=engine,
        layer=catalog.get(engine).layer if engine else None,
        size=size.name if size else None,
    )


def _is_case(item: pytest.Item, fixtures: Any) -> bool:
    if not {ENGINE, SIZE, WINDOW}.isdisjoint(fixtures):
        return True
    return any(mark.name in marks.LIMITING for mark in item.iter_markers())
