"""What the sampler found in one window, as plain values that the supervisor sends to pytest."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_layers.records import CodeLine


@dataclass(frozen=True)
class LifeFinding:
    """One process of the tree."""

    pid: int
    name: str
    peak_bytes: int
    at_peak_bytes: int
    cpu_seconds: float


@dataclass(frozen=True)
class PointFinding:
    """One point of the timeline."""

    seconds: float
    footprint_bytes: int
    cpu_seconds: float


@dataclass(frozen=True)
class Findings:
    """One window. Bounds are of the footprint: when the window began (`base_...`), and at its peak."""

    wall_seconds: float
    cpu_seconds: float
    thread_cpu_seconds: float
    """Of the threads whose waiting is known."""
    wait_seconds: float
    preempted_seconds: float
    """Of that waiting, after the thread had been pushed off a core."""
    others_seconds: float | None
    """CPU seconds of all other programs on the CPUs that the tree may use; None where that is not known."""
    base_bytes: int
    base_upper_bytes: int
    lower_bytes: int
    upper_bytes: int
    file_bytes: int
    shared_bytes: int
    peak_seconds: float
    samples: int
    longest_gap_seconds: float
    processes: tuple[LifeFinding, ...]
    points: tuple[PointFinding, ...]
    notes: tuple[str, ...]
    spilled_bytes: int = 0
    where: tuple[CodeLine, ...] = ()
