"""Which claims and volumes are in use. Pure."""

from collections.abc import Iterable
from typing import Final

from tiphys.api import core_v1
from tiphys.resources.storage.volumes import claim_keys

CLAIM_FINALIZER: Final = "kubernetes.io/pvc-protection"
VOLUME_FINALIZER: Final = "kubernetes.io/pv-protection"


def claims_of(pod: core_v1.Pod) -> tuple[str, ...]:
    """Keys of the claims that a Pod uses or will use; none once it has ended."""
    return () if pod.status.phase in ("Succeeded", "Failed") else claim_keys(pod)


def claim_is_used(pods: Iterable[core_v1.Pod]) -> bool:
    """Whether any of the Pods that name a claim keeps it. One without a node that is being deleted will not start."""
    return any(pod.spec.nodeName or pod.metadata.deletionTimestamp is None for pod in pods)


def volume_is_used(volume: core_v1.PersistentVolume) -> bool:
    return volume.status.phase == "Bound"


def finalizers_after(finalizers: list[str], finalizer: str, deleted: bool, used: bool) -> list[str] | None:
    """The list as it should be; None if it is so already."""
    if not deleted:
        return [*finalizers, finalizer] if finalizer not in finalizers else None
    if used or finalizer not in finalizers:
        return None
    return [one for one in finalizers if one != finalizer]
