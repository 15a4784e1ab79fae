"""Judges a measurement against the limits of its case.

A ceiling is judged by the bracket of the peak: broken if the lower end is over it, kept if the upper end is under it,
inconclusive in between. A floor of cores is judged in the same way by the bracket of cores wanted. Busy neighbours
can't lower that bracket, but they widen it. A window that is too short says nothing about cores.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from pytest_layers.records import Bracket, CodeLine, Limit, Measurement, Verdict
from pytest_layers.units import (
    format_bytes,
    format_figure,
    format_seconds,
    parse_amount,
    parse_cores,
)

LEAST_CPU_SECONDS = 0.2
"""With less CPU time than this, scheduling delays at the ends of the window outweigh the work."""
SHORT_CPU_SECONDS = 1.0
SHORT_MARGIN, LONG_MARGIN = 0.15, 0.05
"""How far below its floor the cores wanted must be, in a short window and in a long one, to fail for sure."""
WIDE = 1.05
"""Where the upper end of a peak is more than this many times the lower end, the text says "at least"."""
RUNAWAY_FACTOR = 2.0
RUNAWAY_BYTES = 2**30
"""A case is stopped past this many times its ceiling plus this much; below that it may go on, to show its full peak."""
_SURE = {("memory_ceiling", "failed"), ("max_spill", "failed")}
"""Verdicts that a lost node can't change: its memory and its spill would only add to what is over the limit already."""
_WHEN = {"memory_ceiling": "peak", "min_cores": "one_core"}
"""Which line of code a broken limit names, by `CodeLine.when`."""


@dataclass(frozen=True)
class Basis:
    """What relative limits (`2x`, `40B/row`, `25%ram`, `60%`) are relative to, in one case."""

    data_bytes: int
    rows: int
    ram_bytes: int
    cores_given: int


@dataclass(frozen=True)
class StopLines:
    """Footprints past which a case is stopped: growth within its window, and total; None for no line."""

    growth_bytes: int | None = None
    total_bytes: int | None = None


def limit_bytes(limit: Limit, basis: Basis) -> int:
    """A limit on memory or spill, in bytes."""
    return parse_amount(limit.asked).resolve(
        data_bytes=basis.data_bytes, rows=basis.rows, ram_bytes=basis.ram_bytes
    )


def stop_lines(limits: Iterable[Limit], basis: Basis) -> StopLines:
    """Where a runaway case is stopped: the lowest line of each kind.

    A ceiling relative to the data gives no line before the size of the data is known.
    """
    lines: dict[str, int] = {}
    for limit in limits:
        if limit.kind == "memory_ceiling" and (basis.data_bytes or _is_absolute(limit)):
            line = round(limit_bytes(limit, basis) * RUNAWAY_FACTOR) + RUNAWAY_BYTES
            lines[limit.of] = min(line, lines.get(limit.of, line))
    growths = [lines[of] for of in ("growth", "node") if of in lines]
    return StopLines(growth_bytes=min(growths, default=None), total_bytes=lines.get("total"))


def _is_absolute(limit: Limit) -> bool:
    return not parse_amount(limit.asked).needs_data


def judge(limit: Limit, measurement: Measurement, basis: Basis) -> Verdict:
    """The verdict on one limit."""
    judged = {
        "memory_ceiling": _judge_ceiling,
        "min_cores": _judge_floor,
        "max_spill": _judge_spill,
    }
    verdict = judged[limit.kind](limit, measurement, basis)
    if measurement.lost_nodes and (limit.kind, verdict.outcome) not in _SURE:
        lost = ", ".join(measurement.lost_nodes)
        text = f"{verdict.text}, but a node was lost with its readings: {lost}"
        verdict = replace(verdict, outcome="inconclusive", text=text)
    if verdict.outcome == "passed":
        return verdict
    return replace(verdict, where=tuple(_lines(limit, measurement)))


def _lines(limit: Limit, measurement: Measurement) -> Iterator[CodeLine]:
    """The lines of code to name with a broken limit; none for a node, whose peak may have been at another time."""
    if limit.of != "node":
        yield from (line for line in measurement.where if line.when == _WHEN.get(limit.kind))


def unmeasured(limit: Limit, reason: str) -> Verdict:
    """The verdict where nothing was measured that the limit could be judged by."""
    return Verdict(limit, "inconclusive", 0, 0, f"{limit.kind} {limit.asked} not judged: {reason}")


def _judge_ceiling(limit: Limit, measurement: Measurement, basis: Basis) -> Verdict:
    ceiling = limit_bytes(limit, basis)
    bracket = _bracket(limit, measurement)
    what = "memory growth of the worst node" if limit.of == "node" else f"memory {limit.of}"
    asked = f"the ceiling of {format_bytes(ceiling)}{_spelled(limit.asked)}"
    lower, upper = format_bytes(bracket.lower_bytes), format_bytes(bracket.upper_bytes)
    if bracket.upper_bytes <= ceiling:
        left = format_bytes(ceiling - bracket.upper_bytes)
        text = f"{what} {upper} is under {asked} by {left}"
        return Verdict(limit, "passed", ceiling, bracket.upper_bytes, text)
    details = _who_held(measurement, basis)
    if bracket.lower_bytes > ceiling:
        least = "of at least " if bracket.upper_bytes > WIDE * bracket.lower_bytes else ""
        text = f"{what} {least}{lower} is over {asked} by {_excess(bracket.lower_bytes, ceiling)}"
        return Verdict(limit, "failed", ceiling, bracket.lower_bytes, text, details)
    text = f"{what} lies between {lower} and {upper}, and so does {asked}"
    return Verdict(limit, "inconclusive", ceiling, bracket.upper_bytes, text, details)


def _excess(held_bytes: int, ceiling: int) -> str:
    """`512 MiB (1.5 times)`."""
    times = f" ({held_bytes / ceiling:.1f} times)" if ceiling else ""
    return f"{format_bytes(held_bytes - ceiling)}{times}"


def _bracket(limit: Limit, measurement: Measurement) -> Bracket:
    """The peak that a ceiling limits; without a cluster the case's own tree is the only node."""
    if limit.of == "node" and measurement.nodes:
        grown = [node.growth for node in measurement.nodes]
        return Bracket(max(one.lower_bytes for one in grown), max(one.upper_bytes for one in grown))
    return measurement.total if limit.of == "total" else measurement.growth


def _judge_floor(limit: Limit, measurement: Measurement, basis: Basis) -> Verdict:
    floor = parse_cores(limit.asked).resolve(basis.cores_given)
    least, most = measurement.cores_wanted_lower, measurement.cores_wanted_upper
    asked = floor_text(limit, floor, basis.cores_given)
    obstacle = _floor_obstacle(floor, measurement, basis.cores_given)
    if obstacle:
        return Verdict(limit, "inconclusive", floor, most, f"{asked}{obstacle}")
    if least >= floor:
        text = f"{_wanted(least, measurement)} reach {asked} by {least - floor:.2f}"
        return Verdict(limit, "passed", floor, least, text)
    details = _how_busy(measurement)
    if most >= floor:
        text = f"cores wanted lie between {least:.2f} and {most:.2f}, and so does {asked}"
        return Verdict(
            limit, "inconclusive", floor, most, f"{text}: others took the cores", details
        )
    text = f"{_wanted(most, measurement)} are under {asked} by {floor - most:.2f}"
    margin = SHORT_MARGIN if measurement.cpu_seconds < SHORT_CPU_SECONDS else LONG_MARGIN
    outcome = "failed" if most < floor * (1 - margin) else "inconclusive"
    return Verdict(limit, outcome, floor, most, text, details)


def floor_text(limit: Limit, floor: float, cores: int) -> str:
    """`the floor of 1.20 (60% of 2 cores given)`: the part in brackets only where a share was asked for."""
    share = f" ({limit.asked} of {given_text(cores)})" if "%" in limit.asked else ""
    return f"the floor of {floor:.2f}{share}"


def given_text(cores: int) -> str:
    """`1 core given`, `2 cores given`."""
    return f"{cores} core{'s' * (cores != 1)} given"


def _floor_obstacle(floor: float, measurement: Measurement, cores: int) -> str:
    """Why this measurement says nothing about a floor of cores, as the end of a sentence; empty where it does."""
    if floor > cores:
        return f" can't be judged with {given_text(cores)}"
    if measurement.cpu_seconds < LEAST_CPU_SECONDS:
        work, enough = map(format_seconds, (measurement.cpu_seconds, LEAST_CPU_SECONDS))
        return f": {work} of CPU time is too short to judge cores by ({enough} at least); use a larger size"
    return ""


def _wanted(cores: float, measurement: Measurement) -> str:
    return f"cores wanted {cores:.2f} (used {measurement.cores_used:.2f})"


def _judge_spill(limit: Limit, measurement: Measurement, basis: Basis) -> Verdict:
    most, spilled = limit_bytes(limit, basis), measurement.spilled_bytes
    asked = f"the {format_bytes(most)} allowed{_spelled(limit.asked)}"
    apart = (
        f"{'over' if spilled > most else 'within'} {asked} by {format_bytes(abs(spilled - most))}"
    )
    text = f"spilled {format_bytes(spilled)} to disk, {apart}"
    if spilled <= most:
        return Verdict(limit, "passed", most, spilled, text)
    return Verdict(limit, "failed", most, spilled, text, "\n".join(_native(measurement)))


def _native(measurement: Measurement) -> Iterator[str]:
    """The engine's own figures, one line each."""
    for name, value in measurement.native.items():
        yield f"the engine says: {format_figure(name, value)}"


def _spelled(asked: str) -> str:
    """` (2x + 100MiB)`: how a limit was written, unless it was plain bytes."""
    amount = parse_amount(asked)
    return f" ({asked})" if amount.needs_data or amount.ram_share else ""


def _who_held(measurement: Measurement, basis: Basis) -> str:
    """Which process held what at the peak, and when that was."""
    wall = format_seconds(measurement.wall_seconds)
    lines = [f"peak read {format_seconds(measurement.peak_seconds)} into the {wall} measured"]
    lines.append(f"footprint when the measuring began: {format_bytes(measurement.base_bytes)}")
    if basis.data_bytes:
        data = format_bytes(basis.data_bytes)
        times = measurement.growth.upper_bytes / basis.data_bytes
        lines.append(
            f"data: {basis.rows:,} rows, {data} in Arrow memory; growth {times:.1f} x data"
        )
    if measurement.shared_bytes:
        lines.append(f"shared memory, counted once: {format_bytes(measurement.shared_bytes)}")
    lines += [
        f"on node:   {format_bytes(node.growth.upper_bytes):>9}  {node.name}"
        for node in measurement.nodes
    ]
    held = [process for process in measurement.processes if process.at_peak_bytes][:5]
    lines += [
        f"held then: {format_bytes(p.at_peak_bytes):>9}  {p.name} (pid {p.pid})" for p in held
    ]
    return "\n".join([*lines, *measurement.notes])


def _how_busy(measurement: Measurement) -> str:
    """Where the CPU time went."""
    lines = [
        f"{format_seconds(measurement.cpu_seconds)} of CPU time in {format_seconds(measurement.wall_seconds)},"
        f" {format_seconds(measurement.wait_seconds)} spent waiting for a core that others had",
    ]
    busiest = sorted(measurement.processes, key=lambda process: -process.cpu_seconds)[:5]
    lines += [f"{format_seconds(p.cpu_seconds):>8}  {p.name} (pid {p.pid})" for p in busiest]
    return "\n".join([*lines, *measurement.notes])
