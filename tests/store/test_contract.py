"""What every store must do, run against each of them. Guarantees: ``tiphys/store/interface.py``."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

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


@pytest.fixture(params=["memory", "sqlite", "fork"])
async def store(request: pytest.FixtureRequest, tmp_path: Path, clock: HandClock) -> AsyncIterator[Store]:
    made: Store
    match request.param:
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
    return events


async def test_revisions_count_writes(store: Store) -> None:
    assert store.revision == 1
    assert await store.put("/a", b"1", expected=0) == 2
    assert await store.put("/a", b"2", expected=2) == 3
    assert await store.get("/a") == KeyValue("/a", b"2", 2, 3)
    assert await store.delete("/a", expected=3) == 4
    assert await store.get("/a") is None
    assert store.revision == 4


async def test_compare_and_set_names_what_stands_in_the_way(store: Store) -> None:
    await store.put("/a", b"1", expected=0)
    with pytest.raises(Conflict) as refused:
        await store.put("/a", b"2", expected=0)
    assert refused.value.current == KeyValue("/a", b"1", 2, 2)
    with pytest.raises(Conflict):
        await store.put("/b", b"2", expected=7)
    with pytest.raises(Conflict):
        await store.delete("/b")
    with pytest.raises(Conflict):
        await store.delete("/a", expected=1)
    assert store.revision == 2


async def test_compare_and_set_sees_staged_writes(store: Store) -> None:
    results = await asyncio.gather(*(store.put("/a", b"%d" % i, expected=0) for i in range(10)), return_exceptions=True)
    assert [r for r in results if isinstance(r, int)] == [2]
    assert sum(isinstance(r, Conflict) for r in results) == 9


async def test_ranges_are_ordered_paged_and_counted(store: Store) -> None:
    for name in ("b", "d", "a", "c"):
        await store.put(f"/p/{name}", name.encode(), expected=0)
    await store.put("/q/x", b"", expected=0)
    found = await store.range("/p/", limit=3)
    assert [item.key for item in found.items] == ["/p/a", "/p/b", "/p/c"]
    assert (found.count, found.more, found.revision) == (4, True, 6)
    rest = await store.range("/p/", start="/p/c\0", limit=3, revision=found.revision)
    assert [item.key for item in rest.items] == ["/p/d"]
    assert not rest.more


async def test_the_past_can_be_read(store: Store) -> None:
    await store.put("/p/a", b"1", expected=0)
    await store.put("/p/b", b"1", expected=0)
    then = store.revision
    await store.put("/p/a", b"2", expected=None)
    await store.delete("/p/b")
    await store.put("/p/c", b"1", expected=0)
    assert [item.value for item in (await store.range("/p/", revision=then)).items] == [b"1", b"1"]
    assert (await store.get("/p/b", then)) == KeyValue("/p/b", b"1", 3, 3)
    with pytest.raises(FutureRevision):
        await store.range("/p/", revision=99)


async def test_a_watch_misses_nothing_and_repeats_nothing(store: Store) -> None:
    await store.put("/p/a", b"1", expected=0)
    watch = store.watch("/p/", 1)
    await store.put("/q/a", b"1", expected=0)
    await store.put("/p/a", b"2", expected=None)
    await store.delete("/p/a")
    created, updated, deleted = await take(watch, 3)
    assert created == Event("/p/a", b"1", 2, 2, False, None)
    assert updated == Event("/p/a", b"2", 2, 4, False, KeyValue("/p/a", b"1", 2, 2))
    assert deleted == Event("/p/a", b"", 2, 5, True, KeyValue("/p/a", b"2", 2, 4))
    late = store.watch("/p/", 4)
    assert [event.mod_revision for event in await take(late, 1)] == [5]


async def test_a_closed_watch_ends(store: Store) -> None:
    watch = store.watch("/", store.revision)
    watch.close()
    assert [batch async for batch in watch] == []
    await store.put("/a", b"", expected=0)


async def test_compaction_forgets_the_past_only(store: Store) -> None:
    await store.put("/a", b"1", expected=0)
    await store.put("/a", b"2", expected=None)
    await store.put("/b", b"1", expected=0)
    await store.delete("/b")
    await store.compact(4)
    with pytest.raises(Compacted):
        store.watch("/", 3)
    with pytest.raises(Compacted):
        await store.range("/", revision=3)
    assert (await store.get("/a")) == KeyValue("/a", b"2", 2, 3)
    (deleted,) = await take(store.watch("/", 4), 1)
    assert deleted.previous == KeyValue("/b", b"1", 4, 4)
    assert [item.key for item in (await store.range("/", revision=4)).items] == ["/a", "/b"]


async def test_keys_expire_unless_written_again(store: Store, clock: HandClock) -> None:
    await store.put("/a", b"1", expected=0, ttl_seconds=10)
    await store.put("/b", b"1", expected=0, ttl_seconds=10)
    watch = store.watch("/", store.revision)
    await clock.someone_sleeps()
    await clock.advance(5)
    await store.put("/b", b"2", expected=None, ttl_seconds=10)
    await take(watch, 1)
    await clock.advance(6)
    (gone,) = await take(watch, 1)
    assert (gone.key, gone.deleted) == ("/a", True)
    assert await store.get("/b") is not None


async def test_a_fork_goes_its_own_way() -> None:
    origin = MemoryStore()
    await origin.put("/a", b"1", expected=0)
    fork = origin.fork()
    await fork.delete("/a")
    await origin.put("/b", b"1", expected=0)
    assert [i.key for i in (await origin.range("/")).items] == ["/a", "/b"]
    assert (await fork.range("/")).items == []
    assert (await fork.range("/", revision=2)).count == 1
    again = fork
    for number in range(20):
        again = again.fork()
        await again.put(f"/n/{number:02}", b"", expected=0)
    assert (await again.range("/n/")).count == 20
    assert (await again.range("/n/", revision=again.revision - 5)).count == 15


steps = st.lists(st.tuples(st.sampled_from(["put", "delete"]), st.sampled_from("abcd"), st.integers(0, 9)), max_size=30)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=steps, kind=st.sampled_from(["memory", "sqlite"]))
async def test_every_past_revision_agrees_with_a_model(
    steps: list[tuple[str, str, int]], kind: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    store: Store = (
        MemoryStore() if kind == "memory" else await SqliteStore.open(tmp_path_factory.mktemp("model") / "store.db")
    )
    model: dict[str, bytes] = {}
    past: dict[int, dict[str, bytes]] = {store.revision: {}}
    watch = store.watch("/", store.revision)
    for action, name, number in steps:
        key, value = f"/{name}", b"%d" % number
        if action == "put":
            await store.put(key, value, expected=None)
            model[key] = value
        elif key in model:
            await store.delete(key)
            del model[key]
        past[store.revision] = dict(model)
    for revision, expected in past.items():
        found = await store.range("/", revision=revision)
        assert {item.key: item.value for item in found.items} == expected
        assert [item.key for item in found.items] == sorted(expected)
    replayed: dict[str, bytes] = {}
    for event in await take(watch, store.revision - 1):
        assert (event.previous and event.previous.value) == replayed.get(event.key)
        if event.deleted:
            del replayed[event.key]
        else:
            replayed[event.key] = event.value
        assert replayed == past[event.mod_revision]
    await store.close()
