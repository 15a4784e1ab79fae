"""Upper bounds for the times in which a process ended between two readings. Pure.

A process that ends takes its high-water mark with it. Only when the window is over, the kernel's accounting tells how
large the largest waited child ever was, and how many pages all of them touched. That is known of children that the
case's own process or the supervisor waited for, not of those of other living processes. Until then such times
(stretches, from one reading to the next) are remembered.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import zip_longest
from types import MappingProxyType
from typing import NamedTuple

MAX_STRETCHES = 64
_NO_LIMIT = 2**62


class Accounting(NamedTuple):
    """The kernel's accounting of children that ended and were waited for, in bytes."""

    largest: int = _NO_LIMIT
    """The largest resident size of any of them."""
    touched: int = _NO_LIMIT
    """What all of them together touched after their last readings."""
    parents: Mapping[int, int] = MappingProxyType({})
    """For living parents, whose children's sizes are not known: what these touched after their last readings."""


class Ended(NamedTuple):
    """A process that ended, after its last reading, in bytes."""

    last: int
    """What the tree's bound contains of it."""
    growth: int
    """By how much it can have grown before its end, judged by the time that passed."""
    parents: frozenset[int] = frozenset({0})
    """Which living process may have waited for it; 0 for none."""
    is_twin: bool = False
    """Whether it shared pages since a fork: then what it touched counts in `twins_growth`."""

    def grown(self, accounting: Accounting) -> int:
        """By how much it can have grown."""
        to_largest = 0 if self.is_twin else max(0, accounting.largest - self.last)
        bounds = [accounting.parents.get(pid, to_largest) for pid in self.parents]
        return min(self.growth, max(bounds, default=0))


class Stretch(NamedTuple):
    """The time from one reading to the next, with the processes that ended in it."""

    upper: int
    """The tree's upper bound without what they grew by after their last readings."""
    ended: tuple[Ended, ...]
    twins_growth: int
    """The growth of all twins: a page that one writes to adds to the tree, though not to its own size."""

    def bound(self, accounting: Accounting) -> int:
        """The tree's bound, in bytes."""
        grown = sum(one.grown(accounting) for one in self.ended)
        return self.upper + grown + min(self.twins_growth, accounting.touched)


class Unseen:
    """All stretches that may hold the peak, or fewer that bound no less."""

    def __init__(self) -> None:
        self.stretches: list[Stretch] = []

    def add(self, stretch: Stretch, upper_bytes: int) -> None:
        """Add a stretch; `upper_bytes` is the bound that the whole window has anyway."""
        self.stretches.append(stretch)
        if len(self.stretches) > MAX_STRETCHES:
            kept = [one for one in self.stretches if one.bound(Accounting()) > upper_bytes]
            kept.sort(key=lambda one: (one.upper, one.twins_growth))
            pairs = zip_longest(kept[::2], kept[1::2])
            self.stretches = [_fold(one, other) if other else one for one, other in pairs]

    def bound(self, accounting: Accounting) -> int:
        """The largest bound of all stretches, in bytes."""
        return max((stretch.bound(accounting) for stretch in self.stretches), default=0)


def _fold(one: Stretch, other: Stretch) -> Stretch:
    """A stretch that bounds both, whatever the accounting will say."""
    nobody = Ended(_NO_LIMIT, 0, frozenset(), is_twin=True)
    pairs = zip_longest(
        *(sorted(each.ended, key=lambda one: one[:2]) for each in (one, other)), fillvalue=nobody
    )
    return Stretch(
        max(one.upper, other.upper),
        tuple(
            Ended(
                min(a.last, b.last),
                max(a.growth, b.growth),
                a.parents | b.parents,
                is_twin=a.is_twin and b.is_twin,
            )
            for a, b in pairs
        ),
        max(one.twins_growth, other.twins_growth),
    )
