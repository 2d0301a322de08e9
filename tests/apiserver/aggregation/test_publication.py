"""Discovery and OpenAPI follow what is published while the server runs."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.apiserver.aggregation.custom import GROUP, SCHEMA, cron_tab
from tests.apiserver.server import Api
from tiphys.apiserver import ApiServer, ApiServerConfig
from tiphys.apiserver.aggregation.catalog import Catalog, Remote
from tiphys.apiserver.aggregation.priorities import Priority, version_key
from tiphys.apiserver.discovery import Discovery, Index
from tiphys.apiserver.openapi import OpenApi, custom
from tiphys.apiserver.seams import Seams
from tiphys.store.memory import MemoryStore

V2 = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


@pytest.fixture
async def served() -> AsyncIterator[tuple[Api, Catalog]]:
    catalog = Catalog()
    discovery = Discovery(catalog, "192.0.2.1:6443")
    routes = [*discovery.routes(), *OpenApi(catalog).routes()]
    store = MemoryStore()
    seams = Seams(routes=[*routes, Index(routes, discovery).route()], catalog=catalog)
    async with ApiServer(ApiServerConfig(), store, seams=seams) as server:
        yield Api(server, store), catalog


def test_versions_are_ordered_as_kubernetes_does() -> None:
    names = ["foo10", "v1", "v11alpha2", "v2", "v10", "foo1", "v12alpha1", "v3beta1", "v11beta2", "v10beta3"]
    wanted = ["v10", "v2", "v1", "v11beta2", "v10beta3", "v3beta1", "v12alpha1", "v11alpha2", "foo1", "foo10"]
    assert sorted(names, key=version_key) == wanted


async def test_plain_discovery_follows(served: tuple[Api, Catalog]) -> None:
    api, catalog = served
    assert (await api.raw("GET", f"/apis/{GROUP}")).status == 404
    before = await api.ok("GET", "/apis")
    catalog.publish("crontabs", [cron_tab("v1beta1"), cron_tab("v1")])
    group = await api.ok("GET", f"/apis/{GROUP}")
    assert [one["version"] for one in group["versions"]] == ["v1", "v1beta1"]
    assert group["preferredVersion"]["version"] == "v1"
    assert [one["name"] for one in (await api.ok("GET", "/apis"))["groups"]] == [
        *(one["name"] for one in before["groups"]),
        GROUP,
    ]
    listed = (await api.ok("GET", f"/apis/{GROUP}/v1beta1"))["resources"]
    assert [one["name"] for one in listed] == ["crontabs", "crontabs/scale", "crontabs/status"]
    assert (listed[0]["shortNames"], listed[0]["categories"]) == (["ct"], ["all"])
    assert {f"/apis/{GROUP}", f"/apis/{GROUP}/v1"} <= set((await api.ok("GET", "/"))["paths"])
    # Another resource joins the same version and leaves again.
    catalog.publish("others", [cron_tab("v1", None, "Other", "others")])
    assert len((await api.ok("GET", f"/apis/{GROUP}/v1"))["resources"]) == 6
    catalog.withdraw("others")
    catalog.withdraw("others")
    assert len((await api.ok("GET", f"/apis/{GROUP}/v1"))["resources"]) == 3
    catalog.withdraw("crontabs")
    assert await api.ok("GET", "/apis") == before
    for path in (f"/apis/{GROUP}", f"/apis/{GROUP}/v1"):
        assert (await api.raw("GET", path)).status == 404
    assert f"/apis/{GROUP}" not in (await api.ok("GET", "/"))["paths"]


async def test_aggregated_discovery_follows(served: tuple[Api, Catalog]) -> None:
    api, catalog = served

    async def fetch(etag: str = "") -> Any:
        known: dict[str, Any] = {"if_none_match": etag} if etag else {}
        return await api.raw("GET", "/apis", accept=V2, **known)

    first = await fetch()
    catalog.publish("crontabs", [cron_tab()])
    second = await fetch(first.headers["ETag"])
    assert second.status == 200
    item = json.loads(second.body)["items"][-1]
    assert item["metadata"]["name"] == GROUP
    resource = item["versions"][0]["resources"][0]
    assert resource["responseKind"] == {"group": GROUP, "version": "v1", "kind": "CronTab"}
    assert {one["subresource"] for one in resource["subresources"]} == {"scale", "status"}
    catalog.publish("crontabs", [cron_tab()])
    assert (await fetch(second.headers["ETag"])).status == 304
    catalog.withdraw("crontabs")
    assert (await fetch(first.headers["ETag"])).status == 304


async def test_groups_are_ordered_by_priority(served: tuple[Api, Catalog]) -> None:
    api, catalog = served
    names = [one["name"] for one in (await api.ok("GET", "/apis"))["groups"]]
    assert names.index("apps") < names.index("events.k8s.io") < names.index("batch") < names.index("node.k8s.io")
    catalog.publish("crontabs", [cron_tab()])
    remote = Remote(Priority(20000, 10), ({"resource": "things"},), "Current")
    catalog.link("first.example.com", "v1", remote)
    catalog.link("last.example.com", "v1", Remote(Priority(1, 1)))
    names = [one["name"] for one in (await api.ok("GET", "/apis"))["groups"]]
    assert names[0] == "first.example.com"
    assert names[-2:] == [GROUP, "last.example.com"]
    items = (await api.ok("GET", "/apis", accept=V2))["items"]
    assert items[0]["versions"] == [{"version": "v1", "resources": [{"resource": "things"}], "freshness": "Current"}]
    assert items[-1]["versions"] == [{"version": "v1", "freshness": "Stale"}]
    catalog.unlink("last.example.com", "v1")
    assert (await api.raw("GET", "/apis/last.example.com")).status == 404


async def test_openapi_v3_follows(served: tuple[Api, Catalog]) -> None:
    api, catalog = served
    path = f"apis/{GROUP}/v1"
    before = (await api.ok("GET", "/openapi/v3"))["paths"]
    assert path not in before
    catalog.publish("crontabs", [cron_tab()])
    after = (await api.ok("GET", "/openapi/v3"))["paths"]
    assert {name: url for name, url in after.items() if name != path} == before
    found = await api.ok("GET", f"/openapi/v3/{path}")
    schema = found["components"]["schemas"]["com.example.stable.v1.CronTab"]
    assert schema["x-kubernetes-group-version-kind"] == [{"group": GROUP, "kind": "CronTab", "version": "v1"}]
    spec = schema["properties"]["spec"]
    assert spec["properties"]["note"] == {"type": "string", "nullable": True}
    assert spec["properties"]["port"]["anyOf"] == [{"type": "integer"}, {"type": "string"}]
    assert spec["x-kubernetes-validations"] == [{"rule": "self.replicas > 0"}]
    assert set(spec["properties"]["template"]["properties"]) == {"apiVersion", "kind", "metadata"}
    assert set(schema["properties"]) == {"apiVersion", "kind", "metadata", "spec"}
    patch = found["paths"][f"/apis/{GROUP}/v1/namespaces/{{namespace}}/crontabs/{{name}}"]["patch"]
    assert "application/strategic-merge-patch+json" not in patch["requestBody"]["content"]
    listing = found["paths"][f"/apis/{GROUP}/v1/crontabs"]["get"]
    assert listing["operationId"] == "listStableExampleComV1CronTabForAllNamespaces"
    answer = listing["responses"]["200"]["content"]["application/json"]["schema"]["$ref"]
    assert answer.endswith("com.example.stable.v1.CronTabList")
    # Another schema, another hash; the old address leads to the new one.
    catalog.publish("crontabs", [cron_tab("v1", {**SCHEMA, "description": "New."})])
    new = (await api.ok("GET", "/openapi/v3"))["paths"][path]["serverRelativeURL"]
    old = after[path]["serverRelativeURL"]
    assert new != old
    moved = await api.raw("GET", old.partition("?")[0], query={"hash": old.partition("=")[2]})
    assert (moved.status, moved.headers["Location"]) == (301, new)
    found = await api.ok("GET", f"/openapi/v3/{path}")
    assert found["components"]["schemas"]["com.example.stable.v1.CronTab"]["description"] == "New."


async def test_openapi_v2_follows(served: tuple[Api, Catalog]) -> None:
    api, catalog = served
    before = await api.ok("GET", "/openapi/v2")
    catalog.publish("crontabs", [cron_tab()])
    after = await api.ok("GET", "/openapi/v2")
    assert set(after["definitions"]) - set(before["definitions"]) == {
        "com.example.stable.v1.CronTab",
        "com.example.stable.v1.CronTabList",
    }
    assert f"/apis/{GROUP}/v1/namespaces/{{namespace}}/crontabs/{{name}}/scale" in after["paths"]
    binary = await api.raw("GET", "/openapi/v2", accept="application/com.github.proto-openapi.spec.v2@v1.0+protobuf")
    assert b"com.example.stable.v1.CronTab" in binary.body
    catalog.withdraw("crontabs")
    assert await api.ok("GET", "/openapi/v2") == before


def test_version_2_leaves_out_what_it_cannot_say() -> None:
    found = custom.definitions(cron_tab(), "v2")["com.example.stable.v1.CronTab"]
    spec = found["properties"]["spec"]
    assert spec["required"] == ["cron"]
    assert spec["properties"]["note"] == {}
    assert spec["properties"]["port"] == {"x-kubernetes-int-or-string": True}
    assert spec["properties"]["free"] == {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    assert spec["properties"]["list"]["items"] == {"type": "string", "maxLength": 3}
    free = custom.definitions(cron_tab("v1", {**SCHEMA, "x-kubernetes-preserve-unknown-fields": True}), "v2")
    assert "properties" not in free["com.example.stable.v1.CronTab"]
    assert "properties" not in custom.definitions(cron_tab("v1", None), "v3")["com.example.stable.v1.CronTab"]


def test_equal_publications_are_no_change() -> None:
    catalog = Catalog()
    told: list[str] = []
    catalog.subscribe(told.append)
    published = cron_tab()
    catalog.publish("crontabs", [published])
    catalog.publish("crontabs", [published])
    assert told == [GROUP]
    catalog.withdraw("nobody")
    assert told == [GROUP]
