"""The claims of a StatefulSet's Pods, and who takes them along when it goes. Pure."""

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from tiphys.api import apps_v1, core_v1, meta_v1
from tiphys.controllers.statefulset.identity import claim_name, replicas_of, start_of
from tiphys.machinery import codec, meta

Claim = core_v1.PersistentVolumeClaim


@dataclass(frozen=True, slots=True)
class ClaimChanges:
    """``blocked`` says why the Pod cannot be created yet; empty if it can."""

    create: tuple[Claim, ...] = ()
    update: tuple[Claim, ...] = ()
    blocked: str = ""


def claims_of(
    sts: apps_v1.StatefulSet, pod: core_v1.Pod, ordinal: int, find: Callable[[str], Claim | None]
) -> ClaimChanges:
    """What is missing for ``pod``, and whose owner references must change."""
    create: list[Claim] = []
    update: list[Claim] = []
    for template in sts.spec.volumeClaimTemplates or ():
        name = claim_name(template, sts, ordinal)
        found = find(name)
        if found is None:
            create.append(_new_claim(sts, template, name, pod, ordinal))
            continue
        if found.metadata.deletionTimestamp is not None:
            return ClaimChanges(blocked=f"pvc {name} is being deleted")
        if is_stale(found, pod):
            return ClaimChanges(blocked=f"pvc {name} belongs to an earlier pod and will be deleted with it")
        owners = _owners(sts, found, pod, ordinal)
        if owners != found.metadata.ownerReferences:
            metadata: meta_v1.ObjectMeta = msgspec.structs.replace(found.metadata, ownerReferences=owners)
            update.append(msgspec.structs.replace(found, metadata=metadata))
    return ClaimChanges(tuple(create), tuple(update))


def is_stale(claim: Claim, pod: core_v1.Pod) -> bool:
    """Whether an earlier Pod of this name owns the claim: it will go with that one."""
    return any(
        owner.kind == "Pod" and owner.name == pod.metadata.name and owner.uid != pod.metadata.uid
        for owner in claim.metadata.ownerReferences
    )


def _new_claim(sts: apps_v1.StatefulSet, template: Claim, name: str, pod: core_v1.Pod, ordinal: int) -> Claim:
    claim = Claim(
        metadata=meta_v1.ObjectMeta(
            name=name,
            namespace=sts.metadata.namespace,
            labels={**template.metadata.labels, **(sts.spec.selector.matchLabels or {})},
            annotations=dict(template.metadata.annotations),
            finalizers=[*template.metadata.finalizers],
        ),
        spec=codec.copy(template.spec),
    )
    claim.metadata.ownerReferences = _owners(sts, claim, pod, ordinal)
    return claim


def _owners(sts: apps_v1.StatefulSet, claim: Claim, pod: core_v1.Pod, ordinal: int) -> list[meta_v1.OwnerReference]:
    """The claim's owner references as the retention policy wants them; foreign ones stay."""
    policy = sts.spec.persistentVolumeClaimRetentionPolicy
    with_set = policy is not None and policy.whenDeleted == "Delete"
    with_pod = policy is not None and policy.whenScaled == "Delete"
    condemned = not start_of(sts) <= ordinal < start_of(sts) + replicas_of(sts)
    wanted: list[meta_v1.OwnerReference] = []
    if with_pod and condemned and pod.metadata.uid:
        wanted.append(meta.owner_reference(pod, controller=True))
    elif with_set:
        wanted.append(meta.owner_reference(sts, controller=True))
    ours = {sts.metadata.uid, pod.metadata.uid}
    present = claim.metadata.ownerReferences
    if {o.uid for o in present if o.uid in ours} == {o.uid for o in wanted}:
        return present
    return [*(owner for owner in present if owner.uid not in ours), *wanted]
