"""Which processes share memory since a fork (a family), and how much each family holds, read from /proc."""

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
    """A family number for each process whose image another one has, now or at the reading `before`: a hash of it."""
    members = Counter(image for _, image in images.items() | before.items())
    return {pid: hash(image) for pid, image in images.items() if members[image] > 1}


def held(twins: Iterable[Reading], processes: Mapping[int, Process]) -> dict[int, Bracket]:
    """What each family holds together; none of families with a member that could not be read."""
    families: dict[int, list[Reading]] = {}
    for twin in twins:
        families.setdefault(twin.family, []).append(twin)
    found = {number: _held(members, processes) for number, members in families.items()}
    return {number: size for number, size in found.items() if size is not None}


def _held(members: list[Reading], processes: Mapping[int, Process]) -> Bracket | None:
    """The sum of the members' proportional sizes, or None.

    They are read one after another. What a member gives up meanwhile is counted twice: the others' shares of it grow
    before they are read. So the lower bound is less by that much.
    """
    sizes = [system.proportional_bytes(member.pid) for member in members]
    read = [size for size in sizes if size is not None]
    if len(read) < len(members):
        return None
    lost = sum(_lost(member, processes[member.pid]) for member in members)
    return Bracket(max(0, sum(read) - lost), sum(read))


def _lost(member: Reading, process: Process) -> int:
    """What it can have given up since its reading: all if it has ended, else what it freed or replaced."""
    held, now = member.memory, process.memory()
    if now is None:
        return held.anon + held.swap
    fell = held.anon + held.swap - now.anon - now.swap
    return max(0, fell) + max(0, process.minor_faults() - member.faults) * PAGE_BYTES


def borrows(process: Process, parent: int) -> bool | None:
    """Whether a twin runs in its parent's own memory, as between vfork and exec; None where that is not known.

    Proportional sizes don't show it. The kernel is asked, which a sandbox may forbid. Then a new process is taken for
    such a one while a thread of its parent is blocked in the kernel, as in vfork.
    """
    told = _compare_memory(process.pid, parent)
    if told < 0:
        is_new = process.minor_faults() * PAGE_BYTES <= STILL_BYTES
        return (is_new and _waits_within(parent)) or None
    return told == 0


def _compare_memory(pid: int, other: int) -> int:
    """0 if both have the same memory, negative where that is not known (kcmp(2))."""
    number = _KCMP.get(platform.machine())
    if number is None or sys.maxsize < 2**32:
        return -1
    return int(_libc().syscall(number, pid, other, _KCMP_VM, 0, 0))


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None)


def _waits_within(pid: int) -> bool:
    """Whether one of its threads is blocked in the kernel (state D), as in vfork."""
    threads = (system.identity(int(thread)) for thread in system.thread_ids(pid))
    return any(thread.state == "D" for thread in threads if thread)


def adds_nothing(memory: Memory, faults: int, parent: Memory) -> bool:
    """Whether a twin has the same size as its parent and has touched next to nothing.

    If it runs in its parent's memory it must not be counted; if it is a true fork, it adds nothing yet.
    """
    apart = max(abs(memory.anon - parent.anon), abs(memory.file - parent.file))
    return max(apart, faults * PAGE_BYTES) <= STILL_BYTES
