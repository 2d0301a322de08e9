"""The store on an etcd cluster: any number of API servers, and kube-apiserver's own protocols, on one of them.

Revisions are etcd's. A write is one transaction that compares the key's
modification revision and gives back what stands in its way. Concurrent writes
are not packed into one transaction: they would share a revision, and a client
that resumes between two changes of one revision would miss the second. etcd
itself commits what arrives together with one fsync.

``latest`` is a linearizable read that concurrent callers share: who comes while
one is under way waits for the next, because the one under way may have been
answered before he came.
"""

import asyncio
import re
from typing import Any

from tiphys.base.clock import Clock, RealClock
from tiphys.store.etcd import messages_pb2 as messages
from tiphys.store.etcd.client import Client, LeaseGone
from tiphys.store.etcd.config import EtcdConfig
from tiphys.store.etcd.keys import Keys, end_of
from tiphys.store.etcd.leases import Leases
from tiphys.store.etcd.watching import EtcdWatch
from tiphys.store.interface import Conflict, FutureRevision, KeyValue, Range, StoreError

# Large ranges are read in pages of one revision, which bounds what etcd holds in memory for them.
PAGE_KEYS = 10_000
HEALTH_KEY = "/registry/health"
# From here on a progress notification comes behind the changes it covers. Source: KEP-2340, "Prerequisites".
PROGRESS_SINCE = {(3, 4): 31, (3, 5): 13}


class EtcdStore:
    """See ``tiphys.store.interface.Store``. Open it with ``await EtcdStore.open(config)``."""

    def __init__(self, client: Client, config: EtcdConfig, clock: Clock) -> None:
        self.client = client
        self._clock = clock
        self._keys = Keys(config.prefix)
        self._leases = Leases(client, clock)
        self._revision = 0
        self._asks = False
        self._watches: set[EtcdWatch] = set()
        self._reading: asyncio.Task[int] | None = None
        self._next_reading: asyncio.Task[int] | None = None

    @classmethod
    async def open(cls, config: EtcdConfig, clock: Clock | None = None) -> "EtcdStore":
        """Connect; raises Unavailable, naming a server, if none answers in time."""
        used = clock or RealClock()
        client = Client(config, used)
        store = cls(client, config, used)
        try:
            status = await client.read("status", messages.StatusRequest(), config.connect_seconds)
            await store.latest()
        except BaseException:
            await client.close()
            raise
        store._asks = progress_is_ordered(status.version)
        return store

    @property
    def revision(self) -> int:
        return self._revision

    def _seen(self, answer: Any) -> Any:
        self._revision = max(self._revision, answer.header.revision)
        return answer

    # Reading

    async def latest(self) -> int:
        if self._next_reading is None:
            self._next_reading = asyncio.create_task(self._read_latest(self._reading), name="etcd-latest")
            self._next_reading.add_done_callback(_retrieved)
        return await asyncio.shield(self._next_reading)

    async def _read_latest(self, before: asyncio.Task[int] | None) -> int:
        if before is not None:
            await asyncio.wait({before})
        self._reading, self._next_reading = self._next_reading, None
        request = messages.RangeRequest(key=self._keys.stored(HEALTH_KEY), keys_only=True)
        revision: int = self._seen(await self.client.read("range", request)).header.revision
        for watch in self._watches:
            watch.want(revision, self._asks)
        return revision

    def path(self, key: str) -> bytes:
        """The key in etcd."""
        return self._keys.stored(key)

    async def check(self, seconds: float) -> None:
        """A linearizable read; raises StoreError if it is not answered in time."""
        await self.client.read("range", messages.RangeRequest(key=self._keys.stored(HEALTH_KEY)), seconds)

    async def get(self, key: str, revision: int = 0) -> KeyValue | None:
        request = messages.RangeRequest(key=self._keys.stored(key), revision=revision)
        answer = self._seen(await self.client.read("range", request))
        return self._keys.item(answer.kvs[0]) if answer.kvs else None

    async def range(self, prefix: str, *, start: str = "", limit: int = 0, revision: int = 0) -> Range:
        stored = self._keys.stored(prefix)
        end = end_of(stored)
        first = max(stored, self._keys.stored(start)) if start else stored
        items: list[KeyValue] = []
        count = 0
        while True:
            page = min(limit - len(items), PAGE_KEYS) if limit else PAGE_KEYS
            request = messages.RangeRequest(key=first, range_end=end, limit=page, revision=revision)
            try:
                answer = self._seen(await self.client.read("range", request))
            except FutureRevision as problem:
                raise FutureRevision(revision) from problem
            count = count or answer.count
            revision = revision or answer.header.revision
            items.extend(map(self._keys.item, answer.kvs))
            if not answer.more or (limit and len(items) >= limit):
                return Range(items, revision, count, answer.more)
            first = answer.kvs[-1].key + b"\0"

    def watch(self, prefix: str, after: int) -> EtcdWatch:
        watch = EtcdWatch(
            self.client, self._clock, self._keys, prefix, after, self._revision, self._watches.discard, self._mark
        )
        self._watches.add(watch)
        watch.want(self._revision, self._asks)
        return watch

    async def _mark(self, key: bytes) -> None:
        self._seen(await self.client.write("put", messages.PutRequest(key=key)))

    # Writing

    async def put(self, key: str, value: bytes, *, expected: int | None, ttl_seconds: float | None = None) -> int:
        if ttl_seconds is None:
            return await self._put(key, value, expected, 0)
        try:
            return await self._put(key, value, expected, await self._leases.of(ttl_seconds))
        except LeaseGone:
            self._leases.forget(ttl_seconds)
            return await self._put(key, value, expected, await self._leases.of(ttl_seconds))

    async def _put(self, key: str, value: bytes, expected: int | None, lease: int) -> int:
        stored = self._keys.stored(key)
        change = messages.RequestOp(request_put=messages.PutRequest(key=stored, value=value, lease=lease))
        compare = [] if expected is None else [_unchanged(stored, expected)]
        return await self._change(key, stored, compare, change)

    async def delete(self, key: str, *, expected: int | None = None) -> int:
        stored = self._keys.stored(key)
        change = messages.RequestOp(request_delete_range=messages.DeleteRangeRequest(key=stored))
        existing = messages.Compare(
            target=messages.Compare.MOD, result=messages.Compare.GREATER, key=stored, mod_revision=0
        )
        compare = existing if expected is None else _unchanged(stored, expected)
        return await self._change(key, stored, [compare], change)

    async def _change(
        self, key: str, stored: bytes, compare: list[messages.Compare], change: messages.RequestOp
    ) -> int:
        current = messages.RequestOp(request_range=messages.RangeRequest(key=stored))
        request = messages.TxnRequest(compare=compare, success=[change], failure=[current])
        answer = self._seen(await self.client.write("txn", request))
        if not answer.succeeded:
            found = answer.responses[0].response_range.kvs
            raise Conflict(key, self._keys.item(found[0]) if found else None)
        return int(answer.header.revision)

    def stale(self, key: str) -> bool:
        return False

    async def compact(self, revision: int) -> None:
        await self.client.write("compact", messages.CompactionRequest(revision=revision, physical=True))

    async def close(self) -> None:
        for watch in list(self._watches):
            watch.close()
        for task in (self._reading, self._next_reading):
            if task is not None:
                task.cancel()
        await self.client.close()


def _unchanged(stored: bytes, expected: int) -> messages.Compare:
    return messages.Compare(target=messages.Compare.MOD, key=stored, mod_revision=expected)


def _retrieved(task: asyncio.Task[int]) -> None:
    """Nobody may be left who would take the error: that is no story for the log."""
    if not task.cancelled() and isinstance(task.exception(), StoreError):
        return


def progress_is_ordered(version: str) -> bool:
    """Whether a member of this version answers progress requests in their place among the changes."""
    found = re.match(r"(\d+)\.(\d+)\.(\d+)", version)
    if found is None:
        return False
    major, minor, patch = (int(part) for part in found.groups())
    return patch >= PROGRESS_SINCE.get((major, minor), 0) and (major, minor) >= (3, 4)
