"""What the tests on clusters that somebody else started share: the programs that the clusters are made of."""

import contextlib
import os
import re
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import psutil
import pytest

from pytest_layers.measure import procfs

WAIT_SECONDS = 90.0


class Programs:
    """Processes of one folder, all that they start and write included."""

    def __init__(self, folder):
        self.folder = folder
        self.temp = folder / "tmp"
        self.temp.mkdir()
        self._started = []

    def start(self, *command, **environment):
        """Start a program; gives it and the file of what it says."""
        log = self.folder / f"{len(self._started)}.log"
        with log.open("wb") as said:
            process = subprocess.Popen(
                [*map(str, command)],
                cwd=self.folder,
                env=os.environ | {"TMPDIR": str(self.temp)} | environment,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
            )
        self._started.append(process)
        return process, log

    def said(self, log, pattern):
        """What matches in a log, as soon as it does."""
        last = time.monotonic() + WAIT_SECONDS
        while not (found := re.search(pattern, log.read_text())):
            assert time.monotonic() < last, log.read_text()
            time.sleep(0.05)
        return found[0]

    def running(self, word=""):
        """The command lines of all processes that have `word` in it, by process id."""
        return {
            pid: line
            for pid in procfs.all_pids()
            if procfs.has_in_environment(pid, str(self.temp))
            and word in (line := procfs.command_line(pid))
        }

    def assert_nothing_left(self, others=list, seconds=10.0):
        """Of the plugin, after a moment: no probe, no folder of one, and no process of `others()`."""
        last = time.monotonic() + seconds
        while (left := [*self._probes(), *others()]) and time.monotonic() < last:
            time.sleep(0.1)
        assert left == []

    def _probes(self):
        folders = map(str, self.temp.glob("layers-*"))
        return [*self.running("pytest_layers.measure.probe").values(), *folders]

    def end(self):
        """Kill whatever is there."""
        while alive := self.running():
            for pid in alive:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.1)
        for process in self._started:
            process.wait()


@pytest.fixture(scope="module")
def programs():
    """The programs of a cluster that lasts as long as a file of tests."""
    with tempfile.TemporaryDirectory(prefix="lt-") as folder:
        started = Programs(Path(folder))
        try:
            yield started
        finally:
            started.end()


@pytest.fixture
def open_sockets():
    """The sockets of this process and of all below it, but for those that end meanwhile."""

    def find():
        found = []
        for process in (psutil.Process(), *psutil.Process().children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                found += process.net_connections("inet")
        return found

    return find
