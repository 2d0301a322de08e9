"""When keys with a time to live are to go: one timer for all of them."""

import asyncio
import contextlib
import heapq
from collections.abc import Awaitable, Callable

from tiphys.base.clock import Clock
from tiphys.store.interface import Conflict, Unavailable

RETRY_SECONDS = 10.0


class Expiry:
    """Deletes ``key`` as an ordinary change once its time is over, unless it was written again.

    ``delete(key, expected_revision)`` is the store's own. Entries are ordered by
    expiry; a key that was written again leaves an outdated entry behind, whose
    revision no longer matches and which therefore deletes nothing.
    """

    def __init__(self, clock: Clock, delete: Callable[[str, int], Awaitable[object]]) -> None:
        self._clock = clock
        self._delete = delete
        self._heap: list[tuple[float, str, int]] = []
        self._earlier = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def add(self, key: str, revision: int, expires: float) -> None:
        """Delete ``key`` at ``expires`` (Unix seconds) if it is then still at ``revision``."""
        heapq.heappush(self._heap, (expires, key, revision))
        if self._heap[0][1] == key:
            self._earlier.set()
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="store-expiry")

    async def _run(self) -> None:
        while True:
            self._earlier.clear()
            wait = self._heap[0][0] - self._clock.now().timestamp() if self._heap else None
            if wait is None or wait > 0:
                await self._sleep(wait)
                continue
            expires, key, revision = heapq.heappop(self._heap)
            try:
                await self._delete(key, revision)
            except Conflict:
                continue
            except Unavailable:
                heapq.heappush(self._heap, (expires + RETRY_SECONDS, key, revision))

    async def _sleep(self, seconds: float | None) -> None:
        """Until the earliest expiry, or until an earlier one is added."""
        if seconds is None:
            await self._earlier.wait()
            return
        timer = asyncio.ensure_future(self._clock.sleep(seconds))
        earlier = asyncio.ensure_future(self._earlier.wait())
        try:
            await asyncio.wait((timer, earlier), return_when=asyncio.FIRST_COMPLETED)
        finally:
            timer.cancel()
            earlier.cancel()

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
