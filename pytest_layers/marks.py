"""The marks: their text for `pytest --markers`, and how the marks of a test become limits, sizes and engine names."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from pytest_layers.errors import LayersError, guess, unknown
from pytest_layers.units import (
    WRITE_AMOUNT,
    WRITE_CORES,
    WRITE_SPEEDUP,
    Size,
    parse_amount,
    parse_cores,
    parse_sizes,
    parse_speedup,
)

if TYPE_CHECKING:
    from pytest_layers.records import Limit
    from pytest_layers.settings import Settings

TEXTS = (
    "memory_ceiling(limit, *, of='growth', **per_engine): the test may add at most this to the memory of its"
    " process tree: a sum of terms like '512MiB', '2.5x' (times its data in Arrow memory), '40B/row', '25%ram';"
    " of='total' for the whole tree, of='node' for the worst node of a cluster;"
    " per_engine as in pandas='4x + 100MiB'; None lifts the ceiling.",
    "min_cores(floor, **per_engine): the test must keep this many cores busy on average, or want to:"
    " 1.5, or '60%' of the cores given; None lifts the floor.",
    "min_speedup(factor, **per_engine): all cores given must make the test this many times as fast as one core does:"
    " 1.5, or '75%' of the cores given; it is run again several times, on all and on one; None lifts the floor.",
    "max_spill(limit, **per_engine): the engine may write at most this to disk for want of memory: '0B' for nothing,"
    " or a sum of terms as in memory_ceiling; None lifts the limit.",
    "layers(*names): layers or engines this test is for, of those that --layers chose; a leading - excludes.",
    "sizes(*sizes): this test's own data sizes, such as '100k', '1M', '2GiB'.",
)
LIMITING = ("memory_ceiling", "min_cores", "min_speedup", "max_spill")
"""Those that make any test a case; the others only say on what it runs."""
NAMES = (*LIMITING, "layers", "sizes")
OF = ("growth", "total", "node")
_OWN = {
    "memory_ceiling": ("limit", "of"),
    "min_cores": ("floor",),
    "min_speedup": ("factor",),
    "max_spill": ("limit",),
}
"""The arguments of each mark, other than those per engine."""
_ACCEPTED = {"min_cores": WRITE_CORES, "min_speedup": WRITE_SPEEDUP}
"""What the first argument may be; for the other marks an amount of memory."""


def limits_of(
    item: pytest.Item,
    *,
    engine: str | None,
    engines: Collection[str],
    has_engine: bool,
    has_data: bool,
    settings: Settings,
) -> tuple[Limit, ...]:
    """The limits of one test item: its nearest mark of each kind, else the suite's default.

    Raises:
        LayersError: a mark is wrong; the text names the test, the mark, what was given and what is
            accepted.
    """
    limits: dict[tuple[str, str], Limit | None] = {}
    for mark in _nearest_first(item):
        if mark.name in LIMITING:
            with _named(item, mark):
                given, per_engine = _split(mark, engines, has_engine=has_engine)
                key, limit = _limit(mark, given, per_engine, engine, has_data=has_data)
            limits.setdefault(key, limit)
    for key, default in _defaults(settings, has_data=has_data):
        if not any(kind == key[0] for kind, _ in limits):
            limits[key] = default
    return tuple(limit for limit in limits.values() if limit is not None)


def sizes_of(definition: pytest.Item) -> tuple[Size, ...] | None:
    """The sizes of a test's nearest `sizes` mark; None where it has none.

    Raises:
        LayersError: as `limits_of`.
    """
    mark = _closest(definition, "sizes")
    if mark is None:
        return None
    with _named(definition, mark):
        return parse_sizes(_texts(mark, "sizes like '100k', '1M'", (str, int)))


def layers_of(definition: pytest.Item) -> tuple[str, ...] | None:
    """The names in a test's nearest `layers` mark; None where it has none.

    Raises:
        LayersError: as `limits_of`.
    """
    mark = _closest(definition, "layers")
    if mark is None:
        return None
    with _named(definition, mark):
        return tuple(_texts(mark, "names of layers or engines", (str,)))


def check_place(item: pytest.Item, name: str, *, missing: str | None) -> None:
    """Refuse a `layers` or `sizes` mark where it has no effect.

    A mark on a class or module is let pass: it may be meant for other tests there.

    Raises:
        LayersError: the mark is on a test that does not ask for the fixture `missing`, or on a parameter.
    """
    faults = [f"the test does not ask for {missing}"] if missing else []
    own = [mark for mark in item.own_markers if mark.name == name]
    if any(mark.name == name for mark in _of_parameters(item)):
        faults = ["it can't stand on a parameter; put it on the test, its class or its module"]
    if own and faults:
        with _named(item, own[0]):
            raise ValueError(faults[0])


def _of_parameters(item: pytest.Item) -> list[pytest.Mark]:
    """Marks given by `pytest.param(..., marks=...)`."""
    return list(item.callspec.marks) if hasattr(item, "callspec") else []


def _nearest_first(item: pytest.Item) -> Iterator[pytest.Mark]:
    """The marks of a parameter, the test, its class, the bases of that, its module.

    `iter_markers` has a parameter's after the test's, and those of a class after its bases'.
    """
    yield from _of_parameters(item)
    yield from item.own_markers
    for node in reversed(item.listchain()[:-1]):
        yield from reversed(node.own_markers)


def _closest(item: pytest.Item, name: str) -> pytest.Mark | None:
    return next((mark for mark in _nearest_first(item) if mark.name == name), None)


class _named:  # noqa: N801  (a context manager, read as a word)
    """Puts the names of the test and the mark in front of errors raised within."""

    def __init__(self, item: pytest.Item, mark: pytest.Mark) -> None:
        # Without parameters: what is wrong for one engine is wrong for all.
        test = item.nodeid.removesuffix(item.name) + getattr(item, "originalname", item.name)
        self._where = f"{test}: mark.{mark.name}"

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, (ValueError, LayersError)):
            raise LayersError(f"{self._where}: {error}") from None


def _texts(mark: pytest.Mark, what: str, kinds: tuple[type, ...]) -> Iterator[Any]:
    if mark.kwargs:
        raise ValueError(f"takes no keyword {next(iter(mark.kwargs))!r}; write {what}")
    if not mark.args:
        raise ValueError(f"names nothing; write {what}")
    for given in mark.args:
        if not isinstance(given, kinds) or isinstance(given, bool):
            raise ValueError(f"{given!r} is not accepted; write {what}")
        yield given


def _limit(
    mark: pytest.Mark,
    given: dict[str, Any],
    per_engine: dict[str, Any],
    engine: str | None,
    *,
    has_data: bool,
) -> tuple[tuple[str, str], Limit | None]:
    """What a mark limits (its name and `of`), and the limit for one engine; None where the mark lifts it."""
    from pytest_layers.records import Limit

    own = _OWN[mark.name]
    of = _checked_of(given.get("of", OF[0])) if "of" in own else ""
    floors = {"min_cores": _floor_text, "min_speedup": _factor_text}
    check = floors.get(mark.name, _amount_text)
    checked = {name: check(value, has_data) for name, value in per_engine.items()}
    if own[0] not in given and not per_engine:
        raise ValueError(f"has no {own[0]}; {_ACCEPTED.get(mark.name, WRITE_AMOUNT)}")
    asked = check(given.get(own[0]), has_data)
    asked = checked.get(engine, asked) if engine else asked
    return (mark.name, of), None if asked is None else Limit(mark.name, asked, of)


def _checked_of(of: Any) -> str:
    if of not in OF:
        close = guess(str(of), OF)
        raise ValueError(
            f"of={of!r} is not accepted{close}; write of='growth', of='total' or of='node'"
        )
    return str(of)


def _split(
    mark: pytest.Mark, engines: Collection[str], *, has_engine: bool
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The mark's own arguments by name, and those per engine by the engine's name."""
    own = _OWN[mark.name]
    if mark.name == "max_spill" and not has_engine:
        raise ValueError("is for an engine, and the test asks for no engine")
    if len(mark.args) > 1:
        raise ValueError(f"takes one {own[0]}, not {len(mark.args)}: {mark.args!r}")
    given: dict[str, Any] = dict(zip(own, mark.args, strict=False))
    per_engine: dict[str, Any] = {}
    for keyword, value in mark.kwargs.items():
        name = keyword.replace("_", "-")
        if keyword in given:
            raise ValueError(f"{keyword} is given twice: {given[keyword]!r} and {value!r}")
        if keyword in own:
            given[keyword] = value
        elif name not in engines:
            known = [*own, *(known.replace("-", "_") for known in engines)]
            raise LayersError(unknown("keyword", keyword, known))
        elif not has_engine:
            raise ValueError(f"{keyword}= is for an engine, and the test asks for no engine")
        else:
            per_engine[name] = value
    return given, per_engine


def _amount_text(given: object, has_data: bool) -> str | None:
    if given is None:
        return None
    amount = parse_amount(given)
    if amount.needs_data and not has_data:
        raise ValueError(
            f"{given!r} refers to data, and the test asks for none of sales, products, dataset"
        )
    return str(given) if isinstance(given, str) else f"{given}B"


def _floor_text(given: object, has_data: bool) -> str | None:
    if given is None:
        return None
    parse_cores(given)
    return str(given)


def _factor_text(given: object, has_data: bool) -> str | None:
    if given is None:
        return None
    parse_speedup(given)
    return str(given)


def _defaults(settings: Settings, *, has_data: bool) -> Iterator[tuple[tuple[str, str], Limit]]:
    """The limits set in the ini file; a ceiling relative to data does not apply to a test without data."""
    from pytest_layers.records import Limit

    ceiling, floor = settings.memory_ceiling, settings.min_cores
    if ceiling is not None and (has_data or not parse_amount(ceiling).needs_data):
        yield ("memory_ceiling", "growth"), Limit("memory_ceiling", ceiling, "growth", "ini")
    if floor is not None:
        yield ("min_cores", ""), Limit("min_cores", floor, "", "ini")
