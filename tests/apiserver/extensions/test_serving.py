"""From a definition to objects and back, over the real server."""

import asyncio

from tests.apiserver.extensions.crontabs import CRDS, CRONTABS, GROUP, crontab, define, eventually, gone
from tests.apiserver.server import MERGE, STRATEGIC, Api, Lines

APPLY = "application/apply-patch+yaml"


async def test_defined_then_served(api: Api) -> None:
    crd = await define(api)
    assert crd["status"]["acceptedNames"]["kind"] == "CronTab"
    assert crd["status"]["storedVersions"] == ["v1"]
    made = await api.ok("POST", CRONTABS, crontab())
    assert made["metadata"]["generation"] == 1
    assert made["spec"]["replicas"] == 1
    got = await api.ok("GET", f"{CRONTABS}/a")
    assert got == made
    listed = await api.ok("GET", CRONTABS)
    assert listed["kind"] == "CronTabList"
    assert [item["metadata"]["name"] for item in listed["items"]] == ["a"]


async def test_patched_and_deleted_while_watched(api: Api) -> None:
    await define(api)
    async with api.watching(CRONTABS) as lines:
        await api.ok("POST", CRONTABS, crontab())
        await api.ok("PATCH", f"{CRONTABS}/a", {"spec": {"image": "j"}}, content_type=MERGE)
        await api.ok("DELETE", f"{CRONTABS}/a")
        events = await lines.wait(3)
    assert [event["type"] for event in events] == ["ADDED", "MODIFIED", "DELETED"]
    assert events[1]["object"]["spec"]["image"] == "j"
    assert events[1]["object"]["metadata"]["generation"] == 2


async def test_strategic_patch_is_refused(api: Api) -> None:
    await define(api)
    await api.ok("POST", CRONTABS, crontab())
    status, body = await api.call("PATCH", f"{CRONTABS}/a", {"spec": {}}, content_type=STRATEGIC)
    assert (status, body["reason"]) == (415, "UnsupportedMediaType")


async def test_deleted_definition_takes_its_objects_and_watches(api: Api) -> None:
    await define(api)
    await api.ok("POST", CRONTABS, crontab())
    lines = Lines()
    response = await api.raw("GET", CRONTABS, query={"watch": "true"})
    assert response.stream is not None
    task = asyncio.ensure_future(response.stream(lines))
    await lines.wait(1)
    deleted = await api.ok("DELETE", f"{CRDS}/crontabs.{GROUP}")
    assert "customresourcecleanup.apiextensions.k8s.io" in deleted["metadata"]["finalizers"]
    async with asyncio.timeout(5):
        await task
        await gone(api, CRONTABS)
    assert [event["type"] for event in lines.events] == ["ADDED", "DELETED"]
    status, _ = await api.call("GET", f"{CRDS}/crontabs.{GROUP}")
    assert status == 404


async def test_finalizers_of_objects_hold_the_definition(api: Api) -> None:
    await define(api)
    held = crontab()
    held["metadata"]["finalizers"] = ["example.com/hold"]
    await api.ok("POST", CRONTABS, held)
    await api.ok("DELETE", f"{CRDS}/crontabs.{GROUP}")

    async def marked() -> bool:
        return "deletionTimestamp" in (await api.ok("GET", f"{CRONTABS}/a"))["metadata"]

    await eventually(marked)
    crd = await api.ok("GET", f"{CRDS}/crontabs.{GROUP}")
    terminating = next(c for c in crd["status"]["conditions"] if c["type"] == "Terminating")
    assert (terminating["status"], terminating["reason"]) == ("True", "InstanceDeletionInProgress")
    text = "create not allowed while custom resource definition is terminating"
    status, body = await api.call("POST", CRONTABS, crontab("b"))
    assert (status, body["message"]) == (405, text)
    query = {"fieldManager": "me"}
    status, body = await api.call("PATCH", f"{CRONTABS}/b", crontab("b"), query, content_type=APPLY)
    assert (status, body["message"]) == (405, text)
    await api.ok("PATCH", f"{CRONTABS}/a", {"metadata": {"finalizers": None}}, content_type=MERGE)
    await gone(api, f"{CRDS}/crontabs.{GROUP}")
