"""Definitions that are wrong, that fight for names, and that change."""

import asyncio
from typing import Any

import pytest

from tests.apiserver.extensions.crontabs import (
    CRDS,
    CRONTABS,
    GROUP,
    SPEC,
    crontab,
    define,
    definition,
    until,
    version,
)
from tests.apiserver.server import JSON_PATCH, MERGE, Api, Lines, serving
from tiphys.store.memory import MemoryStore


def schema(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


TEXT = {"type": "string"}
V = "spec.validation.openAPIV3Schema"
REFUSED: dict[str, tuple[dict[str, Any], list[str]]] = {
    "no type": (
        schema(a={}),
        [f"{V}.properties[a].type: Required value: must not be empty for specified object fields"],
    ),
    "array without items": (
        schema(a={"type": "array"}),
        [f"{V}.properties[a].items: Required value: must be specified"],
    ),
    "type below a junctor": (
        schema(a={"type": "string", "anyOf": [{"type": "string"}]}),
        [f"{V}.properties[a].anyOf[0].type: Forbidden: must be empty to be structural"],
    ),
    "only below a junctor": (
        {**schema(), "anyOf": [{"required": ["b"], "properties": {"b": {"minimum": 1}}}]},
        [f"{V}.properties[b]: Required value: because it is defined in {V}.anyOf[0].properties[b]"],
    ),
    "metadata restricted": (
        schema(metadata={"type": "object", "properties": {"labels": {"type": "object"}}}),
        [
            f"{V}.properties[metadata]: Forbidden: must not specify anything other than name and generateName, but "
            "metadata is implicitly specified"
        ],
    ),
    "unique items": (
        schema(a={"type": "array", "uniqueItems": True, "items": {"type": "string"}}),
        [
            f"{V}.properties[a].uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime "
            "complexity becomes quadratic"
        ],
    ),
    "bad pattern": (
        schema(a={"type": "string", "pattern": "("}),
        [
            f'{V}.properties[a].pattern: Invalid value: "(": must be a valid regular expression, but isn\'t: '
            "error parsing regexp: missing ): ("
        ],
    ),
    "list map without keys": (
        schema(a={"type": "array", "x-kubernetes-list-type": "map", "items": {"type": "object"}}),
        [
            f"{V}.properties[a].x-kubernetes-list-map-keys: Required value: must not be empty if "
            "x-kubernetes-list-type is map"
        ],
    ),
    "properties and values": (
        schema(a={"type": "object", "properties": {"b": TEXT}, "additionalProperties": TEXT}),
        [
            f"{V}.properties[a].additionalProperties: Forbidden: additionalProperties and properties are mutual "
            "exclusive"
        ],
    ),
    "default that does not fit": (
        schema(a={"type": "integer", "default": "x"}),
        [
            f'{V}.properties[a].default: Invalid value: "string": {V}.properties[a].default in body must be of type '
            'integer: "string"'
        ],
    ),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_schemas_that_are_refused(api: Api, name: str) -> None:
    given, sentences = REFUSED[name]
    status, body = await api.call("POST", CRDS, definition(version(schema=given)))
    assert status == 422, body
    found = [f"{cause['field']}: {cause['message']}" for cause in body["details"]["causes"]]
    assert found == sentences


async def test_names_versions_and_scope(api: Api) -> None:
    crd = definition(version("v1"), version("v1"), scope="Galaxy", preserveUnknownFields=True)
    crd["metadata"]["name"] = "other.example.com"
    crd["spec"]["names"]["kind"] = "9Cron"
    status, body = await api.call("POST", CRDS, crd)
    assert status == 422
    message = body["message"]
    for part in (
        'metadata.name: Invalid value: "other.example.com": must be spec.names.plural+"."+spec.group',
        'spec.scope: Unsupported value: "Galaxy": supported values: "Cluster", "Namespaced"',
        "must contain unique version names",
        "must have exactly one version marked as storage version",
        "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead",
        "may have mixed case, but should otherwise match",
    ):
        assert part in message


async def test_protected_groups_need_approval(api: Api) -> None:
    crd = definition(group="apps.k8s.io")
    crd["metadata"]["name"] = "crontabs.apps.k8s.io"
    status, body = await api.call("POST", CRDS, crd)
    assert status == 422 and "protected groups must have approval annotation" in body["message"]
    crd["metadata"]["annotations"] = {"api-approved.kubernetes.io": "https://example.com/pull/1"}
    await api.ok("POST", CRDS, crd)
    found = await until(api, "crontabs.apps.k8s.io", "KubernetesAPIApprovalPolicyConformant")
    reasons = {c["type"]: (c["status"], c["reason"]) for c in found["status"]["conditions"]}
    assert reasons == {
        "NamesAccepted": ("True", "NoConflicts"),
        "Established": ("True", "InitialNamesAccepted"),
        "KubernetesAPIApprovalPolicyConformant": ("True", "ApprovedAnnotation"),
    }


async def test_names_in_use_are_waited_for(api: Api) -> None:
    await define(api)
    rival = definition(plural="crons", kind="CronTab")
    rival["spec"]["names"] |= {"singular": "cron", "listKind": "CronList", "shortNames": ["cr"]}
    await api.ok("POST", CRDS, rival)
    found = await until(api, f"crons.{GROUP}", "NamesAccepted", "False")
    condition = next(c for c in found["status"]["conditions"] if c["type"] == "NamesAccepted")
    assert (condition["reason"], condition["message"]) == ("KindConflict", '"CronTab" is already in use')
    assert next(c for c in found["status"]["conditions"] if c["type"] == "Established")["reason"] == "NotAccepted"
    await api.ok("DELETE", f"{CRDS}/crontabs.{GROUP}")
    await until(api, f"crons.{GROUP}", "Established")


async def test_what_cannot_change(api: Api) -> None:
    await define(api)
    path = f"{CRDS}/crontabs.{GROUP}"
    status, body = await api.call("PATCH", path, {"spec": {"scope": "Cluster"}}, content_type=MERGE)
    assert status == 422 and body["message"].endswith('spec.scope: Invalid value: "Cluster": field is immutable')
    status, body = await api.call("PATCH", path, {"spec": {"versions": [version("v2")]}}, content_type=MERGE)
    assert status == 422 and "v1 was previously a storage version" in body["message"]


async def test_a_changed_schema_holds_at_once_and_for_what_is_stored(api: Api) -> None:
    await define(api)
    await api.ok("POST", CRONTABS, crontab())
    path = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/"
    ops = [
        {"op": "add", "path": path + "zone", "value": {"type": "string", "default": "UTC"}},
        {"op": "remove", "path": path + "image"},
    ]
    await api.ok("PATCH", f"{CRDS}/crontabs.{GROUP}", ops, content_type=JSON_PATCH)
    # Whoever changed the schema is answered when it holds.
    got = await api.ok("GET", f"{CRONTABS}/a")
    assert "image" not in got["spec"]
    listed = await api.ok("GET", CRONTABS)
    assert listed["items"][0]["spec"] == got["spec"]
    made = await api.ok("POST", CRONTABS, crontab("b", {"cronSpec": "* * * * *", "image": "x"}))
    assert made["spec"] == {"cronSpec": "* * * * *", "replicas": 1, "zone": "UTC"}


async def test_served_again_after_a_restart() -> None:
    store = MemoryStore()
    async with serving(store=store) as api:
        await define(api)
        made = await api.ok("POST", CRONTABS, crontab())
    async with serving(store=store) as api:
        assert await api.ok("GET", f"{CRONTABS}/a") == made
        async with api.watching(CRONTABS, resourceVersion=made["metadata"]["resourceVersion"]) as lines:
            await api.ok("DELETE", f"{CRONTABS}/a")
            assert (await lines.wait(1))[0]["type"] == "DELETED"


async def test_versions_that_differ_in_name(api: Api) -> None:
    old = {**SPEC, "properties": {**SPEC["properties"], "old": {"type": "string"}}}
    await define(api, definition(version("v1"), version("v1beta1", old, storage=False, deprecated=True)))
    beta = CRONTABS.replace("/v1/", "/v1beta1/")
    body = crontab(old="x") | {"apiVersion": f"{GROUP}/v1beta1"}
    response = await api.raw("POST", beta, body)
    assert response.status == 201
    assert response.headers["Warning"] == f'299 - "{GROUP}/v1beta1 CronTab is deprecated"'
    got = await api.ok("GET", f"{CRONTABS}/a")
    assert got["apiVersion"] == f"{GROUP}/v1" and "old" not in got
    async with api.watching(beta) as lines:
        assert (await lines.wait(1))[0]["object"]["apiVersion"] == f"{GROUP}/v1beta1"
    await api.ok("PATCH", f"{CRDS}/crontabs.{GROUP}", [
        {"op": "replace", "path": "/spec/versions/0/storage", "value": False},
        {"op": "replace", "path": "/spec/versions/1/storage", "value": True},
    ], content_type=JSON_PATCH)  # fmt: skip
    assert (await api.ok("GET", f"{CRDS}/crontabs.{GROUP}"))["status"]["storedVersions"] == ["v1", "v1beta1"]
    before = await api.ok("GET", f"{CRONTABS}/a")
    # Writing what is there moves it to the version that is stored now.
    after = await api.ok("PUT", f"{CRONTABS}/a", before)
    assert after["spec"] == before["spec"]
    assert int(after["metadata"]["resourceVersion"]) > int(before["metadata"]["resourceVersion"])
    assert await api.ok("PUT", f"{CRONTABS}/a", after) == after


async def test_a_changed_definition_ends_its_watches_and_they_go_on_where_they_were(api: Api) -> None:
    await define(api)
    made = await api.ok("POST", CRONTABS, crontab())
    response = await api.raw("GET", CRONTABS, query={"watch": "true"})
    assert response.stream is not None
    task = asyncio.ensure_future(response.stream(Lines()))
    await asyncio.sleep(0)
    await api.ok("PATCH", f"{CRONTABS}/a", {"spec": {"image": "b"}}, content_type=MERGE)
    columns = [{"name": "Image", "type": "string", "jsonPath": ".spec.image"}]
    ops = [{"op": "add", "path": "/spec/versions/0/additionalPrinterColumns", "value": columns}]
    await api.ok("PATCH", f"{CRDS}/crontabs.{GROUP}", ops, content_type=JSON_PATCH)
    await asyncio.wait_for(task, 5)
    await api.ok("DELETE", f"{CRONTABS}/a")
    async with api.watching(CRONTABS, resourceVersion=made["metadata"]["resourceVersion"]) as lines:
        assert [event["type"] for event in await lines.wait(2)] == ["MODIFIED", "DELETED"]


async def test_a_change_of_nothing_that_is_served_leaves_watches_alone(api: Api) -> None:
    await define(api)
    async with api.watching(CRONTABS) as lines:
        await api.ok("PATCH", f"{CRDS}/crontabs.{GROUP}", {"metadata": {"labels": {"a": "b"}}}, content_type=MERGE)
        await api.ok("POST", CRONTABS, crontab())
        assert [event["type"] for event in await lines.wait(1)] == ["ADDED"]


async def test_a_definition_takes_nothing_from_built_in_resources(api: Api) -> None:
    policies = "/apis/networking.k8s.io/v1/namespaces/default/networkpolicies"
    made = await api.ok("POST", policies, {"metadata": {"name": "p"}, "spec": {"podSelector": {}}})
    body = definition(version("v1"), plural="networkpolicies", kind="NetworkPolicy", group="networking.k8s.io")
    body["metadata"] = {
        "name": "networkpolicies.networking.k8s.io",
        "annotations": {"api-approved.kubernetes.io": "unapproved, testing-only"},
    }
    await api.ok("POST", CRDS, body)
    found = await until(api, "networkpolicies.networking.k8s.io", "NamesAccepted", "False")
    (why,) = (one for one in found["status"]["conditions"] if one["type"] == "NamesAccepted")
    assert why["message"] == '"NetworkPolicy" is already in use'
    assert await api.ok("GET", f"{policies}/p") == made
    again = await api.ok("POST", policies, {"metadata": {"name": "q"}, "spec": {"podSelector": {}}})
    assert again["spec"]["policyTypes"] == ["Ingress"]
    await api.ok("DELETE", f"{CRDS}/networkpolicies.networking.k8s.io")
    assert await api.ok("GET", f"{policies}/p") == made
