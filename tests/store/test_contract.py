"""What every store must do, run against each of them. Guarantees: ``tiphys/store/interface.py``."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.store.etcd_server import Cluster
from tiphys.store.etcd.config import EtcdConfig
from tiphys.store.etcd.store import EtcdStore
from tiphys.store.interface import Compacted, Conflict, Event, FutureRevision, KeyValue, Store, Watch
from tiphys.store.memory import MemoryStore
from tiphys.store.sqlite import SqliteStore


class HandClock:
    """A clock whose sleepers wake when the test moves it."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.sleepers = 0
        self._moved = asyncio.Condition()

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        end = self.seconds + seconds
        async with self._moved:
            self.sleepers += 1
            self._moved.notify_all()
            await self._moved.wait_for(lambda: self.seconds >= end)

    async def someone_sleeps(self) -> None:
        async with self._moved:
            await self._moved.wait_for(lambda: self.sleepers > 0)

    async def advance(self, seconds: float) -> None:
        async with self._moved:
            self.seconds += seconds
            self._moved.notify_all()


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture(params=["memory", "sqlite", "fork", "etcd"])
async def store(
    request: pytest.FixtureRequest, tmp_path: Path, clock: HandClock, own_etcd: Cluster
) -> AsyncIterator[Store]:
    made: Store
    match request.param:
        case "etcd":
            # A member of its own, so that revisions begin at 1 as elsewhere.
            own_etcd.start()
            made = await EtcdStore.open(EtcdConfig(own_etcd.urls))
        case "memory":
            made = MemoryStore(clock)
        case "fork":
            made = MemoryStore(clock).fork()
        case _:
            made = await SqliteStore.open(tmp_path / "store.db", clock)
    yield made
    await made.close()


async def take(watch: Watch, count: int) -> list[Event]:
    """The next ``count`` events; batches must not bring more."""
    events: list[Event] = []
    async with asyncio.timeout(5):
        while len(events) < count:
            events.extend(await anext(watch))
    assert len(events) == count
    if events:
        assert watch.revision >= events[-1].mod_revision
    return events


async def test_revisions_count_writes(store: Store) -> None:
    assert store.revision == 1
    assert await store.put("/registry/a", b"1", expected=0) == 2
    assert await store.put("/registry/a", b"2", expected=2) == 3
    assert await store.get("/registry/a") == KeyValue("/registry/a", b"2", 2, 3)
    assert await store.delete("/registry/a", expected=3) == 4
    assert await store.get("/registry/a") is None
    assert store.revision == 4


async def test_compare_and_set_names_what_stands_in_the_way(store: Store) -> None:
    await store.put("/registry/a", b"1", expected=0)
    with pytest.raises(Conflict) as refused:
        await store.put("/registry/a", b"2", expected=0)
    assert refused.value.current == KeyValue("/registry/a", b"1", 2, 2)
    with pytest.raises(Conflict):
        await store.put("/registry/b", b"2", expected=7)
    with pytest.raises(Conflict):
        await store.delete("/registry/b")
    with pytest.raises(Conflict):
        await store.delete("/registry/a", expected=1)
    assert store.revision == 2


async def test_compare_and_set_sees_staged_writes(store: Store) -> None:
    results = await asyncio.gather(
        *(store.put("/registry/a", b"%d" % i, expected=0) for i in range(10)), return_exceptions=True
    )
    assert [r for r in results if isinstance(r, int)] == [2]
    assert sum(isinstance(r, Conflict) for r in results) == 9


async def test_ranges_are_ordered_paged_and_counted(store: Store) -> None:
    for name in ("b", "d", "a", "c"):
        await store.put(f"/registry/p/{name}", name.encode(), expected=0)
    await store.put("/registry/q/x", b"", expected=0)
    found = await store.range("/registry/p/", limit=3)
    assert [item.key for item in found.items] == ["/registry/p/a", "/registry/p/b", "/registry/p/c"]
    assert (found.count, found.more, found.revision) == (4, True, 6)
    rest = await store.range("/registry/p/", start="/registry/p/c\0", limit=3, revision=found.revision)
    assert [item.key for item in rest.items] == ["/registry/p/d"]
    assert not rest.more


async def test_the_past_can_be_read(store: Store) -> None:
    await store.put("/registry/p/a", b"1", expected=0)
    await store.put("/registry/p/b", b"1", expected=0)
    then = store.revision
    await store.put("/registry/p/a", b"2", expected=None)
    await store.delete("/registry/p/b")
    await store.put("/registry/p/c", b"1", expected=0)
    assert [item.value for item in (await store.range("/registry/p/", revision=then)).items] == [b"1", b"1"]
    assert (await store.get("/registry/p/b", then)) == KeyValue("/registry/p/b", b"1", 3, 3)
    with pytest.raises(FutureRevision):
        await store.range("/registry/p/", revision=99)


async def test_a_watch_misses_nothing_and_repeats_nothing(store: Store) -> None:
    await store.put("/registry/p/a", b"1", expected=0)
    watch = store.watch("/registry/p/", 1)
    await store.put("/registry/q/a", b"1", expected=0)
    await store.put("/registry/p/a", b"2", expected=None)
    await store.delete("/registry/p/a")
    created, updated, deleted = await take(watch, 3)
    assert created == Event("/registry/p/a", b"1", 2, 2, False, None)
    assert updated == Event("/registry/p/a", b"2", 2, 4, False, KeyValue("/registry/p/a", b"1", 2, 2))
    assert deleted == Event("/registry/p/a", b"", 2, 5, True, KeyValue("/registry/p/a", b"2", 2, 4))
    late = store.watch("/registry/p/", 4)
    assert [event.mod_revision for event in await take(late, 1)] == [5]


async def test_a_closed_watch_ends(store: Store) -> None:
    watch = store.watch("/registry/", store.revision)
    watch.close()
    assert [batch async for batch in watch] == []
    await store.put("/registry/a", b"", expected=0)


async def test_compaction_forgets_the_past_only(store: Store) -> None:
    await store.put("/registry/a", b"1", expected=0)
    await store.put("/registry/a", b"2", expected=None)
    await store.put("/registry/b", b"1", expected=0)
    await store.delete("/registry/b")
    await store.compact(4)
    with pytest.raises(Compacted):
        await anext(store.watch("/registry/", 3))
    with pytest.raises(Compacted):
        await store.range("/registry/", revision=3)
    assert (await store.get("/registry/a")) == KeyValue("/registry/a", b"2", 2, 3)
    (deleted,) = await take(store.watch("/registry/", 4), 1)
    assert deleted.previous == KeyValue("/registry/b", b"1", 4, 4)
    assert [item.key for item in (await store.range("/registry/", revision=4)).items] == ["/registry/a", "/registry/b"]


async def test_the_latest_revision_covers_what_was_answered(store: Store) -> None:
    watch = store.watch("/registry/p/", await store.latest())
    seen = watch.revision
    written = await store.put("/registry/p/a", b"", expected=0)
    # Beyond it only if the store had to write something to learn how far the watch is.
    assert await store.latest() >= written > seen
    await take(watch, 1)
    assert watch.revision >= written


async def test_keys_expire_unless_written_again(store: Store, clock: HandClock) -> None:
    if isinstance(store, EtcdStore):
        pytest.skip("etcd has a clock of its own: test_etcd.py")
    await store.put("/registry/a", b"1", expected=0, ttl_seconds=10)
    await store.put("/registry/b", b"1", expected=0, ttl_seconds=10)
    watch = store.watch("/registry/", store.revision)
    await clock.someone_sleeps()
    await clock.advance(5)
    await store.put("/registry/b", b"2", expected=None, ttl_seconds=10)
    await take(watch, 1)
    await clock.advance(6)
    (gone,) = await take(watch, 1)
    assert (gone.key, gone.deleted) == ("/registry/a", True)
    assert await store.get("/registry/b") is not None


async def test_a_fork_goes_its_own_way() -> None:
    origin = MemoryStore()
    await origin.put("/registry/a", b"1", expected=0)
    fork = origin.fork()
    await fork.delete("/registry/a")
    await origin.put("/registry/b", b"1", expected=0)
    assert [i.key for i in (await origin.range("/registry/")).items] == ["/registry/a", "/registry/b"]
    assert (await fork.range("/registry/")).items == []
    assert (await fork.range("/registry/", revision=2)).count == 1
    again = fork
    for number in range(20):
        again = again.fork()
        await again.put(f"/registry/n/{number:02}", b"", expected=0)
    assert (await again.range("/registry/n/")).count == 20
    assert (await again.range("/registry/n/", revision=again.revision - 5)).count == 15


steps = st.lists(st.tuples(st.sampled_from(["put", "delete"]), st.sampled_from("abcd"), st.integers(0, 9)), max_size=30)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=steps, kind=st.sampled_from(["memory", "sqlite", "etcd"]))
async def test_every_past_revision_agrees_with_a_model(
    steps: list[tuple[str, str, int]],
    kind: str,
    tmp_path_factory: pytest.TempPathFactory,
    etcd: Cluster,
) -> None:
    store: Store
    match kind:
        case "memory":
            store = MemoryStore()
        case "sqlite":
            store = await SqliteStore.open(tmp_path_factory.mktemp("model") / "store.db")
        case _:
            # What the examples before have left stays under prefixes of their own.
            store = await EtcdStore.open(EtcdConfig(etcd.urls, prefix=f"/{uuid4()}"))
    first = store.revision
    model: dict[str, bytes] = {}
    past: dict[int, dict[str, bytes]] = {store.revision: {}}
    watch = store.watch("/registry/", store.revision)
    for action, name, number in steps:
        key, value = f"/registry/{name}", b"%d" % number
        if action == "put":
            await store.put(key, value, expected=None)
            model[key] = value
        elif key in model:
            await store.delete(key)
            del model[key]
        past[store.revision] = dict(model)
    for revision, expected in past.items():
        found = await store.range("/registry/", revision=revision)
        assert {item.key: item.value for item in found.items} == expected
        assert [item.key for item in found.items] == sorted(expected)
    replayed: dict[str, bytes] = {}
    for event in await take(watch, store.revision - first):
        assert (event.previous and event.previous.value) == replayed.get(event.key)
        if event.deleted:
            del replayed[event.key]
        else:
            replayed[event.key] = event.value
        assert replayed == past[event.mod_revision]
    await store.close()
