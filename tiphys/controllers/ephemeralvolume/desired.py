"""The claim that a Pod's ephemeral volume stands for. Pure."""

from tiphys.api import core_v1, meta_v1
from tiphys.machinery import meta
from tiphys.machinery.goformat import quote


def ephemeral_volumes(pod: core_v1.Pod) -> list[core_v1.Volume]:
    """Those of a Pod that is not on its way out."""
    if pod.metadata.deletionTimestamp is not None or not pod.spec.volumes:
        return []
    return [volume for volume in pod.spec.volumes if volume.ephemeral is not None]


def claim_name(pod: core_v1.Pod, volume: core_v1.Volume) -> str:
    return f"{pod.metadata.name}-{volume.name}"


def claim_of(pod: core_v1.Pod, volume: core_v1.Volume) -> core_v1.PersistentVolumeClaim | None:
    """None for a volume without a template, which validation lets nobody write."""
    template = volume.ephemeral.volumeClaimTemplate if volume.ephemeral else None
    if template is None:
        return None
    given = template.metadata or meta_v1.ObjectMeta()
    return core_v1.PersistentVolumeClaim(
        metadata=meta_v1.ObjectMeta(
            name=claim_name(pod, volume),
            namespace=pod.metadata.namespace,
            labels=dict(given.labels),
            annotations=dict(given.annotations),
            ownerReferences=[meta.owner_reference(pod)],
        ),
        spec=template.spec,
    )


def stranger(pod: core_v1.Pod, claim: core_v1.PersistentVolumeClaim) -> str:
    """Why a claim of the right name is not the Pod's; empty if it is."""
    if meta.is_controlled_by(claim, pod):
        return ""
    return f"PVC {quote(meta.key_of(claim))} was not created for pod {quote(meta.key_of(pod))} (pod is not owner)"
