"""How events get to where they are kept: at once, or in batches behind a bounded queue.

Modes: ``blocking`` writes before the request goes on, ``blocking-strict`` the
same and refuses what cannot be written (here as ``blocking``: see the design
page), ``batch`` collects.
Source: Kubernetes docs, "Auditing", "Event batching".
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from tiphys.apiserver.audit.config import Bounds
from tiphys.base.clock import Clock

log = logging.getLogger(__name__)


class Writer(Protocol):
    def write(self, data: bytes) -> None:
        """Raises OSError."""

    async def close(self) -> None: ...


class Direct:
    """``Sink``: each event is written at once."""

    def __init__(self, name: str, writer: Writer, form: Callable[[bytes], bytes]) -> None:
        self.name = name
        self.dropped = 0
        self._writer = writer
        self._form = form

    def put(self, line: bytes) -> None:
        try:
            self._writer.write(self._form(line) + b"\n")
        except OSError as problem:
            self.dropped += 1
            log.error("an audit event could not be written", exc_info=problem)

    async def close(self) -> None:
        await self._writer.close()


class Batching:
    """``Sink``: events wait until a batch is full or the oldest has waited long enough; beyond the buffer they drop."""

    def __init__(
        self,
        name: str,
        send: Callable[[Sequence[bytes]], Awaitable[None]],
        close: Callable[[], Awaitable[None]],
        bounds: Bounds,
        clock: Clock,
    ) -> None:
        self.name = name
        self.dropped = 0
        self._send = send
        self._close = close
        self._bounds = bounds
        self._clock = clock
        self._waiting: deque[bytes] = deque()
        self._arrived = asyncio.Event()
        self._full = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._allowance = float(bounds.burst)
        self._counted_at = clock.monotonic()

    def put(self, line: bytes) -> None:
        if len(self._waiting) >= self._bounds.buffer_size:
            self.dropped += 1
            return
        self._waiting.append(line)
        self._arrived.set()
        if len(self._waiting) >= self._bounds.batch_size:
            self._full.set()
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=f"audit-{self.name}")

    async def _run(self) -> None:
        while True:
            await self._arrived.wait()
            try:
                async with asyncio.timeout(self._bounds.wait_seconds):
                    await self._full.wait()
            except TimeoutError:
                pass
            await self._throttle()
            await self._one()

    async def _throttle(self) -> None:
        """Wait until one more batch may go."""
        bounds = self._bounds
        if bounds.rate <= 0:
            return
        now = self._clock.monotonic()
        self._allowance = min(float(bounds.burst), self._allowance + (now - self._counted_at) * bounds.rate)
        self._counted_at = now
        if self._allowance < 1:
            await self._clock.sleep((1 - self._allowance) / bounds.rate)
            self._counted_at = self._clock.monotonic()
            self._allowance = 1
        self._allowance -= 1

    async def _one(self) -> None:
        batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), self._bounds.batch_size))]
        if not self._waiting:
            self._arrived.clear()
        if len(self._waiting) < self._bounds.batch_size:
            self._full.clear()
        try:
            await self._send(batch)
        except asyncio.CancelledError:
            # The server ends: ``close`` hands them over.
            self._waiting.extendleft(reversed(batch))
            raise
        except Exception as problem:
            # Wherever events go may be gone for a while; requests are served all the same.
            self.dropped += len(batch)
            log.error("audit events could not be handed over", extra={"events": len(batch)}, exc_info=problem)

    async def close(self) -> None:
        """Hand over what waits, and end."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        while self._waiting:
            await self._one()
        await self._close()
