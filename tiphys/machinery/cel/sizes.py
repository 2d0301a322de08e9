"""Ranges of sizes and costs, which end at the greatest number of 64 bits instead of overflowing."""

import math
from typing import Final, NamedTuple

MAX: Final = 2**64 - 1


class Range(NamedTuple):
    """The least and the most; of a size or of a cost."""

    low: int
    high: int

    def plus(self, other: "Range") -> "Range":
        return Range(min(self.low + other.low, MAX), min(self.high + other.high, MAX))

    def times(self, other: "Range") -> "Range":
        return Range(min(self.low * other.low, MAX), min(self.high * other.high, MAX))

    def scaled(self, factor: float) -> "Range":
        """Multiplied and rounded up."""
        return Range(_scaled(self.low, factor), _scaled(self.high, factor))

    def union(self, other: "Range") -> "Range":
        return Range(min(self.low, other.low), max(self.high, other.high))


def _scaled(value: int, factor: float) -> int:
    found = float(value) * factor
    return MAX if found >= 2.0**64 else math.ceil(found)


def fixed(value: int) -> Range:
    return Range(value, value)


ZERO: Final = fixed(0)
ONE: Final = fixed(1)
UNKNOWN: Final = Range(0, MAX)
#: What no range has been joined to yet.
NOTHING: Final = Range(MAX, 0)
