"""A virtual loop's time as the ``Clock`` that every component takes."""

import asyncio
from datetime import UTC, datetime, timedelta

from tiphys.testing.loop import VirtualLoop

#: When every simulation begins, a Thursday.
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


_TICK = timedelta(microseconds=1)


class LoopClock:
    """``now`` is EPOCH plus the loop's time, and ``skew`` seconds if the wall clock is to be wrong.

    No two readings are equal: within one instant each is a microsecond after
    the one before, as on a machine, where reading takes time. Names are made
    of instants (those of Events are), and must differ.
    """

    def __init__(self, loop: VirtualLoop, epoch: datetime = EPOCH) -> None:
        self._loop = loop
        self._epoch = epoch
        self._skew = timedelta(0)
        self._last = epoch

    def now(self) -> datetime:
        self._last = max(self._epoch + timedelta(seconds=self._loop.elapsed), self._last + _TICK)
        return self._last + self._skew

    def monotonic(self) -> float:
        return self._loop.elapsed

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))

    def skew(self, seconds: float) -> None:
        """Let the wall clock jump; durations go on as they were."""
        self._skew += timedelta(seconds=seconds)
