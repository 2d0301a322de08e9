"""Validating webhooks, and which requests either kind of webhook is shown."""

import asyncio
from typing import Any

import pytest

from tests.apiserver.server import config_map, pod
from tests.apiserver.webhooks.server import GROUP, MAPS, PODS, Admitting, Hooks, webhook


def rule(resources: list[str], **more: Any) -> dict[str, Any]:
    return {"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": resources} | more


def names(remote: Hooks, path: str = "a") -> list[str]:
    """What was shown, as ``operation plural/subresource``."""
    return [
        f"{one['operation']} {one['resource']['resource']}"
        + (f"/{one['subResource']}" if one.get("subResource") else "")
        for one in remote.asked.get(path, [])
    ]


async def test_all_are_asked_at_once_and_the_first_refusal_counts(api: Admitting, remote: Hooks) -> None:
    # Nobody is answered before all have asked.
    remote.together = asyncio.Barrier(3)
    remote.answers["b"] = lambda request: {"allowed": False, "status": {"message": "second"}}
    remote.answers["c"] = lambda request: {"allowed": False, "status": {"message": "third"}}
    listed = [webhook(remote.config(one), f"{one}.example.com") for one in "abc"]
    await api.configure("validating", "v", *listed)
    status, found = await api.call("POST", MAPS, config_map("web"))
    assert (status, found["message"]) == (400, 'admission webhook "b.example.com" denied the request: second')
    assert (await api.call("GET", f"{MAPS}/web"))[0] == 404


async def test_a_validating_webhook_may_not_patch(api: Admitting, remote: Hooks) -> None:
    remote.answers["a"] = lambda request: {"patchType": "JSONPatch", "patch": "W10="}
    await api.configure("validating", "v", webhook(remote.config("a")))
    status, found = await api.call("POST", MAPS, config_map("web"))
    assert (status, found["message"]) == (
        500,
        'Internal error occurred: failed calling webhook "a.example.com": received invalid webhook response: '
        "validating webhook may not return response.patch",
    )


async def test_it_sees_what_is_about_to_be_stored(api: Admitting, remote: Hooks) -> None:
    await api.configure("validating", "v", webhook(remote.config("a"), rules=[rule(["pods"])]))
    made = await api.ok("POST", PODS, pod("web"))
    (asked,) = remote.asked["a"]
    shown = asked["object"]
    assert shown["metadata"]["uid"] == made["metadata"]["uid"]
    assert shown["spec"]["serviceAccountName"] == "default"


async def test_warnings(api: Admitting, remote: Hooks) -> None:
    remote.answers["a"] = lambda request: {"warnings": ["careful", "twice"]}
    await api.configure("validating", "v", webhook(remote.config("a")))
    response = await api.raw("POST", MAPS, config_map("web"))
    assert response.status == 201
    shown = str(response.headers)
    assert "careful" in shown
    assert "twice" in shown


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (rule(["*"]), ["CREATE configmaps", "UPDATE configmaps", "DELETE configmaps", "CREATE pods"]),
        (
            rule(["*/*"]),
            ["CREATE configmaps", "UPDATE configmaps", "DELETE configmaps", "CREATE pods", "UPDATE pods/status"],
        ),
        (rule(["pods/*"]), ["CREATE pods", "UPDATE pods/status"]),
        (rule(["*/status"]), ["UPDATE pods/status"]),
        (rule(["configmaps"], operations=["CREATE", "DELETE"]), ["CREATE configmaps", "DELETE configmaps"]),
        (rule(["configmaps"], apiGroups=["apps"]), []),
        (rule(["configmaps"], apiVersions=["v2"]), []),
        (rule(["configmaps"], scope="Cluster"), []),
        (rule(["configmaps"], scope="Namespaced", operations=["UPDATE"]), ["UPDATE configmaps"]),
    ],
)
async def test_rules(api: Admitting, remote: Hooks, one: dict[str, Any], expected: list[str]) -> None:
    await api.configure("validating", "v", webhook(remote.config("a"), rules=[one]))
    await api.ok("POST", MAPS, config_map("web"))
    await api.ok("PUT", f"{MAPS}/web", config_map("web", {"a": "b"}))
    await api.ok("DELETE", f"{MAPS}/web")
    await api.ok("POST", PODS, pod("web"))
    body = {"status": {"phase": "Running"}}
    await api.ok("PATCH", f"{PODS}/web/status", body, content_type="application/merge-patch+json")
    assert names(remote) == expected


async def test_selectors(api: Admitting, remote: Hooks) -> None:
    await api.ok("POST", "/api/v1/namespaces", {"metadata": {"name": "free", "labels": {"hooks": "off"}}})
    selector = {"matchExpressions": [{"key": "hooks", "operator": "NotIn", "values": ["off"]}]}
    hook = webhook(remote.config("a"), namespaceSelector=selector, objectSelector={"matchLabels": {"app": "x"}})
    await api.configure("validating", "v", hook)
    await api.ok("POST", MAPS, config_map("plain"))
    await api.ok("POST", "/api/v1/namespaces/free/configmaps", config_map("web", app="x"))
    assert names(remote) == []
    await api.ok("POST", MAPS, config_map("web", app="x"))
    # The old object counts as well.
    await api.ok("PUT", f"{MAPS}/web", config_map("web"))
    assert names(remote) == ["CREATE configmaps", "UPDATE configmaps"]


async def test_a_namespace_is_selected_by_its_own_labels(api: Admitting, remote: Hooks) -> None:
    selector = {"matchLabels": {"hooks": "on"}}
    hook = webhook(remote.config("a"), namespaceSelector=selector, rules=[rule(["namespaces", "nodes"])])
    await api.configure("validating", "v", hook)
    await api.ok("POST", "/api/v1/namespaces", {"metadata": {"name": "a"}})
    await api.ok("POST", "/api/v1/namespaces", {"metadata": {"name": "b", "labels": {"hooks": "on"}}})
    # Nothing outside of namespaces is left out.
    await api.ok("POST", "/api/v1/nodes", {"metadata": {"name": "n"}})
    assert [(one["name"], one.get("namespace")) for one in remote.asked["a"]] == [("b", "b"), ("n", None)]


async def test_the_version_that_a_rule_names(api: Admitting, remote: Hooks) -> None:
    v1 = rule(["horizontalpodautoscalers"], apiGroups=["autoscaling"], apiVersions=["v1"])
    exact = webhook(remote.config("exact"), "b.example.com", rules=[v1], matchPolicy="Exact")
    await api.configure("validating", "v", webhook(remote.config("a"), rules=[v1]), exact)
    half = {"type": "Utilization", "averageUtilization": 50}
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    spec = {
        "scaleTargetRef": target,
        "maxReplicas": 3,
        "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": half}}],
    }
    path = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers"
    await api.ok("POST", path, {"metadata": {"name": "web"}, "spec": spec})
    (asked,) = remote.asked["a"]
    assert "exact" not in remote.asked
    assert asked["object"]["apiVersion"] == "autoscaling/v1"
    assert asked["object"]["spec"]["targetCPUUtilizationPercentage"] == 50
    assert asked["kind"]["version"] == asked["resource"]["version"] == "v1"
    assert asked["requestKind"]["version"] == asked["requestResource"]["version"] == "v2"


async def test_a_dry_run_is_not_for_webhooks_with_effects(api: Admitting, remote: Hooks) -> None:
    await api.configure("validating", "v", webhook(remote.config("a"), sideEffects="NoneOnDryRun"))
    await api.ok("POST", MAPS, config_map("web"), query={"dryRun": "All"})
    (asked,) = remote.asked["a"]
    assert asked["dryRun"] is True
    assert asked["options"] == {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1", "dryRun": ["All"]}
    assert (await api.call("GET", f"{MAPS}/web"))[0] == 404


async def test_configurations_count_at_once(api: Admitting, remote: Hooks) -> None:
    remote.answers["a"] = lambda request: {"allowed": False}
    await api.configure("validating", "v", webhook(remote.config("a")))
    assert (await api.call("POST", MAPS, config_map("web")))[0] == 400
    await api.configure("validating", "v", webhook(remote.config("b")))
    await api.ok("POST", MAPS, config_map("web"))
    await api.ok("DELETE", f"{GROUP}/validatingwebhookconfigurations/v")
    await api.ok("POST", MAPS, config_map("other"))
    assert len(remote.asked["b"]) == 1


async def test_reviews_in_the_older_version(api: Admitting, remote: Hooks) -> None:
    hook = webhook(remote.config("a"), admissionReviewVersions=["v2", "v1beta1", "v1"])
    await api.configure("validating", "v", hook)
    # Version v1beta1 asks for no uid.
    remote.answers["a"] = lambda request: {"uid": ""}
    await api.ok("POST", MAPS, config_map("web"))
    assert len(remote.asked["a"]) == 1
