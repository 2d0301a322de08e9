"""Which attachments a volume should have. Pure."""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from tiphys.api import core_v1, meta_v1, storage_v1
from tiphys.machinery.goformat import quote
from tiphys.resources.storage.volumes import claim_keys

#: A volume that its node says is in use is detached all the same after this.
FORCE_AFTER_SECONDS = 360.0
_SHARED = frozenset({"ReadWriteMany", "ReadOnlyMany"})


@dataclass(slots=True)
class Plan:
    attach: list[storage_v1.VolumeAttachment] = field(default_factory=list)
    detach: list[storage_v1.VolumeAttachment] = field(default_factory=list)
    #: Nodes that must wait until another has let go, and what their Pods are told.
    refused: dict[str, str] = field(default_factory=dict)


def attachment_name(volume: core_v1.PersistentVolume, node_name: str) -> str:
    """As drivers' attachers expect it."""
    csi = volume.spec.csi
    assert csi is not None
    return "csi-" + hashlib.sha256(f"{csi.volumeHandle}{csi.driver}{node_name}".encode()).hexdigest()


def unique_name(volume: core_v1.PersistentVolume) -> str:
    """How Nodes name the volume in their status."""
    csi = volume.spec.csi
    return f"kubernetes.io/csi/{csi.driver}^{csi.volumeHandle}" if csi is not None else ""


def claims_of(pod: core_v1.Pod) -> tuple[str, ...]:
    """Keys of the claims that a Pod with a node uses."""
    over = pod.status.phase in ("Succeeded", "Failed")
    return () if over or not pod.spec.nodeName else claim_keys(pod)


def plan(
    volume: core_v1.PersistentVolume,
    users: Mapping[str, Sequence[core_v1.Pod]],
    existing: Sequence[storage_v1.VolumeAttachment],
    in_use: Collection[str],
) -> Plan:
    """``users`` are the Pods by node; ``in_use`` the nodes that still say that they have it mounted."""
    result = Plan()
    held = {found.spec.nodeName: found for found in existing if found.metadata.deletionTimestamp is None}
    result.detach = [found for node, found in sorted(held.items()) if node not in users and node not in in_use]
    wanting = sorted(node for node in users if node not in held)
    # One that is being detached still holds the volume.
    holders = {found.spec.nodeName for found in existing}
    exclusive = not _SHARED & set(volume.spec.accessModes or ())
    for node in wanting:
        others = sorted(holders - {node})
        if exclusive and others:
            result.refused[node] = _multi_attach(volume, users.get(others[0], ()))
            continue
        if node in holders:
            continue
        holders.add(node)
        result.attach.append(_attachment(volume, node))
    return result


def _attachment(volume: core_v1.PersistentVolume, node_name: str) -> storage_v1.VolumeAttachment:
    assert volume.spec.csi is not None
    return storage_v1.VolumeAttachment(
        metadata=meta_v1.ObjectMeta(name=attachment_name(volume, node_name)),
        spec=storage_v1.VolumeAttachmentSpec(
            attacher=volume.spec.csi.driver,
            nodeName=node_name,
            source=storage_v1.VolumeAttachmentSource(persistentVolumeName=volume.metadata.name),
        ),
    )


def _multi_attach(volume: core_v1.PersistentVolume, users: Sequence[core_v1.Pod]) -> str:
    told = f"Multi-Attach error for volume {quote(volume.metadata.name)} "
    if users:
        return told + f"Volume is already used by pod(s) {', '.join(sorted(pod.metadata.name for pod in users))}"
    return told + "Volume is already exclusively attached to one node and can't be attached to another"


def volumes_attached(
    node: core_v1.Node, volume: core_v1.PersistentVolume, attached: bool
) -> list[core_v1.AttachedVolume] | None:
    """The Node's list as it should be; None if it is so already."""
    name, listed = unique_name(volume), node.status.volumesAttached or []
    there = any(found.name == name for found in listed)
    if there == attached:
        return None
    if attached:
        return [*listed, core_v1.AttachedVolume(name=name, devicePath="")]
    return [found for found in listed if found.name != name]
