"""A virtual loop's time as the ``Clock`` that every component takes."""

import asyncio
from datetime import UTC, datetime, timedelta

from tiphys.testing.loop import VirtualLoop

#: When every simulation begins, a Thursday.
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


_TICK = timedelta(microseconds=1)
#: Tasks of the API server that look again and again, and find what they left: they wait as heartbeats do.
UPKEEP = ("service-repair",)


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
        task = asyncio.current_task()
        if task is not None and task.get_name() in UPKEEP:
            await self._loop.heartbeats.sleep(seconds, self._loop.elapsed)
            return
        await asyncio.sleep(max(0.0, seconds))

    def skew(self, seconds: float) -> None:
        """Let the wall clock jump; durations go on as they were."""
        self._skew += timedelta(seconds=seconds)


class HeartbeatClock:
    """A LoopClock for parts whose waits are heartbeats; durations leave out what ``Heartbeats`` does."""

    def __init__(self, loop: VirtualLoop, clock: LoopClock) -> None:
        self._loop = loop
        self._clock = clock

    def now(self) -> datetime:
        return self._clock.now()

    def monotonic(self) -> float:
        return self._loop.elapsed - self._loop.heartbeats.skipped

    async def sleep(self, seconds: float) -> None:
        await self._loop.heartbeats.sleep(seconds, self._loop.elapsed)
