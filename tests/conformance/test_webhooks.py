"""Webhooks and policies that admit."""

import asyncio
from copy import deepcopy
from typing import Any

import pytest
from aiohttp import web

from tests.apiserver.extensions.crontabs import CRDS, CRONTABS, GROUP, crontab, define, definition, version
from tests.apiserver.policies.written import Policies as Api
from tests.apiserver.policies.written import apply as applying
from tests.apiserver.policies.written import json_patch, rule
from tests.apiserver.server import MERGE, STRATEGIC, config_map, pod
from tests.apiserver.webhooks.server import GROUP as ADMISSION
from tests.apiserver.webhooks.server import MAPS, PODS, Hooks, patch, webhook
from tests.conformance.walking import discovered

FREE = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
SKIP_ME = {"name": "skip-me", "expression": "object.metadata.name == 'skip-me'"}
KINDS = ["mutating", "validating"]


def plural(kind: str) -> str:
    return f"{ADMISSION}/{kind}webhookconfigurations"


def deny(request: dict[str, Any]) -> dict[str, Any]:
    return {"allowed": False, "status": {"message": "this webhook denies all requests"}}


def adding(key: str, wanted: str = "") -> Any:
    """Adds a key to the data, if another is there."""

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        data = (request["object"] or {}).get("data") or {}
        return patch({"op": "add", "path": f"/data/{key}", "value": "yes"}) if not wanted or wanted in data else {}

    return answer


async def made(api: Api, name: str, **data: str) -> dict[str, Any]:
    found: dict[str, Any] = (await api.ok("POST", MAPS, config_map(name, data or {"start": "yes"})))["data"]
    return found


async def denied(api: Api, method: str, path: str, body: Any = None, **more: Any) -> str:
    status, found = await api.call(method, path, body, **more)
    assert status in (400, 403, 500), found
    assert found["message"].startswith("admission webhook") or "failed calling webhook" in found["message"]
    message: str = found["message"]
    return message


async def test_webhooks_are_discovered(api: Api) -> None:
    """[sig-api-machinery] AdmissionWebhook [Privileged:ClusterAdmin] should include webhook resources in discovery
    documents [Conformance]"""
    names = ("mutatingwebhookconfigurations", "validatingwebhookconfigurations")
    await discovered(api, "admissionregistration.k8s.io", "v1", *names)


async def test_creation_is_denied(api: Api, remote: Hooks) -> None:
    """[sig-api-machinery] AdmissionWebhook [Privileged:ClusterAdmin] should be able to deny pod and configmap creation
    [Conformance]"""

    async def hang() -> web.Response:
        await asyncio.sleep(30)
        return web.Response()

    def judge(request: dict[str, Any]) -> dict[str, Any]:
        return deny(request) if (request["object"].get("data") or {}).get("bad") else {}

    def judge_pod(request: dict[str, Any]) -> dict[str, Any]:
        return deny(request) if request["object"]["metadata"]["name"] == "disallowed" else {}

    remote.answers |= {"maps": judge, "pods": judge_pod}
    remote.raw["slow"] = hang
    not_excluded = {"matchExpressions": [{"key": "exclude", "operator": "DoesNotExist"}]}
    pods = [rule("pods", operations=("CREATE",))]
    slow = {"matchLabels": {"slow": "yes"}}
    await api.configure(
        "validating",
        "v",
        webhook(remote.config("maps"), "maps.example.com", namespaceSelector=not_excluded),
        webhook(remote.config("pods"), "pods.example.com", rules=pods),
        webhook(remote.config("slow"), "slow.example.com", rules=pods, objectSelector=slow, timeoutSeconds=1),
    )
    message = await denied(api, "POST", PODS, pod("disallowed"))
    assert message == 'admission webhook "pods.example.com" denied the request: this webhook denies all requests'
    message = await denied(api, "POST", PODS, pod("slow", labels={"slow": "yes"}))
    assert "context deadline exceeded" in message
    await denied(api, "POST", MAPS, config_map("a", {"bad": "yes"}))
    await api.ok("POST", MAPS, config_map("a", {"good": "yes"}))
    now = await api.ok("GET", f"{MAPS}/a")
    await denied(api, "PUT", f"{MAPS}/a", now | {"data": {"bad": "yes"}})
    await denied(api, "PATCH", f"{MAPS}/a", {"data": {"bad": "yes"}}, content_type=STRATEGIC)
    await api.ok("POST", "/api/v1/namespaces", {"metadata": {"name": "exempt", "labels": {"exclude": "yes"}}})
    await api.ok("POST", "/api/v1/namespaces/exempt/configmaps", config_map("a", {"bad": "yes"}))


async def test_attaching_is_denied(api: Api, remote: Hooks) -> None:
    """[sig-api-machinery] AdmissionWebhook [Privileged:ClusterAdmin] should be able to deny attaching pod
    [Conformance]"""
    remote.answers["attach"] = deny
    rules = [rule("pods/attach", operations=("CONNECT",))]
    await api.configure("validating", "v", webhook(remote.config("attach"), rules=rules))
    await api.ok("POST", PODS, pod("a"))
    message = await denied(api, "POST", f"{PODS}/a/attach", query={"stdin": "true"})
    assert "denied the request" in message


async def test_custom_objects_are_denied(api: Api, remote: Hooks) -> None:
    """[sig-api-machinery] AdmissionWebhook [Privileged:ClusterAdmin] should be able to deny custom resource creation,
    update and deletion [Conformance]"""
    await define(api, definition(version(schema=FREE)))

    def judge(request: dict[str, Any]) -> dict[str, Any]:
        obj = request["object"] or request["oldObject"]
        return deny(request) if obj.get("data", {}).get("key") == "bad" else {}

    remote.answers["v"] = judge
    rules = [rule("crontabs", group=GROUP, operations=("CREATE", "UPDATE", "DELETE"))]
    await api.configure("validating", "v", webhook(remote.config("v"), rules=rules))
    await denied(api, "POST", CRONTABS, crontab(data={"key": "bad"}))
    await api.ok("POST", CRONTABS, crontab(data={"key": "good"}))
    await denied(api, "PATCH", f"{CRONTABS}/a", {"data": {"key": "bad"}}, content_type=MERGE)
    remote.answers["v"] = deny
    await denied(api, "DELETE", f"{CRONTABS}/a")
    remote.answers["v"] = judge
    await api.ok("DELETE", f"{CRONTABS}/a")


async def test_failing_closed(api: Api, remote: Hooks) -> None:
    """[sig-api-machinery] AdmissionWebhook [Privileged:ClusterAdmin] should unconditionally reject operations on fail
    closed webhook [Conformance]"""
    config = remote.config("v")
    del config["caBundle"]
    await api.configure("validating", "v", webhook(config, failurePolicy="Fail"))
    status, found = await api.call("POST", MAPS, config_map("a"))
    assert (status, found["reason"]) == (500, "InternalError")
    assert 'failed calling webhook "a.example.com"' in found["message"]


async def test_maps_are_mutated_in_order(api: Api, remote: Hooks) -> None:
    """[sig-api-machinery] AdmissionWebhook [Privileged:ClusterAdmin] should mutate configmap [Conformance]"""
    remote.answers |= {"one": adding("one", "start"), "two": adding("two", "one")}
    await api.configure(
        "mutating", "m", webhook(remote.config("one"), "a.example.com"), webhook(remote.config("two"), "b.example.com")
    )
    assert await made(api, "a") == {"start": "yes", "one": "yes", "two": "yes"}


async def test_mutated_pods_are_defaulted(api: Api, remote: Hooks) -> None:
    """[sig-api-machinery] AdmissionWebhook [Privileged:ClusterAdmin] should mutate pod and apply defaults after
    mutation
    [Conformance]"""
    added = [{"name": "webhook-added-init-container", "image": "webhook-added-image"}]
    remote.answers["m"] = lambda _: patch({"op": "add", "path": "/spec/initContainers", "value": added})
    rules = [rule("pods", operations=("CREATE",))]
    await api.configure("mutating", "m", webhook(remote.config("m"), rules=rules))
    found = (await api.ok("POST", PODS, pod("a")))["spec"]["initContainers"][0]
    assert found["name"] == "webhook-added-init-container"
    assert found["terminationMessagePolicy"] == "File"


async def test_configurations_are_out_of_reach(api: Api, remote: Hooks) -> None:
    """[sig-api-machinery] AdmissionWebhook [Privileged:ClusterAdmin] should not be able to mutate or prevent deletion
    of
    webhook configuration objects [Conformance]"""
    remote.answers["v"] = deny
    remote.answers["m"] = lambda _: patch({"op": "add", "path": "/metadata/labels", "value": {"mutated": "yes"}})
    both = [rule("validatingwebhookconfigurations", "mutatingwebhookconfigurations", group="*", version="*")]
    await api.configure("validating", "v", webhook(remote.config("v"), rules=both))
    await api.configure("mutating", "m", webhook(remote.config("m"), rules=both))
    for kind in KINDS:
        found = await api.configure(kind, "dummy", webhook(remote.config("d"), failurePolicy="Ignore"))
        assert "labels" not in found["metadata"]
        await api.ok("DELETE", f"{plural(kind)}/dummy")
    assert not remote.asked


@pytest.fixture
async def tabs(api: Api, remote: Hooks) -> Api:
    """A definition whose objects are mutated: each step adds a key."""
    remote.answers |= {"one": adding("one", "start"), "two": adding("two", "one")}
    rules = [rule("crontabs", group=GROUP, version="*", operations=("CREATE", "UPDATE"))]
    await api.configure(
        "mutating",
        "m",
        webhook(remote.config("one"), "a.example.com", rules=rules),
        webhook(remote.config("two"), "b.example.com", rules=rules),
    )
    return api


async def test_custom_objects_are_mutated(tabs: Api) -> None:
    """[sig-api-machinery] AdmissionWebhook [Privileged:ClusterAdmin] should mutate custom resource [Conformance]"""
    await define(tabs, definition(version(schema=FREE)))
    found = await tabs.ok("POST", CRONTABS, crontab(data={"start": "yes"}))
    assert found["data"] == {"start": "yes", "one": "yes", "two": "yes"}


async def test_mutated_custom_objects_are_pruned(tabs: Api) -> None:
    """[sig-api-machinery] AdmissionWebhook [Privileged:ClusterAdmin] should mutate custom resource with pruning
    [Conformance]"""
    known = {"type": "object", "properties": {"start": {"type": "string"}, "one": {"type": "string"}}}
    await define(tabs, definition(version(schema={"type": "object", "properties": {"data": known}})))
    body = crontab(data={"start": "yes"})
    del body["spec"]
    assert (await tabs.ok("POST", CRONTABS, body))["data"] == {"start": "yes", "one": "yes"}


async def test_mutated_in_another_stored_version(tabs: Api) -> None:
    """[sig-api-machinery] AdmissionWebhook [Privileged:ClusterAdmin] should mutate custom resource with different
    stored
    version [Conformance]"""
    crd = definition(version("v1", FREE), version("v2", FREE, storage=False))
    name = (await define(tabs, crd))["metadata"]["name"]
    await tabs.ok("POST", CRONTABS, crontab(data={"start": "yes"}))
    versions = deepcopy((await tabs.ok("GET", f"{CRDS}/{name}"))["spec"]["versions"])
    for one in versions:
        one["storage"] = one["name"] == "v2"
    await tabs.ok("PATCH", f"{CRDS}/{name}", {"spec": {"versions": versions}}, content_type=MERGE)
    found = await tabs.ok("PATCH", f"{CRONTABS}/a", {"data": {"dummy": "test"}}, content_type=MERGE)
    assert found["data"] == {"start": "yes", "one": "yes", "two": "yes", "dummy": "test"}


async def test_definitions_are_denied(api: Api, remote: Hooks) -> None:
    """[sig-api-machinery] AdmissionWebhook [Privileged:ClusterAdmin] should deny crd creation [Conformance]"""
    remote.answers["v"] = deny
    rules = [rule("customresourcedefinitions", group="apiextensions.k8s.io", operations=("CREATE",))]
    selector = {"matchLabels": {"walked": "yes"}}
    await api.configure("validating", "v", webhook(remote.config("v"), rules=rules, objectSelector=selector))
    crd = definition()
    crd["metadata"]["labels"] = {"walked": "yes"}
    assert "denied the request" in await denied(api, "POST", CRDS, crd)


async def test_time_outs_are_honoured(api: Api, remote: Hooks) -> None:
    """[sig-api-machinery] AdmissionWebhook [Privileged:ClusterAdmin] should honor timeout [Conformance]"""

    async def slow() -> web.Response:
        await asyncio.sleep(1.3)
        uid = "unknown"
        response = {"uid": uid, "allowed": True}
        return web.json_response({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response})

    remote.raw["slow"] = slow
    await api.configure("validating", "v", webhook(remote.config("slow"), timeoutSeconds=1, failurePolicy="Fail"))
    assert "context deadline exceeded" in await denied(api, "POST", MAPS, config_map("a"))
    await api.configure("validating", "v", webhook(remote.config("slow"), timeoutSeconds=1, failurePolicy="Ignore"))
    await api.ok("POST", MAPS, config_map("a"))
    await api.ok("DELETE", f"{MAPS}/a")
    remote.raw.pop("slow")
    for seconds in (10, None):
        await api.configure("validating", "v", webhook(remote.config("slow"), timeoutSeconds=seconds))
        await api.ok("POST", MAPS, config_map("a"))
        await api.ok("DELETE", f"{MAPS}/a")


async def _configured(api: Api, kind: str, *configurations: dict[str, Any]) -> None:
    for number, one in enumerate(configurations):
        body = {"metadata": {"name": f"walk-{number}", "labels": {"walked": "yes"}}, "webhooks": [one]}
        await api.ok("POST", plural(kind), body)


async def _cleared(api: Api, kind: str) -> None:
    query = {"labelSelector": "walked=yes"}
    assert len((await api.ok("GET", plural(kind), query=query))["items"]) == 10
    await api.ok("DELETE", plural(kind), query=query)
    assert not (await api.ok("GET", plural(kind), query=query))["items"]


async def test_mutating_webhooks_are_listed(api: Api, remote: Hooks) -> None:
    """[sig-api-machinery] AdmissionWebhook [Privileged:ClusterAdmin] listing mutating webhooks should work
    [Conformance]"""
    hooks = []
    for number in range(10):
        remote.answers[f"m{number}"] = adding(f"k{number}")
        hooks.append(webhook(remote.config(f"m{number}"), f"a{number}.example.com"))
    await _configured(api, "mutating", *hooks)
    assert set(await made(api, "a")) == {"start", *(f"k{number}" for number in range(10))}
    await _cleared(api, "mutating")
    assert await made(api, "b") == {"start": "yes"}


async def test_validating_webhooks_are_listed(api: Api, remote: Hooks) -> None:
    """[sig-api-machinery] AdmissionWebhook [Privileged:ClusterAdmin] listing validating webhooks should work
    [Conformance]"""
    remote.answers["v"] = deny
    hooks = [webhook(remote.config("v"), f"a{number}.example.com") for number in range(10)]
    await _configured(api, "validating", *hooks)
    await denied(api, "POST", MAPS, config_map("a"))
    await _cleared(api, "validating")
    await made(api, "a")


async def _operations(api: Api, kind: str, *operations: str) -> None:
    """By an update if there is none yet to leave out, else by a patch."""
    path = f"{plural(kind)}/w"
    if "CREATE" in operations:
        change = [{"op": "replace", "path": "/webhooks/0/rules/0/operations", "value": [*operations]}]
        await api.ok("PATCH", path, change, content_type="application/json-patch+json")
        return
    now = await api.ok("GET", path)
    now["webhooks"][0]["rules"][0]["operations"] = [*operations]
    await api.ok("PUT", path, now)


async def test_a_mutating_webhook_changes(api: Api, remote: Hooks) -> None:
    """[sig-api-machinery] AdmissionWebhook [Privileged:ClusterAdmin] patching/updating a mutating webhook should work
    [Conformance]"""
    remote.answers["w"] = adding("key")
    await api.configure("mutating", "w", webhook(remote.config("w")))
    await _operations(api, "mutating", "UPDATE")
    assert await made(api, "a") == {"start": "yes"}
    await _operations(api, "mutating", "CREATE")
    assert await made(api, "b") == {"start": "yes", "key": "yes"}


async def test_a_validating_webhook_changes(api: Api, remote: Hooks) -> None:
    """[sig-api-machinery] AdmissionWebhook [Privileged:ClusterAdmin] patching/updating a validating webhook should work
    [Conformance]"""
    remote.answers["w"] = deny
    await api.configure("validating", "w", webhook(remote.config("w")))
    await _operations(api, "validating", "UPDATE")
    await made(api, "a")
    await _operations(api, "validating", "CREATE")
    await denied(api, "POST", MAPS, config_map("b"))


@pytest.mark.parametrize("kind", KINDS)
async def test_match_conditions_are_kept(api: Api, remote: Hooks, kind: str) -> None:
    """[sig-api-machinery] AdmissionWebhook [Privileged:ClusterAdmin] should be able to create and update mutating
    webhook configurations with match conditions [Conformance]
    [sig-api-machinery] AdmissionWebhook [Privileged:ClusterAdmin] should be able to create and update validating
    webhook configurations with match conditions [Conformance]"""
    first = [SKIP_ME]
    found = await api.configure(kind, "w", webhook(remote.config("w"), matchConditions=first))
    assert found["webhooks"][0]["matchConditions"] == first
    second = [*first, {"name": "not-leases", "expression": "request.resource.resource != 'leases'"}]
    await api.configure(kind, "w", webhook(remote.config("w"), matchConditions=second))
    found = await api.ok("GET", f"{plural(kind)}/w")
    assert found["webhooks"][0]["matchConditions"] == second


@pytest.mark.parametrize("kind", KINDS)
async def test_match_conditions_must_compile(api: Api, remote: Hooks, kind: str) -> None:
    """[sig-api-machinery] AdmissionWebhook [Privileged:ClusterAdmin] should reject mutating webhook configurations with
    invalid match conditions [Conformance]
    [sig-api-machinery] AdmissionWebhook [Privileged:ClusterAdmin] should reject validating webhook configurations with
    invalid match conditions [Conformance]"""
    broken = [{"name": "invalid-expression-1", "expression": "... [] bad expression"}]
    body = {"metadata": {"name": "w"}, "webhooks": [webhook(remote.config("w"), matchConditions=broken)]}
    status, found = await api.call("POST", plural(kind), body)
    assert (status, found["reason"]) == (422, "Invalid")
    assert "compilation failed" in found["message"]


async def test_conditions_choose_what_is_mutated(api: Api, remote: Hooks) -> None:
    """[sig-api-machinery] AdmissionWebhook [Privileged:ClusterAdmin] should mutate everything except 'skip-me'
    configmaps [Conformance]"""
    remote.answers["m"] = adding("key")
    condition = {"name": "skip-me", "expression": "object.metadata.name != 'skip-me'"}
    await api.configure("mutating", "m", webhook(remote.config("m"), matchConditions=[condition]))
    assert await made(api, "skip-me") == {"start": "yes"}
    assert await made(api, "other") == {"start": "yes", "key": "yes"}


# Policies

DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
ON_DEPLOYMENTS = {"resourceRules": [rule("deployments", group="apps", operations=("CREATE",))]}


def deployment(name: str, replicas: int) -> dict[str, Any]:
    template = {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": "x"}}, "template": template}
    return {"metadata": {"name": name}, "spec": spec}


async def _refuses_few_replicas(api: Api) -> None:
    await api.ok("POST", DEPLOYMENTS, deployment("many", 2))
    status, found = await api.call("POST", DEPLOYMENTS, deployment("few", 1))
    assert (status, found["reason"]) == (422, "Invalid")
    assert "ValidatingAdmissionPolicy 'p' with binding 'p-binding' denied request: " in found["message"]


async def test_a_policy_on_deployments(api: Api) -> None:
    """[sig-api-machinery] ValidatingAdmissionPolicy [Privileged:ClusterAdmin] should validate against a Deployment
    [Conformance]"""
    expressions = (
        {
            "expression": "object.spec.replicas > 1",
            "messageExpression": "'wants 1, has ' + string(object.spec.replicas)",
        },
        {"expression": "namespaceObject.metadata.name == 'default'"},
    )
    await api.validating("p", *expressions, matchConstraints=ON_DEPLOYMENTS)
    await _refuses_few_replicas(api)


async def test_a_policy_with_variables(api: Api) -> None:
    """[sig-api-machinery] ValidatingAdmissionPolicy [Privileged:ClusterAdmin] should allow expressions to refer
    variables. [Conformance]"""
    variables = [
        {"name": "replicas", "expression": "object.spec.replicas"},
        {"name": "oddReplicas", "expression": "variables.replicas % 2 == 1"},
    ]
    validations = ("variables.replicas > 1", "!variables.oddReplicas")
    await api.validating("p", *validations, matchConstraints=ON_DEPLOYMENTS, variables=variables)
    await _refuses_few_replicas(api)
    assert (await api.call("POST", DEPLOYMENTS, deployment("odd", 3)))[0] == 422


async def test_a_policy_mutates_deployments(api: Api) -> None:
    """[sig-api-machinery] MutatingAdmissionPolicy [Privileged:ClusterAdmin] should mutate a Deployment
    [Conformance]"""
    mutation = applying("Object{spec: Object.spec{replicas: object.spec.replicas + 100}}")
    await api.mutating("p", mutation, matchConstraints=ON_DEPLOYMENTS)
    assert (await api.ok("POST", DEPLOYMENTS, deployment("d", 1)))["spec"]["replicas"] == 101


async def test_a_policy_annotates_deployments(api: Api) -> None:
    """[sig-api-machinery] MutatingAdmissionPolicy [Privileged:ClusterAdmin] should mutate a Deployment with annotations
    [Conformance]"""
    expression = '[JSONPatch{op: "add", path: "/metadata/annotations", value: {"example.com/mutated": "yes"}}]'
    await api.mutating("p", json_patch(expression), matchConstraints=ON_DEPLOYMENTS)
    found = await api.ok("POST", DEPLOYMENTS, deployment("d", 1))
    assert found["metadata"]["annotations"]["example.com/mutated"] == "yes"
