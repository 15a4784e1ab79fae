"""Shared memory of a tree, each segment once: POSIX, System V, memfd, anonymous shared maps, files on tmpfs.

A page of a segment is in the resident size of every process that touched it, and stays allocated when all of them have
ended. What a segment takes is `st_blocks * 512`, whoever holds it.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import NamedTuple

from pytest_layers.measure import machine, procfs
from pytest_layers.measure.life import STILL_BYTES, UNTOLD_BYTES
from pytest_layers.measure.procfs import PAGE_BYTES
from pytest_layers.records import Bracket

Key = tuple[int, int]
"""Device and inode."""

MachineShared = tuple[int, int] | None
"""What `machine.shared_bytes` gives."""

SHARED_FOLDER = "/dev/shm"  # noqa: S108  (the kernel's name for it: shm_overview(7))
_PREFIXES = (b"/dev/shm/", b"/memfd:", b"/dev/zero (deleted)", b"/SYSV")
_MAPPED = re.compile(
    rb"^\S+ \S+ \S+ (\w+):(\w+) (\d+) +(%b)" % b"|".join(map(re.escape, _PREFIXES)),
    re.MULTILINE,
)
"""A line of maps (proc_pid_maps(5)) that maps a segment: device, inode, and how the name begins."""
_SYSTEM_V = -1
"""The device of System V segments in keys: their numbers could also be inodes of anonymous maps."""
SHARE = 0.05
"""Of one core, for reading sizes while shared memory moves; of the time too where smaps is read for that, which waits
for locks of the processes.
"""


class SystemV(NamedTuple):
    """A System V segment, which stays when no process is attached any more (sysvipc(7))."""

    bytes: int
    users: frozenset[int]
    """The processes that made it, and that attached or detached last."""


def system_v() -> dict[Key, SystemV]:
    """All System V segments of the machine, by `/proc/sysvipc/shm`."""
    with contextlib.suppress(OSError):
        names, *lines = Path("/proc/sysvipc/shm").read_text().splitlines()
        found = [dict(zip(names.split(), line.split(), strict=True)) for line in lines]
        return {
            (_SYSTEM_V, int(told["shmid"])): SystemV(
                int(told["rss"]) + int(told["swap"]),
                frozenset({int(told["cpid"]), int(told["lpid"])}),
            )
            for told in found
        }
    return {}


def held_open(pid: int) -> dict[Key, int]:
    """Segments that `pid` has open, and their bytes."""
    found: dict[Key, int] = {}
    folder = f"{procfs.folder(pid)}/fd".encode()
    with contextlib.suppress(OSError):
        for descriptor in os.listdir(folder):  # noqa: PTH208
            path = b"%b/%b" % (folder, descriptor)
            with contextlib.suppress(OSError):
                if os.readlink(path).startswith(_PREFIXES):
                    stat = os.stat(path)  # noqa: PTH116
                    found[stat.st_dev, stat.st_ino] = _taken_bytes(stat)
    return found


def _taken_bytes(stat: os.stat_result) -> int:
    """How much room a file takes; Windows tells only its length."""
    return stat.st_blocks * 512 if hasattr(stat, "st_blocks") else stat.st_size


def mapped(pid: int) -> set[Key]:
    """Segments that `pid` maps, also where it has closed them."""
    with contextlib.suppress(OSError):
        lines = Path(f"{procfs.folder(pid)}/maps").read_bytes()
        if any(prefix in lines for prefix in _PREFIXES):
            return {_key(*found) for found in _MAPPED.findall(lines)}
    return set()


def mapped_bytes(pid: int) -> dict[Key, Counter[bytes]]:
    """How much `pid` maps of each segment (smaps): `Rss`, and `Pss`, which divides pages among all who map them.

    Expensive: about 14 ms per GB mapped. `map_files` would give whole sizes, but needs privileges.
    """
    found: dict[Key, Counter[bytes]] = {}
    key: Key | None = None
    with contextlib.suppress(OSError):
        for line in Path(f"{procfs.folder(pid)}/smaps").read_bytes().split(b"\n"):
            if line.startswith((b"Rss:", b"Pss:")) and key is not None:
                found.setdefault(key, Counter())[line[:3]] += int(line.split()[1]) * 1024
            elif b"-" in line[:17]:
                header = _MAPPED.match(line)
                key = _key(*header.groups()) if header else None
    return found


def _mapped_pages(pid: int) -> int:
    """Resident pages of files and segments (statm)."""
    with contextlib.suppress(OSError):
        return int(Path(f"{procfs.folder(pid)}/statm").read_bytes().split()[2])
    return 0


def mapped_by_all(
    pids: list[int], known: Container[Key]
) -> tuple[dict[Key, Bracket], dict[int, int]]:
    """The sizes of segments that are not `known`, as sums of what processes map (Pss); and all that each maps (Rss).

    The processes are read one after another. Pages that moved meanwhile widen the bounds; if there were many, the lower
    bound is only what a single process maps.
    """
    before = [_mapped_pages(pid) for pid in pids]
    shares: Counter[Key] = Counter()
    largest: dict[Key, int] = {}
    resident: Counter[int] = Counter()
    for pid in pids:
        for key, told in mapped_bytes(pid).items():
            resident[pid] += told[b"Rss"]
            if key not in known:
                shares[key] += told[b"Pss"]
                largest[key] = max(largest.get(key, 0), told[b"Rss"])
    moved = sum(abs(pages - _mapped_pages(pid)) for pid, pages in zip(pids, before, strict=True))
    unsure = UNTOLD_BYTES if moved * PAGE_BYTES > STILL_BYTES else moved * PAGE_BYTES
    found = {
        key: Bracket(max(size - unsure, min(size, largest[key])), max(size, largest[key]))
        for key, size in shares.items()
    }
    return found, resident


def _key(major: bytes, minor: bytes, inode: bytes, name: bytes) -> Key:
    if name == b"/SYSV":
        return _SYSTEM_V, int(inode)
    return os.makedev(int(major, 16), int(minor, 16)), int(inode)


def files_in(folder: str) -> dict[Key, int]:
    """Files below a folder, and their bytes. On tmpfs they take memory, mapped or not."""
    return {key: size for _, key, size in _files_below(folder)}


def _files_below(folder: str) -> Iterator[tuple[str, Key, int]]:
    for path, _, names in os.walk(folder):
        for name in names:
            file = os.path.join(path, name)  # noqa: PTH118
            with contextlib.suppress(OSError):
                yield file, *_file(file)


def _file(path: str) -> tuple[Key, int]:
    stat = os.lstat(path)
    return (stat.st_dev, stat.st_ino), _taken_bytes(stat)


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
    """The segments of one case: those its processes hold or have held, and files in folders of its own.

    Of a file that was there before only its growth counts, and only if a process of the case holds it. A file that
    appears in a shared folder (/dev/shm) and was never seen held by the case may be anybody's: its bytes are doubtful.
    """

    def __init__(self, shared: Iterable[str] = (SHARED_FOLDER,), own: Iterable[str] = ()) -> None:
        self._own = [folder for folder in own if on_tmpfs(folder)]
        self._folders = [*(folder for folder in shared if on_tmpfs(folder)), *self._own]
        self._paths: dict[Key, str] = {}
        """Of the files in the folders when sizes were read."""
        self._foreign = self._named(system_v())
        self._pids: set[int] = set()
        """All processes of the case so far."""
        self._held: set[Key] = set()
        self.sizes: dict[Key, int] = {}
        self._read_bytes = self._read_used = 0
        self._unsure_bytes = 0
        """By how much the sizes read last may be too large."""
        self._is_dear = False
        """Whether smaps was read for them."""
        self._machine: tuple[MachineShared, MachineShared] = (None, None)
        """All shared memory of the machine just before sizes were read, and just after."""
        self._read_mapped: dict[int, int] = {}
        """How much each process mapped, at most, when sizes were read."""
        self._maps: dict[int, set[Key]] = {}
        self._due = 0.0
        self.doubtful_bytes = 0
        """Of files that appeared in shared folders and may be the case's or somebody else's."""

    def look(self, now: float, shared_by_pid: Mapping[int, int], *, due: bool) -> Bracket:
        """What all segments of the tree take. They are read if that is `due`, or if memory moved and there is time.

        In between, bounds come from what is cheap to read: how much each process maps (`RssShmem`), and how much of the
        folders is used. Mapped segments and files have changed by no more than these since sizes were read. All shared
        memory of the machine narrows that, assuming that other programs hold as much as before: what several processes
        map of one segment is new only once, and segments that nobody maps may be gone. A file that still has its size
        is not gone, whoever closed it.
        """
        used = self.used_bytes()
        moved = [
            shared_by_pid.get(pid, 0) - self._read_mapped.get(pid, 0)
            for pid in shared_by_pid.keys() | self._read_mapped.keys()
        ]
        moved.append(used - self._read_used)
        if due or (sum(map(abs, moved)) > STILL_BYTES and now >= self._due):
            before, began = time.thread_time(), time.perf_counter()
            then = machine.shared_bytes()
            self._read_bytes, self._read_used, moved = self.read(shared_by_pid, due=due), used, []
            self._machine = then, machine.shared_bytes()
            waited = time.perf_counter() - began if self._is_dear else 0.0
            self._due = now + max(time.thread_time() - before, waited) / SHARE
        shrunk = -sum(change for change in moved if change < 0)
        grown = sum(change for change in moved if change > 0)
        if moved and max(grown, self._read_bytes) > STILL_BYTES:
            shrunk, grown = self._as_machine(shrunk, grown)
        lower = self._read_bytes - self._unsure_bytes - shrunk
        return Bracket(max(0, lower), self._read_bytes + grown)

    def _as_machine(self, shrunk: int, grown: int) -> tuple[int, int]:
        """The same changes, narrowed by files that are still there and by all shared memory of the machine."""
        (before, after), now = self._machine, machine.shared_bytes()
        if before is None or after is None or now is None:
            return self._gone(shrunk), grown
        rose = sum(max(0, told - then) for told, then in zip(now, before, strict=True))
        most = self._gone(shrunk) + rose + 2 * machine.shared_slack_bytes()
        return self._gone(max(shrunk, sum(after) - sum(now))), min(grown, most)

    def _gone(self, shrunk: int) -> int:
        """How much may be gone, at most: not the files that are still there."""
        if not shrunk:
            return 0
        there = 0
        for key in self.sizes.keys() & self._paths.keys():
            with contextlib.suppress(OSError):
                found, size = _file(self._paths[key])
                more = size - self._foreign.get(key, 0) if found == key else 0
                there += max(0, min(self.sizes[key], more))
        return min(shrunk, self._read_bytes - there)

    def used_bytes(self) -> int:
        """How much of the folders is used, by any program; if it moved, `read` may find something new."""
        used = 0
        for folder in self._folders:
            with contextlib.suppress(OSError):
                told = os.statvfs(folder)
                used += (told.f_blocks - told.f_bfree) * told.f_frsize
        return used

    def _named(self, segments: Mapping[Key, SystemV]) -> dict[Key, int]:
        """Segments that have a name: files in the folders, and these."""
        found = {key: segment.bytes for key, segment in segments.items()}
        self._paths = {}
        for folder in self._folders:
            for path, key, size in _files_below(folder):
                found[key], self._paths[key] = size, path
        return found

    def read(self, shared_by_pid: Mapping[int, int], *, due: bool = True) -> int:
        """Read the sizes of all segments; gives their sum. Each process maps so much shared memory (`RssShmem`).

        Unless it is due, the maps of a process that maps as much as before are not read again.
        """
        self._pids |= shared_by_pid.keys()
        segments = system_v()
        named = self._named(segments)
        held: dict[Key, int] = {}
        for pid in shared_by_pid:
            held |= held_open(pid)
        self._map(shared_by_pid, due=due)
        held |= self._nameless(named.keys() | held.keys())
        self._held |= held.keys() | set().union(*self._maps.values())
        self._held |= {key for key, one in segments.items() if one.users & self._pids}
        for folder in self._own:
            self._held |= files_in(folder).keys()
        own = {key: size for key, size in named.items() if key in self._held}
        self.sizes = {key: size - self._foreign.get(key, 0) for key, size in (held | own).items()}
        unknown = named.keys() - self._held - self._foreign.keys()
        self.doubtful_bytes = sum(named[key] for key in unknown)
        return sum(size for size in self.sizes.values() if size > 0)

    def _map(self, shared_by_pid: Mapping[int, int], *, due: bool) -> None:
        """Find which segments each process maps."""
        self._maps = {
            pid: mapped(pid) if due or self._read_mapped.get(pid) != shared else self._maps[pid]
            for pid, shared in shared_by_pid.items()
            if shared
        }
        self._read_mapped = dict(shared_by_pid)

    def _nameless(self, known: AbstractSet[Key]) -> dict[Key, int]:
        """Upper bounds on mapped segments that are not `known`: they can't be opened, nor found by name."""
        pids = [pid for pid, keys in self._maps.items() if keys - known]
        found, resident = mapped_by_all(pids, known)
        for pid, size in resident.items():
            self._read_mapped[pid] = max(self._read_mapped[pid], size)
        self._is_dear = bool(pids)
        self._unsure_bytes = sum(size.upper_bytes - size.lower_bytes for size in found.values())
        return {key: size.upper_bytes for key, size in found.items()}

    def remove_left(self) -> list[str]:
        """Remove files that the tree held and left in the folders; gives their paths.

        Only files that one of its processes was seen to hold: other programs may make files there at the same time.
        """
        removed = []
        for folder in self._folders:
            for path, _, names in os.walk(folder, topdown=False):
                own = [name for name in names if self._remove(os.path.join(path, name))]  # noqa: PTH118
                removed += [os.path.join(path, name) for name in own]  # noqa: PTH118
                if own and path != folder:
                    with contextlib.suppress(OSError):
                        os.rmdir(path)  # noqa: PTH106
        return removed

    def _remove(self, file: str) -> bool:
        """Remove a file if the tree held it and it was not there before; gives whether it is gone."""
        with contextlib.suppress(OSError):
            key, _ = _file(file)
            if key in self._held and key not in self._foreign:
                os.unlink(file)  # noqa: PTH108
                return True
        return False
