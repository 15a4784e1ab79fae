"""Measures one node of the user's own cluster, with the same sampler as a case, in a process of its own.

`engines/_nodes.py` starts it on the node; it needs only this package's own files and the standard library. It talks by
files in a folder: it writes `ready` when the window is open, and `findings.json` after `stop` has appeared.
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
"""For somebody to fetch the findings."""
REACH_SECONDS = 5.0
MOST_SECONDS = 3600.0
"""For a window. Where the case's process can't be reached, only this ends a probe that outlives the case."""


class Probe:
    """Measures `root` and all below it, until it is told to stop, or `root` or `owner` has ended.

    `owner` is a process on the node that ends with the case, as the probe must. Where there is none, `lifeline` is a
    connection to the case's process that carries no data: the probe ends when it is closed.
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
        """Measure one window and write the findings; remove the folder if nobody fetches them in time."""
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
        """Whether `root` and `owner` are alive, the lifeline is not cut, and the folder is there."""
        for pid, first in self._watched.items():
            now = system.identity(pid)
            if first is None or now is None or now.is_dead or now.started != first.started:
                return False
        cut = self._lifeline and select.select([self._lifeline], [], [], 0)[0]
        return not cut and self._folder.exists()

    def _write(self, name: str, text: str) -> None:
        """Write a file, whole or not at all."""
        with contextlib.suppress(FileNotFoundError):
            unfinished = self._folder / f"{name}.part"
            unfinished.write_text(text, encoding="utf-8")
            unfinished.replace(self._folder / name)


def main() -> None:
    """Measure, in the background, by arguments `FOLDER ROOT OWNER [HOST PORT]` (the last two: the lifeline)."""
    folder, root, owner = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    line = None
    with contextlib.suppress(OSError, IndexError):
        line = socket.create_connection((sys.argv[4], int(sys.argv[5])), REACH_SECONDS)
    if os.fork():
        os._exit(0)
    os.setsid()
    Probe(folder, root, owner, line).run()
