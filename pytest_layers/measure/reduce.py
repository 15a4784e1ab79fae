"""What the sampler found becomes a measurement. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_layers.measure.sampler import Findings, PointFinding
from pytest_layers.records import Bracket, Measurement, Moment, ProcessPeak

LEAST_THREAD_SHARE = 0.5
"""Of the CPU seconds, that must belong to threads whose waiting is known before it may stand for the rest."""


def measurement(findings: Findings, *, cores_given: int) -> Measurement:
    """The measurement of one window on `cores_given` cores."""
    base = findings.base_bytes
    total = Bracket(findings.lower_bytes, findings.upper_bytes)
    wait, notes = _whole_wait(findings)
    return Measurement(
        wall_seconds=findings.wall_seconds,
        cpu_seconds=findings.cpu_seconds,
        wait_seconds=wait,
        cores_given=cores_given,
        base_bytes=base,
        total=total,
        growth=Bracket(max(0, total.lower_bytes - base), max(0, total.upper_bytes - base)),
        file_bytes=findings.file_bytes,
        shared_bytes=findings.shared_bytes,
        peak_seconds=findings.peak_seconds,
        processes=tuple(
            ProcessPeak(life.pid, life.name, life.peak_bytes, life.at_peak_bytes, life.cpu_seconds)
            for life in findings.processes
        ),
        timeline=tuple(_moments(findings.points)),
        samples=findings.samples,
        longest_gap_seconds=findings.longest_gap_seconds,
        notes=(*findings.notes, *notes),
    )


def _whole_wait(findings: Findings) -> tuple[float, tuple[str, ...]]:
    """Waiting of the whole tree: that of the threads seen, scaled to the CPU of all.

    A thread that came and went between two readings leaves its CPU seconds with its process, not its waiting.
    """
    seen = findings.thread_cpu_seconds
    if findings.cpu_seconds <= seen or seen <= 0:
        return findings.wait_seconds, ()
    if seen < LEAST_THREAD_SHARE * findings.cpu_seconds:
        share = f"{seen / findings.cpu_seconds:.0%}"
        return findings.wait_seconds, (f"waiting for cores is known of {share} of the work only",)
    return findings.wait_seconds * findings.cpu_seconds / seen, ()


def _moments(points: tuple[PointFinding, ...]) -> Iterator[Moment]:
    seconds = cpu = 0.0
    for point in points:
        elapsed = point.seconds - seconds
        cores = (point.cpu_seconds - cpu) / elapsed if elapsed > 0 else 0.0
        yield Moment(point.seconds, point.footprint_bytes, max(0.0, cores))
        seconds, cpu = point.seconds, point.cpu_seconds
