"""A watch on etcd that outlives connections, members and leaders.

Each watch is a stream of its own. When it breaks it begins again, on the next
member, behind the last revision it has received, so nothing is missed and
nothing comes twice.

``revision`` says how far the watch is, which is what reads from a cache wait
for. Most revisions are changes that the watch sees. Of the others (another
prefix, the compactor's key) it learns by asking: newer members are asked for a
progress notification; older ones answer such a question before the changes
they have yet to send, so there a key is written that the watch does see.
Source: etcd docs, "Watch API"; KEP-2340, which names the versions that can be relied on.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Final

import grpc

from tiphys.base.clock import Clock
from tiphys.store.etcd import messages_pb2 as messages
from tiphys.store.etcd.client import Client, plain
from tiphys.store.etcd.keys import MARKER, Keys, end_of
from tiphys.store.interface import Compacted, Event, StoreError, Unavailable

log = logging.getLogger(__name__)

RETRY_SECONDS_MIN: Final = 0.05
RETRY_SECONDS_MAX: Final = 2.0
#: How long a change that is on its way is waited for before progress is asked for, and between two questions.
PROGRESS_SECONDS: Final = 0.02
#: The same for a watch that begins in the past: etcd sends history every 100 ms.
HISTORY_SECONDS: Final = 0.3
END: Final = grpc.aio.EOF  # type: ignore[attr-defined]  # the stubs lack it
# Ends the stream when the member has lost its leader, so that another member is tried.
METADATA: Final = (("hasleader", "true"),)


class EtcdWatch:
    """See ``tiphys.store.interface.Watch``. Empty batches say that ``revision`` has moved."""

    def __init__(
        self,
        client: Client,
        clock: Clock,
        keys: Keys,
        prefix: str,
        after: int,
        known: int,
        forget: Callable[["EtcdWatch"], None],
        mark: Callable[[bytes], Awaitable[None]],
    ) -> None:
        self._client = client
        self._clock = clock
        self._keys = keys
        self._range = keys.stored(prefix)
        self._marker = self._range + MARKER.encode()
        self._forget = forget
        self._mark = mark
        #: Everything up to here has been handed out.
        self.revision = after
        #: Everything up to here has been received.
        self._received = after
        #: Nothing behind this had happened when the watch was made.
        self._known = known
        #: Progress is asked for until this has been received.
        self._wanted = 0
        self._batches: deque[tuple[Sequence[Event], int]] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._error: StoreError | None = None
        self._closed = False
        self._broken = False
        self._call: Any = None
        self._asking: asyncio.Task[None] | None = None
        self._task = asyncio.get_running_loop().create_task(self._run(), name=f"etcd-watch {prefix}")

    # The reader's side

    def __aiter__(self) -> AsyncIterator[Sequence[Event]]:
        return self

    async def __anext__(self) -> Sequence[Event]:
        while not self._batches:
            if self._error is not None:
                raise self._error
            if self._closed:
                raise StopAsyncIteration
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        events, self.revision = self._batches.popleft()
        return events

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._forget(self)
            self._task.cancel()
            if self._asking is not None:
                self._asking.cancel()
            self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # etcd's side

    async def _run(self) -> None:
        pause = RETRY_SECONDS_MIN
        while True:
            received = self._received
            member = self._client.member
            try:
                await self._follow(member)
            except Compacted as problem:
                self._error = problem
                self.close()
                return
            except grpc.aio.AioRpcError as problem:
                self._broke(received, plain(problem))
            except (grpc.aio.UsageError, Unavailable) as problem:
                self._broke(received, str(problem))
            except Exception as problem:
                # Who reads must hear of it: a reader that waits for ever would serve an old state as the newest.
                log.exception("etcd watch cannot go on")
                self._error = StoreError(f"etcd watch: {problem}")
                self.close()
                return
            self._client.leave(member)
            # How far etcd has come meanwhile is not known.
            self._known = self._received + 1
            pause = RETRY_SECONDS_MIN if self._received > received else min(pause * 2, RETRY_SECONDS_MAX)
            await self._clock.sleep(pause)

    def _broke(self, since: int, why: str) -> None:
        """Tell of it; of attempts that got nowhere only who asks for details is told."""
        level = logging.INFO if self._received > since or not self._broken else logging.DEBUG
        self._broken = True
        log.log(level, "etcd watch broke at revision %d: %s", self._received, why)

    async def _follow(self, member: Any) -> None:
        """One stream, until it ends. Raises Compacted, Unavailable and gRPC's errors."""
        call = self._call = member.watch(metadata=METADATA)
        try:
            await call.write(messages.WatchRequest(create_request=self._creation()))
            part: list[Any] = []
            while (answer := await call.read()) is not END:
                if answer.canceled:
                    raise _reason(answer)
                part.extend(answer.events)
                if not answer.fragment:
                    self._take(answer, part)
                    part = []
        finally:
            self._call = None
            call.cancel()

    def _creation(self) -> messages.WatchCreateRequest:
        return messages.WatchCreateRequest(
            key=self._range,
            range_end=end_of(self._range),
            start_revision=self._start(),
            prev_kv=True,
            progress_notify=True,
            fragment=True,
        )

    def _start(self) -> int:
        """Where the stream begins: with what has been received already, unless there is nothing behind it.

        etcd forgets deletions at the very revision that it compacts to, so who asks for the revision behind it
        might miss one and not be told.
        """
        return self._received + 1 if self._received >= self._known else max(self._received, 1)

    def _take(self, answer: Any, changes: Sequence[Any]) -> None:
        if changes:
            reached = changes[-1].kv.mod_revision
        elif answer.created:
            if self._broken:
                self._broken = False
                log.info("etcd watch goes on at revision %d", self._received)
            return
        else:
            reached = answer.header.revision
        if reached <= self._received:
            return
        events = self._events(changes)
        self._received = reached
        self._batches.append((events, reached))
        self._wake()

    def _events(self, changes: Sequence[Any]) -> list[Event]:
        item = self._keys.item
        events = []
        for change in changes:
            kv = change.kv
            if kv.key == self._marker or kv.mod_revision <= self._received:
                continue
            previous = item(change.prev_kv) if change.prev_kv.mod_revision else None
            deleted = change.type == messages.WatchEvent.DELETE
            created = previous.create_revision if deleted and previous else kv.create_revision
            events.append(Event(self._keys.key(kv.key), kv.value, created, kv.mod_revision, deleted, previous))
        return events

    # How far it is

    def want(self, revision: int, asks: bool) -> None:
        """See that ``revision`` is reached even if it is no change of this watch; ``asks``: members can be asked."""
        if revision > max(self._received, self._wanted):
            self._wanted = revision
            if self._asking is None:
                loop = asyncio.get_running_loop()
                self._asking = loop.create_task(self._ask(asks), name="etcd-watch-progress")

    async def _ask(self, asks: bool) -> None:
        try:
            pause = HISTORY_SECONDS if self._received < self._known else PROGRESS_SECONDS
            while True:
                await self._clock.sleep(pause)
                if self._received >= self._wanted or self._closed:
                    return
                with contextlib.suppress(StoreError, grpc.aio.AioRpcError, asyncio.InvalidStateError):
                    await self._ask_once(asks)
                pause = min(pause * 2, RETRY_SECONDS_MAX)
        finally:
            self._asking = None

    async def _ask_once(self, asks: bool) -> None:
        if not asks:
            await self._mark(self._marker)
        elif self._call is not None:
            await self._call.write(messages.WatchRequest(progress_request=messages.WatchProgressRequest()))


def _reason(answer: Any) -> StoreError:
    if answer.compact_revision:
        return Compacted(answer.compact_revision)
    return Unavailable(answer.cancel_reason or "etcd cancelled the watch")
