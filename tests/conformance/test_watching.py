"""Watches, pages and tables."""

import asyncio
from typing import Any

from tests.apiserver.policies.written import Policies as Api
from tests.apiserver.server import TABLE, config_map
from tests.conformance.walking import LABELS, SELECTOR, Walk
from tiphys.machinery import errors

MAPS = "/api/v1/namespaces/default/configmaps"


async def change(api: Api, name: str, **data: str) -> dict[str, Any]:
    now = await api.ok("GET", f"{MAPS}/{name}")
    found: dict[str, Any] = await api.ok("PUT", f"{MAPS}/{name}", now | {"data": data})
    return found


def kinds(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"] for event in events]


async def test_several_watchers(api: Api) -> None:
    """[sig-api-machinery] Watchers should observe add, update, and delete watch notifications on configmaps
    [Conformance]"""
    both = "watch in (A, B)"
    async with (
        api.watching(MAPS, labelSelector="watch=A") as a,
        api.watching(MAPS, labelSelector="watch=B") as b,
        api.watching(MAPS, labelSelector=both) as ab,
    ):
        await api.ok("POST", MAPS, config_map("a", watch="A"))
        await change(api, "a", mutation="1")
        await change(api, "a", mutation="2")
        await api.ok("DELETE", f"{MAPS}/a")
        await api.ok("POST", MAPS, config_map("b", watch="B"))
        await api.ok("DELETE", f"{MAPS}/b")
        life = ["ADDED", "MODIFIED", "MODIFIED", "DELETED"]
        assert kinds(await a.wait(4)) == life
        assert [one["object"].get("data") for one in a.events[1:3]] == [{"mutation": "1"}, {"mutation": "2"}]
        assert kinds(await b.wait(2)) == ["ADDED", "DELETED"]
        assert kinds(await ab.wait(6)) == [*life, "ADDED", "DELETED"]
        assert (len(a.events), len(b.events), len(ab.events)) == (4, 2, 6)


async def test_from_a_version(api: Api) -> None:
    """[sig-api-machinery] Watchers should be able to start watching from a specific resource version [Conformance]"""
    await api.ok("POST", MAPS, config_map("a"))
    first = await change(api, "a", mutation="1")
    await change(api, "a", mutation="2")
    await api.ok("DELETE", f"{MAPS}/a")
    async with api.watching(MAPS, resourceVersion=first["metadata"]["resourceVersion"]) as lines:
        events = await lines.wait(2)
        assert kinds(events) == ["MODIFIED", "DELETED"]
        assert [one["object"]["data"] for one in events] == [{"mutation": "2"}, {"mutation": "2"}]


async def test_where_another_ended(api: Api) -> None:
    """[sig-api-machinery] Watchers should be able to restart watching from the last resource version observed by the
    previous watch [Conformance]"""
    async with api.watching(MAPS, labelSelector="l=x") as lines:
        await api.ok("POST", MAPS, config_map("a", l="x"))
        await change(api, "a", mutation="1")
        last = (await lines.wait(2))[-1]["object"]["metadata"]["resourceVersion"]
    await change(api, "a", mutation="2")
    await api.ok("DELETE", f"{MAPS}/a")
    async with api.watching(MAPS, labelSelector="l=x", resourceVersion=last) as lines:
        assert kinds(await lines.wait(2)) == ["MODIFIED", "DELETED"]


async def test_what_no_longer_matches(api: Api) -> None:
    """[sig-api-machinery] Watchers should observe an object deletion if it stops meeting the requirements of the
    selector [Conformance]"""
    async with api.watching(MAPS, labelSelector="l=x") as lines:
        await api.ok("POST", MAPS, config_map("a", l="x"))
        await change(api, "a", mutation="1")
        now = await api.ok("GET", f"{MAPS}/a")
        now["metadata"]["labels"] = {"l": "wrong"}
        await api.ok("PUT", f"{MAPS}/a", now)
        await change(api, "a", mutation="2")
        now = await api.ok("GET", f"{MAPS}/a")
        now["metadata"]["labels"] = {"l": "x"}
        await api.ok("PUT", f"{MAPS}/a", now)
        await change(api, "a", mutation="3")
        await api.ok("DELETE", f"{MAPS}/a")
        events = await lines.wait(6)
        assert kinds(events) == ["ADDED", "MODIFIED", "DELETED", "ADDED", "MODIFIED", "DELETED"]
        assert [one["object"].get("data", {}).get("mutation") for one in events] == [None, "1", "1", "2", "3", "3"]
        assert len(lines.events) == 6


async def test_the_same_order_for_all(api: Api) -> None:
    """[sig-api-machinery] Watchers should receive events on concurrent watches in same order [Conformance]"""

    async def write() -> None:
        for number in range(12):
            await api.ok("POST", MAPS, config_map(f"m{number}"))
            await change(api, f"m{number}", mutation=str(number))
            if number % 3 == 2:
                await api.ok("DELETE", f"{MAPS}/m{number}")

    async with api.watching(MAPS) as first:
        writing = asyncio.create_task(write())
        events = await first.wait(28)
        await writing
    versions = [one["object"]["metadata"]["resourceVersion"] for one in events]
    for number, version in enumerate(versions[:-1]):
        async with api.watching(MAPS, resourceVersion=version) as later:
            found = await later.wait(len(versions) - number - 1)
            assert [one["object"]["metadata"]["resourceVersion"] for one in found] == versions[number + 1 :]


TEMPLATES = "/api/v1/namespaces/default/podtemplates"


async def fill(api: Api, count: int) -> None:
    template = {"spec": {"containers": [{"name": "c", "image": "i"}]}}
    for number in range(count):
        await api.ok("POST", TEMPLATES, {"metadata": {"name": f"t-{number:04}"}, "template": template})


async def test_pages(api: Api) -> None:
    """[sig-api-machinery] Servers with support for API chunking should return chunks of results for list calls
    [Conformance]"""
    await fill(api, 40)
    found: list[str] = []
    token, first = "", ""
    while True:
        page = await api.ok("GET", TEMPLATES, query={"limit": "7", **({"continue": token} if token else {})})
        first = first or page["metadata"]["resourceVersion"]
        assert page["metadata"]["resourceVersion"] == first
        assert len(page["items"]) <= 7
        found += [one["metadata"]["name"] for one in page["items"]]
        token = page["metadata"].get("continue", "")
        assert page["metadata"].get("remainingItemCount", 0) == 40 - len(found)
        if not token:
            break
    assert found == [f"t-{number:04}" for number in range(40)]
    assert len((await api.ok("GET", TEMPLATES))["items"]) == 40


async def test_pages_go_on_after_compaction(api: Api) -> None:
    """[sig-api-machinery] Servers with support for API chunking should support continue listing from the last key if
    the original version has been compacted away, though the list is inconsistent [Slow] [Conformance]"""
    await fill(api, 20)
    page = await api.ok("GET", TEMPLATES, query={"limit": "8"})
    expired = page["metadata"]["continue"]
    await fill_more(api)
    await api.store.compact(api.store.revision)
    status, refused = await api.call("GET", TEMPLATES, query={"limit": "8", "continue": expired})
    assert (status, refused["reason"]) == (410, errors.Expired.reason)
    token = refused["metadata"]["continue"]
    page = await api.ok("GET", TEMPLATES, query={"limit": "8", "continue": token})
    assert (len(page["items"]), page["metadata"]["remainingItemCount"]) == (8, 5)
    version = page["metadata"]["resourceVersion"]
    last = await api.ok("GET", TEMPLATES, query={"limit": "8", "continue": page["metadata"]["continue"]})
    names = [one["metadata"]["name"] for one in (*page["items"], *last["items"])]
    assert names == [f"t-{number:04}" for number in range(8, 20)] + ["z"]
    assert "continue" not in last["metadata"]
    assert last["metadata"]["resourceVersion"] == version


async def fill_more(api: Api) -> None:
    template = {"spec": {"containers": [{"name": "c", "image": "i"}]}}
    await api.ok("POST", TEMPLATES, {"metadata": {"name": "z"}, "template": template})


async def test_no_tables_of_what_has_no_metadata(api: Api) -> None:
    """[sig-api-machinery] Servers with support for Table transformation should return a 406 for a backend which does
    not implement metadata [Conformance]"""
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}},
    }
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    only = TABLE.split(",")[0]
    status, found = await api.call("POST", path, review, accept=only)
    assert (status, found.get("reason")) == (406, "NotAcceptable"), found


async def test_the_version_of_the_server(api: Api) -> None:
    """[sig-api-machinery] server version should find the server version [Conformance]"""
    found = await api.ok("GET", "/version")
    assert found["major"].isdigit()
    assert found["minor"].isdigit()
    assert (found["major"], found["minor"]) == ("1", "36")


async def test_every_group_and_a_resource_in_it(api: Api) -> None:
    """[sig-api-machinery] Discovery should locate the groupVersion and a resource within each APIGroup
    [Conformance]"""
    for group in (await api.ok("GET", "/apis"))["groups"]:
        for version in group["versions"]:
            found = await api.ok("GET", f"/apis/{version['groupVersion']}")
            assert found["groupVersion"] == version["groupVersion"]
            assert all(one["name"] and one["kind"] and one["verbs"] for one in found["resources"])
            assert found["resources"]


async def test_preferred_versions(api: Api) -> None:
    """[sig-api-machinery] Discovery should validate PreferredVersion for each APIGroup [Conformance]"""
    groups = (await api.ok("GET", "/apis"))["groups"]
    assert groups
    for group in groups:
        found = await api.ok("GET", f"/apis/{group['name']}")
        assert found["preferredVersion"] == group["preferredVersion"]
        assert group["preferredVersion"] in found["versions"] == group["versions"]


async def test_labels_of_a_walk(api: Api) -> None:
    """What the other tests lean on: a selector that means the objects of one walk and no others."""
    walk = Walk(api, MAPS, {})
    await walk.create("a")
    await api.ok("POST", MAPS, config_map("b"))
    assert await walk.names(SELECTOR) == ["a"]
    assert (await walk.get("a"))["metadata"]["labels"] == LABELS
