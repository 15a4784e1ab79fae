"""Turns what the sampler found into a measurement. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from pytest_layers.measure.findings import Findings, PointFinding
from pytest_layers.records import Bracket, Measurement, Moment, Node, ProcessPeak

SPILLED = "spilled_bytes"
"""The key of the engine's own count of spilled bytes."""
LEAST_THREAD_SHARE = 0.5
"""The threads whose waiting is known stand for the rest only if they did this share of the CPU work."""


def measurement(
    findings: Findings,
    *,
    cores_given: int,
    native: dict[str, float] | None = None,
    left_bytes: int = 0,
    nodes: tuple[Node, ...] = (),
    lost_nodes: tuple[str, ...] = (),
) -> Measurement:
    """The measurement of one window on `cores_given` cores; `native` are the engine's own figures.

    `left_bytes`: what earlier cases left in a kept engine. If this case used it, it grew by that much more.
    `nodes`: of the user's own cluster, added to the case's own tree.
    """
    own = _own(findings, cores_given, native or {}, left_bytes)
    return _with_nodes(own, nodes, lost_nodes) if nodes or lost_nodes else own


def _own(
    findings: Findings, cores_given: int, native: dict[str, float], left_bytes: int
) -> Measurement:
    """The measurement of the case's own tree."""
    total = Bracket(findings.lower_bytes, findings.upper_bytes)
    base = Bracket(findings.base_bytes - left_bytes, findings.base_upper_bytes)
    wait, preempted, notes = _waits(findings, cores_given)
    return Measurement(
        wall_seconds=findings.wall_seconds,
        cpu_seconds=findings.cpu_seconds,
        wait_seconds=wait,
        preempted_seconds=preempted,
        cores_given=cores_given,
        base_bytes=findings.base_bytes,
        total=total,
        growth=_growth(total, base),
        file_bytes=findings.file_bytes,
        shared_bytes=findings.shared_bytes,
        spilled_bytes=max(findings.spilled_bytes, int(native.get(SPILLED, 0))),
        peak_seconds=findings.peak_seconds,
        processes=_processes(findings),
        timeline=tuple(_moments(findings.points)),
        samples=findings.samples,
        longest_gap_seconds=findings.longest_gap_seconds,
        notes=(*findings.notes, *notes),
        native=native,
        where=findings.where,
    )


def _with_nodes(
    own: Measurement, nodes: tuple[Node, ...], lost_nodes: tuple[str, ...]
) -> Measurement:
    """The case's own tree and the nodes of a cluster together; no line of the test ran at the peak of that sum."""
    return replace(
        own,
        cpu_seconds=own.cpu_seconds + sum(node.cpu_seconds for node in nodes),
        wait_seconds=own.wait_seconds + sum(node.wait_seconds for node in nodes),
        preempted_seconds=own.preempted_seconds + sum(node.preempted_seconds for node in nodes),
        base_bytes=own.base_bytes + sum(node.base_bytes for node in nodes),
        total=_sum([own.total, *(node.total for node in nodes)]),
        growth=_sum([own.growth, *(node.growth for node in nodes)]),
        nodes=nodes,
        lost_nodes=lost_nodes,
        where=() if nodes else own.where,
    )


def node(name: str, cores: int, findings: Findings) -> Node:
    """What a probe found on one node of a cluster."""
    total = Bracket(findings.lower_bytes, findings.upper_bytes)
    wait, preempted, _ = _waits(findings, cores)
    return Node(
        name=name,
        cores=cores,
        base_bytes=findings.base_bytes,
        total=total,
        growth=_growth(total, Bracket(findings.base_bytes, findings.base_upper_bytes)),
        cpu_seconds=findings.cpu_seconds,
        wait_seconds=wait,
        preempted_seconds=preempted,
        processes=_processes(findings),
    )


def _growth(total: Bracket, base: Bracket) -> Bracket:
    least, most = total.lower_bytes - base.upper_bytes, total.upper_bytes - base.lower_bytes
    return Bracket(max(0, least), max(0, most))


def _sum(brackets: list[Bracket]) -> Bracket:
    lower = sum(bracket.lower_bytes for bracket in brackets)
    return Bracket(lower, sum(bracket.upper_bytes for bracket in brackets))


def _processes(findings: Findings) -> tuple[ProcessPeak, ...]:
    return tuple(
        ProcessPeak(life.pid, life.name, life.peak_bytes, life.at_peak_bytes, life.cpu_seconds)
        for life in findings.processes
    )


def _waits(findings: Findings, cores: int) -> tuple[float, float, tuple[str, ...]]:
    """How long the tree waited for cores that others had, how long of it preempted, and notes on that.

    Of a thread that came and went between two readings the CPU seconds are known, by its process, but not the waiting.
    So the waiting of the threads that were seen is scaled up to the CPU seconds of all. If too few were seen, the rest
    may have waited for as long as others worked. Longer waiting than that was for the tree's own threads.
    """
    spent, seen = findings.cpu_seconds, findings.thread_cpu_seconds
    others = findings.others_seconds
    most = max(0.0, cores * findings.wall_seconds - spent) if others is None else others
    if seen < LEAST_THREAD_SHARE * spent:
        note = f"waiting for cores is known of {seen / spent:.0%} of the work only"
        return most, min(most, findings.preempted_seconds), (note,)
    scale = max(1.0, spent / seen) if seen else 1.0
    wait = min(most, findings.wait_seconds * scale)
    return wait, min(wait, findings.preempted_seconds * scale), ()


def _moments(points: tuple[PointFinding, ...]) -> Iterator[Moment]:
    seconds = cpu = 0.0
    for point in points:
        elapsed = point.seconds - seconds
        cores = (point.cpu_seconds - cpu) / elapsed if elapsed > 0 else 0.0
        yield Moment(point.seconds, point.footprint_bytes, max(0.0, cores))
        seconds, cpu = point.seconds, point.cpu_seconds
