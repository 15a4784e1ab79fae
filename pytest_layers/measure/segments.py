"""Shared memory of a tree, each segment once: POSIX segments, memfd, anonymous shared maps, files on tmpfs.

A page of a segment stands in the resident size of every process that touched it, and stays allocated when all of
them are gone. What a segment takes is `st_blocks * 512`, whoever holds it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

Key = tuple[int, int]
"""Device and inode."""

SHARED_FOLDER = "/dev/shm"  # noqa: S108  (the kernel's name for it: shm_overview(7))
_PREFIXES = ("/dev/shm/", "/memfd:", "/dev/zero (deleted)", "/SYSV")  # noqa: S108


def held_open(pid: int) -> dict[Key, int]:
    """Segments that `pid` holds a descriptor of, in bytes."""
    found: dict[Key, int] = {}
    folder = f"/proc/{pid}/fd"
    with contextlib.suppress(OSError):
        for descriptor in os.listdir(folder):  # noqa: PTH208
            path = f"{folder}/{descriptor}"
            with contextlib.suppress(OSError):
                if os.readlink(path).startswith(_PREFIXES):
                    stat = os.stat(path)  # noqa: PTH116
                    found[stat.st_dev, stat.st_ino] = stat.st_blocks * 512
    return found


def mapped(pid: int) -> dict[Key, int]:
    """Segments that `pid` maps, in bytes: a map outlives its descriptor.

    `map_files` names them all but wants privileges; so the size is that of the map's resident pages (smaps).
    """
    found: dict[Key, int] = {}
    key: Key | None = None
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps").read_bytes().split(b"\n"):
            if line.startswith(b"Rss:") and key is not None:
                found[key] = found.get(key, 0) + int(line.split()[1]) * 1024
            elif line[:1].isdigit() or b"-" in line[:17]:
                key = _segment_of(line)
    return found


def _segment_of(header: bytes) -> Key | None:
    """Device and inode of a line of maps, where it maps a segment."""
    fields = header.split(None, 5)
    if len(fields) < 6 or not fields[5].decode(errors="replace").startswith(_PREFIXES):
        return None
    major, minor = fields[3].split(b":")
    return os.makedev(int(major, 16), int(minor, 16)), int(fields[4])


def files_in(folder: str) -> dict[Key, int]:
    """Files below a folder on tmpfs, in bytes: written there they take memory, mapped or not."""
    found: dict[Key, int] = {}
    for path, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                stat = os.lstat(os.path.join(path, name))  # noqa: PTH118
                found[stat.st_dev, stat.st_ino] = stat.st_blocks * 512
    return found


def on_tmpfs(folder: str) -> bool:
    """Whether a folder lies on tmpfs, so that files in it are memory."""
    best, kind = "", ""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/mounts").read_text().splitlines():
            _, point, system, *_ = line.split()
            inside = folder == point or folder.startswith(point.rstrip("/") + "/")
            if inside and len(point) >= len(best):
                best, kind = point, system
    return kind == "tmpfs"


class Segments:
    """The segments of one case: those its processes hold, and tmpfs files that appeared since it began."""

    def __init__(self, folders: Iterable[str] = (SHARED_FOLDER,)) -> None:
        self._folders = [folder for folder in folders if on_tmpfs(folder)]
        self._foreign = self._files().keys()
        self._held: set[Key] = set()
        self.sizes: dict[Key, int] = {}

    def _files(self) -> dict[Key, int]:
        found: dict[Key, int] = {}
        for folder in self._folders:
            found |= files_in(folder)
        return found

    def read(self, shared_by_pid: dict[int, int]) -> int:
        """Bytes of all segments of the tree, given what each process maps of shared memory (`RssShmem`)."""
        held: dict[Key, int] = {}
        for pid, shared in shared_by_pid.items():
            own = held_open(pid)
            if shared > sum(own.values()):
                own = mapped(pid) | own
            held |= own
        new = {key: size for key, size in self._files().items() if key not in self._foreign}
        self._held |= held.keys()
        self.sizes = new | held
        return sum(self.sizes.values())

    def remove_left(self) -> list[str]:
        """Remove segments that the tree held and left behind; gives their paths.

        Only what one of its processes was seen to hold: another program may make files there at the same time.
        """
        removed = []
        for folder in self._folders:
            for path, _, names in os.walk(folder):
                for name in names:
                    file = os.path.join(path, name)  # noqa: PTH118
                    with contextlib.suppress(OSError):
                        stat = os.lstat(file)
                        key = stat.st_dev, stat.st_ino
                        if key in self._held and key not in self._foreign:
                            os.unlink(file)  # noqa: PTH108
                            removed.append(file)
        return removed
