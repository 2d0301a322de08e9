"""Definitions of custom resources: their own life, defaults, versions, what is published, strict fields."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from tests.apiserver.extensions.crontabs import CRDS, CRONTABS, GROUP, crontab, define, definition, gone, version
from tests.apiserver.extensions.test_conversion import V1, V2, first, listening
from tests.apiserver.policies.written import Policies as Api
from tests.apiserver.server import MERGE
from tests.conformance.walking import discovered

FREE = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
APPLY = "application/apply-patch+yaml"
V2_TABS = CRONTABS.replace("/v1/", "/v2/")


async def change(api: Api, name: str, edit: Any) -> Any:
    crd = await api.ok("GET", f"{CRDS}/{name}")
    edit(crd)
    return await api.ok("PUT", f"{CRDS}/{name}", crd)


async def test_definitions_come_and_go(api: Api) -> None:
    """[sig-api-machinery] CustomResourceDefinition resources [Privileged:ClusterAdmin] Simple CustomResourceDefinition
    creating/deleting custom resource definition objects works [Conformance]"""
    crd = await define(api)
    assert await api.ok("GET", CRONTABS)
    await api.ok("DELETE", f"{CRDS}/{crd['metadata']['name']}")
    await gone(api, f"{CRDS}/{crd['metadata']['name']}")


async def test_definitions_are_listed_and_deleted_together(api: Api) -> None:
    """[sig-api-machinery] CustomResourceDefinition resources [Privileged:ClusterAdmin] Simple CustomResourceDefinition
    listing custom resource definition objects works [Conformance]"""
    for number in range(10):
        body = definition(plural=f"tabs{number}", kind=f"Tab{number}")
        body["spec"]["names"].pop("shortNames")
        body["metadata"]["labels"] = {"walked": "yes"}
        await define(api, body)
    await define(api)
    query = {"labelSelector": "walked=yes"}
    assert len((await api.ok("GET", CRDS, query=query))["items"]) == 10
    await api.ok("DELETE", CRDS, query=query)
    for number in range(10):
        await gone(api, f"{CRDS}/tabs{number}.{GROUP}")
    assert [one["metadata"]["name"] for one in (await api.ok("GET", CRDS))["items"]] == [f"crontabs.{GROUP}"]


async def test_the_status_of_definitions(api: Api) -> None:
    """[sig-api-machinery] CustomResourceDefinition resources [Privileged:ClusterAdmin] Simple CustomResourceDefinition
    getting/updating/patching custom resource definition status sub-resource works [Conformance]"""
    path = f"{CRDS}/{(await define(api))['metadata']['name']}/status"
    found = await api.ok("GET", path)
    added = {"type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "Set from an e2e test"}
    found["status"]["conditions"].append(added)
    found = await api.ok("PUT", path, found)
    assert any(one["message"] == "Set from an e2e test" for one in found["status"]["conditions"])
    patched = [{"type": "StatusPatched", "status": "True", "reason": "E2E", "message": "patched"}]
    found = await api.ok("PATCH", path, {"status": {"conditions": patched}}, content_type=MERGE)
    found = await api.ok("GET", path)
    assert any(one["type"] == "StatusPatched" for one in found["status"]["conditions"])


async def test_definitions_are_discovered(api: Api) -> None:
    """[sig-api-machinery] CustomResourceDefinition resources [Privileged:ClusterAdmin] should include custom resource
    definition resources in discovery documents [Conformance]"""
    await discovered(api, "apiextensions.k8s.io", "v1", "customresourcedefinitions", "customresourcedefinitions/status")


async def test_defaults(api: Api) -> None:
    """[sig-api-machinery] CustomResourceDefinition resources [Privileged:ClusterAdmin] custom resource defaulting for
    requests and from storage works [Conformance]"""
    schema = {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}}}
    name = (await define(api, definition(version(schema=schema))))["metadata"]["name"]
    tab = {"apiVersion": f"{GROUP}/v1", "kind": "CronTab"}
    await api.ok("POST", CRONTABS, tab | {"metadata": {"name": "one"}})

    def defaults(field: str, other: str) -> Any:
        def edit(crd: Any) -> None:
            properties = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
            properties[field]["default"] = field.upper()
            properties[other].pop("default", None)

        return edit

    await change(api, name, defaults("a", "b"))
    assert (await api.ok("GET", f"{CRONTABS}/one"))["a"] == "A"
    assert (await api.ok("POST", CRONTABS, tab | {"metadata": {"name": "two"}}))["a"] == "A"
    await change(api, name, defaults("b", "a"))
    found = await api.ok("GET", f"{CRONTABS}/two")
    assert (found["a"], found["b"]) == ("A", "B")
    assert "a" not in await api.ok("GET", f"{CRONTABS}/one")


async def test_custom_objects_are_watched(api: Api) -> None:
    """[sig-api-machinery] CustomResourceDefinition Watch [Privileged:ClusterAdmin] CustomResourceDefinition Watch watch
    on custom resource definition objects [Conformance]"""
    await define(api, definition(version(schema=FREE), scope="Cluster"))
    path = f"/apis/{GROUP}/v1/crontabs"
    for name in ("a", "b"):
        async with api.watching(path, fieldSelector=f"metadata.name={name}") as lines:
            await api.ok("POST", path, crontab(name))
            await api.ok("PATCH", f"{path}/{name}", {"num": 1}, content_type=MERGE)
            await api.ok("DELETE", f"{path}/{name}")
            assert [one["type"] for one in await lines.wait(3)] == ["ADDED", "MODIFIED", "DELETED"]


async def test_a_webhook_converts(api: Api, tmp_path: Path) -> None:
    """[sig-api-machinery] CustomResourceConversionWebhook [Privileged:ClusterAdmin] should be able to convert from CR
    v1 to CR v2 [Conformance]"""
    async with listening(tmp_path) as (_, conversion):
        await define(api, definition(version("v1", V1), version("v2", V2, storage=False), conversion=conversion))
        await api.ok("POST", CRONTABS, first())
        assert (await api.ok("GET", f"{V2_TABS}/a"))["spec"] == {"address": "h:80"}


async def test_a_webhook_converts_mixed_lists(api: Api, tmp_path: Path) -> None:
    """[sig-api-machinery] CustomResourceConversionWebhook [Privileged:ClusterAdmin] should be able to convert a non
    homogeneous list of CRs [Conformance]"""
    async with listening(tmp_path) as (_, conversion):
        crd = definition(version("v1", V1), version("v2", V2, storage=False), conversion=conversion)
        name = (await define(api, crd))["metadata"]["name"]
        await api.ok("POST", CRONTABS, first("a"))

        def swap(crd: Any) -> None:
            for one in crd["spec"]["versions"]:
                one["storage"] = not one["storage"]

        await change(api, name, swap)
        await api.ok("POST", CRONTABS, first("b"))
        listed = await api.ok("GET", V2_TABS)
        assert [one["apiVersion"] for one in listed["items"]] == [f"{GROUP}/v2"] * 2
        assert [one["spec"]["address"] for one in listed["items"]] == ["h:80", "h:80"]


async def test_selectable_fields(api: Api, tmp_path: Path) -> None:
    """[sig-api-machinery] CustomResourceFieldSelectors [Privileged:ClusterAdmin] CustomResourceFieldSelectors MUST list
    and watch custom resources matching the field selector [Conformance]"""
    async with listening(tmp_path) as (_, conversion):
        v1 = version("v1", V1, selectableFields=[{"jsonPath": ".spec.host"}])
        v2 = version("v2", V2, storage=False, selectableFields=[{"jsonPath": ".spec.address"}])
        await define(api, definition(v1, v2, conversion=conversion))
        by_address = {"fieldSelector": "spec.address=h:80"}
        async with (
            api.watching(CRONTABS, fieldSelector="spec.host=h") as lines,
            api.watching(V2_TABS, **by_address) as seconds,
        ):
            await api.ok("POST", CRONTABS, first("a", 80))
            await api.ok("POST", CRONTABS, first("b", 81))
            assert [one["object"]["metadata"]["name"] for one in await lines.wait(2)] == ["a", "b"]
            assert [one["object"]["spec"] for one in await seconds.wait(1)] == [{"address": "h:80"}]
            names = [one["metadata"]["name"] for one in (await api.ok("GET", V2_TABS, query=by_address))["items"]]
            assert names == ["a"]
            await api.ok("PATCH", f"{CRONTABS}/a", {"spec": {"host": "g"}}, content_type=MERGE)
            await api.ok("DELETE", f"{CRONTABS}/b")
            assert [one["type"] for one in await lines.wait(4)] == ["ADDED", "ADDED", "DELETED", "DELETED"]
            assert [one["type"] for one in await seconds.wait(2)] == ["ADDED", "DELETED"]
            assert not (await api.ok("GET", V2_TABS, query=by_address))["items"]


# What is published


def key(version: str, kind: str = "CronTab", group: str = "com.example.stable") -> str:
    return f"{group}.{version}.{kind}"


def other(*versions: dict[str, Any]) -> dict[str, Any]:
    """Another definition in the same group."""
    crd = definition(*versions, plural="others", kind="Other")
    del crd["spec"]["names"]["shortNames"]
    return crd


async def published(api: Api) -> dict[str, Any]:
    found: dict[str, Any] = (await api.ok("GET", "/openapi/v2"))["definitions"]
    return found


async def test_published_for_groups(api: Api) -> None:
    """[sig-api-machinery] CustomResourcePublishOpenAPI [Privileged:ClusterAdmin] works for multiple CRDs of different
    groups [Conformance]"""
    await define(api)
    second = definition(group="other.example.com")
    second["metadata"]["name"] = "crontabs.other.example.com"
    await define(api, second)
    assert {key("v1"), key("v1", group="com.example.other")} <= set(await published(api))


async def test_published_for_versions(api: Api) -> None:
    """[sig-api-machinery] CustomResourcePublishOpenAPI [Privileged:ClusterAdmin] works for multiple CRDs of same group
    but different versions [Conformance]"""
    await define(api, definition(version("v2"), version("v3", storage=False)))
    await define(api, other(version("v4")))
    assert {key("v2"), key("v3"), key("v4", "Other")} <= set(await published(api))


async def test_published_for_kinds(api: Api) -> None:
    """[sig-api-machinery] CustomResourcePublishOpenAPI [Privileged:ClusterAdmin] works for multiple CRDs of same group
    and version but different kinds [Conformance]"""
    await define(api)
    await define(api, other())
    assert {key("v1"), key("v1", "Other")} <= set(await published(api))


async def test_published_after_a_renaming(api: Api) -> None:
    """[sig-api-machinery] CustomResourcePublishOpenAPI [Privileged:ClusterAdmin] updates the published spec when one
    version gets renamed [Conformance]"""
    name = (await define(api, definition(version("v2"), version("v3", storage=False))))["metadata"]["name"]
    before = await published(api)
    change = [{"op": "replace", "path": "/spec/versions/1/name", "value": "v4"}]
    await api.ok("PATCH", f"{CRDS}/{name}", change, content_type="application/json-patch+json")
    after = await published(api)
    assert {key("v2"), key("v4")} <= set(after)
    assert key("v3") not in after
    assert after[key("v2")] == before[key("v2")]


async def test_published_while_served(api: Api) -> None:
    """[sig-api-machinery] CustomResourcePublishOpenAPI [Privileged:ClusterAdmin] removes definition from spec when one
    version gets changed to not be served [Conformance]"""
    name = (await define(api, definition(version("v5"), version("v6alpha1", storage=False))))["metadata"]["name"]
    before = await published(api)
    assert key("v6alpha1") in before

    def unserve(crd: Any) -> None:
        crd["spec"]["versions"][1]["served"] = False

    await change(api, name, unserve)
    after = await published(api)
    assert key("v6alpha1") not in after
    assert after[key("v5")] == before[key("v5")]


# Strict fields

STRICT = {"fieldManager": "f", "fieldValidation": "Strict"}


async def apply(api: Api, path: str, body: Any) -> tuple[int, Any]:
    return await api.call("PATCH", path, body, STRICT, content_type=APPLY)


async def test_free_custom_objects(api: Api) -> None:
    """[sig-api-machinery] FieldValidation should create/apply a CR with unknown fields for CRD with no validation
    schema [Conformance]"""
    await define(api, definition(version(schema=FREE)))
    status, found = await apply(api, f"{CRONTABS}/a", crontab(spec={"unknown": "x", "known": 1}))
    assert (status, found["spec"]) == (201, {"unknown": "x", "known": 1})


async def test_valid_custom_objects(api: Api) -> None:
    """[sig-api-machinery] FieldValidation should create/apply a valid CR for CRD with validation schema
    [Conformance]"""
    await define(api)
    body = crontab(spec={"cronSpec": "* * * * */2", "ports": [{"port": 8080, "name": "x"}]})
    assert (await apply(api, f"{CRONTABS}/a", body))[0] == 201


async def test_unknown_fields_of_custom_objects(api: Api) -> None:
    """[sig-api-machinery] FieldValidation should create/apply an invalid CR with extra properties for CRD with
    validation schema [Conformance]"""
    await define(api)
    status, found = await apply(api, f"{CRONTABS}/a", crontab(spec={"cronSpec": "* * * * */2", "unknown": "x"}))
    assert status == 500
    assert ".spec.unknown: field not declared in schema" in found["message"]
    status, found = await api.call("POST", CRONTABS, crontab(spec={"cronSpec": "* * * * *", "unknown": 1}), STRICT)
    assert (status, found["reason"]) == (400, "BadRequest")
    assert 'strict decoding error: unknown field "spec.unknown"' in found["message"]


EMBEDDED = {
    "type": "object",
    "x-kubernetes-preserve-unknown-fields": True,
    "properties": {
        "spec": {
            "type": "object",
            "x-kubernetes-preserve-unknown-fields": True,
            "properties": {
                "template": {
                    "type": "object",
                    "x-kubernetes-embedded-resource": True,
                    "x-kubernetes-preserve-unknown-fields": True,
                }
            },
        }
    },
}


async def test_unknown_metadata_of_custom_objects(api: Api) -> None:
    """[sig-api-machinery] FieldValidation should detect unknown metadata fields in both the root and embedded object of
    a CR [Conformance]"""
    await define(api, definition(version(schema=EMBEDDED)))
    embedded = {"apiVersion": "foo/v1", "kind": "Sub", "metadata": {"unknownSubMeta": "x", "name": "subobject"}}
    body = crontab(spec={"template": embedded})
    body["metadata"]["unknownMeta"] = "x"
    status, found = await api.call("POST", CRONTABS, body, STRICT)
    assert (status, found["reason"]) == (400, "BadRequest")
    assert 'unknown field "metadata.unknownMeta"' in found["message"]
    assert 'unknown field "spec.template.metadata.unknownSubMeta"' in found["message"]


async def test_doubled_fields_of_custom_objects(api: Api) -> None:
    """[sig-api-machinery] FieldValidation should detect duplicates in a CR when preserving unknown fields
    [Conformance]"""
    await define(api, definition(version(schema=FREE)))
    body = f"""{{"apiVersion": "{GROUP}/v1", "kind": "CronTab", "metadata": {{"name": "a"}},
        "spec": {{"unknown": "x", "foo": "1", "foo": "2"}}}}"""
    status, found = await api.call("POST", CRONTABS, body.encode(), STRICT)
    assert (status, found["reason"]) == (400, "BadRequest")
    assert 'strict decoding error: duplicate field "spec.foo"' in found["message"]


DEPLOYMENT: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "d"},
    "spec": {
        "selector": {"matchLabels": {"app": "x"}},
        "template": {
            "metadata": {"labels": {"app": "x"}},
            "spec": {"containers": [{"name": "c", "image": "i"}]},
        },
    },
}


async def test_unknown_and_doubled_fields(api: Api) -> None:
    """[sig-api-machinery] FieldValidation should detect unknown and duplicate fields of a typed object
    [Conformance]"""
    body = """{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": {
        "unknown1": "x", "unknownDupe": "a", "unknownDupe": "b", "paused": true, "paused": false,
        "selector": {"matchLabels": {"app": "x"}},
        "template": {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [
            {"name": "c", "image": "i", "unknownNested": "x", "imagePullPolicy": "Always", "imagePullPolicy": "Never"}
        ]}}}}"""
    status, found = await api.call("POST", "/apis/apps/v1/namespaces/default/deployments", body.encode(), STRICT)
    assert (status, found["reason"]) == (400, "BadRequest")
    for expected in (
        'unknown field "spec.unknown1"',
        'unknown field "spec.unknownDupe"',
        'duplicate field "spec.paused"',
        'unknown field "spec.template.spec.containers[0].unknownNested"',
        'duplicate field "spec.template.spec.containers[0].imagePullPolicy"',
    ):
        assert expected in found["message"]


@pytest.mark.parametrize("where", [("metadata",), ("spec", "template", "metadata")])
async def test_unknown_metadata(api: Api, where: tuple[str, ...]) -> None:
    """[sig-api-machinery] FieldValidation should detect unknown metadata fields of a typed object [Conformance]"""
    body = deepcopy(DEPLOYMENT)
    inner = body
    for step in where:
        inner = inner[step]
    inner["unknownMeta"] = "x"
    status, found = await api.call("POST", "/apis/apps/v1/namespaces/default/deployments", body, STRICT)
    assert (status, found["reason"]) == (400, "BadRequest")
    assert f'strict decoding error: unknown field "{".".join(where)}.unknownMeta"' in found["message"]


# Aggregated discovery


AGGREGATED = "application/json;g=apidiscovery.k8s.io;v={};as=APIGroupDiscoveryList"


async def resources(api: Api, version: str = "v2") -> set[tuple[str, str, str]]:
    found = set()
    for path in ("/api", "/apis"):
        response = await api.raw("GET", path, accept=f"{AGGREGATED.format(version)},application/json")
        assert response.headers["Content-Type"] == AGGREGATED.format(version)

        for group in json.loads(response.body)["items"]:
            for served in group["versions"]:
                name = group["metadata"].get("name", "")
                found |= {(name, served["version"], one["resource"]) for one in served["resources"]}
    return found


BUILT_IN = {
    ("", "v1", "namespaces"),
    ("admissionregistration.k8s.io", "v1", "validatingwebhookconfigurations"),
    ("apiextensions.k8s.io", "v1", "customresourcedefinitions"),
    ("apiregistration.k8s.io", "v1", "apiservices"),
    ("apps", "v1", "deployments"),
    ("authentication.k8s.io", "v1", "tokenreviews"),
    ("authorization.k8s.io", "v1", "selfsubjectaccessreviews"),
    ("autoscaling", "v1", "horizontalpodautoscalers"),
    ("autoscaling", "v2", "horizontalpodautoscalers"),
    ("batch", "v1", "jobs"),
    ("certificates.k8s.io", "v1", "certificatesigningrequests"),
    ("coordination.k8s.io", "v1", "leases"),
    ("discovery.k8s.io", "v1", "endpointslices"),
    ("networking.k8s.io", "v1", "ingresses"),
    ("node.k8s.io", "v1", "runtimeclasses"),
    ("policy", "v1", "poddisruptionbudgets"),
    ("scheduling.k8s.io", "v1", "priorityclasses"),
}


async def test_aggregated_discovery(api: Api) -> None:
    """[sig-api-machinery] AggregatedDiscovery should support aggregated discovery interface [Conformance]"""
    assert await resources(api) >= BUILT_IN


async def test_aggregated_discovery_of_definitions(api: Api) -> None:
    """[sig-api-machinery] AggregatedDiscovery should support aggregated discovery interface for CRDs [Conformance]"""
    await define(api)
    assert (GROUP, "v1", "crontabs") in await resources(api)


@pytest.mark.parametrize("version", ["v2", "v2beta1"])
async def test_headers_of_aggregated_discovery(api: Api, version: str) -> None:
    """[sig-api-machinery] AggregatedDiscovery should support raw aggregated discovery endpoint Accept headers
    [Conformance]"""
    assert await resources(api, version) >= BUILT_IN


@pytest.mark.parametrize("version", ["v2", "v2beta1"])
async def test_headers_of_aggregated_discovery_of_definitions(api: Api, version: str) -> None:
    """[sig-api-machinery] AggregatedDiscovery should support raw aggregated discovery request for CRDs
    [Conformance]"""
    await define(api)
    assert (GROUP, "v1", "crontabs") in await resources(api, version)
