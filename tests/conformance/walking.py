"""What many entries ask of a resource: that it is discovered, and that every verb does what it says."""

from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from tests.apiserver.server import MERGE, Api, Lines

LABELS = {"walked": "yes"}
SELECTOR = "walked=yes"
EVERY_VERB = {"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"}


async def discovered(api: Api, group: str, version: str, *resources: str) -> dict[str, set[str]]:
    """The verbs of each resource of a version that all three documents must name."""
    groups = (await api.ok("GET", "/apis"))["groups"]
    found = next(one for one in groups if one["name"] == group)
    assert version in {one["version"] for one in found["versions"]}
    assert version in {one["version"] for one in (await api.ok("GET", f"/apis/{group}"))["versions"]}
    listed = (await api.ok("GET", f"/apis/{group}/{version}"))["resources"]
    verbs = {one["name"]: set(one["verbs"]) for one in listed}
    assert set(resources) <= set(verbs)
    return verbs


@dataclass
class Walk:
    """One collection, and an object that can be created in it."""

    api: Api
    path: str
    body: dict[str, Any]
    #: The collection over all namespaces, where it differs.
    everywhere: str = ""

    def named(self, name: str, **labels: str) -> dict[str, Any]:
        body = deepcopy(self.body)
        metadata = body.setdefault("metadata", {})
        metadata["name"] = name
        metadata["labels"] = {**metadata.get("labels", {}), **LABELS, **labels}
        return body

    async def create(self, name: str, **labels: str) -> dict[str, Any]:
        made: dict[str, Any] = await self.api.ok("POST", self.path, self.named(name, **labels))
        assert made["metadata"]["name"] == name
        assert made["metadata"]["uid"]
        assert made["metadata"]["creationTimestamp"]
        return made

    async def names(self, selector: str = SELECTOR, path: str = "") -> list[str]:
        found = await self.api.ok("GET", path or self.path, query={"labelSelector": selector})
        return sorted(one["metadata"]["name"] for one in found["items"])

    async def get(self, name: str, sub: str = "") -> dict[str, Any]:
        found: dict[str, Any] = await self.api.ok("GET", f"{self.path}/{name}{sub}")
        return found

    async def patch(self, name: str, change: dict[str, Any], sub: str = "") -> dict[str, Any]:
        found: dict[str, Any] = await self.api.ok("PATCH", f"{self.path}/{name}{sub}", change, content_type=MERGE)
        return found

    async def annotate(self, name: str, key: str, sub: str = "", **more: Any) -> dict[str, Any]:
        """By a patch; the answer and a later read must show it."""
        found = await self.patch(name, {"metadata": {"annotations": {key: "true"}}, **more}, sub)
        assert found["metadata"]["annotations"][key] == "true"
        assert (await self.get(name))["metadata"]["annotations"][key] == "true"
        return found

    async def replace(self, name: str, key: str, sub: str = "", **more: Any) -> dict[str, Any]:
        """By an update of what is there now."""
        now = await self.get(name)
        now["metadata"].setdefault("annotations", {})[key] = "true"
        found: dict[str, Any] = await self.api.ok("PUT", f"{self.path}/{name}{sub}", now | more)
        assert found["metadata"]["annotations"][key] == "true"
        return found

    async def delete(self, name: str) -> None:
        await self.api.ok("DELETE", f"{self.path}/{name}")
        status, found = await self.api.call("GET", f"{self.path}/{name}")
        assert (status, found["reason"]) == (404, "NotFound")

    async def clear(self, selector: str = SELECTOR) -> None:
        await self.api.ok("DELETE", self.path, query={"labelSelector": selector})
        assert await self.names(selector) == []

    async def operations(self) -> None:
        """Every verb once, and a watch that saw what they did."""
        await self.create("a")
        await self.create("b")
        await self.create("c")
        first = await self.get("a")
        assert await self.names() == ["a", "b", "c"]
        if self.everywhere:
            assert await self.names(path=self.everywhere) == ["a", "b", "c"]
        version = first["metadata"]["resourceVersion"]
        async with self.api.watching(self.path, labelSelector=SELECTOR, resourceVersion=version) as lines:
            await self.annotate("a", "patched")
            await self.replace("a", "updated")
            await self.delete("a")
            seen = await _of(lines, "a", 3)
            assert [event["type"] for event in seen] == ["MODIFIED", "MODIFIED", "DELETED"]
            assert seen[0]["object"]["metadata"]["annotations"].get("patched") == "true"
            assert {"patched", "updated"} <= set(seen[1]["object"]["metadata"]["annotations"])
        await self.api.ok("POST", self.path, self.named("keep") | {"metadata": {"name": "keep"}})
        assert await self.names() == ["b", "c"]
        await self.clear()
        assert (await self.get("keep"))["metadata"]["name"] == "keep"

    async def status(self, patched: dict[str, Any], updated: dict[str, Any], name: str = "s") -> None:
        """The status endpoint: read, patched, replaced, with metadata but without the spec."""
        made = await self.create(name)
        found = await self.annotate(name, "patchedstatus", "/status", status=patched, spec=None)
        assert patched.items() <= found["status"].items()
        found = await self.replace(name, "updatedstatus", "/status", status=updated)
        assert updated.items() <= found["status"].items()
        found = await self.get(name, "/status")
        assert updated.items() <= found["status"].items()
        assert found["metadata"]["uid"] == made["metadata"]["uid"]
        assert found.get("spec") == made.get("spec")


async def _of(lines: Lines, name: str, count: int) -> list[dict[str, Any]]:
    """The first ``count`` events about one object."""
    while len(seen := [one for one in lines.events if one["object"]["metadata"]["name"] == name]) < count:
        await lines.wait(len(lines.events) + 1)
    return seen[:count]
