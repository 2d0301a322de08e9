"""Entries that need controllers, in a whole cluster in virtual time: garbage, namespaces, quotas, workloads' status."""

from typing import Any

import pytest

from tests.apiserver.policies.written import Policies as Api
from tests.conformance.walking import SELECTOR, Walk
from tests.testing.manifests import template
from tiphys.machinery import errors

CORE = "/api/v1/namespaces/default"
APPS = "/apis/apps/v1/namespaces/default"
MATCH = {"matchLabels": {"app": "web"}}


def inside(cluster: Any) -> Api:
    """Plain requests to the cluster's own server."""
    return Api(cluster._machine.api, cluster._machine.store)


def owner(api_version: str, kind: str, name: str, spec: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name, **metadata}, "spec": spec}


def controller(name: str = "rc", replicas: int = 2) -> dict[str, Any]:
    """A replication controller."""
    return owner("v1", "ReplicationController", name, {"replicas": replicas, "template": template()})


def deployment(replicas: int = 2) -> dict[str, Any]:
    return owner("apps/v1", "Deployment", "web", {"replicas": replicas, "selector": MATCH, "template": template()})


def started(cluster: Any, count: int) -> list[Any]:
    def all_run() -> bool:
        return sum(p.status.phase == "Running" for p in cluster.list("pods")) == count

    cluster.advance_until(all_run, within="2m")
    found: list[Any] = list(cluster.list("pods"))
    return found


def emptied(cluster: Any, *kinds: str) -> None:
    cluster.advance_until(lambda: not any(cluster.list(kind) for kind in kinds), within="2m")


# The garbage collector


def test_pods_go_with_their_controller(cluster: Any) -> None:
    """[sig-api-machinery] Garbage collector should delete pods created by rc when not orphaning [Conformance]"""
    cluster.apply(controller())
    started(cluster, 2)
    cluster.delete("replicationcontroller/rc", propagation="Background")
    emptied(cluster, "replicationcontrollers", "pods")


def test_pods_stay_without_their_controller(cluster: Any) -> None:
    """[sig-api-machinery] Garbage collector should orphan pods created by rc if delete options say so [Serial]
    [Conformance]"""
    cluster.apply(controller(replicas=10))
    started(cluster, 10)
    cluster.delete("replicationcontroller/rc", propagation="Orphan")
    cluster.advance("30s")
    assert not cluster.list("replicationcontrollers")
    assert [p.metadata.ownerReferences for p in cluster.list("pods")] == [[]] * 10


def test_replica_sets_go_with_their_deployment(cluster: Any) -> None:
    """[sig-api-machinery] Garbage collector should delete RS created by deployment when not orphaning [Conformance]"""
    cluster.apply(deployment())
    started(cluster, 2)
    cluster.delete("deployment/web", propagation="Background")
    emptied(cluster, "deployments", "replicasets", "pods")


def test_replica_sets_stay_without_their_deployment(cluster: Any) -> None:
    """[sig-api-machinery] Garbage collector should orphan RS created by deployment when deleteOptions.PropagationPolicy
    is Orphan [Conformance]"""
    cluster.apply(deployment())
    started(cluster, 2)
    cluster.delete("deployment/web", propagation="Orphan")
    cluster.advance("30s")
    assert not cluster.list("deployments")
    (left,) = cluster.list("replicasets")
    assert not left.metadata.ownerReferences
    assert len(cluster.list("pods")) == 2


def test_a_controller_waits_for_its_pods(cluster: Any) -> None:
    """[sig-api-machinery] Garbage collector should keep the rc around until all its pods are deleted if the
    deleteOptions says so [Serial] [Conformance]"""
    cluster.apply(controller(replicas=10))
    started(cluster, 10)
    order: list[str] = []
    cluster.delete("replicationcontroller/rc", propagation="Foreground")
    found = cluster.find("replicationcontroller/rc")
    assert found is None or "foregroundDeletion" in found.metadata.finalizers

    def looked() -> bool:
        rest = len(cluster.list("pods"))
        order.append("gone" if cluster.find("replicationcontroller/rc") is None else f"{rest}")
        return order[-1] == "gone" and rest == 0

    cluster.advance_until(looked, within="2m")
    assert not cluster.list("pods")


def test_pods_with_another_owner_stay(cluster: Any) -> None:
    """[sig-api-machinery] Garbage collector should not delete dependents that have both valid owner and owner that's
    waiting for dependents to be deleted [Serial] [Conformance]"""
    cluster.apply(controller("first", replicas=6))
    pods = started(cluster, 6)
    labelled = template() | {"metadata": {"labels": {"app": "web", "other": "x"}}}
    stays = owner(
        "v1",
        "ReplicationController",
        "second",
        {"replicas": 0, "selector": {"app": "web", "other": "x"}, "template": labelled},
    )
    (second,) = cluster.create(stays)
    kept = {p.metadata.name for p in pods[:3]}
    for pod in pods[:3]:
        first = {"apiVersion": "v1", "kind": "ReplicationController", "name": "first", "controller": True}
        first |= {"uid": pod.metadata.ownerReferences[0].uid, "blockOwnerDeletion": True}
        other = {"apiVersion": "v1", "kind": "ReplicationController", "name": "second", "uid": second.metadata.uid}
        cluster.patch(f"pod/{pod.metadata.name}", {"metadata": {"ownerReferences": [first, other]}})
    cluster.delete("replicationcontroller/first", propagation="Foreground")
    cluster.advance_until(lambda: cluster.find("replicationcontroller/first") is None, within="2m")
    left = cluster.list("pods")
    assert {p.metadata.name for p in left} == kept
    assert all(p.metadata.deletionTimestamp is None for p in left)
    assert all([o.name for o in p.metadata.ownerReferences] == ["second"] for p in left)


def test_circles_end(cluster: Any) -> None:
    """[sig-api-machinery] Garbage collector should not be blocked by dependency circle [Conformance]"""
    spec = {"containers": [{"name": "c", "image": "i"}]}
    made = cluster.create([owner("v1", "Pod", f"pod{n}", spec) for n in range(3)])
    for number, pod in enumerate(made):
        above = made[number - 1]
        reference = {"apiVersion": "v1", "kind": "Pod", "name": above.metadata.name, "uid": above.metadata.uid}
        reference |= {"controller": True, "blockOwnerDeletion": True}
        cluster.patch(f"pod/{pod.metadata.name}", {"metadata": {"ownerReferences": [reference]}})
    cluster.delete("pod/pod0", propagation="Foreground")
    emptied(cluster, "pods")


# Namespaces


def space(cluster: Any, name: str = "ns") -> Any:
    (made,) = cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    return made


def without(cluster: Any, name: str = "ns") -> None:
    cluster.delete(f"namespace/{name}")
    cluster.advance_until(lambda: cluster.find(f"namespace/{name}") is None, within="5m")


@pytest.mark.parametrize(
    ("kind", "spec"),
    [("Pod", {"containers": [{"name": "c", "image": "i"}]}), ("Service", {"ports": [{"port": 80}]})],
)
def test_nothing_is_left_of_a_namespace(cluster: Any, kind: str, spec: dict[str, Any]) -> None:
    """[sig-api-machinery] Namespaces [Serial] should ensure that all pods are removed when a namespace is deleted
    [Conformance]
    [sig-api-machinery] Namespaces [Serial] should ensure that all services are removed when a namespace is deleted
    [Conformance]"""
    space(cluster)
    cluster.create(owner("v1", kind, "a", spec, namespace="ns"))
    cluster.advance("5s")
    without(cluster)
    space(cluster)
    assert not cluster.list(f"{kind.lower()}s", "ns")


def test_pods_go_first(cluster: Any) -> None:
    """[sig-api-machinery] OrderedNamespaceDeletion namespace deletion should delete pod first [Conformance]"""
    space(cluster)
    spec = {"containers": [{"name": "c", "image": "i"}]}
    cluster.create(owner("v1", "Pod", "a", spec, namespace="ns", finalizers=["example.com/held"]))
    cluster.create(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "ns", "finalizers": []}}
    )
    cluster.advance("5s")
    cluster.delete("namespace/ns")
    cluster.advance("1m")
    assert cluster.get("pod/a", "ns").metadata.deletionTimestamp
    assert cluster.get("configmap/c", "ns").metadata.deletionTimestamp is None
    pods = Walk(inside(cluster), "/api/v1/namespaces/ns/pods", {})
    cluster.run(pods.patch("a", {"metadata": {"finalizers": None}}))
    cluster.advance_until(lambda: cluster.find("namespace/ns") is None, within="5m")


def test_a_namespace_is_patched(cluster: Any) -> None:
    """[sig-api-machinery] Namespaces [Serial] should patch a Namespace [Conformance]"""
    space(cluster)
    cluster.patch("namespace/ns", {"metadata": {"labels": {"testLabel": "testValue"}}})
    assert cluster.get("namespace/ns").metadata.labels["testLabel"] == "testValue"


def test_a_namespace_is_updated(cluster: Any) -> None:
    """[sig-api-machinery] Namespaces [Serial] should apply an update to a Namespace [Conformance]"""
    api = inside(cluster)
    walk = Walk(api, "/api/v1/namespaces", {})

    async def update() -> None:
        now = await walk.create("ns")
        now["metadata"]["labels"]["ns"] = "updated"
        found = await api.ok("PUT", "/api/v1/namespaces/ns", now)
        assert found["metadata"]["labels"]["ns"] == "updated"

    cluster.run(update())


def test_the_status_of_namespaces(cluster: Any) -> None:
    """[sig-api-machinery] Namespaces [Serial] should apply changes to a namespace status [Conformance]"""
    walk = Walk(inside(cluster), "/api/v1/namespaces", {})

    async def change() -> None:
        made = await walk.create("ns")
        assert (await walk.get("ns", "/status"))["status"]["phase"] == made["status"]["phase"] == "Active"
        patched = {"type": "StatusPatch", "status": "True", "reason": "E2E", "message": "patched"}
        found = await walk.patch("ns", {"status": {"conditions": [patched]}}, "/status")
        assert found["status"]["conditions"][0].items() >= patched.items()
        found["status"]["conditions"].append(patched | {"type": "StatusUpdate"})
        found = await walk.api.ok("PUT", "/api/v1/namespaces/ns/status", found)
        assert [one["type"] for one in found["status"]["conditions"]] == ["StatusPatch", "StatusUpdate"]
        assert found["status"]["phase"] == "Active"

    cluster.run(change())


def test_a_finalizer_of_a_namespace(cluster: Any) -> None:
    """[sig-api-machinery] Namespaces [Serial] should apply a finalizer to a Namespace [Conformance]"""
    api = inside(cluster)

    async def finalize() -> None:
        now = await Walk(api, "/api/v1/namespaces", {}).create("ns")
        assert now["spec"]["finalizers"] == ["kubernetes"]
        for listed in (["kubernetes", "e2e.example.com/fakeFinalizer"], ["kubernetes"]):
            now["spec"]["finalizers"] = listed
            now = await api.ok("PUT", "/api/v1/namespaces/ns/finalize", now)
            assert now["spec"]["finalizers"] == listed

    cluster.run(finalize())
    without(cluster)


# Quotas


def quota(cluster: Any, name: str = "q", scopes: list[str] | None = None, **hard: str) -> None:
    spec = {"hard": {key.replace("__", "/").replace("_", "."): value for key, value in hard.items()}}
    cluster.create(owner("v1", "ResourceQuota", name, spec | ({"scopes": scopes} if scopes else {})))
    cluster.advance("5s")
    assert cluster.get(f"resourcequota/{name}").status.hard == spec["hard"]


def used(cluster: Any, name: str = "q") -> dict[str, str]:
    cluster.advance("5s")
    found: dict[str, str] = dict(cluster.get(f"resourcequota/{name}").status.used)
    return found


def test_a_quota_is_counted_at_once(cluster: Any) -> None:
    """[sig-api-machinery] ResourceQuota should create a ResourceQuota and ensure its status is promptly calculated.
    [Conformance]"""
    quota(cluster, resourcequotas="1", pods="5", services="10", secrets="10")
    services = f"{len(cluster.list('services'))}"
    assert used(cluster) == {"resourcequotas": "1", "pods": "0", "services": services, "secrets": "0"}


def _counted(cluster: Any, obj: dict[str, Any], reference: str, key: str) -> None:
    quota(cluster, **{key: "10"})
    key = key.replace("__", "/").replace("_", ".")
    before = int(used(cluster)[key])
    cluster.create(obj)
    assert int(used(cluster)[key]) == before + 1
    cluster.delete(reference)
    assert int(used(cluster)[key]) == before


def test_config_maps_count(cluster: Any) -> None:
    """[sig-api-machinery] ResourceQuota should create a ResourceQuota and capture the life of a configMap.
    [Conformance]"""
    obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"a": "b"}}
    _counted(cluster, obj, "configmap/a", "configmaps")


def test_secrets_count(cluster: Any) -> None:
    """[sig-api-machinery] ResourceQuota should create a ResourceQuota and capture the life of a secret.
    [Conformance]"""
    obj = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}, "stringData": {"a": "b"}}
    _counted(cluster, obj, "secret/a", "secrets")


def test_services_count(cluster: Any) -> None:
    """[sig-api-machinery] ResourceQuota should create a ResourceQuota and capture the life of a service.
    [Conformance]"""
    there = len(cluster.list("services"))
    quota(cluster, services=f"{there + 2}", services_nodeports="1", services_loadbalancers="1")
    cluster.create(owner("v1", "Service", "ip", {"ports": [{"port": 80}]}))
    cluster.create(owner("v1", "Service", "node", {"type": "NodePort", "ports": [{"port": 80}]}))
    assert used(cluster) == {"services": f"{there + 2}", "services.nodeports": "1", "services.loadbalancers": "0"}
    with pytest.raises(errors.Forbidden, match="exceeded quota: q"):
        cluster.create(owner("v1", "Service", "balanced", {"type": "LoadBalancer", "ports": [{"port": 80}]}))
    cluster.delete("service/ip")
    cluster.delete("service/node")
    assert used(cluster) == {"services": f"{there}", "services.nodeports": "0", "services.loadbalancers": "0"}


def test_replication_controllers_count(cluster: Any) -> None:
    """[sig-api-machinery] ResourceQuota should create a ResourceQuota and capture the life of a replication controller.
    [Conformance]"""
    _counted(cluster, controller(replicas=0), "replicationcontroller/rc", "replicationcontrollers")


def test_replica_sets_count(cluster: Any) -> None:
    """[sig-api-machinery] ResourceQuota should create a ResourceQuota and capture the life of a replica set.
    [Conformance]"""
    obj = owner("apps/v1", "ReplicaSet", "rs", {"replicas": 0, "selector": MATCH, "template": template()})
    _counted(cluster, obj, "replicaset/rs", "count__replicasets_apps")


def pod(name: str, resources: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    container = {"name": "c", "image": "i", "resources": resources or {}}
    return owner("v1", "Pod", name, {"containers": [container], "terminationGracePeriodSeconds": 0, **spec})


def test_pods_count(cluster: Any) -> None:
    """[sig-api-machinery] ResourceQuota should create a ResourceQuota and capture the life of a pod. [Conformance]"""
    device = "requests.example.com/dongle"
    hard = {"pods": "5", "requests_cpu": "1", "requests_memory": "500Mi", "requests_ephemeral-storage": "50Gi"}
    quota(cluster, **hard, requests_example_com__dongle="3")
    requests = {"cpu": "500m", "memory": "252Mi", "ephemeral-storage": "30Gi", "example.com/dongle": "2"}
    cluster.create(pod("a", {"requests": requests, "limits": {"example.com/dongle": "2"}}))
    expected = {"pods": "1", "requests.cpu": "500m", "requests.memory": "252Mi", device: "2"}
    assert used(cluster).items() >= expected.items()
    with pytest.raises(errors.Forbidden, match="exceeded quota: q"):
        cluster.create(pod("b", {"requests": requests | {"cpu": "600m"}, "limits": {"example.com/dongle": "2"}}))
    with pytest.raises(errors.Forbidden, match=r"requested: requests.example.com/dongle=2"):
        more = {"cpu": "100m", "memory": "10Mi", "ephemeral-storage": "1Gi", "example.com/dongle": "2"}
        cluster.create(pod("c", {"requests": more, "limits": {"example.com/dongle": "2"}}))
    cluster.delete("pod/a")
    assert used(cluster).items() >= {"pods": "0", "requests.cpu": "0", device: "0"}.items()


LIMITED = {"requests": {"cpu": "100m", "memory": "100Mi"}, "limits": {"cpu": "200m", "memory": "200Mi"}}


def test_pods_at_best_effort_count_apart(cluster: Any) -> None:
    """[sig-api-machinery] ResourceQuota should verify ResourceQuota with best effort scope. [Conformance]"""
    quota(cluster, "best", ["BestEffort"], pods="5")
    quota(cluster, "not", ["NotBestEffort"], pods="5")
    for body, expected in ((pod("a"), ("1", "0")), (pod("b", LIMITED), ("0", "1"))):
        cluster.create(body)
        assert (used(cluster, "best")["pods"], used(cluster, "not")["pods"]) == expected
        cluster.delete(f"pod/{body['metadata']['name']}")
        assert (used(cluster, "best")["pods"], used(cluster, "not")["pods"]) == ("0", "0")


def test_pods_that_end_count_apart(cluster: Any) -> None:
    """[sig-api-machinery] ResourceQuota should verify ResourceQuota with terminating scopes. [Conformance]"""
    quota(cluster, "ends", ["Terminating"], pods="5")
    quota(cluster, "stays", ["NotTerminating"], pods="5")
    bounded = pod("b", LIMITED, activeDeadlineSeconds=3600)
    for body, expected in ((pod("a", LIMITED), ("0", "1")), (bounded, ("1", "0"))):
        cluster.create(body)
        assert (used(cluster, "ends")["pods"], used(cluster, "stays")["pods"]) == expected
        cluster.delete(f"pod/{body['metadata']['name']}")
        assert (used(cluster, "ends")["pods"], used(cluster, "stays")["pods"]) == ("0", "0")


def test_a_quota_changes(cluster: Any) -> None:
    """[sig-api-machinery] ResourceQuota should be able to update and delete ResourceQuota. [Conformance]"""
    quota(cluster, cpu="1", memory="500Mi")
    cluster.patch("resourcequota/q", {"spec": {"hard": {"cpu": "2", "memory": "1Gi"}}})
    assert cluster.get("resourcequota/q").spec.hard == {"cpu": "2", "memory": "1Gi"}
    cluster.delete("resourcequota/q")
    assert cluster.find("resourcequota/q") is None


def test_quotas_live(cluster: Any) -> None:
    """[sig-api-machinery] ResourceQuota should manage the lifecycle of a ResourceQuota [Conformance]"""
    walk = Walk(inside(cluster), f"{CORE}/resourcequotas", {"spec": {"hard": {"cpu": "1"}}}, "/api/v1/resourcequotas")

    async def live() -> None:
        await walk.create("q")
        assert await walk.names(path=walk.everywhere) == ["q"]
        found = await walk.patch("q", {"metadata": {"labels": {"q": "patched"}}, "spec": {"hard": {"memory": "1Gi"}}})
        assert found["spec"]["hard"] == {"cpu": "1", "memory": "1Gi"}
        await walk.clear("q=patched")

    cluster.run(live())


def test_the_status_of_quotas(cluster: Any) -> None:
    """[sig-api-machinery] ResourceQuota should apply changes to a resourcequota status [Conformance]"""
    walk = Walk(inside(cluster), f"{CORE}/resourcequotas", {"spec": {"hard": {"cpu": "1", "memory": "1Gi"}}})

    async def change() -> None:
        made = await walk.create("q")
        hard = {"cpu": "2", "memory": "2Gi"}
        now = await walk.get("q", "/status")
        found = await walk.api.ok("PUT", f"{walk.path}/q/status", now | {"status": {"hard": hard}})
        assert found["status"]["hard"] == hard
        assert found["spec"] == made["spec"]
        found = await walk.patch("q", {"status": {"hard": {"cpu": "3"}}}, "/status")
        assert found["status"]["hard"]["cpu"] == "3"

    cluster.run(change())
    cluster.patch("resourcequota/q", {"spec": {"hard": {"cpu": "4"}}})
    cluster.advance("5s")
    assert cluster.get("resourcequota/q").status.hard == {"cpu": "4", "memory": "1Gi"}


# Workloads: status, scale, collections


def condition(**more: str) -> dict[str, str]:
    return {"type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "Set from e2e test"} | more


def workload(cluster: Any, plural: str, **spec: Any) -> Walk:
    body = {"spec": {"selector": MATCH, "template": template(), **spec}}
    return Walk(inside(cluster), f"{APPS}/{plural}", body, f"/apis/apps/v1/{plural}")


async def _statuses(walk: Walk, name: str = "w") -> None:
    """Read, replaced and patched through the status endpoint; conditions of others stay."""
    await walk.create(name)
    now = await walk.get(name, "/status")
    now["status"]["conditions"] = [*now["status"].get("conditions", ()), condition()]
    found = await walk.api.ok("PUT", f"{walk.path}/{name}/status", now)
    assert any(one.items() >= condition().items() for one in found["status"]["conditions"])
    patched = condition(type="StatusPatched")
    found = await walk.patch(name, {"status": {"conditions": [patched]}}, "/status")
    assert found["status"]["conditions"][0].items() >= patched.items()
    found = await walk.get(name, "/status")
    assert any(one["type"] == "StatusPatched" for one in found["status"]["conditions"])


async def _scales(walk: Walk, name: str = "w") -> None:
    await walk.create(name)
    scale = await walk.get(name, "/scale")
    assert (scale["kind"], scale["apiVersion"], scale["spec"]["replicas"]) == ("Scale", "autoscaling/v1", 1)
    scale["spec"]["replicas"] = 2
    found = await walk.api.ok("PUT", f"{walk.path}/{name}/scale", scale)
    assert found["spec"]["replicas"] == 2
    assert (await walk.get(name))["spec"]["replicas"] == 2
    found = await walk.patch(name, {"spec": {"replicas": 4}}, "/scale")
    assert found["spec"]["replicas"] == 4
    assert (await walk.get(name))["spec"]["replicas"] == 4


def test_the_status_of_daemon_sets(cluster: Any) -> None:
    """[sig-apps] Daemon set [Serial] should verify changes to a daemon set status [Conformance]"""
    cluster.run(_statuses(workload(cluster, "daemonsets")))


def test_the_status_of_deployments(cluster: Any) -> None:
    """[sig-apps] Deployment should validate Deployment Status endpoints [Conformance]"""
    cluster.run(_statuses(workload(cluster, "deployments")))


def test_the_status_of_replica_sets(cluster: Any) -> None:
    """[sig-apps] ReplicaSet should validate Replicaset Status endpoints [Conformance]"""
    cluster.run(_statuses(workload(cluster, "replicasets")))


def test_the_status_of_stateful_sets(cluster: Any) -> None:
    """[sig-apps] StatefulSet Basic StatefulSet functionality [StatefulSetBasic] should validate Statefulset Status
    endpoints [Conformance]"""
    cluster.run(_statuses(workload(cluster, "statefulsets", serviceName="s")))


def test_deployments_scale(cluster: Any) -> None:
    """[sig-apps] Deployment Deployment should have a working scale subresource [Conformance]"""
    cluster.run(_scales(workload(cluster, "deployments", replicas=1)))
    started(cluster, 4)


def test_replica_sets_scale(cluster: Any) -> None:
    """[sig-apps] ReplicaSet Replicaset should have a working scale subresource [Conformance]"""
    cluster.run(_scales(workload(cluster, "replicasets", replicas=1)))
    started(cluster, 4)


def test_stateful_sets_scale(cluster: Any) -> None:
    """[sig-apps] StatefulSet Basic StatefulSet functionality [StatefulSetBasic] should have a working scale subresource
    [Conformance]"""
    cluster.run(_scales(workload(cluster, "statefulsets", serviceName="s", replicas=1)))
    started(cluster, 4)


def test_replication_controllers_scale(cluster: Any) -> None:
    """[sig-apps] ReplicationController should get and update a ReplicationController scale [Conformance]"""
    body = {"spec": {"replicas": 1, "template": template()}}
    cluster.run(_scales(Walk(inside(cluster), f"{CORE}/replicationcontrollers", body)))
    started(cluster, 4)


async def _collected(walk: Walk) -> None:
    await walk.create("w")
    assert await walk.names() == ["w"]
    assert await walk.names(path=walk.everywhere) == ["w"]
    await walk.clear()


def test_daemon_sets_are_deleted_together(cluster: Any) -> None:
    """[sig-apps] Daemon set [Serial] should list and delete a collection of DaemonSets [Conformance]"""
    cluster.run(_collected(workload(cluster, "daemonsets")))
    emptied(cluster, "daemonsets", "pods")


def test_replica_sets_are_deleted_together(cluster: Any) -> None:
    """[sig-apps] ReplicaSet should list and delete a collection of ReplicaSets [Conformance]"""
    cluster.run(_collected(workload(cluster, "replicasets", replicas=3)))
    emptied(cluster, "replicasets", "pods")


def test_stateful_sets_are_patched_and_deleted_together(cluster: Any) -> None:
    """[sig-apps] StatefulSet Basic StatefulSet functionality [StatefulSetBasic] should list, patch and delete a
    collection of StatefulSets [Conformance]"""
    walk = workload(cluster, "statefulsets", serviceName="s", replicas=1)

    async def live() -> None:
        await walk.create("w")
        found = await walk.patch("w", {"metadata": {"labels": {"w": "patched"}}, "spec": {"replicas": 2}})
        assert found["spec"]["replicas"] == 2
        assert await walk.names("w=patched", walk.everywhere) == ["w"]
        await walk.clear("w=patched")

    cluster.run(live())
    emptied(cluster, "statefulsets", "pods")


def test_a_replica_set_is_replaced_and_patched(cluster: Any) -> None:
    """[sig-apps] ReplicaSet Replace and Patch tests [Conformance]"""
    walk = workload(cluster, "replicasets", replicas=1)

    async def change() -> None:
        now = await walk.create("w")
        while True:
            now = await walk.get("w")
            status, found = await walk.api.call("PUT", f"{walk.path}/w", now | {"spec": now["spec"] | {"replicas": 2}})
            if status != 409:
                break
        assert found["spec"]["replicas"] == 2
        grace = {"spec": {"replicas": 3, "template": {"spec": {"terminationGracePeriodSeconds": 0}}}}
        assert (await walk.patch("w", grace))["spec"]["replicas"] == 3

    cluster.run(change())
    started(cluster, 3)


def test_jobs_live(cluster: Any) -> None:
    """[sig-apps] Job should manage the lifecycle of a job [Conformance]"""
    spec = {"suspend": True, "parallelism": 2, "completions": 4}
    pods = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}
    body = {"spec": {**spec, "template": pods}}
    walk = Walk(inside(cluster), "/apis/batch/v1/namespaces/default/jobs", body, "/apis/batch/v1/jobs")

    async def live() -> None:
        await walk.create("j")
        found = await walk.patch("j", {"metadata": {"labels": {"j": "patched"}}})
        assert found["metadata"]["labels"]["j"] == "patched"
        found["metadata"]["annotations"] = {"updated": "true"}
        del found["metadata"]["resourceVersion"]
        found = await walk.api.ok("PUT", f"{walk.path}/j", found | {"spec": found["spec"] | {"suspend": False}})
        assert found["metadata"]["annotations"]["updated"] == "true"
        assert await walk.names("j=patched", walk.everywhere) == ["j"]
        await walk.api.ok("DELETE", walk.path, {"propagationPolicy": "Background"}, {"labelSelector": "j=patched"})
        assert await walk.names("j=patched", walk.everywhere) == []

    cluster.run(live())


def test_the_status_of_jobs(cluster: Any) -> None:
    """[sig-apps] Job should apply changes to a job status [Conformance]"""
    pods = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}
    cluster.create(owner("batch/v1", "Job", "j", {"parallelism": 2, "completions": 2, "template": pods}))
    cluster.advance("2s")
    walk = Walk(inside(cluster), "/apis/batch/v1/namespaces/default/jobs", {})

    async def change() -> None:
        await walk.annotate(
            "j", "patchedstatus", "/status", status={"startTime": (await walk.get("j"))["status"]["startTime"]}
        )
        now = await walk.get("j", "/status")
        now["metadata"]["annotations"]["updatedstatus"] = "true"
        found = await walk.api.ok("PUT", f"{walk.path}/j/status", now)
        assert found["metadata"]["annotations"]["updatedstatus"] == "true"
        assert (await walk.get("j", "/status"))["metadata"]["uid"] == found["metadata"]["uid"]

    cluster.run(change())


def test_controller_revisions_live(cluster: Any) -> None:
    """[sig-apps] ControllerRevision [Serial] should manage the lifecycle of a ControllerRevision [Conformance]"""
    cluster.create(owner("apps/v1", "DaemonSet", "ds", {"selector": MATCH, "template": template()}))
    cluster.advance("5s")
    walk = Walk(inside(cluster), f"{APPS}/controllerrevisions", {}, "/apis/apps/v1/controllerrevisions")

    async def live() -> None:
        (first,) = await walk.names("app=web", walk.everywhere)
        found = await walk.patch(first, {"metadata": {"labels": {first: "patched"}}})
        assert found["metadata"]["labels"][first] == "patched"
        metadata = {"name": "second", "labels": found["metadata"]["labels"]}
        body = {"metadata": metadata, "data": found["data"], "revision": found["revision"] + 1}
        second = await walk.api.ok("POST", walk.path, body)
        assert await walk.names(f"{first}=patched") == sorted([first, "second"])
        await walk.api.ok("DELETE", f"{walk.path}/{first}")
        assert await walk.names(f"{first}=patched") == ["second"]
        second["revision"] += 1
        found = await walk.api.ok("PUT", f"{walk.path}/second", second)
        assert found["revision"] == second["revision"]
        await walk.clear(f"{first}=patched")

    cluster.run(live())


def test_a_deployment_lives(cluster: Any) -> None:
    """[sig-apps] Deployment should run the lifecycle of a Deployment [Conformance]"""
    walk = workload(cluster, "deployments", replicas=1)
    cluster.run(walk.create("w"))
    started(cluster, 1)
    cluster.run(walk.patch("w", {"metadata": {"labels": {"w": "patched"}}, "spec": {"replicas": 2}}))
    started(cluster, 2)
    assert cluster.run(walk.names("w=patched", walk.everywhere)) == ["w"]

    async def status() -> None:
        found = await walk.patch("w", {"status": {"readyReplicas": 0, "availableReplicas": 0}}, "/status")
        assert found["metadata"]["name"] == "w"
        now = await walk.get("w", "/status")
        assert now["spec"]["replicas"] == 2

    cluster.run(status())
    cluster.advance_until("deployment/w", lambda d: d.status.readyReplicas == 2, within="1m")
    cluster.run(walk.api.ok("DELETE", walk.path, {"propagationPolicy": "Background"}, {"labelSelector": SELECTOR}))
    emptied(cluster, "deployments", "pods")
