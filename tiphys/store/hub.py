"""Who is told of which change: watches by prefix, each with a queue of its own.

The hub is told of every committed batch once and does no I/O. Watches whose
prefix ends in a slash, which is all of Kubernetes', are found by looking up the
slashes of the changed key, so the cost of a change does not grow with the
number of watched resources.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable, Sequence

from tiphys.store.interface import Event, StoreError


class QueuedWatch:
    """One watch: history first if there is any, then what the hub pushes.

    The queue is not bounded: its readers are API server caches, which only
    move entries; they bound their own watchers.
    """

    def __init__(self, prefix: str, after: int, held: bool, forget: Callable[["QueuedWatch"], None]) -> None:
        self.prefix = prefix
        self.revision = after
        self._after = after
        self._held = held
        self._error: StoreError | None = None
        self._forget = forget
        self._batches: deque[Sequence[Event]] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._closed = False

    def push(self, events: Sequence[Event]) -> None:
        """Add what was just committed; what the reader said to have seen already is left out."""
        if events[0].mod_revision <= self._after:
            events = [event for event in events if event.mod_revision > self._after]
        if events:
            self._batches.append(events)
            self._wake()

    def release(self, history: Sequence[Event]) -> None:
        """Let a held watch go, with ``history`` before all that was pushed meanwhile."""
        if history:
            self._after = history[-1].mod_revision
            pushed = [event for batch in self._batches for event in batch if event.mod_revision > self._after]
            self._batches = deque([history, pushed] if pushed else [history])
        self._held = False
        self._wake()

    def fail(self, error: StoreError) -> None:
        """End the watch by raising ``error`` to its reader."""
        self._error = error
        self._batches.clear()
        self._held = False
        self.close()

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._forget(self)
            self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def __aiter__(self) -> AsyncIterator[Sequence[Event]]:
        return self

    async def __anext__(self) -> Sequence[Event]:
        while self._held or not self._batches:
            if self._error is not None:
                raise self._error
            if self._closed:
                raise StopAsyncIteration
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        batch = self._batches.popleft()
        self.revision = batch[-1].mod_revision
        return batch


class Hub:
    """All watches of a store."""

    def __init__(self) -> None:
        self._by_folder: defaultdict[str, list[QueuedWatch]] = defaultdict(list)
        self._others: list[QueuedWatch] = []

    def add(self, prefix: str, after: int, *, held: bool = False) -> QueuedWatch:
        """A watch of what comes after ``after``; a held one waits for ``release`` with its history."""
        watch = QueuedWatch(prefix, after, held, self._remove)
        self._home(prefix).append(watch)
        return watch

    def _home(self, prefix: str) -> list[QueuedWatch]:
        return self._by_folder[prefix] if prefix.endswith("/") else self._others

    def _remove(self, watch: QueuedWatch) -> None:
        home = self._home(watch.prefix)
        if watch in home:
            home.remove(watch)

    def publish(self, events: Sequence[Event]) -> None:
        """Hand each watch its share of ``events`` as one batch."""
        shares: dict[QueuedWatch, list[Event]] = {}
        for event in events:
            for watch in self._interested(event.key):
                shares.setdefault(watch, []).append(event)
        for watch, share in shares.items():
            watch.push(share)

    def _interested(self, key: str) -> list[QueuedWatch]:
        found = [watch for watch in self._others if key.startswith(watch.prefix)]
        end = key.find("/")
        while end >= 0:
            found.extend(self._by_folder.get(key[: end + 1], ()))
            end = key.find("/", end + 1)
        return found

    def close(self) -> None:
        for watch in [*self._others, *(w for home in self._by_folder.values() for w in home)]:
            watch.close()
