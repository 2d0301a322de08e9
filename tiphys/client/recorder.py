"""Says what happened to an object, as Events, without ever keeping its caller waiting.

What is said is queued, correlated (``events.py``) and written by one background
task, which exists only while there is something to write. A full queue drops:
Events are told, not promised.
"""

import asyncio
import logging
from collections import deque
from typing import Any

from tiphys.api import core_v1
from tiphys.base.clock import Clock
from tiphys.base.ids import Ids
from tiphys.client.client import Client
from tiphys.client.events import Correlator, Write, new_event, reference
from tiphys.machinery import errors

logger = logging.getLogger(__name__)

QUEUE_LENGTH = 4096
#: client-go tries an Event twelve times, ten seconds apart, while the server does not answer.
ATTEMPTS = 12
RETRY_SECONDS = 10.0


class Recorder:
    """One per component name. ``close`` (or leaving ``async with``) writes what is queued, within limits."""

    def __init__(self, client: Client, clock: Clock, ids: Ids, *, component: str, host: str = "") -> None:
        self._events = client.of(core_v1.Event)
        self._clock = clock
        self._ids = ids
        self._component = component
        self._host = host
        self._correlator = Correlator(clock)
        self._queue: deque[core_v1.Event] = deque(maxlen=QUEUE_LENGTH)
        self._writer: asyncio.Task[None] | None = None
        self._closed = False
        self._last_name = ""

    def event(self, obj: Any, event_type: str, reason: str, message: str, *, field_path: str = "") -> None:
        """Say that ``reason`` happened to ``obj``: a Struct, a dict or an ObjectReference.

        ``event_type`` is Normal or Warning; ``field_path`` names a part, as ``spec.containers{web}``.
        """
        if self._closed:
            return
        ref = reference(obj, field_path)
        event = new_event(ref, event_type, reason, message, self._clock, self._component, self._host)
        if event.metadata.name == self._last_name:
            # Two of one object within a microsecond, or under a clock that stands still.
            event.metadata.name += self._ids.suffix(4)
        self._last_name = event.metadata.name
        self._queue.append(event)
        if self._writer is None:
            name = f"events of {self._component}"
            self._writer = asyncio.get_running_loop().create_task(self._write_queued(), name=name)

    async def close(self, drain_seconds: float = 2.0) -> None:
        self._closed = True
        if self._writer is not None:
            await asyncio.wait((self._writer,), timeout=drain_seconds)
        if self._writer is not None:
            self._writer.cancel()
            await asyncio.gather(self._writer, return_exceptions=True)

    async def __aenter__(self) -> "Recorder":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _write_queued(self) -> None:
        try:
            while self._queue:
                write = self._correlator.correlate(self._queue.popleft())
                if write is not None:
                    await self._write(write)
        finally:
            self._writer = None

    async def _write(self, write: Write) -> None:
        for _ in range(ATTEMPTS):
            try:
                await self._send(write)
                return
            except errors.StatusError as error:
                # Refused for good: the namespace is going away, or the Event is wrong.
                logger.debug("event %s: %s", write.event.metadata.name, error)
                return
            except ConnectionError:
                await self._clock.sleep(RETRY_SECONDS)

    async def _send(self, write: Write) -> None:
        event = write.event
        if write.patch:
            body = {"count": event.count, "lastTimestamp": event.lastTimestamp, "message": event.message}
            try:
                await self._events.patch(event.metadata.name, event.metadata.namespace, body, "strategic")
                return
            except errors.NotFound:
                # It has expired; it counts on under the same name.
                pass
        await self._events.create(event)
