"""What a supervisor is asked to do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from pytest_layers.measure.sampler import SHARE

EXIT_SECONDS = 10.0
"""For a child to end after its last message: threads of the test may go on for ever."""


@dataclass(frozen=True)
class Job:
    """What to run and how far it may go."""

    temp_dir: str
    """Removed at the end."""
    spill_dir: str = ""
    """Where an engine writes what memory does not hold."""
    command: tuple[str, ...] = ()
    """Of the child; the two ends of its wire are added as last arguments."""
    environment: dict[str, str] | None = None
    folder: str = "."
    cores: tuple[int, ...] = ()
    """Cores to run on; all where empty."""
    timeout_seconds: float = 0.0
    """No timeout where 0."""
    attach: int = 0
    """The pid of a process that is only measured, neither started nor ended; it marks its window by `attach_wire`."""
    attach_wire: tuple[int, ...] = ()
    output: tuple[int, ...] = ()
    """Descriptors for the child's standard output and error; captured where empty."""
    reserve_bytes: int = 0
    """Memory to be left to the machine."""
    hard_limit_bytes: int = 0
    """All the memory that the case has, from its start on; no limit where 0."""
    share: float = SHARE
    """Of one core, that sampling may take."""
    exit_seconds: float = EXIT_SECONDS

    def handed_on(self, change: Callable[[int], int]) -> Job:
        """The same job with each descriptor as `change` gives it, for another process."""
        output, wire = (tuple(map(change, some)) for some in (self.output, self.attach_wire))
        return replace(self, output=output, attach_wire=wire)
