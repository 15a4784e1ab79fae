"""Starts a case's own process (the child): in a session of its own, with a wire to its supervisor."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from pytest_layers.isolate import kernel, pipes
from pytest_layers.isolate.cgroup import Cgroup
from pytest_layers.isolate.job import Job
from pytest_layers.measure.host import EXACT


@dataclass
class CaseProcess:
    """The process, and the supervisor's ends of its pipes."""

    process: subprocess.Popen[bytes]
    wire_in: int
    wire_out: int
    output: int = -1
    """The pipe of what it prints past pytest's capture; -1 where it prints to the terminal."""

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    def has_ended(self) -> bool:
        """Whether it has ended. On Linux it is not waited for yet, so that its pid can't become another process's."""
        if not EXACT:
            return self.process.poll() is not None
        options = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self.pid, options) is not None


def start(job: Job, cgroup: Cgroup | None) -> CaseProcess:
    """Start the case's process, in `cgroup` where there is one."""
    to_child, child_in = os.pipe()
    child_out, from_child = os.pipe()
    output, written = -1, job.output
    if not written:
        output, write = os.pipe()
        written = (write, write)
    process = subprocess.Popen(
        [*job.command, str(pipes.lend(to_child)), str(pipes.lend(from_child))],
        env=job.environment,
        cwd=job.folder,
        stdin=subprocess.DEVNULL,
        stdout=written[0],
        stderr=written[1],
        **pipes.inherited((to_child, from_child)),
        **_prepared(job, cgroup),
    )
    for descriptor in (to_child, from_child, *set(written)):
        os.close(descriptor)
    return CaseProcess(process, child_out, child_in, output)


def _prepared(job: Job, cgroup: Cgroup | None) -> dict[str, Any]:
    """The argument of `subprocess.Popen` that prepares the process; Windows has none."""
    return {} if sys.platform == "win32" else {"preexec_fn": lambda: _prepare(job, cgroup)}


def _prepare(job: Job, cgroup: Cgroup | None) -> None:
    """In the child before exec: enter its cgroup, hold it to its cores, forbid core dumps."""
    kernel.end_with_parent()
    if cgroup is not None:
        cgroup.enter()
    if job.cores:
        os.sched_setaffinity(0, job.cores)
    kernel.forbid_core_dumps()
    signal.signal(signal.SIGINT, signal.default_int_handler)
