"""Inner pytest sessions and supervised scripts, each looked over afterwards: nothing of it may be left."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
import uuid
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pytest_layers.isolate import launch
from pytest_layers.isolate.job import Job
from pytest_layers.isolate.wire import Message
from pytest_layers.measure import machine, procfs, reduce
from pytest_layers.measure.findings import Findings
from pytest_layers.records import Measurement, from_json

MIB = 2**20
TAG = "LAYERS_TEST_TAG"
"""In the environment of all that a test starts; what empties its environment bears it in its command line."""
RUN_SECONDS = 100
HEAD = f"""
import os, signal, subprocess, sys, threading, time
from multiprocessing import shared_memory
import pytest
tag = os.environ[{TAG!r}]
pytestmark = pytest.mark.memory_ceiling("4GiB")
"""
WIRE = """
import json, os, resource, signal, subprocess, sys, threading, time
MIB = 2**20
def send(kind, **fields):
    data = json.dumps({"kind": kind, **fields}).encode() + b"\\n"
    while data:
        data = data[os.write(write, data):]
def mark(kind):
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = usage.ru_utime + usage.ru_stime
    send(kind, usage={"cpu_seconds": seconds, "largest_bytes": usage.ru_maxrss * 1024})
    assert os.read(read, 64)
def hold(size, seconds):
    block = b"x" * size
    time.sleep(seconds)
def do(work):
    eval(work)
def burn(seconds):
    while time.process_time() < seconds:
        pass
"""
RUN = """
if __name__ == "__main__":
    read, write = map(int, sys.argv[-2:])
    tag = os.environ["LAYERS_TEST_TAG"]
    main()
"""


def heed_interrupts():
    """In a child before exec: a shell has what it starts in the background ignore Ctrl-C, and all below it too."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _is_tagged(pid: int, tag: str) -> bool:
    return procfs.has_in_environment(pid, tag) or tag in procfs.command_line(pid)


@dataclass
class Sandbox:
    """What one test starts and writes: its folders, a tag on all its processes, and what is left of them."""

    folder: Path
    temp: Path
    """Short, as the path of a socket has to be."""
    tag: str = field(default_factory=lambda: f"layers-test-{uuid.uuid4().hex}")

    @property
    def environment(self) -> dict[str, str]:
        own = {TAG: self.tag, "TMPDIR": str(self.temp), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        return {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "COV_"))} | own

    def processes(self) -> list[int]:
        """Living processes that have the tag."""
        return [pid for pid in procfs.all_pids() if _is_tagged(pid, self.tag)]

    def left(self) -> list[str]:
        """Everything that should not be there any more."""
        shared = [str(path) for path in Path("/dev/shm").rglob(f"*{self.tag}*")]
        folders = [str(path) for path in self.temp.glob("layers-*")]
        alive = [f"{pid} {procfs.command_line(pid)[:300]}" for pid in self.processes()]
        return [*shared, *folders, *alive]

    def assert_nothing_left(self, seconds: float = 0.5) -> None:
        """At once, but for the moment that a killed process takes to go."""
        last = time.monotonic() + seconds
        while (left := self.left()) and time.monotonic() < last:
            time.sleep(0.02)
        assert left == []

    def clear(self) -> None:
        """After a test that failed: nothing of it may trouble the next."""
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for path in Path("/dev/shm").rglob(f"*{self.tag}*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    with tempfile.TemporaryDirectory(prefix="lt-") as temp:
        sandbox = Sandbox(tmp_path, Path(temp))
        yield sandbox
        sandbox.clear()


@dataclass
class Session:
    """An inner pytest session that has ended."""

    sandbox: Sandbox
    status: int
    text: str

    @property
    def junit(self) -> dict[str, ElementTree.Element]:
        """The cases of the JUnit file; the later one of two (a failed call, then a failed teardown)."""
        tree = ElementTree.parse(self.sandbox.folder / "junit.xml")
        return {case.attrib["name"]: case for case in tree.iter("testcase")}

    @property
    def outcomes(self) -> dict[str, str]:
        """Outcome by test, by the JSON report."""
        document = json.loads((self.sandbox.folder / "run.json").read_text())
        return {
            case["case"]["nodeid"].partition("::")[2]: case["outcome"] for case in document["cases"]
        }

    def failure(self, name: str) -> str:
        """How JUnit tells of a failure or an error, in full."""
        (found,) = [child for child in self.junit[name] if child.tag in {"failure", "error"}]
        return f"{found.attrib['message']}\n{found.text}"


@dataclass
class Inner:
    """Starts inner pytest sessions."""

    sandbox: Sandbox

    def command(self, code: str, *args: str) -> list[str]:
        """The command line of a session over `code`."""
        (self.sandbox.folder / "pytest.ini").touch()
        (self.sandbox.folder / "test_inner.py").write_text(HEAD + textwrap.dedent(code))
        ways = ["-m", "pytest", "-p", "pytest_layers.plugin", "--layers-timeout=30s", "--tb=short"]
        cache = f"--layers-cache-dir={self.sandbox.folder / 'cache'}"
        reports = ["--junitxml=junit.xml", "--layers-report=run.json"]
        return [sys.executable, *ways, cache, *reports, *args]

    def start(self, code: str, *args: str, **kwargs: Any) -> subprocess.Popen[bytes]:
        """A session in a session of its own, still running."""
        kwargs = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT} | kwargs
        return subprocess.Popen(
            self.command(code, *args),
            cwd=self.sandbox.folder,
            env=self.sandbox.environment,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=heed_interrupts,  # noqa: PLW1509  (this process has one thread)
            **kwargs,
        )

    def finish(self, process: subprocess.Popen[bytes]) -> Session:
        """Wait for its end; all that held its standard output must have ended with it."""
        text, _ = process.communicate(timeout=RUN_SECONDS)
        session = Session(self.sandbox, process.returncode, (text or b"").decode(errors="replace"))
        print(session.text[:20_000])
        return session

    def run(self, code: str, *args: str) -> Session:
        """A whole session, and nothing of it left."""
        session = self.finish(self.start(code, *args))
        self.sandbox.assert_nothing_left()
        return session

    def await_file(self, name: str, seconds: float = 30.0) -> str:
        """The content of a file that a test writes into the session's folder when it is under way."""
        path, last = self.sandbox.folder / name, time.monotonic() + seconds
        while not path.exists():
            assert time.monotonic() < last, f"{name} was never written"
            time.sleep(0.01)
        return path.read_text()


@pytest.fixture
def inner(sandbox: Sandbox) -> Inner:
    return Inner(sandbox)


@dataclass
class Told:
    """All messages of a supervised script."""

    messages: list[Message]

    def of(self, kind: str) -> list[Message]:
        return [message for message in self.messages if message["kind"] == kind]

    @property
    def ended(self) -> Message:
        (message,) = self.of("ended")
        return message

    @property
    def measured(self) -> Measurement:
        """Of the window, however it ended."""
        (message,) = self.of("findings")
        assert "Traceback" not in self.ended["tail"], self.ended["tail"]
        found = from_json(Findings, message["findings"])
        return reduce.measurement(found, cores_given=machine.available_cores())


@dataclass
class Supervise:
    """Runs scripts that speak the wire under a supervisor, without pytest."""

    sandbox: Sandbox

    def job(self, body: str, **fields: Any) -> Job:
        """The job for a script whose `main` is `body`, or that defines it."""
        body = textwrap.dedent(body)
        if "def main(" not in body:
            body = "def main():\n" + textwrap.indent(body, "    ")
        script = self.sandbox.folder / "script.py"
        script.write_text(WIRE + body + RUN)
        environment = self.sandbox.environment
        temp_dir = self.sandbox.temp / "layers-case"
        temp_dir.mkdir()
        environment["TMPDIR"] = str(temp_dir)
        defaults = {
            "temp_dir": str(temp_dir),
            "command": (sys.executable, "-I", "-S", str(script)),
            "environment": environment,
            "timeout_seconds": 30.0,
        }
        return Job(**(defaults | fields))

    def __call__(
        self,
        body: str,
        *,
        stop_at: tuple[int | None, int | None] | None = None,
        on: Callable[[launch.Supervised, Message], None] | None = None,
        **fields: Any,
    ) -> Told:
        messages = []
        with launch.Supervised(self.job(body, **fields)) as supervised:
            if stop_at is not None:
                supervised.stop_at(growth_bytes=stop_at[0], total_bytes=stop_at[1])
            for message in supervised.messages():
                messages.append(message)
                if on is not None:
                    on(supervised, message)
        self.sandbox.assert_nothing_left()
        return Told(messages)


@pytest.fixture
def supervise(sandbox: Sandbox) -> Supervise:
    return Supervise(sandbox)
