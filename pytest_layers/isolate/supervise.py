"""The supervisor: a small process between pytest and one case.

It starts the case's process in a session of its own, adopts its orphans, samples the process tree from outside, stops
a runaway, and ends everything when the case ends or pytest itself is gone, even by SIGKILL. It uses the standard
library alone, so that it starts within tens of milliseconds.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from typing import Any

from pytest_layers.isolate import case_process, kernel, pipes
from pytest_layers.isolate.brake import Brake
from pytest_layers.isolate.hard_limit import HardLimit
from pytest_layers.isolate.job import Job
from pytest_layers.isolate.stack_sampler import StackSampler
from pytest_layers.isolate.wire import Decoder, decode, encode, kind_of, write_all
from pytest_layers.measure import machine, tree
from pytest_layers.measure.host import EXACT
from pytest_layers.measure.procfs import ChildUsage
from pytest_layers.measure.sampler import Sampler
from pytest_layers.measure.segments import Segments
from pytest_layers.measure.spill import Spill
from pytest_layers.records import from_json, to_json

CONTROL, OUT = 0, 1
TAIL_BYTES = 64 * 1024
REST_SECONDS = 0.1
"""How long a child that waits for another test is watched at rest."""
DUMP_SECONDS = 2.0
"""For a timed-out process to print its stacks."""
DRAIN_SECONDS = 0.05
"""For the end of a pipe to be seen when its writers are gone; more than a reading thread (Windows) needs."""
HANDED_ON = {
    "report",
    "warning",
    "collect_error",
    "data",
    "native",
    "progress",
    "again",
    "exit",
    "done",
}
"""Kinds of messages that the child sends to pytest."""


class Supervisor:
    """One case, from start to end."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._parent = os.getppid()
        self._case_process: case_process.CaseProcess | None = None
        self._hard_limit = HardLimit(job.hard_limit_bytes)
        self._tail = b""
        self._over = False
        self._stopped = False
        self._in_window = False
        self._child_ended = False
        self._usage = ChildUsage()
        self._decoders = {CONTROL: Decoder()}
        self._inbox = pipes.inbox()
        self._output = -1
        self._deadline = self._exit_due = 0.0
        self._rest_due = self._rest_cpu_seconds = 0.0
        self._oom_kills = machine.oom_kills()
        self._segments = Segments(own=[job.temp_dir])

    def run(self) -> None:
        """Run the case; returns when nothing of it is left."""
        self._wire_in, self._wire_out = self._job.attach_wire or self._start()
        self._decoders[self._wire_in] = Decoder()
        for descriptor in (CONTROL, self._wire_in, self._output):
            if descriptor >= 0:
                self._inbox.add(descriptor)
        kernel.raise_file_limit()
        self._watch_tree(self._job.attach or self._pid)
        self._set_deadline()
        try:
            while not self._over:
                self._turn()
        finally:
            self._finish()

    def _watch_tree(self, root: int) -> None:
        """Set up what samples the tree below `root`, stops it, and asks which code it runs."""
        spill = Spill(self._job.spill_dir)
        self._sampler = Sampler(
            root, self._segments, self._walk, spill=spill, share=self._job.share
        )
        self._brake = Brake(
            self._sampler,
            reserve_bytes=self._job.reserve_bytes,
            hard_limit_bytes=self._job.hard_limit_bytes,
        )
        self._brake.set()
        self._stack_sampler = StackSampler(root, self._sampler)

    def _set_deadline(self) -> None:
        if self._job.timeout_seconds:
            self._deadline = time.monotonic() + self._job.timeout_seconds

    @property
    def _pid(self) -> int:
        return self._case_process.pid if self._case_process else 0

    def _walk(self) -> list[int]:
        """The processes of the case: all below this one, or the attached one and all below that but this one."""
        own = os.getpid()
        if not self._job.attach:
            return tree.descendants(own)
        return [self._job.attach, *tree.descendants(self._job.attach, without=own)]

    def _start(self) -> tuple[int, int]:
        """Start the case's process; gives this side's ends of its wire."""
        self._case_process = case_process.start(
            self._job, self._hard_limit.make_cgroup(os.getpid())
        )
        self._hard_limit.check(self._pid)
        self._output = self._case_process.output
        return self._case_process.wire_in, self._case_process.wire_out

    def _turn(self) -> None:
        """Wait for a message or for the next reading."""
        for descriptor, data in self._inbox.wait(self._sampler.delay_seconds()):
            self._receive(descriptor, data)
        if self._child_ended:
            self._reap()
        self._sampler.poll()
        self._stack_sampler.look()
        self._watch()

    def _reap(self) -> None:
        self._child_ended = False
        self._sampler.adopted(tree.reap(without=self._pid))

    def note_child(self, *_: object) -> None:
        """The handler of SIGCHLD: a child of this process ended."""
        self._child_ended = True

    def _receive(self, descriptor: int, data: bytes) -> None:
        if descriptor == self._output:
            self._keep(data)
        elif not data:
            self._lost(descriptor)
        else:
            for line in self._decoders[descriptor].feed(data):
                self._handle(line, from_child=descriptor == self._wire_in)

    def _keep(self, data: bytes) -> None:
        """Keep the end of what the child prints past pytest's capture."""
        self._tail = (self._tail + data)[-TAIL_BYTES:]
        if not data:
            self._inbox.drop(self._output)
            os.close(self._output)
            self._output = -1

    def _lost(self, descriptor: int) -> None:
        """A pipe was closed: by pytest, which means that all is over, or by the child, which is about to end."""
        self._inbox.drop(descriptor)
        if descriptor == CONTROL or self._job.attach:
            self._over = True
        else:
            self._wire_in = -1

    def _handle(self, line: bytes, *, from_child: bool) -> None:
        if not from_child:
            self._obey(json.loads(line))
        elif kind_of(line) == "begin":
            self._begin(line)
        elif kind_of(line) == "end":
            self._end(_usage_of(line))
        elif kind_of(line) == "ready":
            self._tell(encode("ready", footprint_bytes=self._sampler.poll()))
            self._answer()
        elif kind_of(line) == "rest":
            self._rest_due = time.monotonic() + REST_SECONDS
            self._rest_cpu_seconds = self._sampler.cpu_seconds
        else:
            self._hand_on(line)

    def _hand_on(self, line: bytes) -> None:
        """Pass a message of the child on to pytest; anything else that a test wrote into the pipe is dropped."""
        kind = kind_of(line)
        if kind == "done":
            self._exit_due = time.monotonic() + self._job.exit_seconds
        if kind == "progress" and not self._in_window:
            self._set_deadline()  # making data is progress, not a hang
        if kind in HANDED_ON:
            self._tell(line)

    def _tell(self, line: bytes) -> None:
        """Send a line to pytest; if pytest is gone, all is over."""
        try:
            write_all(OUT, line)
        except pipes.CLOSED:
            self._over = True

    def _begin(self, line: bytes) -> None:
        self._usage = _usage_of(line)
        self._reap()
        self._sampler.begin(self._usage)
        self._stack_sampler.begin((decode(line) or {}).get("answers"))
        self._in_window = True
        self._brake.window(is_open=True)
        self._answer()

    def _end(self, usage: ChildUsage) -> None:
        self._reap()
        if self._in_window:
            self._send_findings(usage, finished=True)
        self._answer()

    def _answer(self) -> None:
        """Let the child go on; it may have closed its end."""
        with contextlib.suppress(*pipes.CLOSED):
            write_all(self._wire_out, encode("go"))

    def _send_findings(self, usage: ChildUsage, *, finished: bool) -> None:
        self._in_window = False
        findings = to_json(self._stack_sampler.end(self._sampler.end(usage)))
        self._brake.window(is_open=False)  # last: what is frozen at the stop line would go on
        self._tell(encode("findings", findings=findings, finished=finished))

    def _obey(self, message: dict[str, Any]) -> None:
        """Do what pytest asks: run another test, close, or draw stop lines."""
        if message["kind"] == "run":
            self._run_another(message)
        elif message["kind"] == "close":
            self._over = True
        else:
            growth, total = message["growth_bytes"], message["total_bytes"]
            self._brake.draw(growth_bytes=growth, total_bytes=total)

    def _run_another(self, message: dict[str, Any]) -> None:
        self._tail = b""
        self._brake.draw(growth_bytes=None, total_bytes=None)
        self._set_deadline()
        with contextlib.suppress(*pipes.CLOSED):
            write_all(self._wire_out, encode(**message))

    def _rested(self) -> None:
        """Report the child at rest: what it holds, and how many cores are still busy in it."""
        self._rest_due = self._deadline = 0.0
        spent = self._sampler.cpu_seconds - self._rest_cpu_seconds
        footprint = self._sampler.footprint_bytes
        cores = spent / REST_SECONDS
        told = self._hard_limit.told()
        self._tell(encode("rested", footprint_bytes=footprint, cores_used=cores, hard_limit=told))

    def _watch(self) -> None:
        """Stop a case that is past a line or its deadline; notice the end of the child and of pytest."""
        now = time.monotonic()
        if not self._job.attach:
            self._brake.look_at_machine(now)
        passed = self._brake.passed()
        if passed is not None:
            self._stop(*passed)
        if self._deadline and now >= self._deadline:
            self._stop("timeout", 0)
        if 0 < self._rest_due <= now:
            self._rested()
        if os.getppid() != self._parent or 0 < self._exit_due <= now:
            self._over = True
        if self._ended():
            self._over = True

    def _ended(self) -> bool:
        return self._case_process is not None and self._case_process.has_ended()

    def _stop(self, why: str, limit_bytes: int) -> None:
        """End the case, and say why. An attached process is never ended."""
        if self._stopped or self._job.attach:
            return
        self._stopped = self._over = True
        if why != "timeout":
            tree.freeze(self._walk())
        if self._in_window:
            self._send_findings(self._usage, finished=False)
        footprint = self._sampler.footprint_bytes
        fields = {"why": why, "limit_bytes": limit_bytes, "footprint_bytes": footprint}
        fields["held"] = self._sampler.held()
        if why == "timeout":
            fields["timeout_seconds"] = self._job.timeout_seconds
            self._dump_stacks()
        self._tell(encode("stopped", **fields))

    def _dump_stacks(self) -> None:
        """Have a hanging Python print the stacks of its threads, which pytest's faulthandler does on SIGABRT.

        SIGCONT is for a process that is stopped, and would not handle it.
        """
        if sys.platform == "win32":
            return
        for number in (signal.SIGABRT, signal.SIGCONT):
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, number)
        last = time.monotonic() + DUMP_SECONDS
        while time.monotonic() < last and not self._ended():
            for descriptor, data in self._inbox.wait(DRAIN_SECONDS):
                self._take_rest(descriptor, data)

    def _finish(self) -> None:
        """End the tree, read what the child still sent, remove its shared memory and folder, and report the end."""
        if self._in_window and not self._job.attach:
            self._send_findings(self._usage, finished=False)
        self._sampler.close()
        left = [] if self._job.attach else self._end_tree()
        self._drain()
        status = None if self._case_process is None else self._case_process.process.wait()
        segments = [] if self._job.attach else self._segments.remove_left()
        self._remove_folder()
        last = encode(
            "ended",
            status=status,
            tail=self._tail.decode(errors="replace"),
            left=left,
            segments=segments,
            footprint_bytes=self._sampler.last_bytes,
            oom_killed=machine.oom_kills() > self._oom_kills,
            hard_limit=self._hard_limit.told(),
        )
        self._hard_limit.remove()
        self._tell(last)

    def _end_tree(self) -> list[str]:
        """End all processes; gives the command lines of those that outlived the case's own process."""
        has_ended = self._ended()
        left = tree.end(os.getpid(), case=self._pid)
        if not EXACT:  # orphans are not adopted here, but their environment tells whose they are
            tree.end_tagged(self._job.temp_dir)
        return left if has_ended else []

    def _drain(self) -> None:
        """Read what is left in the pipes, to their ends: all writers are gone."""
        while max(self._wire_in, self._output) >= 0 and not self._job.attach:
            pieces = self._inbox.wait(DRAIN_SECONDS)
            if not pieces:
                break
            for descriptor, data in pieces:
                self._take_rest(descriptor, data)

    def _take_rest(self, descriptor: int, data: bytes) -> None:
        """Keep or pass on a last piece; what the child or pytest asks for is not done any more."""
        if descriptor == self._output:
            self._keep(data)
        elif not data or descriptor == CONTROL:
            self._lost(descriptor)
        else:
            for line in self._decoders[descriptor].feed(data):
                self._hand_on(line)

    def _remove_folder(self) -> None:
        import shutil

        shutil.rmtree(self._job.temp_dir, ignore_errors=True)
        for folder, _, _ in os.walk(self._job.temp_dir):
            with contextlib.suppress(OSError):
                os.chmod(folder, 0o700)  # noqa: PTH101
        shutil.rmtree(self._job.temp_dir, ignore_errors=True)


def _usage_of(line: bytes) -> ChildUsage:
    """What the child says of its children; zeros where that can't be read."""
    message = decode(line) or {}
    with contextlib.suppress(KeyError, TypeError, ValueError):
        return from_json(ChildUsage, message["usage"])
    return ChildUsage()


def _first_line() -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        piece = os.read(CONTROL, 1)
        if not piece:
            sys.exit(0)
        line += piece
    return line


def main() -> None:
    """Read the job from standard input, run it, write its messages to standard output."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    job = from_json(Job, json.loads(_first_line())).handed_on(pipes.take)
    kernel.wake_on_time()
    kernel.ask_for_promptness()
    if not job.attach:
        kernel.adopt_orphans()
    supervisor = Supervisor(job)
    if EXACT:
        signal.signal(signal.SIGCHLD, supervisor.note_child)
    supervisor.run()
