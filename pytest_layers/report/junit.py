"""The properties of one case for JUnit XML."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_layers.records import Bracket, CaseResult, Limit, Measurement, Verdict

_TIMES = (
    "wall_seconds",
    "cpu_seconds",
    "wait_seconds",
    "preempted_seconds",
    "cores_used",
    "cores_wanted_lower",
    "cores_wanted_upper",
)
_IN_BYTES = {"memory_ceiling", "max_spill"}
"""Kinds of limits whose values are whole bytes."""


def properties(result: CaseResult) -> list[tuple[str, object]]:
    """Pairs of a name under `layers.` and a number or text, by the keys of the document; the README lists them.

    What is not known (no engine, no data, no measurement) is left out.
    """
    return [(f"layers.{name}", value) for name, value in _pairs(result) if value is not None]


def renewed(there: list[tuple[str, object]], result: CaseResult) -> list[tuple[str, object]]:
    """Those of a test with these in the place of what an earlier run of it had."""
    others = [pair for pair in there if not _is_ours(pair)]
    return [*others, *properties(result)]


def _is_ours(pair: object) -> bool:
    """Tests and plugins may put there what is neither a pair nor has a text for its name."""
    name = pair[0] if isinstance(pair, tuple) and pair else None
    return isinstance(name, str) and name.startswith("layers.")


def _pairs(result: CaseResult) -> Iterator[tuple[str, object]]:
    yield "engine", result.case.engine
    yield "layer", result.case.layer
    yield "size", result.case.size
    yield "rows", result.rows or None
    yield "data_bytes", result.data_bytes or None
    yield "outcome", result.outcome
    yield "attempts", result.attempts
    yield "isolation", result.isolation
    if result.measurement is not None:
        yield from _measured(result.measurement)
    for verdict in result.verdicts:
        yield from _judged(verdict)
    if result.survival is not None:
        yield "survival.limit_bytes", result.survival.limit_bytes
        yield "survival.kept_by", result.survival.kept_by
        yield "survival.outcome", result.survival.outcome


def _measured(cost: Measurement) -> Iterator[tuple[str, object]]:
    for name in _TIMES:
        yield name, round(getattr(cost, name), 6)
    yield "cores_given", cost.cores_given
    yield "base_bytes", cost.base_bytes
    yield from _bracket("growth", cost.growth)
    yield from _bracket("total", cost.total)
    yield "file_bytes", cost.file_bytes
    yield "shared_bytes", cost.shared_bytes
    if cost.speedup is not None:
        for name in ("factor", "lower", "upper", "serial_share"):
            yield f"speedup.{name}", round(getattr(cost.speedup, name), 6)


def _bracket(name: str, bracket: Bracket) -> Iterator[tuple[str, object]]:
    yield f"{name}.lower_bytes", bracket.lower_bytes
    yield f"{name}.upper_bytes", bracket.upper_bytes


def _judged(verdict: Verdict) -> Iterator[tuple[str, object]]:
    prefix, kind = _prefix(verdict.limit), verdict.limit.kind
    yield f"{prefix}.asked", verdict.limit.asked
    yield f"{prefix}.limit_value", _number(verdict.limit_value, kind)
    yield f"{prefix}.measured_value", _number(verdict.measured_value, kind)
    yield f"{prefix}.outcome", verdict.outcome


def _prefix(limit: Limit) -> str:
    """The kind; a ceiling of the total or of a node beside one of the growth needs a name of its own."""
    return f"{limit.kind}.{limit.of}" if limit.of in {"total", "node"} else limit.kind


def _number(value: float, kind: str) -> float:
    return round(value) if kind in _IN_BYTES else round(value, 6)
