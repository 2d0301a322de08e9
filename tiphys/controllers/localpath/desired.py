"""The volume that a claim gets, and when a volume goes. Pure."""

import posixpath
from typing import Final

from tiphys.api import core_v1, meta_v1, storage_v1
from tiphys.machinery import meta
from tiphys.resources.storage import local_path
from tiphys.resources.storage import volumes as rules

CLEANER_NAMESPACE: Final = "kube-system"
CLEANER_LABEL: Final = "app.kubernetes.io/component"
_HOSTNAME: Final = "kubernetes.io/hostname"
_WANTED: Final = ("volume.kubernetes.io/storage-provisioner", "volume.beta.kubernetes.io/storage-provisioner")


class CannotProvision(ValueError):
    """No volume can be made for the claim; the text says why."""


def wants_volume(claim: core_v1.PersistentVolumeClaim) -> bool:
    """Whether the binder has left the claim to us and somebody knows the node."""
    annotations = claim.metadata.annotations
    return (
        not claim.spec.volumeName
        and claim.metadata.deletionTimestamp is None
        and any(annotations.get(name) == local_path.PROVISIONER for name in _WANTED)
    )


def volume_of(
    claim: core_v1.PersistentVolumeClaim, storage_class: storage_v1.StorageClass, node: core_v1.Node, root: str
) -> core_v1.PersistentVolume:
    """The volume to make. ``root`` is where a class without a ``path`` parameter puts its directories.
    Raises CannotProvision."""
    if (claim.spec.volumeMode or "Filesystem") != "Filesystem":
        raise CannotProvision("only volumeMode Filesystem can be provided by local-path")
    if claim.spec.selector is not None:
        raise CannotProvision("claim.Spec.Selector is not supported")
    if claim.spec.dataSource is not None or claim.spec.dataSourceRef is not None:
        raise CannotProvision("a data source cannot be provided by local-path")
    metadata = claim.metadata
    name = f"pvc-{metadata.uid}"
    directory = (storage_class.parameters or {}).get("path") or root
    if not posixpath.isabs(directory):
        raise CannotProvision(f"the class's path must be absolute, not {directory}")
    term = core_v1.NodeSelectorTerm(
        matchExpressions=[
            core_v1.NodeSelectorRequirement(
                key=_HOSTNAME, operator="In", values=[node.metadata.labels.get(_HOSTNAME) or node.metadata.name]
            )
        ]
    )
    return core_v1.PersistentVolume(
        metadata=meta_v1.ObjectMeta(
            name=name,
            annotations={
                rules.PROVISIONED_BY: local_path.PROVISIONER,
                local_path.NODE: node.metadata.name,
            },
            finalizers=[local_path.FINALIZER],
        ),
        spec=core_v1.PersistentVolumeSpec(
            accessModes=claim.spec.accessModes,
            capacity={"storage": (claim.spec.resources.requests or {})["storage"]},
            claimRef=core_v1.ObjectReference(
                apiVersion="v1",
                kind="PersistentVolumeClaim",
                namespace=metadata.namespace,
                name=metadata.name,
                uid=metadata.uid,
                resourceVersion=metadata.resourceVersion,
            ),
            hostPath=core_v1.HostPathVolumeSource(
                path=posixpath.join(directory, f"{name}_{metadata.namespace}_{metadata.name}"),
                type="DirectoryOrCreate",
            ),
            mountOptions=storage_class.mountOptions,
            nodeAffinity=core_v1.VolumeNodeAffinity(required=core_v1.NodeSelector(nodeSelectorTerms=[term])),
            persistentVolumeReclaimPolicy=storage_class.reclaimPolicy or "Delete",
            storageClassName=storage_class.metadata.name,
            volumeMode="Filesystem",
        ),
    )


def cleaner_name(volume: core_v1.PersistentVolume) -> str:
    return f"local-path-cleanup-{volume.metadata.name}"


def cleaner_of(volume: core_v1.PersistentVolume, image: str) -> core_v1.Pod:
    """The Pod that removes the directory of a volume from its node."""
    assert volume.spec.hostPath is not None
    parent, name = posixpath.split(volume.spec.hostPath.path)
    mount = core_v1.VolumeMount(name="parent", mountPath="/parent")
    container = core_v1.Container(
        name="remove",
        image=image,
        # The name is an argument of its own, so that no shell reads it.
        command=["rm", "-rf", "--", f"/parent/{name}"],
        volumeMounts=[mount],
    )
    return core_v1.Pod(
        metadata=meta_v1.ObjectMeta(
            name=cleaner_name(volume),
            namespace=CLEANER_NAMESPACE,
            labels={CLEANER_LABEL: "cleanup"},
            annotations={local_path.VOLUME: volume.metadata.name},
            ownerReferences=[meta.owner_reference(volume, controller=False)],
        ),
        spec=core_v1.PodSpec(
            nodeName=volume.metadata.annotations[local_path.NODE],
            restartPolicy="OnFailure",
            automountServiceAccountToken=False,
            tolerations=[core_v1.Toleration(operator="Exists")],
            containers=[container],
            volumes=[core_v1.Volume(name="parent", hostPath=core_v1.HostPathVolumeSource(path=parent))],
            terminationGracePeriodSeconds=0,
        ),
    )


def is_left_behind(volume: core_v1.PersistentVolume) -> bool:
    """Whether one of our volumes has lost its claim and is not to be kept."""
    return (
        volume.metadata.annotations.get(rules.PROVISIONED_BY) == local_path.PROVISIONER
        and volume.metadata.deletionTimestamp is None
        and volume.status.phase == "Released"
        and volume.spec.persistentVolumeReclaimPolicy == "Delete"
    )


def is_to_be_cleaned(volume: core_v1.PersistentVolume) -> bool:
    """Whether it is being deleted and waits for its directory alone: nobody is to lose data that is still in use."""
    metadata = volume.metadata
    if metadata.deletionTimestamp is None or local_path.NODE not in metadata.annotations:
        return False
    return metadata.finalizers == [local_path.FINALIZER]
