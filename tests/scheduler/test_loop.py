"""The scheduler against a real API server, in virtual time."""

from typing import Any

import pytest

from tiphys.machinery.conditions import find_condition
from tiphys.testing.cluster import Cluster


def pod(name: str, cpu: str = "1", **spec: Any) -> dict[str, Any]:
    container = {"name": "c", "image": "example.test/box:1", "resources": {"requests": {"cpu": cpu}}}
    meta = {"name": name, "labels": spec.pop("labels", {"app": name})}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"containers": [container]} | spec}


def priority_class(name: str, value: int, **more: Any) -> dict[str, Any]:
    meta = {"name": name}
    return {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": meta, "value": value} | more


def messages(cluster: Cluster, name: str, reason: str) -> list[str]:
    return [event.message or "" for event in cluster.events(f"pod/{name}", reason=reason)]


def test_a_more_important_pod_gets_the_room_of_a_less_important_one() -> None:
    with Cluster() as cluster:
        cluster.apply(priority_class("high", 1000), pod("low", "6"))
        cluster.advance("2s")
        cluster.apply(pod("high", "6", priorityClassName="high"))
        told = cluster.get("pod/high")
        assert told.status.nominatedNodeName == "node-1"
        condition = find_condition(told.status.conditions, "PodScheduled")
        assert condition is not None
        assert condition.message == "0/1 nodes are available: 1 Insufficient cpu."
        assert messages(cluster, "low", "Preempted") == [f"Preempted by pod {told.metadata.uid} on node node-1"]
        victim = cluster.get("pod/low")
        condition = find_condition(victim.status.conditions, "DisruptionTarget")
        assert condition is not None
        assert condition.reason == "PreemptionByScheduler"
        assert condition.message == "default-scheduler: preempting to accommodate a higher priority pod"
        cluster.advance("1m")
        assert cluster.find("pod/low") is None
        assert cluster.get("pod/high").spec.nodeName == "node-1"


def test_a_pod_that_never_preempts_waits_for_room() -> None:
    with Cluster() as cluster:
        cluster.apply(priority_class("polite", 1000, preemptionPolicy="Never"), pod("low", "6"))
        cluster.advance("2s")
        cluster.apply(pod("high", "6", priorityClassName="polite"))
        assert messages(cluster, "high", "FailedScheduling") == [
            "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate,"
            " preemption: not eligible due to preemptionPolicy=Never."
        ]
        cluster.delete("pod/low")
        cluster.advance("1m")
        assert cluster.get("pod/high").spec.nodeName == "node-1"


def test_what_helps_nothing_wakes_nobody() -> None:
    with Cluster() as cluster:
        cluster.apply(pod("picky", nodeSelector={"disk": "ssd"}))
        cluster.advance("5s")
        # Pods that come and go do not make a node's label.
        cluster.apply(pod("other"))
        cluster.advance("5s")
        cluster.delete("pod/other")
        cluster.advance("1m")
        assert cluster.events("pod/picky", reason="FailedScheduling")[0].count == 1
        cluster.patch("node/node-1", {"metadata": {"labels": {"disk": "ssd"}}})
        cluster.advance("15s")
        assert cluster.get("pod/picky").spec.nodeName == "node-1"


def test_pods_that_avoid_each_other_and_one_that_follows() -> None:
    term = {"labelSelector": {"matchLabels": {"app": "web"}}, "topologyKey": "kubernetes.io/hostname"}
    apart = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    near = {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    with Cluster(nodes=2) as cluster:
        cluster.apply(pod("follower", affinity=near))
        assert cluster.get("pod/follower").spec.nodeName is None
        cluster.apply(*(pod(f"web{i}", labels={"app": "web"}, affinity=apart) for i in range(3)))
        cluster.advance("15s")
        homes = sorted(str(cluster.get(f"pod/web{i}").spec.nodeName) for i in range(3))
        assert homes == ["None", "node-1", "node-2"]
        assert cluster.get("pod/follower").spec.nodeName in ("node-1", "node-2")


def test_gates_hold_a_pod_until_the_last_is_gone() -> None:
    with Cluster() as cluster:
        cluster.apply(pod("gated", schedulingGates=[{"name": "example.com/wait"}]))
        cluster.advance("1m")
        told = cluster.get("pod/gated")
        assert told.spec.nodeName is None
        condition = find_condition(told.status.conditions, "PodScheduled")
        assert condition is not None
        assert condition.reason == "SchedulingGated"
        cluster.patch("pod/gated", {"spec": {"schedulingGates": []}})
        cluster.advance("1s")
        assert cluster.get("pod/gated").spec.nodeName == "node-1"


CLAIM = {
    "apiVersion": "v1",
    "kind": "PersistentVolumeClaim",
    "metadata": {"name": "data"},
    "spec": {
        "storageClassName": "later",
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}},
    },
}


def storage_class(mode: str) -> dict[str, Any]:
    kind = {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "later"}}
    return kind | {"provisioner": "example.com/none", "volumeBindingMode": mode}


USES = [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]


def test_claims_are_told_apart() -> None:
    with Cluster() as cluster:
        cluster.apply(pod("p", volumes=USES))
        preemption = "preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."
        assert messages(cluster, "p", "FailedScheduling") == [
            '0/1 nodes are available: persistentvolumeclaim "data" not found.'
            f" no new claims to deallocate, {preemption}"
        ]
        cluster.apply(storage_class("Immediate"), CLAIM)
        cluster.advance("15s")
        assert any(
            "pod has unbound immediate PersistentVolumeClaims" in m for m in messages(cluster, "p", "FailedScheduling")
        )


@pytest.mark.parametrize("bound", [True, False])
def test_a_claim_that_waits_for_its_consumer_is_told_the_node(bound: bool) -> None:
    with Cluster() as cluster:
        cluster.apply(storage_class("WaitForFirstConsumer"), CLAIM, pod("p", volumes=USES))
        cluster.advance("1s")
        annotations = cluster.get("persistentvolumeclaim/data").metadata.annotations
        assert annotations["volume.kubernetes.io/selected-node"] == "node-1"
        assert cluster.get("pod/p").spec.nodeName is None, "the volume comes first"
        if bound:
            meta = {"annotations": {"pv.kubernetes.io/bind-completed": "yes"}}
            cluster.patch("persistentvolumeclaim/data", {"metadata": meta, "spec": {"volumeName": "v"}})
            cluster.advance("1s")
            assert cluster.get("pod/p").spec.nodeName == "node-1"
        else:
            cluster.advance("11m")
            told = 'running PreBind plugin "VolumeBinding": binding volumes: context deadline exceeded'
            assert told in messages(cluster, "p", "FailedScheduling")
