"""Runs on a node of the user's own cluster, in a process of the engine: starts a probe there, and ends it.

`_nodes.on_node` sends this file to the node as text. Nothing but Python has to be installed there, so this imports only
the standard library. The root process of the node's tree is named as seen from the process that runs this: `self`,
`parent`, or the name of a program above it (`java`).
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

LOOK_SECONDS = 0.005
"""Between two looks for a file that the probe is to write."""
PROBE = "from pytest_layers.measure.probe import main; main()"


def root_pid(root: str) -> int:
    """The root process of the node's tree."""
    if root == "parent":
        return os.getppid()
    pid = os.getpid()
    while root != "self" and _status(pid, "Name:") != root:
        pid = int(_status(pid, "PPid:"))
    return pid


def _status(pid: int, key: str) -> str:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return next(line.split()[1] for line in lines if line.startswith(key))


def node_name(root: str) -> str:
    """Host and root of this node."""
    return f"{socket.gethostname()}:{root_pid(root)}"


def start(
    bundle: str, token: str, root: str, lifeline: tuple[str, ...], seconds: float
) -> str | None:
    """Start the probe of this node; gives the node's name, or None where another call did it.

    `bundle` is the measuring code as a zip in base64. The window is open when this returns.
    """
    pid = root_pid(root)
    folder = Path(tempfile.gettempdir(), f"layers-probe-{token}-{pid}")
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        return None
    name = node_name(root)
    (folder / "name").write_text(name, encoding="utf-8")
    (folder / "code.zip").write_bytes(base64.b64decode(bundle))
    owner = os.getpid() if root in {"self", "parent"} else pid
    _run_probe(folder, [str(pid), str(owner), *lifeline])
    if not _appears(folder / "ready", time.monotonic() + seconds):
        errors = (folder / "errors").read_text(encoding="utf-8", errors="replace")
        shutil.rmtree(folder, ignore_errors=True)
        raise TimeoutError(errors)
    return name


def _run_probe(folder: Path, arguments: list[str]) -> None:
    """Start a probe, which then runs in the background."""
    code = f"import sys; sys.path.insert(0, {str(folder / 'code.zip')!r}); {PROBE}"
    command = [sys.executable, "-I", "-S", "-c", code, str(folder), *arguments]
    with (folder / "errors").open("wb") as errors:
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=errors, stderr=errors)


def finish(token: str, seconds: float) -> list[dict[str, Any]]:
    """Stop the probes on this host that no other call has stopped yet; gives what they found."""
    folders = [folder for folder in _folders(token) if _is_first_to_stop(folder)]
    last = time.monotonic() + seconds
    found = [_fetch(folder, last) for folder in folders]
    return [one for one in found if one is not None]


def _folders(token: str) -> list[Path]:
    return list(Path(tempfile.gettempdir()).glob(f"layers-probe-{token}-*"))


def _is_first_to_stop(folder: Path) -> bool:
    try:
        (folder / "stop").touch(exist_ok=False)
    except (FileExistsError, FileNotFoundError):
        return False
    return True


def _fetch(folder: Path, last: float) -> dict[str, Any] | None:
    """What the probe of this folder found, or None if that does not come in time; removes the folder."""
    findings = folder / "findings.json"
    found = None
    if _appears(findings, last):
        found = {
            "name": (folder / "name").read_text(encoding="utf-8"),
            "cores": len(os.sched_getaffinity(0)),
            "findings": json.loads(findings.read_text(encoding="utf-8")),
        }
    shutil.rmtree(folder, ignore_errors=True)
    return found


def _appears(path: Path, last: float) -> bool:
    """Wait for a file until `last`, a reading of the monotonic clock; gives whether it is there."""
    while not path.exists():
        if time.monotonic() > last:
            return False
        time.sleep(LOOK_SECONDS)
    return True
