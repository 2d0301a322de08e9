"""A store whose calls are timed, as ``etcd_request_duration_seconds``, whatever the store is.

Reads that are answered from the cache make no call; ``latest``, which they may
wait for, is not timed, as it costs more often than it takes.
Source: Kubernetes docs, "Kubernetes Metrics Reference".
"""

from collections.abc import Awaitable, Iterator
from typing import Final, TypeVar

from tiphys.apiserver.instruments import Histogram, head, labelled
from tiphys.base.clock import Clock
from tiphys.store.interface import KeyValue, Range, Store, Watch

NAME: Final = "etcd_request_duration_seconds"
ROOT: Final = "/registry/"
BUCKETS: Final = (
    *(0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0),
    *(3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0),
)

T = TypeVar("T")


class MeteredStore:
    """See ``tiphys.store.interface.Store``."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        #: By operation and what the key begins with.
        self._series: dict[tuple[str, str], Histogram] = {}
        self.latest = store.latest
        self.stale = store.stale

    @property
    def revision(self) -> int:
        return self._store.revision

    async def get(self, key: str, revision: int = 0) -> KeyValue | None:
        return await self._timed("get", key, self._store.get(key, revision))

    async def range(self, prefix: str, *, start: str = "", limit: int = 0, revision: int = 0) -> Range:
        work = self._store.range(prefix, start=start, limit=limit, revision=revision)
        return await self._timed("list", prefix, work)

    async def put(self, key: str, value: bytes, *, expected: int | None, ttl_seconds: float | None = None) -> int:
        work = self._store.put(key, value, expected=expected, ttl_seconds=ttl_seconds)
        return await self._timed("create" if expected == 0 else "update", key, work)

    async def delete(self, key: str, *, expected: int | None = None) -> int:
        return await self._timed("delete", key, self._store.delete(key, expected=expected))

    async def _timed(self, operation: str, key: str, work: Awaitable[T]) -> T:
        start = self._clock.monotonic()
        try:
            return await work
        finally:
            name = (operation, key[len(ROOT) : key.find("/", len(ROOT))])
            series = self._series.get(name)
            if series is None:
                series = self._series[name] = Histogram(BUCKETS)
            series.observe(self._clock.monotonic() - start)

    def watch(self, prefix: str, after: int) -> Watch:
        return self._store.watch(prefix, after)

    async def compact(self, revision: int) -> None:
        await self._store.compact(revision)

    async def close(self) -> None:
        await self._store.close()

    def lines(self) -> Iterator[str]:
        """Prometheus' text."""
        yield from head(NAME, "histogram", "Seconds that calls of the store took.")
        for (operation, stored), histogram in sorted(self._series.items()):
            resource, _, group = stored.partition(".")
            labels = labelled({"group": group, "operation": operation, "resource": resource})
            yield from histogram.lines(NAME, labels)
