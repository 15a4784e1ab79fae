"""Processes that share an image since a fork, as /proc tells of them."""

from __future__ import annotations

import ctypes
import functools
import platform
import sys
from collections import Counter
from collections.abc import Iterable, Mapping

from pytest_layers.measure.host import system
from pytest_layers.measure.life import STILL_BYTES, Reading
from pytest_layers.measure.procfs import PAGE_BYTES, Memory, Process
from pytest_layers.records import Bracket

_KCMP = {"x86_64": 312, "aarch64": 272, "riscv64": 272}
"""The number of kcmp(2), which the C library has no function for."""
_KCMP_VM = 1


def numbers(
    images: Mapping[int, tuple[int, int]], before: Mapping[int, tuple[int, int]]
) -> dict[int, int]:
    """A number for every process whose image another one shares, or did at the reading `before`: its own, hashed."""
    members = Counter(image for _, image in images.items() | before.items())
    return {pid: hash(image) for pid, image in images.items() if members[image] > 1}


def held(twins: Iterable[Reading], processes: Mapping[int, Process]) -> dict[int, Bracket]:
    """What each family holds, where all of its members could be read."""
    families: dict[int, list[Reading]] = {}
    for twin in twins:
        families.setdefault(twin.family, []).append(twin)
    found = {number: _held(members, processes) for number, members in families.items()}
    return {number: size for number, size in found.items() if size is not None}


def _held(members: list[Reading], processes: Mapping[int, Process]) -> Bracket | None:
    """Proportional sizes are read in turn: what a member gives up meanwhile, the others hold more of when theirs come.

    So much less is sure.
    """
    sizes = [system.proportional_bytes(member.pid) for member in members]
    read = [size for size in sizes if size is not None]
    if len(read) < len(members):
        return None
    lost = sum(_lost(member, processes[member.pid]) for member in members)
    return Bracket(max(0, sum(read) - lost), sum(read))


def _lost(member: Reading, process: Process) -> int:
    """What it can have given up since its reading: by ending, or less what it newly touched."""
    held, now = member.memory, process.memory()
    if now is None:
        return held.anon + held.swap
    fell = held.anon + held.swap - now.anon - now.swap
    return max(0, fell) + max(0, process.minor_faults() - member.faults) * PAGE_BYTES


def borrows(process: Process, parent: int) -> bool | None:
    """Whether a twin runs in its parent's very memory, as between vfork and exec; None where that is not told.

    Not even a proportional size would tell. A sandbox may forbid to ask; then a thread of the parent that is held up
    in the kernel may be waiting for it.
    """
    told = _compare_memory(process.pid, parent)
    if told < 0:
        is_new = process.minor_faults() * PAGE_BYTES <= STILL_BYTES
        return (is_new and _waits_within(parent)) or None
    return told == 0


def _compare_memory(pid: int, other: int) -> int:
    """0 where both have the same, negative where it is not told."""
    number = _KCMP.get(platform.machine())
    if number is None or sys.maxsize < 2**32:
        return -1
    return int(_libc().syscall(number, pid, other, _KCMP_VM, 0, 0))


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None)


def _waits_within(pid: int) -> bool:
    """Whether one of its threads waits for something else than an event (state D), as in vfork."""
    threads = (system.identity(int(thread)) for thread in system.thread_ids(pid))
    return any(thread.state == "D" for thread in threads if thread)


def adds_nothing(memory: Memory, faults: int, parent: Memory) -> bool:
    """Whether a twin is as its parent is, where it is not told whether it runs in that one's memory.

    A true fork that is so alike and has touched so little adds nothing yet.
    """
    apart = max(abs(memory.anon - parent.anon), abs(memory.file - parent.file))
    return max(apart, faults * PAGE_BYTES) <= STILL_BYTES
