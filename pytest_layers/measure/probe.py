"""Measuring one node of a cluster, by the same sampler as a case: a process of its own beside those that it reads.

Started on the node by `engines/_nodes.py`, with this package's own files and the standard library alone. It is steered
by files in a folder: `ready` when the window is open, `stop` to close it, `findings.json` when that is done.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import socket
import sys
import time
from pathlib import Path

from pytest_layers.measure import tree
from pytest_layers.measure.host import system
from pytest_layers.measure.life import UNTOLD_BYTES
from pytest_layers.measure.procfs import ChildUsage
from pytest_layers.measure.sampler import Sampler
from pytest_layers.measure.segments import Segments
from pytest_layers.records import to_json

LOOK_SECONDS = 0.02
"""Between two looks at whether to stop."""
FETCH_SECONDS = 30.0
"""For the findings to be fetched."""
REACH_SECONDS = 5.0
MOST_SECONDS = 3600.0
"""For a window: where the case's process can't be reached, this alone ends a probe that outlived it."""


class Probe:
    """Reads `root` and what is below it, until it is told to stop, or `root` or `owner` has ended.

    `owner` is a process on the node that ends when the case does: a probe must not outlive it. Where there is none,
    `lifeline` is a connection to the case's process, over which nothing ever comes but its end.
    """

    def __init__(
        self, folder: Path, root: int, owner: int, lifeline: socket.socket | None = None
    ) -> None:
        self._folder = folder
        self._lifeline = lifeline
        self._watched = {pid: system.identity(pid) for pid in (root, owner)}
        own = os.getpid()
        self._sampler = Sampler(
            root, Segments(), lambda: [root, *tree.descendants(root, without=own)]
        )

    def run(self) -> None:
        """Measure one window, and leave its findings in the folder; remove that if nobody comes for them."""
        self._measure()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _measure(self) -> None:
        self._sampler.begin(ChildUsage())
        self._write("ready", "")
        stop = self._folder / "stop"
        last = time.monotonic() + MOST_SECONDS
        while not stop.exists():
            if not self._all_alive() or time.monotonic() > last:
                return
            self._sampler.poll()
            time.sleep(min(LOOK_SECONDS, self._sampler.delay_seconds()))
        findings = self._sampler.end(ChildUsage(largest_bytes=UNTOLD_BYTES))
        self._write("findings.json", json.dumps(to_json(findings)))
        last = time.monotonic() + FETCH_SECONDS
        while self._folder.exists() and time.monotonic() < last:
            time.sleep(LOOK_SECONDS)

    def _all_alive(self) -> bool:
        """Whether those watched are the processes they were, and the folder is there."""
        for pid, first in self._watched.items():
            now = system.identity(pid)
            if first is None or now is None or now.is_dead or now.started != first.started:
                return False
        cut = self._lifeline and select.select([self._lifeline], [], [], 0)[0]
        return not cut and self._folder.exists()

    def _write(self, name: str, text: str) -> None:
        """Whole or not at all."""
        with contextlib.suppress(FileNotFoundError):
            unfinished = self._folder / f"{name}.part"
            unfinished.write_text(text, encoding="utf-8")
            unfinished.replace(self._folder / name)


def main() -> None:
    """`FOLDER ROOT OWNER [HOST PORT]`: go on alone, so that nobody has to wait for this process, and measure."""
    folder, root, owner = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    line = None
    with contextlib.suppress(OSError, IndexError):
        line = socket.create_connection((sys.argv[4], int(sys.argv[5])), REACH_SECONDS)
    if os.fork():
        os._exit(0)
    os.setsid()
    Probe(folder, root, owner, line).run()
