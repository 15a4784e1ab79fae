"""Processes that share an image since a fork, as /proc tells of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pytest_layers.measure.host import system
from pytest_layers.measure.life import STILL_BYTES, Reading
from pytest_layers.measure.procfs import PAGE_BYTES, Memory


def numbers(images: Mapping[int, tuple[int, int]]) -> dict[int, int]:
    """A number for every process whose image another one shares."""
    members: dict[tuple[int, int], list[int]] = {}
    for pid, image in images.items():
        members.setdefault(image, []).append(pid)
    return {pid: min(pids) for pids in members.values() if len(pids) > 1 for pid in pids}


def proportional_bytes(twins: Iterable[Reading]) -> dict[int, int]:
    """What each family holds, where all of its members could be read."""
    found: dict[int, int] = {}
    unread = set()
    for twin in twins:
        size = system.proportional_bytes(twin.pid)
        if size is None:
            unread.add(twin.family)
        else:
            found[twin.family] = found.get(twin.family, 0) + size
    return {number: size for number, size in found.items() if number not in unread}


def adds_nothing(memory: Memory, faults: int, parent: Memory) -> bool:
    """Whether a twin is as its parent is: between vfork and exec it runs in its parent's very memory.

    Not even a proportional size would tell. A true fork that is so alike and has touched so little adds nothing yet.
    """
    apart = max(abs(memory.anon - parent.anon), abs(memory.file - parent.file))
    return max(apart, faults * PAGE_BYTES) <= STILL_BYTES
