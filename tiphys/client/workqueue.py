"""Keys waiting to be reconciled.

Guarantees, the same as client-go's (util/workqueue, package documentation):

- Fair: keys are processed in the order in which they were added.
- Stingy: a key is processed once, however often it was added before its turn;
  and never twice at the same time.
- Re-entrant: a key added while it is processed is processed again afterwards.

Three sets say where a key stands: ``_queue`` (waiting its turn, in order),
``_dirty`` (to be processed: in the queue, or added while being processed) and
``_processing``. A key is in the queue exactly if it is dirty and not processing.
"""

import asyncio
import heapq
import itertools
import random as random_module
from collections import deque

from tiphys.base.clock import Clock

BASE_DELAY_SECONDS = 0.005
MAX_DELAY_SECONDS = 1000.0


class ShutDown(Exception):
    """The queue gives out nothing any more."""


class RateLimiter:
    """How long a failing key waits: 5 ms doubling to 1000 s for each, and all together 10 a second (burst 100).

    Source: client-go's default controller rate limiter, by behaviour. The bucket bounds retries only.
    """

    def __init__(
        self,
        clock: Clock,
        base_seconds: float = BASE_DELAY_SECONDS,
        max_seconds: float = MAX_DELAY_SECONDS,
        per_second: float = 10.0,
        burst: int = 100,
    ) -> None:
        self._clock = clock
        self._base_seconds = base_seconds
        self._max_seconds = max_seconds
        self._per_second = per_second
        self._burst = burst
        self._tokens = float(burst)
        self._filled = clock.monotonic()
        self._failures: dict[str, int] = {}

    def when(self, key: str) -> float:
        """Seconds to wait after one more failure of ``key``."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        # 2 ** 60 is far beyond the maximum; unbounded it would overflow the float after a thousand failures.
        own: float = min(self._base_seconds * 2.0 ** min(failures, 60), self._max_seconds)
        return max(own, self._reserve())

    def failures(self, key: str) -> int:
        return self._failures.get(key, 0)

    def forget(self, key: str) -> None:
        self._failures.pop(key, None)

    def _reserve(self) -> float:
        now = self._clock.monotonic()
        self._tokens = min(float(self._burst), self._tokens + (now - self._filled) * self._per_second) - 1.0
        self._filled = now
        return max(0.0, -self._tokens / self._per_second)


class Workqueue:
    """See the module for guarantees. Used from one event loop."""

    def __init__(
        self,
        clock: Clock,
        random: random_module.Random | None = None,
        limiter: RateLimiter | None = None,
    ) -> None:
        self._clock = clock
        self._random = random
        self.limiter = limiter or RateLimiter(clock)
        self._queue: deque[str] = deque()
        self._dirty: set[str] = set()
        self._processing: set[str] = set()
        self._getters: deque[asyncio.Future[None]] = deque()
        self._shut_down = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._order = itertools.count()
        #: (due, order, key), and for each waiting key the due time that counts: an earlier one replaces a later one.
        self._waiting: list[tuple[float, int, str]] = []
        self._due: dict[str, float] = {}
        self._timer: asyncio.Task[None] | None = None
        self._timer_due = 0.0

    def __len__(self) -> int:
        return len(self._queue)

    def add(self, key: str) -> None:
        """Process ``key`` at its turn."""
        if self._shut_down or key in self._dirty:
            return
        self._dirty.add(key)
        self._idle.clear()
        if key not in self._processing:
            self._queue.append(key)
            self._wake()

    def add_after(self, key: str, seconds: float) -> None:
        """Add ``key`` once ``seconds`` have passed; of several such calls the earliest counts."""
        if self._shut_down:
            return
        if seconds <= 0:
            self.add(key)
            return
        due = self._clock.monotonic() + seconds
        if key in self._due and self._due[key] <= due:
            return
        self._due[key] = due
        heapq.heappush(self._waiting, (due, next(self._order), key))
        self._set_timer()

    def add_rate_limited(self, key: str) -> None:
        """Add ``key`` after a wait that grows with its failures; up to a tenth is added by chance if asked for."""
        seconds = self.limiter.when(key)
        if self._random is not None:
            seconds *= 1.0 + 0.1 * self._random.random()
        self.add_after(key, seconds)

    def forget(self, key: str) -> None:
        """``key`` has succeeded: its next failure counts as the first."""
        self.limiter.forget(key)

    async def get(self) -> str:
        """The next key; the caller calls ``done`` with it. Raises ShutDown once all is given out after shut_down."""
        while not self._queue:
            if self._shut_down:
                raise ShutDown
            future = asyncio.get_running_loop().create_future()
            self._getters.append(future)
            try:
                await future
            except asyncio.CancelledError:
                # Whoever woke us has not woken another: pass it on.
                if future.done() and not future.cancelled():
                    self._wake()
                raise
        key = self._queue.popleft()
        self._processing.add(key)
        self._dirty.discard(key)
        return key

    def done(self, key: str) -> None:
        """``key`` is processed; it returns to the queue if it was added meanwhile."""
        self._processing.discard(key)
        if key in self._dirty:
            self._queue.append(key)
            self._wake()
        elif not self._processing and not self._dirty:
            self._idle.set()

    async def wait_idle(self) -> None:
        """Return once nothing is queued or processed; keys that wait for their time do not count."""
        await self._idle.wait()

    def shut_down(self) -> None:
        """Take nothing more; what is queued is still given out. Idempotent."""
        self._shut_down = True
        self._waiting.clear()
        self._due.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._getters:
            self._wake()

    def _wake(self) -> None:
        while self._getters:
            future = self._getters.popleft()
            if not future.done():
                future.set_result(None)
                return

    def _set_timer(self) -> None:
        """One sleeping task for the earliest key, replaced when an earlier one comes."""
        due = self._waiting[0][0]
        if self._timer is not None:
            if self._timer_due <= due:
                return
            self._timer.cancel()
        self._timer_due = due
        self._timer = asyncio.get_running_loop().create_task(self._tick(due), name="workqueue timer")

    async def _tick(self, due: float) -> None:
        await self._clock.sleep(due - self._clock.monotonic())
        self._timer = None
        now = self._clock.monotonic()
        while self._waiting and self._waiting[0][0] <= now:
            when, _, key = heapq.heappop(self._waiting)
            if self._due.get(key) == when:
                del self._due[key]
                self.add(key)
        if self._waiting:
            self._set_timer()
