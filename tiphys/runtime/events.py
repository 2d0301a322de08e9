"""Who follows containers' events: each follower has a queue; a slow one is cut off and lists anew."""

import asyncio
from collections.abc import AsyncIterator

from tiphys.runtime.cri import api_pb2

QUEUE_MAX = 4096


class Events:
    """Pushes to all followers; keeps nothing for those that come later."""

    def __init__(self) -> None:
        self._followers: set[asyncio.Queue[api_pb2.ContainerEventResponse | None]] = set()

    def push(self, event: api_pb2.ContainerEventResponse) -> None:
        for queue in list(self._followers):
            if queue.qsize() >= QUEUE_MAX:
                self._followers.discard(queue)
                queue.put_nowait(None)
            else:
                queue.put_nowait(event)

    async def follow(self) -> AsyncIterator[api_pb2.ContainerEventResponse]:
        queue: asyncio.Queue[api_pb2.ContainerEventResponse | None] = asyncio.Queue()
        self._followers.add(queue)
        try:
            while (event := await queue.get()) is not None:
                yield event
        finally:
            self._followers.discard(queue)

    def close(self) -> None:
        for queue in self._followers:
            queue.put_nowait(None)
        self._followers.clear()
