"""The store in memory, for simulations and tests: nothing is durable, forking is cheap.

A fork shares everything written so far with its origin: data is kept in layers,
of which only the topmost belongs to one store, and the log of changes in
segments that only grow. Forking therefore costs O(1), and a store's own cost is
proportional to what it changes itself.
"""

from bisect import bisect_left, insort
from collections.abc import Iterator

from tiphys.base.clock import Clock, RealClock
from tiphys.store.expiry import Expiry
from tiphys.store.hub import Hub, QueuedWatch
from tiphys.store.interface import Compacted, Conflict, Event, FutureRevision, KeyValue, Range
from tiphys.store.past import undone

# Deeper stacks of layers are merged into one, so that reads stay quick after many forks.
LAYERS_MAX = 8
BEYOND = "\U0010ffff"


class _Layer:
    """A sorted map; None marks a key that a lower layer has and this one deleted."""

    __slots__ = ("keys", "values")

    def __init__(self) -> None:
        self.values: dict[str, KeyValue | None] = {}
        self.keys: list[str] = []

    def set(self, key: str, value: KeyValue | None) -> None:
        if key not in self.values:
            insort(self.keys, key)
        self.values[key] = value

    def drop(self, key: str) -> None:
        if self.values.pop(key, None) is not None:
            del self.keys[bisect_left(self.keys, key)]

    def span(self, low: str, high: str) -> list[str]:
        return self.keys[bisect_left(self.keys, low) : bisect_left(self.keys, high)]


class MemoryStore:
    """See ``tiphys.store.interface.Store``."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or RealClock()
        self._layers: list[_Layer] = [_Layer()]
        self._segments: list[tuple[list[Event], int]] = []
        self._log: list[Event] = []
        self._revision = 1
        self._compacted = 0
        self._hub = Hub()
        self._expiry = Expiry(self._clock, self._expire)
        self._expires: dict[str, tuple[int, float]] = {}

    @property
    def revision(self) -> int:
        return self._revision

    async def latest(self) -> int:
        return self._revision

    def stale(self, key: str) -> bool:
        return False

    def fork(self, clock: Clock | None = None) -> "MemoryStore":
        """A store that begins as this one is now and goes its own way; watches are not shared."""
        other = MemoryStore(clock or self._clock)
        self._seal()
        other._layers = [*self._layers[:-1], _Layer()]
        other._segments = list(self._segments)
        other._revision = self._revision
        other._compacted = self._compacted
        for key, (revision, expires) in self._expires.items():
            other._remember_expiry(key, revision, expires)
        return other

    def _seal(self) -> None:
        """Freeze what is written so far; later writes go to a new layer and a new segment."""
        if self._layers[-1].values:
            self._layers.append(_Layer())
        if len(self._layers) > LAYERS_MAX:
            merged = _Layer()
            for item in self._span("", BEYOND):
                merged.values[item.key] = item
                merged.keys.append(item.key)
            self._layers = [merged, _Layer()]
        if self._log:
            self._segments.append((self._log, len(self._log)))
            self._log = []

    def _find(self, key: str) -> KeyValue | None:
        for layer in reversed(self._layers):
            if key in layer.values:
                return layer.values[key]
        return None

    def _span(self, low: str, high: str) -> list[KeyValue]:
        found: dict[str, KeyValue | None] = {}
        touched = 0
        for layer in self._layers:
            keys = layer.span(low, high)
            touched += bool(keys)
            values = layer.values
            found.update((key, values[key]) for key in keys)
        order = sorted(found) if touched > 1 else found
        return [item for key in order if (item := found[key]) is not None]

    def _since(self, revision: int, prefix: str) -> Iterator[Event]:
        """Changes above ``revision``, oldest first; each revision is one change."""
        for log, length in [*self._segments, (self._log, len(self._log))]:
            if length and log[length - 1].mod_revision > revision:
                first = max(0, revision + 1 - log[0].mod_revision)
                for event in log[first:length]:
                    if event.key.startswith(prefix):
                        yield event

    def _check(self, revision: int) -> None:
        if revision > self._revision:
            raise FutureRevision(revision)
        if revision < self._compacted:
            raise Compacted(self._compacted)

    async def get(self, key: str, revision: int = 0) -> KeyValue | None:
        if not revision or revision == self._revision:
            return self._find(key)
        found = await self.range(key, revision=revision)
        return next((item for item in found.items if item.key == key), None)

    async def range(self, prefix: str, *, start: str = "", limit: int = 0, revision: int = 0) -> Range:
        items = self._span(prefix, prefix + BEYOND)
        if revision and revision != self._revision:
            self._check(revision)
            items = undone(items, self._since(revision, prefix))
        first = bisect_left(items, start, key=lambda item: item.key) if start else 0
        page = items[first : first + limit] if limit else items[first:]
        return Range(page, revision or self._revision, len(items) - first, first + len(page) < len(items))

    async def put(self, key: str, value: bytes, *, expected: int | None, ttl_seconds: float | None = None) -> int:
        current = self._expected(key, expected)
        revision = self._revision + 1
        created = current.create_revision if current else revision
        self._commit(Event(key, value, created, revision, False, current))
        self._layers[-1].set(key, KeyValue(key, value, created, revision))
        self._expires.pop(key, None)
        if ttl_seconds is not None:
            self._remember_expiry(key, revision, self._clock.now().timestamp() + ttl_seconds)
        return revision

    async def delete(self, key: str, *, expected: int | None = None) -> int:
        current = self._expected(key, expected)
        if current is None:
            raise Conflict(key, None)
        revision = self._revision + 1
        if len(self._layers) == 1:
            self._layers[-1].drop(key)
        else:
            self._layers[-1].set(key, None)
        self._expires.pop(key, None)
        self._commit(Event(key, b"", current.create_revision, revision, True, current))
        return revision

    def _expected(self, key: str, expected: int | None) -> KeyValue | None:
        current = self._find(key)
        if expected is not None and expected != (current.mod_revision if current else 0):
            raise Conflict(key, current)
        return current

    def _commit(self, event: Event) -> None:
        self._revision = event.mod_revision
        self._log.append(event)
        self._hub.publish((event,))

    def _remember_expiry(self, key: str, revision: int, expires: float) -> None:
        self._expires[key] = (revision, expires)
        self._expiry.add(key, revision, expires)

    async def _expire(self, key: str, revision: int) -> None:
        await self.delete(key, expected=revision)

    def watch(self, prefix: str, after: int) -> QueuedWatch:
        if after < self._compacted:
            raise Compacted(self._compacted)
        watch = self._hub.add(prefix, after)
        watch.release(list(self._since(after, prefix)))
        return watch

    async def compact(self, revision: int) -> None:
        self._check(revision)
        self._compacted = revision
        self._segments = [(log, length) for log, length in self._segments if log[length - 1].mod_revision > revision]
        # A new list, not a shortened one: forks may still read the old.
        self._log = [event for event in self._log if event.mod_revision > revision]

    async def close(self) -> None:
        await self._expiry.close()
        self._hub.close()
