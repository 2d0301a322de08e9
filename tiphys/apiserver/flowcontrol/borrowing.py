"""How the server's seats are shared by its levels, and lent by those that do not need theirs. Pure.

Source: KEP-1040, "Dispatching, borrowing and lending"; by behaviour.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

#: Seconds between two adjustments of what levels borrow from each other.
PERIOD_SECONDS: Final = 10.0
#: How much of an earlier, higher demand is remembered per period (half of it for about five minutes).
DECAY: Final = 0.977


@dataclass(frozen=True, slots=True)
class Limits:
    """Seats of a level: what is its own, the least and the most it may come to have."""

    nominal: int
    lower: int
    upper: int


def limits(total: int, shares: Mapping[str, tuple[int, int, int | None]]) -> dict[str, Limits]:
    """Limits of each level from (shares, lendable per cent, borrowing limit in per cent or None)."""
    together = sum(share for share, _, _ in shares.values()) or 1
    found = {}
    for name, (share, lendable, borrowing) in shares.items():
        nominal = math.ceil(total * share / together)
        lower = nominal - _rounded(nominal * lendable / 100)
        more = total if borrowing is None else _rounded(nominal * borrowing / 100)
        found[name] = Limits(nominal, lower, nominal + more)
    return found


def _rounded(value: float) -> int:
    """Half up, as Go rounds."""
    return math.floor(value + 0.5)


class Demand:
    """Seats wanted (running and waiting) over a period: mean, deviation and peak, weighted by time."""

    __slots__ = ("_since", "_squares", "_start", "_sum", "peak", "seats", "smooth")

    def __init__(self, now: float) -> None:
        self.seats = 0
        self.peak = 0
        #: An envelope of demand that falls slowly.
        self.smooth = 0.0
        self._sum = 0.0
        self._squares = 0.0
        self._start = self._since = now

    def add(self, seats: int, now: float) -> None:
        """From ``now`` on so many more (or fewer) seats are wanted."""
        lasted = now - self._since
        if lasted > 0:
            self._sum += self.seats * lasted
            self._squares += self.seats * self.seats * lasted
            self._since = now
        self.seats += seats
        if self.seats > self.peak:
            self.peak = self.seats

    def statistics(self, now: float) -> tuple[float, float]:
        """Mean and standard deviation since the period began."""
        self.add(0, now)
        lasted = now - self._start
        if lasted <= 0:
            return float(self.seats), 0.0
        mean = self._sum / lasted
        return mean, math.sqrt(max(0.0, self._squares / lasted - mean * mean))

    def close(self, now: float) -> tuple[float, float, int]:
        """End the period: mean, deviation and peak of it."""
        mean, deviation = self.statistics(now)
        peak = self.peak
        envelope = mean + deviation
        self.smooth = max(envelope, DECAY * self.smooth + (1 - DECAY) * envelope)
        self.peak = self.seats
        self._sum = self._squares = 0.0
        self._start = self._since = now
        return mean, deviation, peak


@dataclass(frozen=True, slots=True)
class Wish:
    """What a level may have and would like."""

    lower: float
    upper: float
    target: float


def shared(total: float, wishes: Sequence[Wish]) -> tuple[list[float], float]:
    """Seats for each, ``total`` together, and the fraction of its target that everybody gets.

    Everybody gets the same fraction of his target, but never less than his
    lower nor more than his upper bound. Where the bounds leave no choice the
    sum differs from ``total``.
    """
    if sum(wish.lower for wish in wishes) >= total:
        return [wish.lower for wish in wishes], 0.0
    if sum(wish.upper if wish.target > 0 else wish.lower for wish in wishes) <= total:
        return _with_rest(total, wishes)
    low, high = 0.0, max(wish.upper / wish.target for wish in wishes if wish.target > 0)
    for _ in range(60):
        middle = (low + high) / 2
        if sum(_given(wish, middle) for wish in wishes) < total:
            low = middle
        else:
            high = middle
    return [_given(wish, high) for wish in wishes], high


def _given(wish: Wish, fraction: float) -> float:
    return min(wish.upper, max(wish.lower, fraction * wish.target))


def _with_rest(total: float, wishes: Sequence[Wish]) -> tuple[list[float], float]:
    """Everybody who wants something has his most; those who want nothing share the rest by what they may have."""
    found = [wish.upper if wish.target > 0 else wish.lower for wish in wishes]
    rest = total - sum(found)
    room = sum(wish.upper - wish.lower for wish in wishes if wish.target <= 0)
    if rest > 0 and room > 0:
        part = min(1.0, rest / room)
        found = [
            given if wish.target > 0 else given + part * (wish.upper - wish.lower)
            for given, wish in zip(found, wishes, strict=True)
        ]
    return found, 1.0


def adjusted(total: int, levels: Mapping[str, tuple[Limits, int, float]]) -> tuple[dict[str, int], dict[str, float]]:
    """Current seats of each level, and what it aimed at, from its limits, the peak of its demand and the smooth demand.

    Exempt levels are not among them; the caller takes what they use off ``total``.
    """
    floors = {name: max(own.lower, min(own.nominal, peak)) for name, (own, peak, _) in levels.items()}
    targets = {name: max(float(floors[name]), smooth) for name, (_, _, smooth) in levels.items()}
    lower_sum = sum(own.lower for own, _, _ in levels.values())
    floor_sum = sum(floors.values())
    if total <= lower_sum:
        return {name: own.lower for name, (own, _, _) in levels.items()}, targets
    if total <= floor_sum:
        part = (total - lower_sum) / (floor_sum - lower_sum)
        return {
            name: own.lower + _rounded((floors[name] - own.lower) * part) for name, (own, _, _) in levels.items()
        }, targets
    wishes = [Wish(floors[name], own.upper, targets[name]) for name, (own, _, _) in levels.items()]
    given, _ = shared(total, wishes)
    return {name: _rounded(value) for name, value in zip(levels, given, strict=True)}, targets
