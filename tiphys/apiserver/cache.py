"""Everything that is stored, in memory: what reads, lists and watches are served from.

One store watch feeds all resources. ``revision`` is the newest revision that
has been seen here, of whatever resource; a reader who must see the latest
(or his own) write waits for it. Entries are shared and never change.
"""

import asyncio
import contextlib
import logging
from bisect import bisect_left, insort
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from tiphys.apiserver.entries import Entry, head_of, parted
from tiphys.apiserver.indexes import INDEXED, Index
from tiphys.resources.rules import Resource
from tiphys.store.interface import Compacted, Event, KeyValue, Range, Store, StoreError

log = logging.getLogger(__name__)

ROOT: Final = "/registry/"
#: Behind every key that begins with the same prefix.
BEYOND: Final = "\U0010ffff"
#: How many keys are read at a time when everything is.
PAGE_KEYS: Final = 2000
# Older changes are read from the store, which keeps minutes of them.
HISTORY_CHANGES_MAX: Final = 1024
HISTORY_BYTES_MAX: Final = 16 * 1024 * 1024


class Change(NamedTuple):
    """One change of one object. ``new`` is None for a deletion, ``old`` for a creation.

    ``frames`` keeps the watch frames made of it, one per view, form and type.
    """

    revision: int
    new: Entry | None
    old: Entry | None
    frames: dict[Any, bytes]


def _size(change: Change) -> int:
    """Bytes of older states that a kept change may hold on to."""
    return len(change.old.tail) + len(change.old.managed) if change.old is not None else 0


class Unreadable(StoreError):
    """What is stored under ``key`` is no object of its resource: it cannot be opened, or somebody else wrote it."""

    def __init__(self, key: str) -> None:
        super().__init__(f"StorageError: corrupt object, Key: {key}, the value in the store cannot be read")
        self.key = key


Listener = Callable[[Sequence[Change]], None]


def prefix_of(row: Resource) -> str:
    """What the keys of a resource begin with."""
    group, plural = row.storage_resource
    return f"{ROOT}{plural}.{group}/" if group else f"{ROOT}{plural}/"


def _prefix(key: str) -> str:
    """What the key begins with if it is an object's; empty for strangers' keys."""
    return key[: key.find("/", len(ROOT)) + 1]


class ResourceCache:
    """The entries of one storage prefix, in the order of their keys."""

    def __init__(self, row: Resource) -> None:
        self.row = row
        self.prefix = prefix_of(row)
        self.head = head_of(row)
        self._begin = self.head + b'"metadata":{'
        self._cut = len(self._begin)
        #: Keys whose values cannot be shown, and their revisions. One of them must not take all others down.
        self.unreadable: dict[str, int] = {}
        self.entries: dict[str, Entry] = {}
        self.keys: list[str] = []
        self.history: deque[Change] = deque()
        self._history_bytes = 0
        #: Changes above this revision are all in ``history``.
        self.history_after = 0
        #: Revision of the newest change of this resource.
        self.changed = 0
        self.listeners: list[Listener] = []
        #: Those that have been asked for.
        self._indexes: dict[str, Index] = {}

    def entry_of(self, item: KeyValue) -> Entry:
        """An entry for what the store gave, now or in the past. Raises Unreadable."""
        return self.make(item.key, item.mod_revision, item.value)

    def entries_of(self, items: Sequence[KeyValue]) -> Iterator[Entry]:
        """Entries for those that can be read."""
        for item in items:
            with contextlib.suppress(Unreadable):
                yield self.entry_of(item)

    def make(self, key: str, revision: int, value: bytes) -> Entry:
        """The entry of a stored value. Raises Unreadable."""
        if not value.startswith(self._begin):
            raise Unreadable(key)
        return Entry(self.row, self.head, key, revision, *parted(value, self._cut, revision))

    def key(self, namespace: str, name: str) -> str:
        return f"{self.prefix}{namespace}/{name}" if self.row.namespaced else self.prefix + name

    def span(self, namespace: str = "") -> str:
        """The prefix of all keys, or of one namespace's."""
        return f"{self.prefix}{namespace}/" if namespace else self.prefix

    def find(self, namespace: str, name: str) -> Entry | None:
        return self.entries.get(self.key(namespace, name))

    def within(self, prefix: str, start: str = "", limit: int = 0) -> list[Entry]:
        """Entries whose keys begin with ``prefix``, from the key ``start`` on; the first ``limit``, or all."""
        low, high = self._bounds(prefix, start)
        entries = self.entries
        return [entries[key] for key in self.keys[low : min(high, low + limit) if limit else high]]

    def walk(self, prefix: str, start: str = "") -> Iterator[Entry]:
        """The same, one after the other, for who may stop early; nothing may be awaited meanwhile."""
        low, high = self._bounds(prefix, start)
        keys, entries = self.keys, self.entries
        return (entries[keys[index]] for index in range(low, high))

    def count(self, prefix: str, start: str = "") -> int:
        """How many there are."""
        low, high = self._bounds(prefix, start)
        return high - low

    def _bounds(self, prefix: str, start: str) -> tuple[int, int]:
        keys = self.keys
        high = len(keys) if prefix == self.prefix else bisect_left(keys, prefix + BEYOND)
        return bisect_left(keys, max(prefix, start)), high

    def indexed(self, prefix: str, exact: Callable[[str], str | None]) -> list[Entry] | None:
        """Entries below ``prefix`` that have what ``exact`` says of an indexed field; None if it says nothing."""
        for name, read in INDEXED.get(self.row.storage_resource, {}).items():
            value = exact(name)
            if value is None:
                continue
            index = self._indexes.get(name)
            if index is None:
                index = self._indexes[name] = Index(read, self.entries.values())
            entries = self.entries
            return [entries[key] for key in index.keys(value) if key.startswith(prefix)]
        return None

    def fill(self, items: Sequence[KeyValue], revision: int) -> None:
        """Begin with what the store holds at ``revision``; a part of it may be here already."""
        for item in items:
            try:
                self.entries[item.key] = self.entry_of(item)
            except Unreadable as problem:
                self._set_aside(problem, item.mod_revision)
            self.changed = max(self.changed, item.mod_revision)
        if items:
            self.keys = sorted(self.entries)
        self.history_after = revision

    def _set_aside(self, problem: Unreadable, revision: int) -> None:
        self.unreadable[problem.key] = revision
        log.error("an object cannot be read and is not served", extra={"key": problem.key, "revision": revision})

    def change_of(self, event: Event, old: Entry | None) -> Change:
        """The change that an event stands for; a deleted object carries the revision of its deletion.

        To those who look, an object that cannot be read any more is gone.
        """
        new: Entry | None = None
        if not event.deleted:
            try:
                new = self.make(event.key, event.mod_revision, event.value)
            except Unreadable:
                new = None
        gone = old.at(event.mod_revision) if new is None and old is not None else old
        return Change(event.mod_revision, new, gone, {})

    def past_change(self, event: Event) -> Change:
        """A change out of the store's history."""
        old = next(self.entries_of([event.previous]), None) if event.previous else None
        return self.change_of(event, old)

    def apply(self, event: Event) -> Change | None:
        """Take over one committed change; None if nobody can see it."""
        key = event.key
        old = self.entries.get(key)
        change = self.change_of(event, old)
        if change.new is None and not event.deleted:
            self._set_aside(Unreadable(key), event.mod_revision)
        elif self.unreadable:
            self.unreadable.pop(key, None)
        if change.new is not None:
            if old is None:
                self._insert(key)
            self.entries[key] = change.new
        elif old is not None:
            del self.entries[key]
            del self.keys[bisect_left(self.keys, key)]
        for index in self._indexes.values():
            index.take(change.new, old)
        self.changed = event.mod_revision
        if change.new is None and old is None:
            return None
        self._remember(change)
        return change

    def _remember(self, change: Change) -> None:
        history = self.history
        history.append(change)
        self._history_bytes += _size(change)
        while len(history) > HISTORY_CHANGES_MAX or self._history_bytes > HISTORY_BYTES_MAX:
            oldest = history.popleft()
            self._history_bytes -= _size(oldest)
            self.history_after = oldest.revision

    def take_over(self, other: "ResourceCache") -> None:
        """Hold what ``other`` holds, its history aside."""
        for key, entry in other.entries.items():
            self.entries[key] = self.adopted(entry)
        self.keys = list(other.keys)
        self.unreadable = dict(other.unreadable)
        self.changed = other.changed
        self.history_after = max(other.changed, other.history_after)

    def adopted(self, entry: Entry) -> Entry:
        """An entry of another cache as this one's."""
        return Entry(self.row, entry.head, entry.key, entry.revision, entry.tail, entry.managed)

    def forget(self, revision: int) -> None:
        """Changes up to ``revision`` are not complete here."""
        self.history.clear()
        self._history_bytes = 0
        self.history_after = revision

    def _insert(self, key: str) -> None:
        if not self.keys or key > self.keys[-1]:
            self.keys.append(key)
        else:
            insort(self.keys, key)

    def since(self, revision: int) -> Iterator[Change]:
        """Kept changes above ``revision``, oldest first; the caller has compared with ``history_after``."""
        if revision < self.changed:
            yield from (change for change in self.history if change.revision > revision)


class Cache:
    """All resources. ``start`` fills it; ``wait`` returns once a revision has been seen."""

    def __init__(self, store: Store, rows: Sequence[Resource]) -> None:
        self._store = store
        self._by_prefix: dict[str, ResourceCache] = {}
        for row in rows:
            if row.to_storage is None and not row.virtual:
                self._by_prefix.setdefault(prefix_of(row), ResourceCache(row))
        self.revision = 0
        #: What was read at the start and belongs to no resource known yet, by prefix.
        self._unclaimed: dict[str, list[KeyValue]] = {}
        #: Events for resources that are just being read.
        self._loading: dict[str, list[Event]] = {}
        self._waiters: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._watch: Any = None

    def of(self, row: Resource) -> ResourceCache:
        """The cache of the resource that ``row`` is stored as."""
        return self._by_prefix[prefix_of(row)]

    async def start(self) -> None:
        """Read everything and begin to follow; ``run`` must be running afterwards."""
        found = Range((), 0, 0, True)
        while found.more:
            # In pages of one revision: what is read is copied, and memory that was used twice stays taken.
            start = found.items[-1].key + "\0" if found.items else ""
            found = await self._store.range(ROOT, start=start, limit=PAGE_KEYS, revision=found.revision)
            self._fill(found)
        self.revision = found.revision
        self._watch = self._store.watch(ROOT, found.revision)

    def _fill(self, found: Range) -> None:
        groups: defaultdict[str, list[KeyValue]] = defaultdict(list)
        for item in found.items:
            groups[_prefix(item.key)].append(item)
        for prefix, cache in self._by_prefix.items():
            cache.fill(groups.pop(prefix, ()), found.revision)
        for prefix, items in groups.items():
            self._unclaimed.setdefault(prefix, []).extend(items)

    def claim(self, cache: ResourceCache) -> None:
        """Serve one more resource, out of what ``start`` has read; before ``run``."""
        cache.fill(self._unclaimed.pop(cache.prefix, ()), self.revision)
        self._by_prefix[cache.prefix] = cache

    def replace(self, cache: ResourceCache) -> None:
        """Let ``cache`` go on in place of the one with the same prefix, with what that holds."""
        old = self._by_prefix[cache.prefix]
        cache.take_over(old)
        self._by_prefix[cache.prefix] = cache

    async def add(self, cache: ResourceCache) -> None:
        """Serve one more resource while running; it is complete when this returns."""
        prefix = cache.prefix
        pending = self._loading[prefix] = []
        try:
            found = await self._store.range(prefix)
            await self.wait(found.revision)
        finally:
            del self._loading[prefix]
        cache.fill(found.items, found.revision)
        for event in pending:
            if event.mod_revision > found.revision:
                cache.apply(event)
        self._by_prefix[prefix] = cache

    def remove(self, prefix: str) -> None:
        """Forget a resource."""
        self._by_prefix.pop(prefix, None)

    async def run(self) -> None:
        """Follow the store until it closes."""
        self._unclaimed.clear()
        while True:
            try:
                return await self._follow()
            except Compacted as problem:
                # Other servers went on while the store was out of this one's reach.
                log.warning("cache fell behind the store's history (%s): reading everything again", problem)
                await self._read_again()

    async def _follow(self) -> None:
        async for batch in self._watch:
            if batch:
                self._take(batch)
            # Further than the last change, where the store has changes that are none of ours.
            self._reach(self._watch.revision)

    async def _read_again(self) -> None:
        """Take over the difference between what is here and what is stored; what lay between is not to be had."""
        found = await self._store.range(ROOT)
        self._watch = self._store.watch(ROOT, found.revision)
        living = {item.key for item in found.items}
        events = [Event(*item, False, None) for item in found.items if item.mod_revision > self.revision]
        gone = [
            key for cache in self._by_prefix.values() for key in (*cache.keys, *cache.unreadable) if key not in living
        ]
        events += [Event(key, b"", 0, found.revision, True, None) for key in gone]
        if events:
            self._take(sorted(events, key=lambda event: event.mod_revision))
        for cache in self._by_prefix.values():
            cache.forget(found.revision)
        self._reach(found.revision)

    def stop(self) -> None:
        if self._watch is not None:
            self._watch.close()
        for _, waiter in self._waiters:
            waiter.cancel()

    def _take(self, batch: Sequence[Event]) -> None:
        changed: defaultdict[ResourceCache, list[Change]] = defaultdict(list)
        by_prefix = self._by_prefix
        for event in batch:
            key = event.key
            prefix = _prefix(key)
            cache = by_prefix.get(prefix)
            if cache is not None:
                change = cache.apply(event)
                if change is not None:
                    changed[cache].append(change)
            elif prefix in self._loading:
                self._loading[prefix].append(event)
        # Who waits is only scheduled here and runs after the listeners.
        self._reach(batch[-1].mod_revision)
        for cache, changes in changed.items():
            for listener in cache.listeners:
                listener(changes)

    def _reach(self, revision: int) -> None:
        if revision > self.revision:
            self.revision = revision
            self._wake()

    def _wake(self) -> None:
        waiters = self._waiters
        still: deque[tuple[int, asyncio.Future[None]]] = deque()
        for revision, waiter in waiters:
            if revision > self.revision:
                still.append((revision, waiter))
            elif not waiter.done():
                waiter.set_result(None)
        self._waiters = still

    async def wait(self, revision: int) -> None:
        """Return once everything up to ``revision`` is here."""
        while self.revision < revision:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append((revision, waiter))
            await waiter

    async def catch_up(self) -> None:
        """Return once everything that was committed before this call is here."""
        revision = await self._store.latest()
        if self.revision < revision:
            await self.wait(revision)
