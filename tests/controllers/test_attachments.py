"""Attachments of CSI volumes: asked for, noted on Nodes, taken back."""

from typing import Any

from tests.controllers.cluster import Cluster
from tests.controllers.test_volumes import claim, volume
from tiphys.api import core_v1, events_v1, meta_v1, storage_v1
from tiphys.controllers.attachdetach import desired

ON_NODE = "kubernetes.io/csi/disk.example.com^h1"


def csi_volume() -> Any:
    found = volume()
    found.spec.hostPath = None
    found.spec.csi = core_v1.CSIPersistentVolumeSource(driver="disk.example.com", volumeHandle="h1")
    return found


def user(name: str, node: str) -> core_v1.Pod:
    source = core_v1.PersistentVolumeClaimVolumeSource(claimName="data")
    return core_v1.Pod(
        metadata=meta_v1.ObjectMeta(name=name, namespace="default"),
        spec=core_v1.PodSpec(
            containers=[core_v1.Container(name="c", image="i")],
            nodeName=node,
            terminationGracePeriodSeconds=0,
            volumes=[core_v1.Volume(name="v", persistentVolumeClaim=source)],
        ),
    )


def attachment(node: str) -> storage_v1.VolumeAttachment:
    source = storage_v1.VolumeAttachmentSource(persistentVolumeName="pv1")
    spec = storage_v1.VolumeAttachmentSpec(attacher="disk.example.com", nodeName=node, source=source)
    return storage_v1.VolumeAttachment(metadata=meta_v1.ObjectMeta(name=f"a-{node}"), spec=spec)


def test_an_exclusive_volume_waits_for_the_other_node_to_let_go() -> None:
    pods = {"n2": [user("b", "n2")]}
    found = desired.plan(csi_volume(), pods, [attachment("n1")], {"n1"})
    told = "Volume is already exclusively attached to one node and can't be attached to another"
    assert found.refused == {"n2": f'Multi-Attach error for volume "pv1" {told}'}
    assert not found.detach and not found.attach
    pods["n1"] = [user("a", "n1")]
    found = desired.plan(csi_volume(), pods, [attachment("n1")], ())
    assert found.refused == {"n2": 'Multi-Attach error for volume "pv1" Volume is already used by pod(s) a'}
    shared = csi_volume()
    shared.spec.accessModes = ["ReadWriteMany"]
    assert [a.spec.nodeName for a in desired.plan(shared, pods, [attachment("n1")], ()).attach] == ["n2"]


async def test_a_volume_is_attached_for_its_pod_and_detached_after_it() -> None:
    async with Cluster() as cluster:
        await cluster.create(core_v1.Node(metadata=meta_v1.ObjectMeta(name="n1")))
        await cluster.create(csi_volume())
        await cluster.create(claim())
        await cluster.create(user("web", "n1"))

        def attachments() -> list[storage_v1.VolumeAttachment]:
            return cluster.all(storage_v1.VolumeAttachment)

        (found,) = await cluster.until(lambda: attachments(), storage_v1.VolumeAttachment)
        assert (found.spec.attacher, found.spec.nodeName) == ("disk.example.com", "n1")
        assert found.metadata.name == desired.attachment_name(csi_volume(), "n1")
        calls = cluster.client.of(storage_v1.VolumeAttachment)
        await calls.patch(found.metadata.name, "", {"status": {"attached": True}}, "merge", subresource="status")

        def listed() -> list[str]:
            return [v.name for node in cluster.all(core_v1.Node) for v in node.status.volumesAttached or ()]

        await cluster.until(lambda: listed() == [ON_NODE], core_v1.Node)
        await cluster.until(
            lambda: any(e.reason == "SuccessfulAttachVolume" for e in cluster.all(events_v1.Event)), events_v1.Event
        )
        in_use = {"status": {"volumesInUse": [ON_NODE]}}
        await cluster.client.of(core_v1.Node).patch("n1", "", in_use, "merge", subresource="status")
        await cluster.client.of(core_v1.Pod).delete("web", "default", grace_period_seconds=0)
        await cluster.until(lambda: listed() == [], core_v1.Node)
        assert attachments()
        in_use = {"status": {"volumesInUse": []}}
        await cluster.client.of(core_v1.Node).patch("n1", "", in_use, "merge", subresource="status")
        await cluster.until(lambda: not attachments(), storage_v1.VolumeAttachment)
