"""The durable store of one server: SQLite with a write-ahead log and one fsync for all concurrent writes.

Writes are checked and given their revision on the event loop, against what is
committed plus what is staged; then they wait for the writer thread. While one
batch is being made durable the next gathers. In memory are the keys with their
revisions, not the values: the API server's caches hold those.
"""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from tiphys.base.clock import Clock, RealClock
from tiphys.store.database import Database, Living, Write
from tiphys.store.expiry import Expiry
from tiphys.store.hub import Hub, QueuedWatch
from tiphys.store.interface import (
    Compacted,
    Conflict,
    Event,
    FutureRevision,
    KeyValue,
    Range,
    StoreError,
    Unavailable,
)
from tiphys.store.writer import Writer


class _Staged(NamedTuple):
    write: Write
    answer: asyncio.Future[int]


class SqliteStore:
    """See ``tiphys.store.interface.Store``. Open it with ``await SqliteStore.open(path)``."""

    def __init__(self, database: Database, reader: Database, clock: Clock) -> None:
        self._loop = asyncio.get_running_loop()
        self._database = database
        self._reader = reader
        self._clock = clock
        self._living = database.living()
        self._revision = database.revision()
        self._compacted = database.compacted()
        #: Newest staged state of keys whose write is not committed yet; None: deleted.
        self._overlay: dict[str, Living | None] = {}
        self._next_revision = self._revision + 1
        self._gathering: list[_Staged] = []
        self._committing: list[_Staged] = []
        self._closed = False
        #: Set while closing waits for the last commit.
        self._drained: asyncio.Future[None] | None = None
        self._hub = Hub()
        self._writer = Writer(database, self._loop)
        self._threads = ThreadPoolExecutor(1, "store-reader")
        self._expiry = Expiry(clock, self._expire)
        for key, living in self._living.items():
            if living.expires is not None:
                self._expiry.add(key, living.revision, living.expires)

    @classmethod
    async def open(cls, path: Path, clock: Clock | None = None) -> "SqliteStore":
        """Open or create the file; raises Unavailable with its name if that is impossible."""
        return cls(Database(path), Database(path), clock or RealClock())

    @property
    def revision(self) -> int:
        return self._revision

    async def latest(self) -> int:
        return self._revision

    def stale(self, key: str) -> bool:
        return False

    # Reading

    async def get(self, key: str, revision: int = 0) -> KeyValue | None:
        if not revision or revision == self._revision:
            return await self._loop.run_in_executor(self._threads, self._reader.get, key)
        found = await self.range(key, revision=revision)
        return next((item for item in found.items if item.key == key), None)

    async def range(self, prefix: str, *, start: str = "", limit: int = 0, revision: int = 0) -> Range:
        if revision > self._revision:
            raise FutureRevision(revision)
        self._check_kept(revision or self._revision)
        reading = self._loop.run_in_executor(self._threads, self._reader.snapshot, prefix, start, limit, revision)
        items, at, count = await reading
        self._check_kept(at)
        return Range(items, at, count, len(items) < count)

    def _check_kept(self, revision: int) -> None:
        if revision < self._compacted:
            raise Compacted(self._compacted)

    def watch(self, prefix: str, after: int) -> QueuedWatch:
        self._check_kept(after)
        behind = after < self._revision
        watch = self._hub.add(prefix, after, held=behind)
        if behind:
            history = self._loop.run_in_executor(self._threads, self._history, prefix, after, self._revision)
            history.add_done_callback(lambda done: self._release(watch, after, done))
        return watch

    def _history(self, prefix: str, after: int, until: int) -> list[Event]:
        return list(self._reader.since(after, until, prefix))

    def _release(self, watch: QueuedWatch, after: int, history: asyncio.Future[list[Event]]) -> None:
        if history.cancelled():
            return
        if after < self._compacted:
            watch.fail(Compacted(self._compacted))
        elif (error := history.exception()) is not None:
            watch.fail(Unavailable(str(error)))
        else:
            watch.release(history.result())

    # Writing

    async def put(self, key: str, value: bytes, *, expected: int | None, ttl_seconds: float | None = None) -> int:
        replaced = await self._expected(key, expected)
        expires = None if ttl_seconds is None else self._clock.now().timestamp() + ttl_seconds
        return await self._stage(key, value, replaced, expires)

    async def delete(self, key: str, *, expected: int | None = None) -> int:
        replaced = await self._expected(key, expected)
        if replaced is None:
            raise Conflict(key, None)
        return await self._stage(key, None, replaced, None)

    def _newest(self, key: str) -> Living | None:
        return self._overlay[key] if key in self._overlay else self._living.get(key)

    async def _expected(self, key: str, expected: int | None) -> Living | None:
        newest = self._newest(key)
        if expected is not None and expected != (newest.revision if newest else 0):
            raise Conflict(key, await self._value(key, newest))
        return newest

    async def _value(self, key: str, newest: Living | None) -> KeyValue | None:
        """The value of what stands in a write's way, staged or committed."""
        if newest is None:
            return None
        for staged in (*self._committing, *self._gathering):
            if staged.write.revision == newest.revision and staged.write.value is not None:
                return KeyValue(key, staged.write.value, newest.created, newest.revision)
        return await self.get(key)

    def _stage(
        self, key: str, value: bytes | None, replaced: Living | None, expires: float | None
    ) -> asyncio.Future[int]:
        """Give the write its revision; the future is done once it is durable."""
        if self._closed:
            raise Unavailable(f"store {self._database.path}: closed")
        revision = self._next_revision
        self._next_revision += 1
        created = replaced.created if replaced else revision
        write = Write(key, value, revision, created, replaced.revision if replaced else 0, expires)
        self._overlay[key] = None if value is None else Living(revision, created, expires)
        answer = self._loop.create_future()
        self._gathering.append(_Staged(write, answer))
        if not self._committing:
            # After this turn of the loop, so that writes staged in the same turn share the commit.
            self._committing = self._gathering
            self._loop.call_soon(self._submit)
        return answer

    def _submit(self) -> None:
        self._committing, self._gathering = self._committing or self._gathering, []
        self._writer.commit([staged.write for staged in self._committing], self._committed)

    def _committed(self, events: Sequence[Event], error: StoreError | None) -> None:
        batch, self._committing = self._committing, []
        if error is not None:
            self._reject([*batch, *self._gathering], error)
        else:
            self._accept(batch, events)
        if self._gathering:
            self._committing = self._gathering
            self._submit()
        elif self._drained is not None:
            self._drained.set_result(None)

    def _accept(self, batch: Sequence[_Staged], events: Sequence[Event]) -> None:
        for write, _ in batch:
            self._settle(write)
        self._revision = batch[-1].write.revision
        self._hub.publish(events)
        for write, answer in batch:
            if not answer.done():
                answer.set_result(write.revision)

    def _settle(self, write: Write) -> None:
        """A staged write is now what is committed."""
        if write.value is None:
            self._living.pop(write.key, None)
        else:
            self._living[write.key] = Living(write.revision, write.created, write.expires)
            if write.expires is not None:
                self._expiry.add(write.key, write.revision, write.expires)
        newest = self._overlay.get(write.key)
        if write.value is None if newest is None else newest.revision == write.revision:
            self._overlay.pop(write.key, None)

    def _reject(self, staged: Sequence[_Staged], error: StoreError) -> None:
        """Nothing of what was staged has happened: later writes may have built on the failed ones."""
        self._gathering = []
        self._overlay.clear()
        self._next_revision = self._revision + 1
        for _, answer in staged:
            if not answer.done():
                answer.set_exception(error)

    async def _expire(self, key: str, revision: int) -> None:
        await self.delete(key, expected=revision)

    async def compact(self, revision: int) -> None:
        if revision > self._revision:
            raise FutureRevision(revision)
        self._check_kept(revision)
        self._compacted = revision
        done: asyncio.Future[None] = self._loop.create_future()

        def finish(_: Sequence[Event], error: StoreError | None) -> None:
            if not done.done():
                done.set_exception(error) if error else done.set_result(None)

        self._writer.compact(revision, finish)
        await done

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        await self._expiry.close()
        if self._committing:
            self._drained = self._loop.create_future()
            await self._drained
        await self._loop.run_in_executor(self._threads, self._writer.close)
        self._threads.shutdown()
        self._hub.close()
        self._reader.close()
        self._database.close()
