"""Pipes between pytest, supervisor and child: handed on by number, and listened to several at a time."""

from __future__ import annotations

import os
import queue
import select
import sys
import threading
from collections.abc import Sequence
from typing import Any

from pytest_layers.measure.host import EXACT

PIECE_BYTES = 65536
CLOSED: tuple[type[OSError], ...] = (OSError,) if sys.platform == "win32" else (BrokenPipeError,)
"""What writing raises where nobody reads any more: on Windows EINVAL, which has no class of its own."""


def lend(descriptor: int) -> int:
    """The number by which a process that is started with `inherited` finds it: on Windows that of its handle."""
    if sys.platform == "win32":
        import msvcrt

        handle = msvcrt.get_osfhandle(descriptor)
        os.set_handle_inheritable(handle, True)
        return handle
    return descriptor


def take(number: int) -> int:
    """The descriptor of a number that was lent; what this process starts does not have it.

    A low one where that may be had: `select` takes none from 1,024 on.
    """
    if sys.platform == "win32":
        import msvcrt

        os.set_handle_inheritable(number, False)
        return msvcrt.open_osfhandle(number, os.O_RDWR | os.O_BINARY)
    taken = os.dup(number)
    os.close(number)
    return taken


def inherited(descriptors: Sequence[int]) -> dict[str, Any]:
    """How `subprocess.Popen` is to start a process that these are lent to."""
    if sys.platform == "win32":
        return {"close_fds": False, "creationflags": 0x00000200}  # CREATE_NEW_PROCESS_GROUP
    return {"pass_fds": tuple(descriptors), "start_new_session": True}


class Inbox:
    """What comes in by pipes."""

    def __init__(self) -> None:
        self._open: list[int] = []

    def add(self, descriptor: int) -> None:
        """Listen to this one too."""
        self._open.append(descriptor)

    def drop(self, descriptor: int) -> None:
        """Listen to it no more."""
        self._open.remove(descriptor)

    def wait(self, seconds: float) -> list[tuple[int, bytes]]:
        """What came by each pipe; nothing if none came for `seconds`. An empty piece is the end of its pipe."""
        ready, _, _ = select.select(self._open, [], [], seconds)
        return [(descriptor, os.read(descriptor, PIECE_BYTES)) for descriptor in ready]


class ThreadedInbox(Inbox):
    """The same where `select` takes no pipes, as on Windows: a thread reads each."""

    def __init__(self) -> None:
        super().__init__()
        self._pieces: queue.SimpleQueue[tuple[int, bytes]] = queue.SimpleQueue()

    def add(self, descriptor: int) -> None:
        """Listen to this one too."""
        super().add(descriptor)
        threading.Thread(target=self._listen, args=(descriptor,), daemon=True).start()

    def wait(self, seconds: float) -> list[tuple[int, bytes]]:
        """What came by one of them."""
        try:
            descriptor, data = self._pieces.get(timeout=max(0.0, seconds))
        except queue.Empty:
            return []
        return [(descriptor, data)] if descriptor in self._open else []

    def _listen(self, descriptor: int) -> None:
        data = b"."
        while data:
            try:
                data = os.read(descriptor, PIECE_BYTES)
            except OSError:  # its writer was ended: Windows has an error for that
                data = b""
            self._pieces.put((descriptor, data))


def inbox() -> Inbox:
    """One for this system."""
    return Inbox() if EXACT else ThreadedInbox()
