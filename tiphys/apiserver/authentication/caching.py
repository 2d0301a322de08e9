"""Remembers what an authenticator said of a token for some time, and asks only once for many at the same time."""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

from tiphys.apiserver.authentication.authenticator import Authenticated, TokenAuthenticator
from tiphys.base.clock import Clock

ENTRIES_MAX: Final = 4096

T = TypeVar("T")


class TtlCache(Generic[T]):
    """Values by key that are forgotten after a time of their own; the oldest make room."""

    def __init__(self, clock: Clock, entries_max: int = ENTRIES_MAX) -> None:
        self._clock = clock
        self._entries_max = entries_max
        self._entries: OrderedDict[object, tuple[float, T]] = OrderedDict()

    def get(self, key: object) -> T | None:
        found = self._entries.get(key)
        if found is None:
            return None
        if self._clock.monotonic() >= found[0]:
            del self._entries[key]
            return None
        return found[1]

    def put(self, key: object, value: T, seconds: float) -> None:
        if seconds <= 0:
            return
        while len(self._entries) >= self._entries_max:
            self._entries.popitem(last=False)
        self._entries[key] = (self._clock.monotonic() + seconds, value)


class Shared(Generic[T]):
    """Several who ask the same at the same time get one answer; who leaves does not take it from the others."""

    def __init__(self) -> None:
        self._running: dict[object, asyncio.Task[T]] = {}

    async def ask(self, key: object, work: "Callable[[], asyncio.Task[T]]") -> T:
        task = self._running.get(key)
        if task is None:
            task = self._running[key] = work()
            task.add_done_callback(lambda _: self._running.pop(key, None))
        return await asyncio.shield(task)

    async def close(self) -> None:
        running = list(self._running.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


class Remembering:
    """A ``TokenAuthenticator`` before another. Only answers that name a user are remembered."""

    def __init__(self, inner: TokenAuthenticator, clock: Clock, seconds: float) -> None:
        self._inner = inner
        self._seconds = seconds
        self._known: TtlCache[Authenticated] = TtlCache(clock)
        self._shared: Shared[Authenticated | None] = Shared()

    async def authenticate_token(self, token: str, audiences: Sequence[str]) -> Authenticated | None:
        # The digest, so that memory holds no tokens of others.
        key = (hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest(), tuple(audiences))
        found = self._known.get(key)
        if found is not None:
            return found
        found = await self._shared.ask(
            key,
            lambda: asyncio.create_task(self._inner.authenticate_token(token, audiences), name="token-question"),
        )
        if found is not None:
            self._known.put(key, found, self._seconds)
        return found

    async def close(self) -> None:
        await self._shared.close()
