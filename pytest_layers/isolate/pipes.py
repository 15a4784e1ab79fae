"""Pipes between pytest, supervisor and child: passed on to started processes, and read several at a time."""

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
"""Raised on writing to a pipe that nobody reads any more; on Windows EINVAL, which has no class of its own."""


def lend(descriptor: int) -> int:
    """Prepare a descriptor for a process started with `inherited`; gives its number there (on Windows a handle)."""
    if sys.platform == "win32":
        import msvcrt

        handle = msvcrt.get_osfhandle(descriptor)
        os.set_handle_inheritable(handle, True)
        return handle
    return descriptor


def take(number: int) -> int:
    """The descriptor for a number that `lend` gave; processes that this one starts do not inherit it.

    It is duplicated to get a low one, as `select` takes none above 1,023.
    """
    if sys.platform == "win32":
        import msvcrt

        os.set_handle_inheritable(number, False)
        return msvcrt.open_osfhandle(number, os.O_RDWR | os.O_BINARY)
    taken = os.dup(number)
    os.close(number)
    return taken


def inherited(descriptors: Sequence[int]) -> dict[str, Any]:
    """Arguments of `subprocess.Popen` for a process that is to have these descriptors."""
    if sys.platform == "win32":
        return {"close_fds": False, "creationflags": 0x00000200}  # CREATE_NEW_PROCESS_GROUP
    return {"pass_fds": tuple(descriptors), "start_new_session": True}


class Inbox:
    """Reads from several pipes, by `select`."""

    def __init__(self) -> None:
        self._open: list[int] = []

    def add(self, descriptor: int) -> None:
        """Listen to this one too."""
        self._open.append(descriptor)

    def drop(self, descriptor: int) -> None:
        """Listen to it no more."""
        self._open.remove(descriptor)

    def wait(self, seconds: float) -> list[tuple[int, bytes]]:
        """The pieces that came, with their pipes; none after `seconds` of silence. An empty piece is a pipe's end."""
        ready, _, _ = select.select(self._open, [], [], seconds)
        return [(descriptor, os.read(descriptor, PIECE_BYTES)) for descriptor in ready]


class ThreadedInbox(Inbox):
    """Reads each pipe in a thread: on Windows `select` takes no pipes."""

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
    """An inbox that works on this system."""
    return Inbox() if EXACT else ThreadedInbox()
