"""What claims and volumes mean to each other: shared by whoever binds, schedules or mounts them. Pure.

Source: Kubernetes docs, "Persistent Volumes", "Binding"; "Storage Classes".
"""

from collections.abc import Callable, Iterable
from typing import Final

from tiphys.api import core_v1
from tiphys.machinery import quantity, selectors

#: The claim's part of a binding has been written; from then on a lost volume is a loss.
BIND_COMPLETED: Final = "pv.kubernetes.io/bind-completed"
#: The reference was the controller's choice and may be taken back by it.
BOUND_BY_CONTROLLER: Final = "pv.kubernetes.io/bound-by-controller"
PROVISIONED_BY: Final = "pv.kubernetes.io/provisioned-by"
SELECTED_NODE: Final = "volume.kubernetes.io/selected-node"
NO_PROVISIONER: Final = "kubernetes.io/no-provisioner"
#: Older than ``storageClassName``, and still stronger.
_CLASS: Final = "volume.beta.kubernetes.io/storage-class"


def class_of(obj: core_v1.PersistentVolumeClaim | core_v1.PersistentVolume) -> str:
    """The name of its StorageClass; empty for none."""
    return obj.metadata.annotations.get(_CLASS) or obj.spec.storageClassName or ""


def is_bound(claim: core_v1.PersistentVolumeClaim) -> bool:
    """Whether the binding has been completed once."""
    return bool(claim.spec.volumeName) and BIND_COMPLETED in claim.metadata.annotations


def belongs_to(volume: core_v1.PersistentVolume, claim: core_v1.PersistentVolumeClaim) -> bool:
    """Whether the volume is this claim's, or kept for a claim of its name."""
    ref = volume.spec.claimRef
    if ref is None or (ref.namespace, ref.name) != (claim.metadata.namespace, claim.metadata.name):
        return False
    return not ref.uid or ref.uid == claim.metadata.uid


def claim_keys(pod: core_v1.Pod) -> tuple[str, ...]:
    """Keys of the claims behind a Pod's volumes, those of ephemeral ones too."""
    if not pod.spec.volumes:
        return ()
    names = []
    for volume in pod.spec.volumes:
        if volume.persistentVolumeClaim is not None:
            names.append(volume.persistentVolumeClaim.claimName)
        elif volume.ephemeral is not None:
            names.append(f"{pod.metadata.name}-{volume.name}")
    return tuple(f"{pod.metadata.namespace}/{name}" for name in names)


def size_of(volume: core_v1.PersistentVolume) -> int:
    """Bytes."""
    return quantity.value((volume.spec.capacity or {}).get("storage", "0"))


def requested(claim: core_v1.PersistentVolumeClaim) -> int:
    """Bytes."""
    return quantity.value((claim.spec.resources.requests or {}).get("storage", "0"))


def mismatch(volume: core_v1.PersistentVolume, claim: core_v1.PersistentVolumeClaim) -> str:
    """Why a claim cannot have the volume that it names, in Kubernetes' words; empty if it can."""
    if size_of(volume) < requested(claim):
        return "requested PV is too small"
    if class_of(volume) != class_of(claim):
        return "storageClassName does not match"
    if (volume.spec.volumeAttributesClassName or "") != (claim.spec.volumeAttributesClassName or ""):
        return "volumeAttributesClassName does not match"
    if not _same_mode(volume, claim):
        return "incompatible volumeMode"
    if not set(claim.spec.accessModes or ()) <= set(volume.spec.accessModes or ()):
        return "incompatible accessMode"
    return ""


def _same_mode(volume: core_v1.PersistentVolume, claim: core_v1.PersistentVolumeClaim) -> bool:
    return (volume.spec.volumeMode or "Filesystem") == (claim.spec.volumeMode or "Filesystem")


def satisfies(volume: core_v1.PersistentVolume, claim: core_v1.PersistentVolumeClaim) -> bool:
    """Whether the volume may become the claim's, nodes apart."""
    if volume.metadata.deletionTimestamp is not None or mismatch(volume, claim):
        return False
    if volume.spec.claimRef is not None:
        return belongs_to(volume, claim)
    if (volume.status.phase or "Available") != "Available":
        return False
    selector = claim.spec.selector
    return selector is None or selectors.from_label_selector(selector).matches(volume.metadata.labels)


def best_match(
    claim: core_v1.PersistentVolumeClaim,
    volumes: Iterable[core_v1.PersistentVolume],
    reaches: Callable[[core_v1.PersistentVolume], bool] = lambda _: True,
) -> core_v1.PersistentVolume | None:
    """The volume kept for the claim, or else the smallest that will do with the fewest access modes."""
    fitting = [volume for volume in volumes if satisfies(volume, claim) and reaches(volume)]
    kept = (volume for volume in fitting if volume.spec.claimRef is not None)
    return next(kept, None) or min(
        fitting, key=lambda v: (len(v.spec.accessModes or ()), size_of(v), v.metadata.name), default=None
    )
