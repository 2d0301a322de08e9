"""A store that keeps some resources sealed; for the others it is the store beneath it.

It remembers of each sealed key how it is sealed (a reference to a tag), so that
``stale`` can tell which values are to be written again under the present key.

A value that no key opens makes ``get`` fail, and comes out of ``range`` and
``watch`` as it is stored: whoever reads it there sees that it is no object.
"""

import logging
from collections.abc import AsyncIterator, Callable, Sequence

from tiphys.apiserver.encryption.chain import Chain, Chains
from tiphys.apiserver.encryption.providers import KeyUnavailable, TransformError
from tiphys.base.clock import Clock
from tiphys.store.interface import Conflict, Event, KeyValue, Range, Store, Watch

log = logging.getLogger(__name__)
ROOT = "/registry/"
RETRY_SECONDS = 1.0


class EncryptedStore:
    """See ``tiphys.store.interface.Store``. ``path`` gives the key as the store beneath writes it."""

    def __init__(self, store: Store, chains: Chains, clock: Clock, path: Callable[[str], bytes] = str.encode) -> None:
        self._store = store
        self.clock = clock
        self._chains = chains
        self._path = path
        self._by_prefix: dict[str, Chain | None] = {}
        self._tags: dict[str, bytes] = {}

    def use(self, chains: Chains) -> None:
        """Read and write with these from now on."""
        self._chains = chains
        self._by_prefix.clear()

    def chain_of(self, key: str) -> Chain | None:
        prefix = key[: key.find("/", len(ROOT))]
        try:
            return self._by_prefix[prefix]
        except KeyError:
            resource, _, group = prefix[len(ROOT) :].partition(".")
            chain = self._by_prefix[prefix] = self._chains.of(group, resource)
            return chain

    @property
    def revision(self) -> int:
        return self._store.revision

    async def latest(self) -> int:
        return await self._store.latest()

    def stale(self, key: str) -> bool:
        chain = self.chain_of(key)
        return chain is not None and self._tags.get(key, chain.tag) != chain.tag

    # Reading

    async def _opened(self, item: KeyValue) -> KeyValue:
        chain = self.chain_of(item.key)
        if chain is None:
            return item
        try:
            value, tag = await chain.open(item.value, self._path(item.key))
        except TransformError as problem:
            raise type(problem)(f'unable to transform key "{item.key}": {problem}') from problem
        self._tags[item.key] = tag
        return item._replace(value=value)

    async def _opened_if_possible(self, item: KeyValue) -> KeyValue:
        """One of many: what no key opens is handed on as it is, for one value must not hide all others."""
        try:
            return await self._opened(item)
        except KeyUnavailable:
            # Later it may be had; until then nobody knows what is there.
            raise
        except TransformError as problem:
            log.error("%s", problem)
            return item

    async def opened_event(self, event: Event) -> Event:
        """The change with its values open."""
        if self.chain_of(event.key) is None:
            return event
        previous = await self._opened_if_possible(event.previous) if event.previous else None
        if event.deleted:
            self._tags.pop(event.key, None)
            return event._replace(previous=previous)
        now = KeyValue(event.key, event.value, event.create_revision, event.mod_revision)
        item = await self._opened_if_possible(now)
        return event._replace(value=item.value, previous=previous)

    async def get(self, key: str, revision: int = 0) -> KeyValue | None:
        found = await self._store.get(key, revision)
        return await self._opened(found) if found else None

    async def range(self, prefix: str, *, start: str = "", limit: int = 0, revision: int = 0) -> Range:
        found = await self._store.range(prefix, start=start, limit=limit, revision=revision)
        return found._replace(items=[await self._opened_if_possible(item) for item in found.items])

    def watch(self, prefix: str, after: int) -> "EncryptedWatch":
        return EncryptedWatch(self, self._store.watch(prefix, after))

    # Writing

    async def put(self, key: str, value: bytes, *, expected: int | None, ttl_seconds: float | None = None) -> int:
        chain = self.chain_of(key)
        if chain is None:
            return await self._store.put(key, value, expected=expected, ttl_seconds=ttl_seconds)
        sealed = chain.seal(value, self._path(key))
        try:
            return await self._store.put(key, sealed, expected=expected, ttl_seconds=ttl_seconds)
        except Conflict as lost:
            raise await self._conflict(lost) from lost

    async def delete(self, key: str, *, expected: int | None = None) -> int:
        try:
            return await self._store.delete(key, expected=expected)
        except Conflict as lost:
            raise await self._conflict(lost) from lost

    async def _conflict(self, lost: Conflict) -> Conflict:
        return Conflict(lost.key, await self._opened_if_possible(lost.current) if lost.current else None)

    async def compact(self, revision: int) -> None:
        await self._store.compact(revision)

    async def close(self) -> None:
        await self._store.close()


class EncryptedWatch:
    """See ``tiphys.store.interface.Watch``."""

    def __init__(self, store: EncryptedStore, watch: Watch) -> None:
        self._store = store
        self._watch = watch
        self.revision = watch.revision

    def __aiter__(self) -> AsyncIterator[Sequence[Event]]:
        return self

    async def __anext__(self) -> Sequence[Event]:
        batch = [await self._opened(event) for event in await anext(self._watch)]
        self.revision = self._watch.revision
        return batch

    async def _opened(self, event: Event) -> Event:
        """The change, once its key is to be had: without it nothing behind it may be shown either."""
        while True:
            try:
                return await self._store.opened_event(event)
            except KeyUnavailable as problem:
                log.warning("a change waits for its key: %s", problem)
                await self._store.clock.sleep(RETRY_SECONDS)

    def close(self) -> None:
        self._watch.close()
