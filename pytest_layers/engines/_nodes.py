"""Probes that measure the nodes of the user's own cluster, and whether the cluster answers.

An engine tells how to run a function on every node, and which process there is the root of the node's tree. The
measuring code of this package is sent along: nothing but Python has to be installed on the nodes.
"""

from __future__ import annotations

import base64
import io
import socket
import uuid
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from pytest_layers.engines import _on_node
from pytest_layers.errors import LayersError

PACKAGE = Path(__file__).parents[1]
BUNDLED = ("__init__.py", "records.py", "measure/*.py")
REACH_SECONDS = 5.0
"""For a cluster to take a connection."""
CALL_SECONDS = 30.0
"""For all nodes to answer."""
PROBE_SECONDS = 15.0
"""For a probe to open its window, and to hand in its findings."""
_WAITING_PROBES = 1024
"""Connections from probes that may wait to be accepted: none ever is."""

T = TypeVar("T")
OnEachNode = Callable[[Callable[[], Any]], "list[Any]"]
"""Runs a function on every node, at least once, and gives what each call returned."""


class Nodes:
    """The probes of one engine. They give dicts: `name`, `cores`, and `findings` as the sampler's JSON.

    `root`: the root process of a node's tree, as in `_on_node`. `lifeline`: needed where that process outlives the
    case: host and port at which the case's process listens. A probe connects to it, and ends with the connection.
    """

    def __init__(
        self, on_each_node: OnEachNode, root: str, *, lifeline: tuple[str, int] | None = None
    ) -> None:
        self._on_each_node = on_each_node
        self._root = root
        self._lifeline = tuple(str(part) for part in lifeline or ())
        self._token = ""
        self._started: set[str] = set()

    def begin(self) -> None:
        """Open a window on every node."""
        self._token = uuid.uuid4().hex[:12]
        start = on_node(
            _on_node.start, _bundle(), self._token, self._root, self._lifeline, PROBE_SECONDS
        )
        self._started = set(filter(None, self._on_each_node(start)))

    def end(self) -> list[dict[str, Any]]:
        """Close the window; gives what was found on each node. A lost node has None as findings."""
        finish = on_node(_on_node.finish, self._token, PROBE_SECONDS)
        found = [one for told in self._on_each_node(finish) for one in told]
        lost = self._started - {one["name"] for one in found}
        return [*found, *({"name": name, "findings": None} for name in sorted(lost))]


def on_node(function: Callable[..., T], *args: Any) -> Callable[[], T]:
    """A call of a function of `_on_node` that can be sent to a node: it carries the text of that file."""
    source, name = Path(_on_node.__file__).read_text(encoding="utf-8"), function.__name__

    def call() -> T:  # nested, so that libraries send its code, not a name to import
        names: dict[str, Any] = {"__name__": name}
        exec(source, names)  # noqa: S102  (a file of this package)
        result: T = names[name](*args)
        return result

    return call


def _bundle() -> str:
    """This package's measuring code, as a zip file that Python can import from, in base64."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for pattern in BUNDLED:
            for path in sorted(PACKAGE.glob(pattern)):
                archive.write(path, Path(PACKAGE.name, path.relative_to(PACKAGE)))
    return base64.b64encode(data.getvalue()).decode()


def reach(option: str, address: str) -> str:
    """Connect to a cluster at `address` (a URL or `host:port`); gives this machine's own address as seen from there.

    To be called before the library connects: that may try for minutes to reach a cluster that is not there.

    Raises:
        LayersError: nobody answers there; the text names the `option` that gave the address.
    """
    parts = urlsplit(address if "//" in address else f"//{address}")
    try:
        with socket.create_connection((parts.hostname, parts.port), REACH_SECONDS) as line:
            return str(line.getsockname()[0])
    except OSError as error:
        raise LayersError(f"{option}={address}: nobody answers there ({error})") from None


def open_lifeline(host: str) -> socket.socket:
    """A socket that probes connect to; they end when it is closed, or this process is gone."""
    return socket.create_server((host, 0), backlog=_WAITING_PROBES)


def no_probe(option: str, address: str, error: Exception) -> LayersError:
    """The error where a window could not be opened on all nodes."""
    return LayersError(f"{option}={address}: no probe there: {first_line(error)}")


def first_line(error: Exception) -> str:
    """The first line of its text, or its type where it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
