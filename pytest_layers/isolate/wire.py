"""The messages between pytest, supervisor and child: one JSON object a line, told apart by `kind`.

child to supervisor      ready, begin, end (each is answered by `go`), rest; by pipes of its own, answer
supervisor to child      go, run
child to pytest          report, warning, collect_error, data, native, progress, again, exit, done
supervisor to pytest     ready, findings, stopped, rested, ended
pytest to supervisor     the job (first line), stop_at, run, close
"""

from __future__ import annotations

import re
from json import dumps, loads  # not what a test may have put in their place
from os import write
from typing import Any

Message = dict[str, Any]

_LEVELS = 4
"""How deep JSON is repaired: from a message down to a property of the report in it."""
_UNFIT = (TypeError, ValueError, RecursionError)
_START = re.compile(rb'\{"kind": "(\w+)"')


def encode(kind: str, **fields: Any) -> bytes:
    """One message as a line. What JSON can't hold is sent as its text."""
    message = {"kind": kind, **fields}
    try:
        line = dumps(message, default=_text)
    except _UNFIT:
        line = dumps(_carried(message, _LEVELS), default=_text)
    return line.encode() + b"\n"


def _carried(value: Any, levels: int) -> Any:
    """The value with its parts that JSON can't hold (cycles, keys that are no strings) as text."""
    try:
        dumps(value, default=_text)
    except _UNFIT:
        if levels and isinstance(value, dict):
            return {_text(key): _carried(one, levels - 1) for key, one in value.items()}
        if levels and isinstance(value, (list, tuple)):
            return [_carried(one, levels - 1) for one in value]
        return _text(value)
    return value


def _text(value: Any) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001  (whatever a class of the test's raises)
        return object.__repr__(value)


def kind_of(line: bytes) -> str:
    """The kind of a message, without parsing it; empty for what is none, as a test may write anything."""
    start = _START.match(line)
    return start[1].decode() if start else ""


def decode(line: bytes) -> Message | None:
    """The message of a line; None for what is none, as a test may write anything."""
    try:
        return loads(line) if kind_of(line) else None
    except ValueError:
        return None


class Decoder:
    """Turns bytes into lines; a line may come in pieces."""

    def __init__(self) -> None:
        self._rest: list[bytes] = []

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that `data` completes, each with its newline."""
        *ended, rest = data.split(b"\n")
        found = []
        for line in ended:
            found.append(b"".join([*self._rest, line, b"\n"]))
            self._rest = []
        if rest:
            self._rest.append(rest)
        return found


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of `data`, in as many steps as the pipe takes."""
    view = memoryview(data)
    while view:
        view = view[write(descriptor, view) :]
