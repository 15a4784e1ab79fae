"""What a tree can have held while a process of it ended unseen: bounds that wait for the kernel's accounting. Pure.

A process that ends takes its high-water mark with it. When the window is over the kernel has told how large the
largest waited child ever was, and how many pages all of them touched: those that the case's own process waited for, or
the supervisor, not those of a parent that lives on.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import zip_longest
from types import MappingProxyType
from typing import NamedTuple

MAX_STRETCHES = 64
_NO_LIMIT = 2**62


class Told(NamedTuple):
    """What the kernel's accounting says of children that ended and were waited for, in bytes."""

    largest: int = _NO_LIMIT
    """The largest resident size that one of them ever had."""
    touched: int = _NO_LIMIT
    """What all of them newly touched after their last readings."""
    parents: Mapping[int, int] = MappingProxyType({})
    """Of those that live on, and have not told of the size of their children, what these touched unread."""


class Ended(NamedTuple):
    """A process after its last reading, in bytes."""

    last: int
    """What of it is in the tree's bound."""
    growth: int
    """By how much it can have grown till its end, for all that time allows."""
    parents: frozenset[int] = frozenset({0})
    """Who may have waited for it; 0 for nobody who lives on."""
    is_twin: bool = False
    """Whether it shared pages since a fork: what it touched is in the growth of those."""

    def grown(self, told: Told) -> int:
        """By how much it can have grown."""
        to_largest = 0 if self.is_twin else max(0, told.largest - self.last)
        bounds = [told.parents.get(pid, to_largest) for pid in self.parents]
        return min(self.growth, max(bounds, default=0))


class Stretch(NamedTuple):
    """From one reading to the next, with processes that ended in it."""

    upper: int
    """The tree's bound without their last growth."""
    ended: tuple[Ended, ...]
    twins_growth: int
    """Of those among them that shared pages since a fork: a page that they write to adds to the tree, not to them."""

    def bound(self, told: Told) -> int:
        """The tree's bound, in bytes."""
        grown = sum(one.grown(told) for one in self.ended)
        return self.upper + grown + min(self.twins_growth, told.touched)


class Unseen:
    """All stretches that may turn out to hold the peak, or fewer that bound no less."""

    def __init__(self) -> None:
        self.stretches: list[Stretch] = []

    def add(self, stretch: Stretch, upper_bytes: int) -> None:
        """One more stretch; `upper_bytes` is what the whole window is bound by already."""
        self.stretches.append(stretch)
        if len(self.stretches) > MAX_STRETCHES:
            kept = [one for one in self.stretches if one.bound(Told()) > upper_bytes]
            kept.sort(key=lambda one: (one.upper, one.twins_growth))
            pairs = zip_longest(kept[::2], kept[1::2])
            self.stretches = [_fold(one, other) if other else one for one, other in pairs]

    def bound(self, told: Told) -> int:
        """The largest bound of all stretches, in bytes."""
        return max((stretch.bound(told) for stretch in self.stretches), default=0)


def _fold(one: Stretch, other: Stretch) -> Stretch:
    """A stretch that bounds both, whatever will be told."""
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
