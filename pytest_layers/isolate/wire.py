"""The messages between pytest, supervisor and child: one JSON object a line, told apart by `kind`.

child to supervisor      begin, end (each is answered by `go`)
child to pytest          report, warning, collect_error, data, progress, again, exit, done
supervisor to pytest     findings, stopped, ended
pytest to supervisor     the job (first line), stop_at
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from typing import Any

Message = dict[str, Any]

_START = re.compile(rb'\{"kind": "(\w+)"')


def encode(kind: str, **fields: Any) -> bytes:
    """One message as a line. What JSON does not know is sent as its text."""
    return json.dumps({"kind": kind, **fields}, default=str).encode() + b"\n"


def kind_of(line: bytes) -> str:
    """The kind of a message that is not read any further; nothing where a test wrote what is no message."""
    start = _START.match(line)
    return start[1].decode() if start else ""


def decode(line: bytes) -> Message | None:
    """The message of a line, or nothing where a test's own writing spoilt it."""
    try:
        return json.loads(line) if kind_of(line) else None
    except ValueError:
        return None


class Decoder:
    """Bytes as they come into messages; a line may come in pieces."""

    def __init__(self) -> None:
        self._rest: list[bytes] = []

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The lines that `data` completes, each with its newline."""
        *lines, rest = data.split(b"\n")
        for line in lines:
            self._rest.append(line + b"\n")
            yield b"".join(self._rest)
            self._rest = []
        if rest:
            self._rest.append(rest)


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of `data`, however small the pipe's steps."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
