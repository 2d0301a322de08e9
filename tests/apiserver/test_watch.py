"""Watches: where they begin, what they say, when they end; and that they agree with lists, whatever happens."""

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest

from tests.apiserver.server import MERGE, TABLE, Api, Lines, config_map, pod, serving
from tiphys.resources import table
from tiphys.store.interface import Store
from tiphys.store.memory import MemoryStore
from tiphys.store.sqlite import SqliteStore

MAPS = "/api/v1/namespaces/d/configmaps"
PODS = "/api/v1/namespaces/d/pods"


def seen(events: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(event["type"], event["object"]["metadata"].get("name", "")) for event in events]


async def test_without_a_version_it_begins_with_what_is_there(api: Api) -> None:
    await api.ok("POST", MAPS, config_map("a"))
    await api.ok("POST", "/api/v1/namespaces/e/configmaps", config_map("x"))
    async with api.watching(MAPS) as lines:
        await lines.wait(1)
        await api.ok("PATCH", f"{MAPS}/a", {"data": {"k": "v"}}, content_type=MERGE)
        await api.ok("POST", "/api/v1/namespaces/e/configmaps", config_map("y"))
        await api.ok("DELETE", f"{MAPS}/a")
        events = await lines.wait(3)
    assert seen(events) == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]
    assert [event["object"]["metadata"]["resourceVersion"] for event in events] == ["2", "4", "6"]
    assert events[2]["object"]["data"] == {"k": "v"}


async def test_from_a_version_it_tells_what_came_after(api: Api) -> None:
    for name in ("a", "b", "c"):
        await api.ok("POST", MAPS, config_map(name))
    async with api.watching(MAPS, resourceVersion="3") as lines:
        assert seen(await lines.wait(1)) == [("ADDED", "c")]


async def test_from_before_the_caches_history() -> None:
    async with serving() as first:
        for name in ("a", "b", "c"):
            await first.ok("POST", MAPS, config_map(name))
        await first.ok("DELETE", f"{MAPS}/a")
        store = first.store.fork()
    async with serving(store=store) as api, api.watching(MAPS, resourceVersion="2") as lines:
        assert seen(await lines.wait(3)) == [("ADDED", "b"), ("ADDED", "c"), ("DELETED", "a")]
        await api.ok("POST", MAPS, config_map("d"))
        assert seen(await lines.wait(4))[3:] == [("ADDED", "d")]


async def test_from_before_what_the_cache_keeps_while_it_runs(api: Api) -> None:
    """A few large objects push the cache's history out; the store's takes its place."""
    await api.ok("POST", MAPS, config_map("a"))
    for number in range(20):
        await api.ok("PUT", f"{MAPS}/a", config_map("a", {"k": str(number) + "x" * 1_000_000}))
    kept = api.server._cache.of(table.by_path("", "v1", "configmaps"))
    assert len(kept.history) < 18 and kept.history_after > 4
    async with api.watching(MAPS, resourceVersion="3") as lines:
        events = await lines.wait(19)
    assert [event["object"]["metadata"]["resourceVersion"] for event in events] == [str(n) for n in range(4, 23)]


async def test_too_old(api: Api) -> None:
    for number in range(3):
        await api.ok("POST", MAPS, config_map(f"m{number}"))
    await api.store.compact(4)
    async with serving(store=api.store.fork()) as later, later.watching(MAPS, resourceVersion="2") as lines:
        (event,) = await lines.wait(1)
    assert event["type"] == "ERROR"
    assert (event["object"]["code"], event["object"]["reason"]) == (410, "Expired")
    assert event["object"]["message"] == "too old resource version: 2 (4)"


async def test_selectors_make_their_own_events(api: Api) -> None:
    await api.ok("POST", MAPS, config_map("a", x="no"))
    async with api.watching(MAPS, labelSelector="x=yes") as lines:
        await asyncio.sleep(0)
        for value in ("yes", "yes", "no", "yes"):
            patch = {"metadata": {"labels": {"x": value}}, "data": {"n": str(api.store.revision)}}
            await api.ok("PATCH", f"{MAPS}/a", patch, content_type=MERGE)
        await api.ok("DELETE", f"{MAPS}/a")
        events = await lines.wait(5)
    assert [event["type"] for event in events] == ["ADDED", "MODIFIED", "DELETED", "ADDED", "DELETED"]
    # What left the selection is shown as it was, at the revision of the change.
    assert events[2]["object"]["metadata"]["labels"] == {"x": "yes"}
    assert events[2]["object"]["metadata"]["resourceVersion"] == "5"


async def test_one_pod_of_one_node(api: Api) -> None:
    async with api.watching("/api/v1/pods", fieldSelector="spec.nodeName=n1") as lines:
        await api.ok("POST", PODS, pod("a"))
        await api.ok("POST", PODS, pod("b", "n2"))
        await api.ok("POST", f"{PODS}/a/binding", {"metadata": {"name": "a"}, "target": {"name": "n1"}})
        assert seen(await lines.wait(1)) == [("ADDED", "a")]


async def test_streaming_lists(api: Api) -> None:
    await api.ok("POST", MAPS, config_map("a"))
    query = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}
    async with api.watching(MAPS, **query) as lines:
        events = await lines.wait(2)
    assert [event["type"] for event in events] == ["ADDED", "BOOKMARK"]
    metadata = events[1]["object"]["metadata"]
    assert metadata == {"resourceVersion": "2", "annotations": {"k8s.io/initial-events-end": "true"}}
    assert events[1]["object"]["kind"] == "ConfigMap"


@pytest.mark.parametrize(
    "query",
    [{"sendInitialEvents": "true"}, {"resourceVersionMatch": "NotOlderThan", "resourceVersion": "1"}],
)
async def test_options_are_checked(api: Api, query: dict[str, str]) -> None:
    status, answer = await api.call("GET", MAPS, query={"watch": "1", **query})
    assert (status, answer["reason"]) == (422, "Invalid")


async def test_bookmarks_and_time_out() -> None:
    async with serving(bookmark_period_seconds=0.02) as api:
        response = await api.raw(
            "GET", MAPS, query={"watch": "1", "allowWatchBookmarks": "true", "timeoutSeconds": "1"}
        )
        assert response.stream is not None
        lines = Lines()
        task = asyncio.create_task(response.stream(lines))
        await lines.wait(2)
        await api.ok("POST", "/api/v1/namespaces/d/secrets", {"metadata": {"name": "s"}})
        while lines.events[-1]["object"]["metadata"]["resourceVersion"] != "2":
            await lines.wait(len(lines.events) + 1)
        await asyncio.wait_for(task, 5)
    assert {event["type"] for event in lines.events} == {"BOOKMARK"}


async def test_slow_watchers_are_cut_off() -> None:
    async with serving(watch_buffer_bytes_max=10_000) as api:
        response = await api.raw("GET", MAPS, query={"watch": "1"})
        assert response.stream is not None
        slow = Lines(stuck=True)
        task = asyncio.create_task(response.stream(slow))
        async with api.watching(MAPS) as quick:
            for number in range(30):
                await api.ok("POST", MAPS, config_map(f"m{number}", {"k": "x" * 1000}))
            await quick.wait(30)
        await asyncio.wait_for(task, 5)
        assert 0 < len(slow.events) < 30


async def test_a_crowd_of_slow_watchers_shares_what_one_may_hold() -> None:
    async with serving(watch_buffer_bytes_max=8_000_000) as api:
        crowd = [Lines(stuck=True) for _ in range(40)]
        tasks = []
        for slow in crowd:
            response = await api.raw("GET", MAPS, query={"watch": "1"})
            assert response.stream is not None
            tasks.append(asyncio.create_task(response.stream(slow)))
        async with api.watching(MAPS) as quick:
            for number in range(4):
                await api.ok("POST", MAPS, config_map(f"m{number}", {"k": "x" * 900_000}))
            await quick.wait(4)
        await asyncio.wait_for(asyncio.gather(*tasks), 5)


async def test_the_end_of_the_server_ends_watches() -> None:
    async with serving() as api:
        response = await api.raw("GET", MAPS, query={"watch": "1"})
        assert response.stream is not None
        task = asyncio.create_task(response.stream(Lines()))
        await asyncio.sleep(0)
    await asyncio.wait_for(task, 5)


async def test_changes_of_one_commit_are_one_write(api: Api) -> None:
    async with api.watching(MAPS) as one, api.watching(MAPS) as other:
        await asyncio.gather(*(api.ok("POST", MAPS, config_map(f"m{n}")) for n in range(20)))
        await one.wait(20)
        await other.wait(20)
    assert one.events == other.events


class Texts(Lines):
    """Keeps what it was handed, as it was handed over."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.texts.append(data)
        super().write(data)


async def test_watchers_that_see_the_same_share_one_text(api: Api) -> None:
    since = (await api.ok("POST", MAPS, config_map("before")))["metadata"]["resourceVersion"]
    one, other, choosing = Texts(), Texts(), Texts()
    async with (
        api.watching(MAPS, one, resourceVersion=since),
        api.watching(MAPS, other, resourceVersion=since),
        api.watching(MAPS, choosing, resourceVersion=since, labelSelector="a=1"),
    ):
        await asyncio.sleep(0)
        names = ("x", "y", "z")
        await asyncio.gather(*(api.ok("POST", MAPS, config_map(name, a=str(i))) for i, name in enumerate(names)))
        assert seen(await one.wait(3)) == seen(await other.wait(3)) == [("ADDED", name) for name in names]
        assert seen(await choosing.wait(1)) == [("ADDED", "y")]
    assert any(text.count(b"\n") > 1 for text in one.texts)
    assert all(mine is his for mine, his in zip(one.texts, other.texts, strict=True))


async def test_tables_name_their_columns_once(api: Api) -> None:
    await api.ok("POST", PODS, pod("a"))
    response = await api.raw("GET", PODS, query={"watch": "1"}, accept=TABLE)
    assert response.stream is not None
    lines = Lines()
    task = asyncio.create_task(response.stream(lines))
    await lines.wait(1)
    await api.ok("POST", PODS, pod("b"))
    events = await lines.wait(2)
    task.cancel()
    assert [event["object"]["kind"] for event in events] == ["Table", "Table"]
    assert events[0]["object"]["columnDefinitions"][0]["name"] == "Name"
    assert events[1]["object"]["columnDefinitions"] is None
    assert events[1]["object"]["rows"][0]["cells"][0] == "b"


async def test_legacy_paths(api: Api) -> None:
    await api.ok("POST", MAPS, config_map("a"))
    await api.ok("POST", MAPS, config_map("b"))
    async with api.watching("/api/v1/watch/namespaces/d/configmaps/a") as one:
        assert seen(await one.wait(1)) == [("ADDED", "a")]
    async with api.watching("/api/v1/watch/configmaps") as everything:
        assert len(await everything.wait(2)) == 2


class Follower:
    """Follows a watch as an informer does, and is compared with lists."""

    def __init__(self, selector: dict[str, str], events: list[dict[str, Any]]) -> None:
        self.selector = selector
        self.objects: dict[str, Any] = {}
        last = 0
        for event in events:
            metadata = event["object"]["metadata"]
            revision = int(metadata["resourceVersion"])
            assert revision > last, "a watch never goes back"
            last = revision
            name = metadata["name"]
            assert (name in self.objects) is (event["type"] != "ADDED")
            if event["type"] == "DELETED":
                del self.objects[name]
            else:
                self.objects[name] = event["object"]


async def _change(api: Api, dice: random.Random) -> None:
    name = f"m{dice.randrange(6)}"
    labels = {"x": dice.choice("ab")}
    match dice.randrange(4):
        case 0:
            await api.call("POST", MAPS, {"metadata": {"name": name, "labels": labels}, "data": {}})
        case 1:
            await api.call("DELETE", f"{MAPS}/{name}")
        case 2:
            await api.call("PATCH", f"{MAPS}/{name}", {"metadata": {"labels": labels}}, content_type=MERGE)
        case _:
            data = {"data": {"k": str(dice.random())}}
            await api.call("PATCH", f"{MAPS}/{name}", data, content_type=MERGE)


@pytest.mark.parametrize("seed", range(12))
async def test_watches_agree_with_lists(seed: int) -> None:
    """Begun at any moment, with any selector, from any revision since: at the end all know what a list says."""
    await _agree(seed, MemoryStore())


@pytest.mark.parametrize("seed", range(3))
async def test_watches_agree_with_lists_over_sqlite(seed: int, tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "store.db")
    await _agree(seed, store)
    await store.close()


async def _agree(seed: int, store: Store) -> None:
    dice = random.Random(seed)
    selectors: list[dict[str, str]] = [{}, {"labelSelector": "x=a"}, {"fieldSelector": "metadata.name=m1"}]
    async with serving(store=store) as api:
        open_: list[tuple[dict[str, str], Lines, list[dict[str, Any]], asyncio.Task[None]]] = []
        for _ in range(120):
            await asyncio.gather(*(_change(api, dice) for _ in range(dice.randrange(1, 4))))
            if dice.random() < 0.15:
                open_.append(await _follow(api, dice, dice.choice(selectors)))
        await asyncio.sleep(0.02)
        assert open_
        for selector, lines, before, task in open_:
            follower = Follower(selector, [*before, *lines.events])
            listed = await api.ok("GET", MAPS, query=selector)
            expected = {item["metadata"]["name"]: item for item in listed["items"]}
            found = {
                n: {k: v for k, v in o.items() if k not in ("kind", "apiVersion")} for n, o in follower.objects.items()
            }
            assert found == expected, (seed, selector)
            task.cancel()


async def _follow(
    api: Api, dice: random.Random, selector: dict[str, str]
) -> tuple[dict[str, str], Lines, list[dict[str, Any]], asyncio.Task[None]]:
    """A watch from now on, or a list and a watch from its revision, begun a little later."""
    before: list[dict[str, Any]] = []
    query = {"watch": "1", **selector}
    if dice.random() < 0.6:
        listed = await api.ok("GET", MAPS, query=selector)
        items = sorted(listed["items"], key=lambda item: int(item["metadata"]["resourceVersion"]))
        before = [{"type": "ADDED", "object": item} for item in items]
        query["resourceVersion"] = listed["metadata"]["resourceVersion"]
        for _ in range(dice.randrange(3)):
            await _change(api, dice)
    response = await api.raw("GET", MAPS, query=query)
    assert response.stream is not None
    lines = _Sorted() if "resourceVersion" not in query else Lines()
    task = asyncio.create_task(response.stream(lines))
    await asyncio.sleep(0)
    return selector, lines, before, task


class _Sorted(Lines):
    """The initial events come in the order of names; they are put into that of revisions."""

    def write(self, data: bytes) -> None:
        first = not self.events
        super().write(data)
        if first:
            self.events.sort(key=lambda event: int(event["object"]["metadata"]["resourceVersion"]))
