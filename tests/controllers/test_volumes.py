"""Claims, volumes, their protection and the local-path provisioner, against the API server in memory."""

from typing import Any

import pytest

from tests.controllers.cluster import Cluster
from tiphys.api import core_v1, events_v1, meta_v1, storage_v1
from tiphys.controllers.persistentvolume import desired
from tiphys.controllers.persistentvolume.desired import Bind, Emit, Facts, Provision, SetClass, SetPhase, Unbind
from tiphys.machinery.quantity import Quantity
from tiphys.resources.storage import local_path
from tiphys.resources.storage import volumes as rules


def claim(
    name: str = "data", class_name: str | None = "", size: str = "1Gi", **spec: Any
) -> core_v1.PersistentVolumeClaim:
    return core_v1.PersistentVolumeClaim(
        metadata=meta_v1.ObjectMeta(name=name, namespace="default", uid=f"uid-{name}"),
        spec=core_v1.PersistentVolumeClaimSpec(
            accessModes=["ReadWriteOnce"],
            resources=core_v1.VolumeResourceRequirements(requests={"storage": Quantity(size)}),
            storageClassName=class_name,
            **spec,
        ),
    )


def volume(name: str = "pv1", size: str = "1Gi", class_name: str = "", phase: str = "Available", **spec: Any) -> Any:
    return core_v1.PersistentVolume(
        metadata=meta_v1.ObjectMeta(name=name),
        spec=core_v1.PersistentVolumeSpec(
            accessModes=["ReadWriteOnce"],
            capacity={"storage": Quantity(size)},
            hostPath=core_v1.HostPathVolumeSource(path="/tmp/x"),
            storageClassName=class_name,
            persistentVolumeReclaimPolicy=spec.pop("policy", "Retain"),
            **spec,
        ),
        status=core_v1.PersistentVolumeStatus(phase=phase),
    )


def storage_class(name: str, mode: str = "Immediate", provisioner: str = "example.com/disk", **meta: Any) -> Any:
    return storage_v1.StorageClass(
        metadata=meta_v1.ObjectMeta(name=name, **meta),
        provisioner=provisioner,
        reclaimPolicy="Delete",
        volumeBindingMode=mode,
    )


def ref(uid: str, name: str = "data") -> core_v1.ObjectReference:
    return core_v1.ObjectReference(kind="PersistentVolumeClaim", namespace="default", name=name, uid=uid)


def facts(*objects: Any, waiting: tuple[str, ...] = ()) -> Facts:
    volumes = [o for o in objects if isinstance(o, core_v1.PersistentVolume)]
    classes = [o for o in objects if isinstance(o, storage_v1.StorageClass)]
    return Facts(
        find_volume=lambda name: next((v for v in volumes if v.metadata.name == name), None),
        volumes_of_class=lambda name: [v for v in volumes if rules.class_of(v) == name],
        find_class=lambda name: next((c for c in classes if c.metadata.name == name), None),
        default_class=lambda: desired.default_class(classes),
        waiting_pods=lambda _: waiting,
    )


def test_the_smallest_volume_that_will_do_is_taken() -> None:
    small, fit, large = volume("a", "500Mi"), volume("b", "2Gi"), volume("c", "5Gi")
    wanted = claim()
    assert desired.claim_actions(wanted, facts(large, small, fit)) == [Bind(fit, wanted)]


def test_a_volume_kept_for_the_claim_comes_first() -> None:
    kept = volume("kept", "9Gi", claimRef=ref(""))
    wanted = claim()
    assert desired.claim_actions(wanted, facts(volume(), kept)) == [Bind(kept, wanted)]


@pytest.mark.parametrize(
    "other",
    [
        volume(class_name="fast"),
        volume(phase="Released"),
        volume(volumeMode="Block"),
        volume(claimRef=ref("", "other")),
        volume(size="1Mi"),
    ],
)
def test_volumes_that_will_not_do(other: Any) -> None:
    found = desired.claim_actions(claim(), facts(other))
    told = "no persistent volumes available for this claim and no storage class is set"
    assert found == [Emit("Normal", "FailedBinding", told), SetPhase("Pending")]


def test_claims_without_a_class_get_the_newest_default() -> None:
    marked = {desired.IS_DEFAULT_CLASS: "true"}
    old = storage_class("old", annotations=marked, creationTimestamp="2026-01-01T00:00:00Z")
    new = storage_class("new", annotations=marked, creationTimestamp="2026-02-01T00:00:00Z")
    assert desired.claim_actions(claim(class_name=None), facts(old, new)) == [SetClass("new")]
    assert isinstance(desired.claim_actions(claim(class_name=""), facts(old, new))[0], Emit)


def test_waiting_for_a_consumer_and_for_a_provisioner() -> None:
    late = storage_class("late", "WaitForFirstConsumer")
    wanted = claim(class_name="late")
    first = desired.claim_actions(wanted, facts(late, volume(class_name="late")))
    assert first[0] == Emit("Normal", "WaitForFirstConsumer", "waiting for first consumer to be created before binding")
    (told, _) = desired.claim_actions(wanted, facts(late, waiting=("a", "b")))
    assert told == Emit("Normal", "WaitForPodScheduled", "waiting for pods a,b to be scheduled")
    wanted.metadata.annotations[rules.SELECTED_NODE] = "n1"
    asked, event, _ = desired.claim_actions(wanted, facts(late))
    assert asked == Provision("example.com/disk") and isinstance(event, Emit) and event.reason == "ExternalProvisioning"
    (missing, _) = desired.claim_actions(claim(class_name="gone"), facts())
    assert missing == Emit("Warning", "ProvisioningFailed", 'storageclass.storage.k8s.io "gone" not found')


def test_a_claim_that_names_its_volume() -> None:
    wanted = claim(volumeName="pv1")
    assert desired.claim_actions(wanted, facts()) == [SetPhase("Pending")]
    (told, _) = desired.claim_actions(wanted, facts(volume(size="1Mi")))
    assert told == Emit("Warning", "VolumeMismatch", 'Cannot bind to requested volume "pv1": requested PV is too small')
    (told, _) = desired.claim_actions(wanted, facts(volume(claimRef=ref("x", "other"))))
    assert told == Emit("Warning", "FailedBinding", 'volume "pv1" already bound to a different claim.')


def test_what_a_bound_claim_can_lose() -> None:
    bound = claim(volumeName="pv1")
    bound.metadata.annotations[rules.BIND_COMPLETED] = "yes"
    (lost,) = desired.claim_actions(bound, facts())
    assert lost.phase == "Lost" and lost.event.reason == "ClaimLost"
    (misbound,) = desired.claim_actions(bound, facts(volume(claimRef=ref("somebody"))))
    assert misbound.phase == "Lost" and misbound.event.reason == "ClaimMisbound"


def test_what_a_volume_needs() -> None:
    assert desired.volume_actions(volume(), None) == [SetPhase("Available")]
    assert desired.volume_actions(volume(claimRef=ref("u"), phase="Bound"), None) == [SetPhase("Released")]
    assert desired.volume_actions(volume(claimRef=ref("u"), phase="Released"), None) == []
    (failed,) = desired.volume_actions(volume(claimRef=ref("u"), phase="Released", policy="Delete"), None)
    assert failed.phase == "Failed" and failed.reason == "VolumeFailedDelete"
    elsewhere = claim(volumeName="pv2")
    ours = volume(claimRef=ref("uid-data"))
    ours.metadata.annotations[rules.BOUND_BY_CONTROLLER] = "yes"
    assert desired.volume_actions(ours, elsewhere) == [Unbind()]


@pytest.fixture
async def cluster():
    async with Cluster() as found:
        yield found


def _claim(cluster: Cluster, name: str = "data") -> core_v1.PersistentVolumeClaim | None:
    return next((c for c in cluster.all(core_v1.PersistentVolumeClaim) if c.metadata.name == name), None)


def _volume(cluster: Cluster, name: str) -> core_v1.PersistentVolume | None:
    return next((v for v in cluster.all(core_v1.PersistentVolume) if v.metadata.name == name), None)


async def _bound(cluster: Cluster, name: str = "data") -> core_v1.PersistentVolumeClaim:
    found: core_v1.PersistentVolumeClaim = await cluster.until(
        lambda: (c := _claim(cluster, name)) is not None and c.status.phase == "Bound" and c,
        core_v1.PersistentVolumeClaim,
    )
    return found


async def test_claim_and_volume_find_each_other_and_part(cluster: Cluster) -> None:
    await cluster.create(claim())
    await cluster.until(lambda: any(e.reason == "FailedBinding" for e in cluster.all(events_v1.Event)), events_v1.Event)
    await cluster.create(volume(size="3Gi"))
    found = await _bound(cluster)
    assert found.spec.volumeName == "pv1" and found.status.capacity == {"storage": "3Gi"}
    assert found.metadata.annotations.keys() >= {rules.BIND_COMPLETED, rules.BOUND_BY_CONTROLLER}
    await cluster.until(
        lambda: (v := _volume(cluster, "pv1")) is not None and v.status.phase == "Bound", core_v1.PersistentVolume
    )
    await cluster.client.of(core_v1.PersistentVolumeClaim).delete("data", "default")
    await cluster.until(
        lambda: (v := _volume(cluster, "pv1")) is not None and v.status.phase == "Released", core_v1.PersistentVolume
    )


def _user(name: str = "user", **source: Any) -> core_v1.Pod:
    return core_v1.Pod(
        metadata=meta_v1.ObjectMeta(name=name, namespace="default"),
        spec=core_v1.PodSpec(
            containers=[core_v1.Container(name="c", image="i")],
            nodeName="n1",
            terminationGracePeriodSeconds=0,
            volumes=[core_v1.Volume(name="v", **source)],
        ),
    )


async def test_claims_and_volumes_in_use_stay(cluster: Cluster) -> None:
    await cluster.create(volume())
    await cluster.create(claim())
    await _bound(cluster)
    source = core_v1.PersistentVolumeClaimVolumeSource(claimName="data")
    await cluster.create(_user(persistentVolumeClaim=source))
    await cluster.until(
        lambda: "kubernetes.io/pvc-protection" in _claim(cluster).metadata.finalizers, core_v1.PersistentVolumeClaim
    )
    await cluster.until(
        lambda: "kubernetes.io/pv-protection" in _volume(cluster, "pv1").metadata.finalizers, core_v1.PersistentVolume
    )
    await cluster.client.of(core_v1.PersistentVolumeClaim).delete("data", "default")
    await cluster.client.of(core_v1.PersistentVolume).delete("pv1")
    await cluster.until(lambda: _claim(cluster).metadata.deletionTimestamp, core_v1.PersistentVolumeClaim)
    await cluster.client.of(core_v1.Pod).delete("user", "default", grace_period_seconds=0)
    await cluster.until(lambda: _claim(cluster) is None, core_v1.PersistentVolumeClaim)
    await cluster.until(lambda: _volume(cluster, "pv1") is None, core_v1.PersistentVolume)


async def test_ephemeral_volumes_get_a_claim_that_ends_with_the_pod(cluster: Cluster) -> None:
    template = core_v1.PersistentVolumeClaimTemplate(
        metadata=meta_v1.ObjectMeta(labels={"a": "b"}), spec=claim(class_name="late").spec
    )
    await cluster.create(_user(ephemeral=core_v1.EphemeralVolumeSource(volumeClaimTemplate=template)))
    found = await cluster.until(lambda: _claim(cluster, "user-v"), core_v1.PersistentVolumeClaim)
    (owner,) = found.metadata.ownerReferences
    assert (owner.kind, owner.name, owner.controller, found.metadata.labels) == ("Pod", "user", True, {"a": "b"})
    await cluster.client.of(core_v1.Pod).delete("user", "default", grace_period_seconds=0)
    await cluster.until(lambda: _claim(cluster, "user-v") is None, core_v1.PersistentVolumeClaim)


async def test_local_path_makes_a_volume_and_removes_it(cluster: Cluster) -> None:
    await cluster.create(core_v1.Namespace(metadata=meta_v1.ObjectMeta(name="kube-system")))
    labels = {"kubernetes.io/hostname": "host-1"}
    await cluster.create(core_v1.Node(metadata=meta_v1.ObjectMeta(name="n1", labels=labels)))
    await cluster.create(storage_class("local-path", provisioner=local_path.PROVISIONER))
    await cluster.create(claim(class_name="local-path"))
    found = await _bound(cluster)
    made = await cluster.until(lambda: _volume(cluster, found.spec.volumeName), core_v1.PersistentVolume)
    assert made.spec.hostPath.path.endswith(f"/pvc-{found.metadata.uid}_default_data")
    (term,) = made.spec.nodeAffinity.required.nodeSelectorTerms
    assert term.matchExpressions[0].values == ["host-1"]
    reasons = {e.reason for e in await cluster.until(lambda: cluster.all(events_v1.Event), events_v1.Event)}
    assert "Provisioning" in reasons
    await cluster.client.of(core_v1.PersistentVolumeClaim).delete("data", "default")
    cleaner = await cluster.until(
        lambda: next((p for p in cluster.all(core_v1.Pod) if p.metadata.namespace == "kube-system"), None), core_v1.Pod
    )
    assert cleaner.spec.containers[0].command[-1] == f"/parent/pvc-{found.metadata.uid}_default_data"
    assert _volume(cluster, made.metadata.name) is not None
    body = {"status": {"phase": "Succeeded"}}
    await cluster.client.of(core_v1.Pod).patch(
        cleaner.metadata.name, "kube-system", body, "merge", subresource="status"
    )
    await cluster.until(lambda: _volume(cluster, made.metadata.name) is None, core_v1.PersistentVolume)
    await cluster.until(lambda: not cluster.all(core_v1.Pod), core_v1.Pod)


async def test_local_path_says_what_it_cannot_do(cluster: Cluster) -> None:
    await cluster.create(core_v1.Node(metadata=meta_v1.ObjectMeta(name="n1")))
    await cluster.create(storage_class("local-path", provisioner=local_path.PROVISIONER))
    await cluster.create(claim(class_name="local-path", volumeMode="Block"))
    await cluster.until(
        lambda: any(e.reason == "ProvisioningFailed" for e in cluster.all(events_v1.Event)), events_v1.Event
    )
