"""Probes on the nodes of a cluster of the user's: what the cases need there, in memory and cores.

An engine says how to run a function once on every node, and which process on the node is the root of what belongs to
it. The function carries this package's measuring code with it: nothing has to be installed on the nodes but Python.
"""

from __future__ import annotations

import base64
import io
import uuid
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).parents[1]
BUNDLED = ("__init__.py", "records.py", "measure/*.py")
START_SECONDS = 15.0
"""For a probe to open its window, and to hand in its findings."""

OnEachNode = Callable[[Callable[[], Any]], "list[Any]"]
"""Runs a function on every node, at least once, and gives what each call returned."""


class Nodes:
    """The probes of one engine. Figures are plain: `name`, `cores`, and `findings` as the sampler's JSON.

    `root`: which process a node's tree hangs from, seen from where the function runs: `self`, `parent`, or the name of
    a program (`java`) to be found above it. `lifeline`: host and port on which the case's process listens, where a
    root outlives it: a probe connects to it, and ends when the connection does.
    """

    def __init__(
        self, on_each_node: OnEachNode, root: str, *, lifeline: tuple[str, int] | None = None
    ) -> None:
        self._on_each_node = on_each_node
        self._root = root
        self._lifeline = [str(part) for part in lifeline or ()]
        self._token = ""
        self._started: set[str] = set()

    def begin(self) -> None:
        """Open a window on every node."""
        self._token = uuid.uuid4().hex[:12]
        start = _starter(_bundle(), self._token, self._root, self._lifeline, START_SECONDS)
        self._started = set(filter(None, self._on_each_node(start)))

    def end(self) -> list[dict[str, Any]]:
        """Close it; gives what was found on each node. One that was lost has no findings."""
        finish = _finisher(self._token, START_SECONDS)
        found = [one for told in self._on_each_node(finish) for one in told]
        lost = self._started - {one["name"] for one in found}
        return [*found, *({"name": name, "findings": None} for name in sorted(lost))]


def _bundle() -> str:
    """This package's measuring code as a zip in base64, that Python can import from."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for pattern in BUNDLED:
            for path in sorted(PACKAGE.glob(pattern)):
                archive.write(path, Path(PACKAGE.name, path.relative_to(PACKAGE)))
    return base64.b64encode(data.getvalue()).decode()


def _starter(
    bundle: str, token: str, root: str, lifeline: list[str], seconds: float
) -> Callable[[], str | None]:
    """A function for the node, in one piece: it is sent by value, and sees nothing of this module."""

    def start() -> str | None:
        """Start the probe of this node; gives its name, or None where another call did it."""
        import base64
        import os
        import shutil
        import socket
        import subprocess
        import sys
        import tempfile
        import time
        from pathlib import Path

        def status(pid: int, key: str) -> str:
            lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
            return next(line.split()[1] for line in lines if line.startswith(key))

        owner = pid = os.getpid()
        if root == "parent":
            pid = os.getppid()
        while root not in {"self", "parent"} and status(pid, "Name:") != root:
            pid = int(status(pid, "PPid:"))
        folder = Path(tempfile.gettempdir(), f"layers-probe-{token}-{pid}")
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            return None
        name = f"{socket.gethostname()}:{pid}"
        (folder / "name").write_text(name, encoding="utf-8")
        (folder / "code.zip").write_bytes(base64.b64decode(bundle))
        code = (
            f"import sys; sys.path.insert(0, {str(folder / 'code.zip')!r}); "
            "from pytest_layers.measure.probe import main; main()"
        )
        command = [sys.executable, "-I", "-S", "-c", code, str(folder), str(pid)]
        watched = str(pid if root not in {"self", "parent"} else owner)
        with (folder / "errors").open("wb") as errors:
            subprocess.run(
                [*command, watched, *lifeline],
                check=True,
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
            )
        last = time.monotonic() + seconds
        while not (folder / "ready").exists():
            if time.monotonic() > last:
                told = (folder / "errors").read_text(encoding="utf-8", errors="replace")
                shutil.rmtree(folder, ignore_errors=True)
                raise TimeoutError(told)
            time.sleep(0.005)
        return name

    return start


def _finisher(token: str, seconds: float) -> Callable[[], list[dict[str, Any]]]:
    def finish() -> list[dict[str, Any]]:
        """Stop the probes of this node that nobody else has stopped; gives what they found."""
        import json
        import os
        import shutil
        import tempfile
        import time
        from pathlib import Path

        folders = list(Path(tempfile.gettempdir()).glob(f"layers-probe-{token}-*"))
        mine = []
        for folder in folders:
            try:
                (folder / "stop").touch(exist_ok=False)
            except (FileExistsError, FileNotFoundError):
                continue
            mine.append(folder)
        found = []
        last = time.monotonic() + seconds
        for folder in mine:
            told = folder / "findings.json"
            while not told.exists() and time.monotonic() < last:
                time.sleep(0.005)
            if told.exists():
                name = (folder / "name").read_text(encoding="utf-8")
                findings = json.loads(told.read_text(encoding="utf-8"))
                cores = len(os.sched_getaffinity(0))
                found.append({"name": name, "cores": cores, "findings": findings})
            shutil.rmtree(folder, ignore_errors=True)
        return found

    return finish
