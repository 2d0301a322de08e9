"""Pods and their volumes: how many a node takes, where they are, who may share them, how much room there is."""

from typing import Any

import pytest

from tests.scheduler.test_loop import messages, pod, priority_class
from tiphys.testing.cluster import Cluster

DRIVER = "disk.example.com"
NO_HELP = (
    "no new claims to deallocate, preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."
)


def claim(name: str, volume: str = "", mode: str = "ReadWriteOnce", storage: str = "1Gi") -> dict[str, Any]:
    spec: dict[str, Any] = {"accessModes": [mode], "resources": {"requests": {"storage": storage}}}
    spec |= {"storageClassName": "disks"} | ({"volumeName": volume} if volume else {})
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec}


def volume(name: str, holder: str, mode: str = "ReadWriteOnce", **labels: str) -> dict[str, Any]:
    spec = {
        "capacity": {"storage": "1Gi"},
        "accessModes": [mode],
        "storageClassName": "disks",
        "csi": {"driver": DRIVER, "volumeHandle": name},
        "claimRef": {"namespace": "default", "name": holder},
    }
    meta = {"name": name, "labels": {key.replace("_", "/"): text for key, text in labels.items()}}
    return {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": meta, "spec": spec}


def bound(name: str, mode: str = "ReadWriteOnce", **labels: str) -> list[dict[str, Any]]:
    return [volume(f"v-{name}", name, mode, **labels), claim(name, f"v-{name}", mode)]


def using(name: str, *claims: str, **spec: Any) -> dict[str, Any]:
    volumes = [{"name": each, "persistentVolumeClaim": {"claimName": each}} for each in claims]
    return pod(name, "100m", volumes=volumes, **spec)


def storage(kind: str, name: str, **fields: Any) -> dict[str, Any]:
    return {"apiVersion": "storage.k8s.io/v1", "kind": kind, "metadata": {"name": name}} | fields


def storage_class() -> dict[str, Any]:
    return storage("StorageClass", "disks", provisioner=DRIVER, volumeBindingMode="WaitForFirstConsumer")


def csi_node(count: int) -> dict[str, Any]:
    drivers = [{"name": DRIVER, "nodeID": "n", "allocatable": {"count": count}}]
    return storage("CSINode", "node-1", spec={"drivers": drivers})


def home(cluster: Cluster, name: str) -> str | None:
    found: str | None = cluster.get(f"pod/{name}").spec.nodeName
    return found


def test_a_node_attaches_as_many_volumes_as_its_driver_says() -> None:
    with Cluster() as cluster:
        cluster.apply(storage_class(), csi_node(2), *bound("a"), *bound("b"), *bound("c"))
        cluster.advance("1m")
        cluster.apply(using("one", "a", "b"), using("same", "a"))
        assert (home(cluster, "one"), home(cluster, "same")) == ("node-1", "node-1"), "a volume counts once"
        cluster.apply(using("more", "c"))
        told = messages(cluster, "more", "FailedScheduling")[0]
        assert told.startswith("0/1 nodes are available: 1 node(s) exceed max volume count.")
        cluster.apply(csi_node(3))
        cluster.advance("15s")
        assert home(cluster, "more") == "node-1"


def test_what_is_attached_counts_though_no_pod_uses_it() -> None:
    with Cluster() as cluster:
        cluster.apply(storage_class(), csi_node(1), *bound("a"), *bound("b"))
        source = {"persistentVolumeName": "v-a"}
        spec = {"attacher": DRIVER, "nodeName": "node-1", "source": source}
        kept = {"metadata": {"name": "left", "finalizers": ["example.com/slow-to-detach"]}}
        cluster.apply(storage("VolumeAttachment", "left", spec=spec) | kept)
        cluster.advance("1m")
        cluster.apply(using("p", "b"))
        assert "exceed max volume count" in messages(cluster, "p", "FailedScheduling")[0]


@pytest.mark.parametrize(("zones", "fits"), [("z1", False), ("z1__z2", True)])
def test_a_volume_is_used_where_it_is(zones: str, fits: bool) -> None:
    zone = "topology.kubernetes.io_zone"
    with Cluster() as cluster:
        cluster.patch("node/node-1", {"metadata": {"labels": {zone.replace("_", "/"): "z2"}}})
        cluster.apply(storage_class(), *bound("a", **{zone: zones}))
        cluster.advance("1m")
        cluster.apply(using("p", "a"))
        assert (home(cluster, "p") == "node-1") is fits
        if not fits:
            assert messages(cluster, "p", "FailedScheduling") == [
                f"0/1 nodes are available: 1 node(s) had no available volume zone. {NO_HELP}"
            ]


def test_a_claim_for_one_pod_is_used_by_one_and_its_user_may_be_evicted() -> None:
    with Cluster(nodes=2) as cluster:
        cluster.apply(storage_class(), priority_class("high", 1000), *bound("a", "ReadWriteOncePod"))
        cluster.advance("1m")
        cluster.apply(using("one", "a"))
        cluster.apply(using("two", "a"))
        told = messages(cluster, "two", "FailedScheduling")[0]
        assert told.startswith(
            "0/2 nodes are available: 2 node has pod using PersistentVolumeClaim with the same name and"
            " ReadWriteOncePod access mode."
        )
        was = home(cluster, "one")
        cluster.apply(using("high", "a", priorityClassName="high"))
        assert cluster.get("pod/high").status.nominatedNodeName == was
        cluster.advance("1m")
        assert cluster.find("pod/one") is None
        assert home(cluster, "high") == was


def test_disks_that_are_written_to_are_not_shared() -> None:
    disk = {"name": "d", "gcePersistentDisk": {"pdName": "d"}}
    read = {"name": "d", "gcePersistentDisk": {"pdName": "d", "readOnly": True}}
    with Cluster() as cluster:
        cluster.apply(pod("one", "100m", volumes=[read]))
        cluster.apply(pod("reads", "100m", volumes=[read]))
        cluster.apply(pod("writes", "100m", volumes=[disk]))
        assert (home(cluster, "reads"), home(cluster, "writes")) == ("node-1", None)
        assert "1 node(s) had no available disk." in messages(cluster, "writes", "FailedScheduling")[0]


def test_a_driver_that_counts_its_room() -> None:
    capacity = storage("CSIStorageCapacity", "here", storageClassName="disks", capacity="1Gi", nodeTopology={})
    with Cluster() as cluster:
        cluster.apply(storage_class(), storage("CSIDriver", DRIVER, spec={"storageCapacity": True}), capacity)
        cluster.apply(claim("small"), claim("large", storage="2Gi"))
        cluster.apply(using("p", "large"), using("q", "small"))
        assert messages(cluster, "p", "FailedScheduling") == [
            f"0/1 nodes are available: 1 node(s) did not have enough free storage. {NO_HELP}"
        ]
        selected = "volume.kubernetes.io/selected-node"
        assert cluster.get("persistentvolumeclaim/small").metadata.annotations[selected] == "node-1"
        cluster.patch("csistoragecapacity/here", {"capacity": "3Gi"})
        cluster.advance("15s")
        assert cluster.get("persistentvolumeclaim/large").metadata.annotations[selected] == "node-1"
