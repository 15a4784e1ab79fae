"""The parent's side: starts a supervisor for one case, and yields its messages as they come."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType

from pytest_layers.errors import ChildFailed
from pytest_layers.isolate import cgroup, pipes
from pytest_layers.isolate.job import Job
from pytest_layers.isolate.wire import Decoder, Message, decode, encode
from pytest_layers.measure import machine, tree
from pytest_layers.measure.host import EXACT
from pytest_layers.records import to_json

_PACKAGE_PARENT = str(Path(__file__).resolve().parent.parent.parent)
_SUPERVISOR = (
    f"import sys; sys.path.insert(0, {_PACKAGE_PARENT!r}); "
    "from pytest_layers.isolate.supervise import main; main()"
)
_CHILD = (
    "import sys; sys.path[:] = [path for path in sys.path if path]; import json, pathlib; "
    "sys.path[:] = json.loads(pathlib.Path(sys.argv[1]).read_text())['sys_path']; "
    "from pytest_layers.isolate.child import main; main()"
)
"""The working folder is kept off `sys.path` until the job says what the parent's path was: a file there may be named
like a module of the standard library."""

END_SECONDS = 30.0
"""For a supervisor to end the processes of its case."""


def child_command(
    nodeid: str,
    args: Sequence[str],
    *,
    program: str,
    temp_dir: Path,
    files: Sequence[str] = (),
    roots: Sequence[str] = (),
) -> tuple[str, ...]:
    """The command that runs one test in a fresh interpreter, with this one's flags, path and arguments.

    With `files`, these are collected, and after the test the child waits for further ones out of them. `roots` are the
    folders of the team's code, of which the child tells the supervisor what line runs.
    """
    job = {
        "nodeid": nodeid,
        "files": list(files),
        "roots": list(roots),
        "args": list(args),
        "program": program,
        "temp_dir": str(temp_dir),
        "sys_path": [entry for entry in sys.path if isinstance(entry, str)],  # as imports do
    }
    # As multiprocessing does: -W, -X and -O of this interpreter hold in the child too.
    flags: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined] # noqa: SLF001
    # In a file: one argument has 128 KiB at most, and pytest may have been given more.
    written = temp_dir / "job.json"
    written.write_text(json.dumps(job), encoding="utf-8")
    return (sys.executable, *flags, "-c", _CHILD, str(written))


def make_temp_dir() -> Path:
    """A short folder for one case: Ray's socket paths leave no room for a long one."""
    return Path(tempfile.mkdtemp(prefix="layers-"))


@contextlib.contextmanager
def case_folder() -> Iterator[Path]:
    """Make the folder of a case, which is set up inside the `with` block; it is removed again if that fails.

    Raises:
        ChildFailed: the folder can't be made or written to, for instance because the disk is full.
    """
    with contextlib.ExitStack() as undo:
        try:
            folder = make_temp_dir()
            undo.callback(shutil.rmtree, folder, ignore_errors=True)
            yield folder
        except OSError as error:
            raise ChildFailed(f"the case could not be set up: {error}") from None
        undo.pop_all()


class Supervised:
    """A supervisor at work: `with Supervised(job) as case: for message in case.messages(): ...`"""

    def __init__(self, job: Job, *, pass_descriptors: Sequence[int] = ()) -> None:
        self._job = job
        self._pass = (*job.output, *pass_descriptors)
        self._decoder = Decoder()
        self._has_ended = False

    def __enter__(self) -> Supervised:
        job = to_json(self._job.handed_on(pipes.lend))
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", *(["-S"] if EXACT else []), "-c", _SUPERVISOR],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                **pipes.inherited(self._pass),
            )
        except OSError as error:
            shutil.rmtree(self._job.temp_dir, ignore_errors=True)
            raise ChildFailed(f"the supervisor of the case could not be started: {error}") from None
        self.send(job)
        return self

    def send(self, message: Message) -> None:
        """Send one line to the supervisor; does nothing when it has ended."""
        assert self._process.stdin is not None
        with contextlib.suppress(*pipes.CLOSED):
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()

    def stop_at(self, *, growth_bytes: int | None, total_bytes: int | None) -> None:
        """Have the case stopped past this footprint."""
        self.send(json.loads(encode("stop_at", growth_bytes=growth_bytes, total_bytes=total_bytes)))

    def run(self, nodeid: str, roots: Sequence[str]) -> None:
        """Have a waiting child run another test; `roots` as in `child_command`."""
        self.send(json.loads(encode("run", nodeid=nodeid, roots=roots)))

    def messages(self) -> Iterator[Message]:
        """All messages up to and including `ended`, or `rested` where the child waits for another test.

        Raises:
            ChildFailed: the supervisor itself could not work.
        """
        while data := self._read():
            for line in self._decoder.feed(data):
                message = decode(line)
                if message is not None:
                    self._has_ended = message["kind"] == "ended"
                    yield message
                    if message["kind"] in {"ended", "rested"}:
                        return
        raise ChildFailed(self._why_early())

    def _read(self) -> bytes:
        """The next piece of output. A supervisor that is silent well past the case's timeout hangs, and is killed.

        Without `poll` (Windows) there is no such check.
        """
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        if self._job.timeout_seconds and hasattr(select, "poll"):
            waiting = select.poll()
            waiting.register(descriptor, select.POLLIN)
            if not waiting.poll((self._job.timeout_seconds + END_SECONDS) * 1000):
                self._process.kill()
        return os.read(descriptor, 65536)

    def _why_early(self) -> str:
        status = self._process.wait()
        assert self._process.stderr is not None
        text = self._process.stderr.read().decode(errors="replace").strip()
        how = (
            f"was ended by {signal_name(-status)}" if status < 0 else f"exited with status {status}"
        )
        return f"the supervisor of the test's process {how}\n{text}".strip()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Have it end the case, and wait until nothing is left.

        It is told to close: closing its input is not enough if a fork of this process holds that open. Nothing is sent
        to one that has ended: a test module may have restored the default of SIGPIPE, which would end this process.
        """
        if not self._has_ended:
            self.send(json.loads(encode("close")))
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            with contextlib.suppress(*pipes.CLOSED):
                if pipe is not None:
                    pipe.close()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.returncode and not self._job.attach:
            self._clean_up()

    def _clean_up(self) -> None:
        """Do what a killed supervisor could not: end the processes of the case, and remove its folder and cgroup."""
        tree.end_tagged(self._job.temp_dir)
        shutil.rmtree(self._job.temp_dir, ignore_errors=True)
        if self._job.hard_limit_bytes:
            cgroup.remove_of(machine.cgroup_folders("memory"), self._process.pid)


def signal_name(number: int) -> str:
    """`SIGABRT`; most real-time signals have no name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def terminal_descriptors() -> tuple[int, int]:
    """Copies of standard output and error, for a child that prints straight to the terminal (`-s`)."""
    return os.dup(1), os.dup(2)
