"""What a tree can have held while a process of it ended unseen: bounds that wait for the kernel's accounting. Pure.

A process that ends takes its high-water mark with it. When the window is over the kernel has told how large the
largest waited child ever was, and how many pages all of them touched.
"""

from __future__ import annotations

from itertools import zip_longest
from typing import NamedTuple

MAX_STRETCHES = 64
_NO_LIMIT = 2**62


class Told(NamedTuple):
    """What the kernel's accounting says of children that ended and were waited for, in bytes."""

    largest: int = _NO_LIMIT
    """The largest resident size that one of them ever had."""
    touched: int = _NO_LIMIT
    """What all of them newly touched after their last readings."""


class Ended(NamedTuple):
    """A process after its last reading, in bytes."""

    last: int
    """What of it is in the tree's bound."""
    growth: int
    """By how much it can have grown till its end, for all that time allows."""


class Stretch(NamedTuple):
    """From one reading to the next, with processes that ended in it."""

    upper: int
    """The tree's bound without their last growth."""
    ended: tuple[Ended, ...]
    twins_growth: int
    """Of those among them that shared pages since a fork: a page that they write to adds to the tree, not to them."""

    def bound(self, told: Told) -> int:
        """The tree's bound, in bytes."""
        grown = sum(min(growth, max(0, told.largest - last)) for last, growth in self.ended)
        return self.upper + grown + min(self.twins_growth, told.touched)


class Unseen:
    """All stretches that may turn out to hold the peak, or fewer that bound no less."""

    def __init__(self) -> None:
        self.stretches: list[Stretch] = []

    def add(self, stretch: Stretch, upper_bytes: int) -> None:
        """One more stretch; `upper_bytes` is what the whole window is bound by already."""
        self.stretches.append(stretch)
        if len(self.stretches) > MAX_STRETCHES:
            kept = sorted(one for one in self.stretches if one.bound(Told()) > upper_bytes)
            pairs = zip_longest(kept[::2], kept[1::2])
            self.stretches = [_fold(one, other) if other else one for one, other in pairs]

    def bound(self, told: Told) -> int:
        """The largest bound of all stretches, in bytes."""
        return max((stretch.bound(told) for stretch in self.stretches), default=0)


def _fold(one: Stretch, other: Stretch) -> Stretch:
    """A stretch that bounds both, whatever will be told."""
    nobody = Ended(_NO_LIMIT, 0)
    pairs = zip_longest(sorted(one.ended), sorted(other.ended), fillvalue=nobody)
    return Stretch(
        max(one.upper, other.upper),
        tuple(Ended(min(a.last, b.last), max(a.growth, b.growth)) for a, b in pairs),
        max(one.twins_growth, other.twins_growth),
    )
