"""The parent's side: start a supervisor for one case and give its messages as they come."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType

from pytest_layers.errors import ChildFailed
from pytest_layers.isolate.supervise import Job
from pytest_layers.isolate.wire import Message, encode
from pytest_layers.records import to_json

_PACKAGE_PARENT = str(Path(__file__).resolve().parent.parent.parent)
_SUPERVISOR = (
    f"import sys; sys.path.insert(0, {_PACKAGE_PARENT!r}); "
    "from pytest_layers.isolate.supervise import main; main()"
)
_CHILD = (
    "import sys; sys.path[:] = [path for path in sys.path if path]; import json; "
    "sys.path[:] = json.loads(sys.argv[1])['sys_path']; "
    "from pytest_layers.isolate.child import main; main()"
)
"""The folder of the run is kept off the path until the job says what the parent's was: a file named like a module of
the standard library may lie there."""

END_SECONDS = 30.0
"""For a supervisor to end its tree."""


def child_command(
    nodeid: str, args: Sequence[str], *, program: str, temp_dir: Path
) -> tuple[str, ...]:
    """The command that runs one test in a fresh interpreter with this one's flags, path and arguments."""
    job = {
        "nodeid": nodeid,
        "args": list(args),
        "program": program,
        "temp_dir": str(temp_dir),
        "sys_path": sys.path,
    }
    # As multiprocessing does: -W, -X and -O of this interpreter hold in the child too.
    flags: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined] # noqa: SLF001
    return (sys.executable, *flags, "-c", _CHILD, json.dumps(job))


def make_temp_dir() -> Path:
    """A short folder for one case: Ray's socket paths leave no room for a long one."""
    return Path(tempfile.mkdtemp(prefix="layers-"))


class Supervised:
    """A supervisor at work: `with Supervised(job) as case: for message in case.messages(): ...`"""

    def __init__(self, job: Job, *, pass_descriptors: Sequence[int] = ()) -> None:
        self._job = job
        self._pass = (*job.output, *pass_descriptors)

    def __enter__(self) -> Supervised:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _SUPERVISOR],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=self._pass,
            start_new_session=True,
        )
        self.send(to_json(self._job))
        return self

    def send(self, message: Message) -> None:
        """One line to the supervisor; passed over when it has ended."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()

    def stop_at(self, *, growth_bytes: int | None, total_bytes: int | None) -> None:
        """Have the case stopped past this footprint."""
        self.send(json.loads(encode("stop_at", growth_bytes=growth_bytes, total_bytes=total_bytes)))

    def messages(self) -> Iterator[Message]:
        """All messages up to and with `ended`.

        Raises:
            ChildFailed: the supervisor itself could not work.
        """
        assert self._process.stdout is not None
        for line in self._process.stdout:
            message = json.loads(line)
            yield message
            if message["kind"] == "ended":
                return
        assert self._process.stderr is not None
        text = self._process.stderr.read().decode(errors="replace").strip()
        raise ChildFailed(f"the supervisor of the case ended early:\n{text}")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close its input, which has it end the case, and wait until nothing is left."""
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            with contextlib.suppress(BrokenPipeError):
                if pipe is not None:
                    pipe.close()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def terminal_descriptors() -> tuple[int, int]:
    """Copies of standard output and error, for a child that prints straight to the terminal (`-s`)."""
    return os.dup(1), os.dup(2)
