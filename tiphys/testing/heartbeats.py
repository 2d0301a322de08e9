"""The time of heartbeats, which stands still while nothing else happens.

A node renews its Lease every ten seconds and the node lifecycle controller
looks for silence; over a virtual month that is a quarter of a million writes
per node, of which nobody reads any but the last ones. So while all nodes are
well and no fault is active, a stretch of time in which nothing but heartbeats
is due is left out: both sides stand still and go on, as they were, ``LEAD``
seconds before the next thing that happens. Who looks then sees Leases as fresh
as ever; only who counts renewals, or watches them, sees fewer.

Rounds with longer periods (status reports, repair) that were due in the gap
happen once, at its end.
"""

import asyncio
import heapq
import itertools
from collections.abc import Callable

#: Heartbeats beat as usual for so long before anything else happens, and after it has.
LEAD_SECONDS = 15.0
SETTLE_SECONDS = 20.0
#: Waits up to this are heartbeats, and stand still; longer ones end with the gap.
SHORT_SECONDS = 60.0
#: Time must get on, also where the difference of two floats is too small for that.
TICK_SECONDS = 1e-6


def never() -> bool:
    return False


class Heartbeats:
    """Who waits, and how much time was left out. ``quiet`` says whether all is well."""

    def __init__(self) -> None:
        self.quiet: Callable[[], bool] = never
        self.skipped = 0.0
        self._stirred = 0.0
        self._waiting: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    async def sleep(self, seconds: float, now: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (now + max(seconds, TICK_SECONDS), next(self._order), future))
        await future

    def stir(self, now: float) -> None:
        """Something else happens."""
        self._stirred = now

    def due(self) -> float | None:
        """When the next one is; None if nobody waits."""
        waiting = self._waiting
        while waiting and waiting[0][2].done():
            heapq.heappop(waiting)
        return waiting[0][0] if waiting else None

    def wake(self, now: float) -> None:
        """Let go on who waits for ``now``."""
        while (due := self.due()) is not None and due <= now:
            heapq.heappop(self._waiting)[2].set_result(None)

    def gap(self, now: float, then: float) -> float:
        """Seconds that can be left out from ``now``, if something else happens ``then``; it is as if they were not."""
        left_out = then - LEAD_SECONDS - now
        if left_out <= 0 or now - self._stirred < SETTLE_SECONDS or not self.quiet():
            return 0.0
        end = now + left_out
        self._waiting = [(_moved(due, now, end), order, future) for due, order, future in self._waiting]
        heapq.heapify(self._waiting)
        self.skipped += left_out
        return left_out


def _moved(due: float, now: float, end: float) -> float:
    return due + (end - now) if due - now <= SHORT_SECONDS else max(due, end)
