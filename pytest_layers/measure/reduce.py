"""What the sampler found becomes a measurement. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_layers.measure.findings import Findings, PointFinding
from pytest_layers.records import Bracket, Measurement, Moment, Node, ProcessPeak

SPILLED = "spilled_bytes"
"""The name under which an engine tells what it spilled."""
LEAST_THREAD_SHARE = 0.5
"""Of the CPU seconds, that must belong to threads whose waiting is known before it may stand for the rest."""


def measurement(
    findings: Findings,
    *,
    cores_given: int,
    native: dict[str, float] | None = None,
    left_bytes: int = 0,
    nodes: tuple[Node, ...] = (),
    lost_nodes: tuple[str, ...] = (),
) -> Measurement:
    """The measurement of one window on `cores_given` cores; `native` is what the engine told of it.

    `left_bytes`: what earlier cases left in a kept engine. It may have served this one, which then grew by so much
    more. `nodes` of a cluster are added to the case's tree: then the peak of the sum is at no line of the case's own.
    """
    told = native or {}
    base = findings.base_bytes
    total = Bracket(findings.lower_bytes, findings.upper_bytes)
    growth = _growth(total, Bracket(base - left_bytes, findings.base_upper_bytes))
    wait, preempted, notes = _waits(findings, cores_given)
    return Measurement(
        wall_seconds=findings.wall_seconds,
        cpu_seconds=findings.cpu_seconds + sum(node.cpu_seconds for node in nodes),
        wait_seconds=wait + sum(node.wait_seconds for node in nodes),
        preempted_seconds=preempted + sum(node.preempted_seconds for node in nodes),
        cores_given=cores_given,
        base_bytes=base + sum(node.base_bytes for node in nodes),
        total=_sum([total, *(node.total for node in nodes)]),
        growth=_sum([growth, *(node.growth for node in nodes)]),
        file_bytes=findings.file_bytes,
        shared_bytes=findings.shared_bytes,
        spilled_bytes=max(findings.spilled_bytes, int(told.get(SPILLED, 0))),
        peak_seconds=findings.peak_seconds,
        processes=_processes(findings),
        timeline=tuple(_moments(findings.points)),
        samples=findings.samples,
        longest_gap_seconds=findings.longest_gap_seconds,
        notes=(*findings.notes, *notes),
        nodes=nodes,
        lost_nodes=lost_nodes,
        native=told,
        where=() if nodes else findings.where,
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
    """Waiting of the whole tree for cores that others had, how much of it after having been pushed off one, and notes.

    A thread that came and went between two readings leaves its CPU seconds with its process, not its waiting: that of
    the threads seen is scaled to the CPU of all, unless they are too few: then the rest may have waited for all that
    others did. What the tree waited beyond that, it waited for itself.
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
