"""Pods, Services, budgets and endpoints as the API sees them, in a whole cluster in virtual time."""

from typing import Any

import pytest

from tests.apiserver.server import STRATEGIC
from tests.conformance.test_cluster import CORE, Walk, inside, owner, pod
from tests.conformance.walking import SELECTOR
from tests.testing.manifests import template
from tiphys.machinery import errors

PODS = f"{CORE}/pods"
BUDGETS = "/apis/policy/v1/namespaces/default/poddisruptionbudgets"


def pods(cluster: Any, **spec: Any) -> Walk:
    return Walk(inside(cluster), PODS, {"spec": pod("", **spec)["spec"]}, "/api/v1/pods")


def test_a_pod_is_updated(cluster: Any) -> None:
    """[sig-node] Pods should be updated [NodeConformance] [Conformance]"""
    walk = pods(cluster)
    cluster.run(walk.create("a"))
    cluster.advance("10s")
    now = cluster.run(walk.get("a"))
    now["metadata"]["labels"]["time"] = "later"
    cluster.run(walk.api.ok("PUT", f"{PODS}/a", now))
    assert cluster.run(walk.names("time=later")) == ["a"]


def test_pods_are_deleted_together(cluster: Any) -> None:
    """[sig-node] Pods should delete a collection of pods [Conformance]"""
    walk = pods(cluster)
    for name in ("a", "b", "c"):
        cluster.run(walk.create(name))
    assert cluster.run(walk.names()) == ["a", "b", "c"]
    cluster.run(walk.api.ok("DELETE", PODS, query={"labelSelector": SELECTOR}))
    cluster.advance("10s")
    assert cluster.run(walk.names()) == []


def test_the_status_of_pods(cluster: Any) -> None:
    """[sig-node] Pods should patch a pod status [Conformance]"""
    walk = pods(cluster)
    cluster.run(walk.create("a"))
    cluster.advance("10s")
    change = {"metadata": {"annotations": {"patchedstatus": "true"}}, "status": {"message": "Patched", "reason": "E2E"}}
    found = cluster.run(walk.patch("a", change, "/status"))
    assert found["metadata"]["annotations"]["patchedstatus"] == "true"
    assert (found["status"]["message"], found["status"]["reason"]) == ("Patched", "E2E")


def test_pods_and_their_status_live(cluster: Any) -> None:
    """[sig-node] Pods should run through the lifecycle of Pods and PodStatus [Conformance]"""
    walk = pods(cluster)
    cluster.run(walk.create("a"))
    cluster.advance("10s")
    change = {"metadata": {"labels": {"again": "patched"}}, "spec": {"containers": [{"name": "c", "image": "i:2"}]}}
    patch = walk.api.ok("PATCH", f"{PODS}/a", change, content_type=STRATEGIC)
    assert cluster.run(patch)["spec"]["containers"][0]["image"] == "i:2"
    cluster.advance("10s")
    assert cluster.run(walk.names("again=patched", walk.everywhere)) == ["a"]
    now = cluster.run(walk.get("a", "/status"))
    now["status"]["conditions"] = [
        one | ({"status": "False"} if one["type"] == "Ready" else {}) for one in now["status"]["conditions"]
    ]
    found = cluster.run(walk.api.ok("PUT", f"{PODS}/a/status", now))
    assert {c["type"]: c["status"] for c in found["status"]["conditions"]}["Ready"] == "False"
    cluster.run(walk.api.ok("DELETE", PODS, query={"labelSelector": "again=patched"}))
    cluster.advance("10s")
    assert cluster.run(walk.names("again=patched", walk.everywhere)) == []


def test_the_class_of_a_pod(cluster: Any) -> None:
    """[sig-node] Pods Extended Pods Set QOS Class should be set on Pods with matching resource requests and limits for
    memory and cpu [Conformance]"""
    same = {"cpu": "100m", "memory": "100Mi"}
    (made,) = cluster.create(pod("a", {"requests": same, "limits": same}))
    assert made.status.qosClass == "Guaranteed"


def test_generations_of_a_pod(cluster: Any) -> None:
    """[sig-node] Pods Extended (pod generation) Pod Generation pod generation should start at 1 and increment per
    update
    [MinimumKubeletVersion:1.34] [Conformance]"""
    cluster.create(pod("a"))
    cluster.advance("10s")
    assert _generations(cluster) == (1, 1)
    toleration = {"key": "x", "operator": "Exists"}
    changes: list[tuple[dict[str, Any], int]] = [
        ({"metadata": {"labels": {"no": "change"}}}, 1),
        ({"spec": {"activeDeadlineSeconds": 5000}}, 2),
        ({"spec": {"containers": [{"name": "c", "image": "i:2"}]}}, 3),
        ({"spec": {"tolerations": [*_tolerations(cluster), toleration]}}, 4),
    ]
    for change, expected in changes:
        cluster.run(inside(cluster).ok("PATCH", f"{PODS}/a", change, content_type=STRATEGIC))
        cluster.advance("10s")
        assert _generations(cluster) == (expected, expected)


def _tolerations(cluster: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = cluster.run(pods(cluster).get("a"))["spec"]["tolerations"]
    return found


def _generations(cluster: Any) -> tuple[int, int]:
    found = cluster.get("pod/a")
    return found.metadata.generation, found.status.observedGeneration


def test_the_generation_of_a_pod_that_is_deleted(cluster: Any) -> None:
    """[sig-node] Pods Extended (pod generation) Pod Generation custom-set generation on new pods and graceful delete
    [Conformance]"""
    body = pod("a") | {"metadata": {"name": "a", "generation": 100, "finalizers": ["example.com/held"]}}
    body["spec"]["terminationGracePeriodSeconds"] = 30
    (made,) = cluster.create(body)
    assert made.metadata.generation == 1
    cluster.advance("10s")
    cluster.delete("pod/a")
    assert cluster.get("pod/a").metadata.generation == 2
    cluster.run(pods(cluster).patch("a", {"metadata": {"finalizers": None}}))


@pytest.mark.parametrize("deleted", [False, True])
def test_runtime_classes_that_are_not_there(cluster: Any, deleted: bool) -> None:
    """[sig-node] RuntimeClass should reject a Pod requesting a non-existent RuntimeClass [NodeConformance]
    [Conformance]
    [sig-node] RuntimeClass should reject a Pod requesting a deleted RuntimeClass [NodeConformance] [Conformance]"""
    if deleted:
        runtime = {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "none"}}
        cluster.create(runtime | {"handler": "h"})
        cluster.delete("runtimeclass/none")
    with pytest.raises(errors.Forbidden) as caught:
        cluster.create(pod("a", runtimeClassName="none"))
    assert caught.value.message == ('pods "a" is forbidden: pod rejected: RuntimeClass "none" not found')


def test_overhead_is_filled_in(cluster: Any) -> None:
    """[sig-node] RuntimeClass should schedule a Pod requesting a RuntimeClass and initialize its Overhead
    [NodeConformance] [Conformance]"""
    runtime = {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "r"}, "handler": "h"}
    cluster.create(runtime | {"overhead": {"podFixed": {"cpu": "10m", "memory": "1Mi"}}})
    (made,) = cluster.create(pod("a", runtimeClassName="r"))
    assert made.spec.overhead == {"cpu": "10m", "memory": "1Mi"}
    cluster.advance("10s")
    assert cluster.get("pod/a").spec.nodeName


def test_a_runtime_class_without_overhead(cluster: Any) -> None:
    """[sig-node] RuntimeClass should schedule a Pod requesting a RuntimeClass without PodOverhead [NodeConformance]
    [Conformance]"""
    cluster.create({"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "r"}, "handler": "h"})
    (made,) = cluster.create(pod("a", runtimeClassName="r"))
    assert not made.spec.overhead
    cluster.advance("10s")
    assert cluster.get("pod/a").spec.nodeName


# Budgets


def budget(minimum: Any = 2, name: str = "b", **labels: str) -> dict[str, Any]:
    spec = {"minAvailable": minimum, "selector": {"matchLabels": {"app": "web"}}}
    return owner("policy/v1", "PodDisruptionBudget", name, spec, labels=labels)


def running(cluster: Any, replicas: int) -> str:
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "template": template()}
    cluster.apply(owner("apps/v1", "ReplicaSet", "web", spec))
    cluster.advance("10s")
    return str(cluster.list("pods")[0].metadata.name)


def test_a_budget_is_made(cluster: Any) -> None:
    """[sig-apps] DisruptionController should create a PodDisruptionBudget [Conformance]"""
    cluster.create(budget("1%"))
    cluster.patch("poddisruptionbudget/b", {"spec": {"minAvailable": "2%"}})
    assert cluster.get("poddisruptionbudget/b").spec.minAvailable == "2%"
    cluster.delete("poddisruptionbudget/b")
    assert cluster.find("poddisruptionbudget/b") is None


def test_budgets_are_deleted_together(cluster: Any) -> None:
    """[sig-apps] DisruptionController Listing PodDisruptionBudgets for all namespaces should list and delete a
    collection of PodDisruptionBudgets [Conformance]"""
    walk = Walk(inside(cluster), BUDGETS, {"spec": budget()["spec"]}, "/apis/policy/v1/poddisruptionbudgets")

    async def live() -> None:
        for name in ("a", "b", "c"):
            await walk.create(name)
        assert await walk.names(path=walk.everywhere) == ["a", "b", "c"]
        await walk.clear()

    cluster.run(live())


def test_a_budget_says_what_it_allows(cluster: Any) -> None:
    """[sig-apps] DisruptionController should observe PodDisruptionBudget status updated [Conformance]"""
    cluster.create(budget(1))
    running(cluster, 3)
    cluster.advance_until(
        "poddisruptionbudget/b",
        lambda b: b.status.disruptionsAllowed == 2 and b.status.currentHealthy == 3,
        within="1m",
    )


def test_the_status_of_budgets(cluster: Any) -> None:
    """[sig-apps] DisruptionController should update/patch PodDisruptionBudget status [Conformance]"""
    cluster.create(budget(1))
    running(cluster, 1)
    walk = Walk(inside(cluster), BUDGETS, {})

    async def change() -> None:
        now = await walk.get("b")
        disrupted = {"p": "2026-01-01T00:00:00Z"}
        now["status"]["disruptedPods"] = disrupted
        found = await walk.api.ok("PUT", f"{BUDGETS}/b/status", now)
        assert found["status"]["disruptedPods"] == disrupted
        found = await walk.patch("b", {"status": {"disruptedPods": None}}, "/status")
        assert "disruptedPods" not in found["status"]

    cluster.run(change())


def test_a_budget_holds_evictions_back(cluster: Any) -> None:
    """[sig-apps] DisruptionController should block an eviction until the PDB is updated to allow it [Conformance]"""
    name = running(cluster, 3)
    cluster.create(budget(3))
    cluster.advance("10s")
    walk = Walk(inside(cluster), PODS, {})
    eviction = {"metadata": {"name": name}}
    status, found = cluster.run(walk.api.call("POST", f"{PODS}/{name}/eviction", eviction))
    assert (status, found["reason"]) == (429, "TooManyRequests")
    assert found["details"]["causes"][0]["reason"] == "DisruptionBudget"
    cluster.patch("poddisruptionbudget/b", {"spec": {"minAvailable": 2}})
    cluster.advance("10s")
    assert cluster.run(walk.api.call("POST", f"{PODS}/{name}/eviction", eviction))[0] == 201


# Services, endpoints, slices


def test_endpoints_of_nobody(cluster: Any) -> None:
    """[sig-network] EndpointsController should create and delete Endpoints for a Service with a selector that matches
    no
    pods [Conformance]
    [sig-network] EndpointSlice should create and delete EndpointSlices for a Service with a selector that matches no
    pods [Conformance]"""
    cluster.create(owner("v1", "Service", "s", {"selector": {"no": "pod"}, "ports": [{"port": 80}]}))
    cluster.advance("5s")
    assert not cluster.get("endpoints/s").subsets
    (one,) = cluster.list("endpointslices", labels="kubernetes.io/service-name=s")
    assert not one.endpoints
    cluster.delete("service/s")
    cluster.advance("30s")
    assert cluster.find("endpoints/s") is None
    assert not cluster.list("endpointslices", labels="kubernetes.io/service-name=s")


def test_endpoints_of_pods(cluster: Any) -> None:
    """[sig-network] EndpointsController should create Endpoints for Pods matching a Service [Conformance]
    [sig-network] EndpointSlice should create Endpoints and EndpointSlices for Pods matching a Service [Conformance]"""
    running(cluster, 2)
    cluster.create(owner("v1", "Service", "s", {"selector": {"app": "web"}, "ports": [{"name": "p", "port": 80}]}))
    cluster.advance("5s")
    addresses = sorted(one.status.podIP for one in cluster.list("pods"))
    (subset,) = cluster.get("endpoints/s").subsets
    assert sorted(one.ip for one in subset.addresses) == addresses
    (one,) = cluster.list("endpointslices", labels="kubernetes.io/service-name=s")
    assert sorted(a for e in one.endpoints for a in e.addresses) == addresses
    assert {e.targetRef.kind for e in one.endpoints} == {"Pod"}


def test_custom_endpoints_are_mirrored(cluster: Any) -> None:
    """[sig-network] EndpointSliceMirroring should mirror a custom Endpoints resource through create update and delete
    [Conformance]"""
    cluster.create(owner("v1", "Service", "s", {"ports": [{"name": "p", "port": 80}]}))
    subsets = [{"addresses": [{"ip": "10.1.2.3"}], "ports": [{"name": "p", "port": 80}]}]
    cluster.create({"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "s"}, "subsets": subsets})
    cluster.advance("5s")

    def mirrored() -> list[str]:
        found = cluster.list("endpointslices", labels="kubernetes.io/service-name=s")
        return [address for one in found for endpoint in one.endpoints for address in endpoint.addresses]

    assert mirrored() == ["10.1.2.3"]
    subsets[0]["addresses"] = [{"ip": "10.2.3.4"}]
    cluster.patch("endpoints/s", {"subsets": subsets})
    cluster.advance("5s")
    assert mirrored() == ["10.2.3.4"]
    cluster.delete("endpoints/s")
    cluster.advance("5s")
    assert mirrored() == []


NAMED = {"type": "ExternalName", "externalName": "example.com", "clusterIP": "", "clusterIPs": None, "ports": None}


@pytest.mark.parametrize("kind", ["ClusterIP", "NodePort"])
def test_types_of_services_change(cluster: Any, kind: str) -> None:
    """What the API does in the entries about ExternalName; their traffic is in ``tests/proxy``."""
    cluster.create(owner("v1", "Service", "s", {"type": "ExternalName", "externalName": "example.com"}))
    ports = [{"port": 80, "protocol": "TCP"}]
    cluster.patch("service/s", {"spec": {"type": kind, "externalName": None, "ports": ports}})
    found = cluster.get("service/s").spec
    assert found.clusterIP and (kind == "ClusterIP" or found.ports[0].nodePort)
    cluster.patch("service/s", {"spec": NAMED})
    assert not cluster.get("service/s").spec.clusterIP


@pytest.mark.cluster(nodes=2)
def test_two_nodes_without_taints(cluster: Any) -> None:
    """[sig-architecture] Conformance Tests should have at least two untainted nodes [Conformance]"""
    assert sum(not node.spec.taints for node in cluster.list("nodes")) == 2
