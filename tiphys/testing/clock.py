"""A virtual loop's time as the ``Clock`` that every component takes."""

import asyncio
from datetime import UTC, datetime, timedelta

from tiphys.testing.loop import VirtualLoop

#: When every simulation begins, a Thursday.
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


class LoopClock:
    """``now`` is EPOCH plus the loop's time, and ``skew`` seconds if the wall clock is to be wrong."""

    def __init__(self, loop: VirtualLoop, epoch: datetime = EPOCH) -> None:
        self._loop = loop
        self._epoch = epoch
        self.skew = 0.0

    def now(self) -> datetime:
        return self._epoch + timedelta(seconds=self._loop.elapsed + self.skew)

    def monotonic(self) -> float:
        return self._loop.elapsed

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))
