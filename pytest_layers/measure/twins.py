"""Bounds on processes that share pages since a fork (twins, which form a family). Pure.

The sum of their sizes counts shared pages twice. Their proportional sizes (PSS) add up to what they hold together, but
are expensive to read. Until the next such reading they can have added no more than they newly touched, and lost no more
than they freed or replaced.
"""

from __future__ import annotations

from collections.abc import Iterable

from pytest_layers.measure.life import STILL_BYTES, Life
from pytest_layers.measure.procfs import PAGE_BYTES


def split(lives: Iterable[Life]) -> tuple[list[Life], dict[int, list[Life]]]:
    """The processes without a twin, and the families by their numbers."""
    found: dict[int, list[Life]] = {}
    for life in lives:
        found.setdefault(life.family or -life.pid, []).append(life)
    alone = [members[0] for members in found.values() if len(members) == 1]
    return alone, {key: members for key, members in found.items() if len(members) > 1}


class Twins:
    """What is known of the families of one tree, by their numbers. All sizes are in bytes."""

    def __init__(self) -> None:
        self._sizes: dict[int, int] = {}
        self._members: dict[int, frozenset[int]] = {}
        """The members when the size was read."""
        self._left: dict[int, int] = {}
        """What members that ended since had added: forks of theirs may still hold it."""
        self._unread: dict[int, int] = {}
        """What such members can have added after their last readings."""
        self._known: dict[int, Life] = {}
        """All processes at the last reading."""
        self._alone: dict[int, tuple[int, int]] = {}
        """What those held that had no twin, and their page faults, when it was last known that they had none."""

    def check(self, family: int, size: int, lives: list[Life]) -> None:
        """Take in the sum of the members' proportional sizes, read after the readings of `lives`."""
        self._sizes[family] = size
        self._members[family] = _pids(lives)
        self._left.pop(family, None)
        self._unread.pop(family, None)
        for life in lives:
            life.checked_anon, life.checked_faults = life.anon, life.faults
            life.newborn_huge = None

    def note(self, lives: Iterable[Life], *, all_met: bool) -> None:
        """All that were read; where not `all_met`, one that seems alone may have a fork."""
        self._known = {life.pid: life for life in lives}
        if all_met:
            self._alone = {life.pid: (life.anon, life.faults) for life in split(lives)[0]}

    def meet(self, lives: Iterable[Life]) -> None:
        """Take in the processes of a new reading.

        If a family is one process that had no twin before and forks of it, its size is known without reading it: a fork
        adds nothing but what is touched.
        """
        for family, members in split(lives)[1].items():
            old = [life for life in members if life is self._known.get(life.pid)]
            born = [life for life in members if life is not self._known.get(life.pid)]
            anon, faults = self._alone.get(old[0].pid, (0, 0)) if len(old) == 1 else (0, 0)
            if faults and all(life.parent == old[0].pid for life in born):
                self._sizes[family] = anon
                for known in (self._members, self._left, self._unread):
                    known.pop(family, None)
                old[0].checked_anon, old[0].checked_faults = anon, faults

    def upper(self, family: int, lives: list[Life], size: int | None) -> int:
        """Upper bound on a family since the last reading; `size` is what was read of it now, or None."""
        bounds = [sum(life.upper for life in lives)]
        if family in self._sizes:
            added = self._left.get(family, 0) + sum(map(_added, lives)) + _added_newborn(lives)
            bounds.append(self._sizes[family] + added)
        if size is not None:
            bounds.append(size + sum(life.upper - life.anon * (not life.is_gone) for life in lives))
        return min(bounds)

    def leave(self, life: Life, growth: int) -> None:
        """A member has ended, and can have touched `growth` after its last reading."""
        if life.family in self._sizes:
            added = _added(life) + _added_newborn([life])
            self._left[life.family] = self._left.get(life.family, 0) + added
            self._unread[life.family] = self._unread.get(life.family, 0) + growth

    @property
    def unread_growth(self) -> int:
        """What members that ended since sizes were read can have added after their last readings."""
        return sum(self._unread.values())

    def lower(self, family: int, lives: list[Life], *, is_torn: bool) -> int:
        """Lower bound on a family that is not read now: its largest member, or its last size less what may be gone."""
        largest = max(life.anon_held(is_torn=is_torn) for life in lives)
        if self._members.get(family) != _pids(lives):
            return largest
        lost = sum(_lost(life, is_torn=is_torn) for life in lives)
        return max(largest, self._sizes[family] - lost)

    def is_stale(self, family: int, lives: list[Life]) -> bool:
        """Whether its size must be read again: members changed, or touched or freed pages."""
        if self._members.get(family) != _pids(lives):
            return True
        return sum(max(_added(life), _lost(life)) for life in lives) > STILL_BYTES


def _added(life: Life) -> int:
    """What it can have added to its family since the size was read."""
    return max(_touched(life), life.unhidden - life.checked_anon)


def _added_newborn(lives: list[Life]) -> int:
    """What members born since the size was read can have added in huge pages before their first readings."""
    spans = [life.newborn_huge for life in lives if life.newborn_huge]
    return max(after for _, after in spans) - min(before for before, _ in spans) if spans else 0


def _lost(life: Life, *, is_torn: bool = False) -> int:
    """By how much its family can have shrunk through it since the size was read."""
    return max(0, life.checked_anon - life.anon_held(is_torn=is_torn)) + _touched(life)


def _touched(life: Life) -> int:
    return (life.faults - life.checked_faults) * PAGE_BYTES


def _pids(lives: list[Life]) -> frozenset[int]:
    return frozenset(life.pid for life in lives)
