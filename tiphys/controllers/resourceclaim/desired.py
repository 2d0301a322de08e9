"""Which claims a Pod needs, and what is left of a claim once its users have gone. Pure."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from tiphys.api import core_v1, meta_v1, resource_v1
from tiphys.machinery import codec, meta

FINALIZER: Final = "resource.kubernetes.io/delete-protection"
#: On a claim made for a Pod: which of the Pod's entries it is for.
POD_CLAIM_NAME: Final = "resource.kubernetes.io/pod-claim-name"
#: The longest part of the Pod's and the entry's names that fits in front of what is generated.
NAME_MAX: Final = 240


def is_done(pod: core_v1.Pod) -> bool:
    """The Pod will run no more, or never will."""
    return pod.status.phase in ("Succeeded", "Failed") or (
        pod.metadata.deletionTimestamp is not None and not pod.spec.nodeName
    )


def from_templates(pod: core_v1.Pod) -> Iterator[core_v1.PodResourceClaim]:
    """Entries that name a template, of a Pod that still wants them."""
    if pod.metadata.deletionTimestamp is None and not is_done(pod):
        yield from (claim for claim in pod.spec.resourceClaims or () if claim.resourceClaimTemplateName)


def find_made(
    pod: core_v1.Pod, entry: core_v1.PodResourceClaim, claims: Iterable[resource_v1.ResourceClaim]
) -> resource_v1.ResourceClaim | None:
    """The claim that was made for an entry before, whether or not the Pod's status says so."""
    return next(
        (
            claim
            for claim in claims
            if meta.is_controlled_by(claim, pod)
            and claim.metadata.annotations.get(POD_CLAIM_NAME) == entry.name
            and claim.metadata.deletionTimestamp is None
        ),
        None,
    )


def claim_of(
    pod: core_v1.Pod, entry: core_v1.PodResourceClaim, template: resource_v1.ResourceClaimTemplate
) -> resource_v1.ResourceClaim:
    """The claim to be made."""
    given = template.spec.metadata or meta_v1.ObjectMeta()
    return resource_v1.ResourceClaim(
        metadata=meta_v1.ObjectMeta(
            generateName=f"{pod.metadata.name}-{entry.name}"[:NAME_MAX] + "-",
            namespace=pod.metadata.namespace,
            labels=dict(given.labels),
            annotations={**given.annotations, POD_CLAIM_NAME: entry.name},
            ownerReferences=[meta.owner_reference(pod)],
        ),
        spec=template.spec.spec,
    )


@dataclass(frozen=True, slots=True)
class Cleanup:
    """What is to be done about a claim; at most one of the first two, then the finalizer."""

    status: resource_v1.ResourceClaimStatus | None = None
    delete: bool = False
    unprotect: bool = False


def cleanup(
    claim: resource_v1.ResourceClaim,
    find_pod: Callable[[str], core_v1.Pod | None],
) -> Cleanup:
    """Users that are gone leave; devices that nobody uses any more are free; a Pod's own claim goes with it.

    ``find_pod`` finds a Pod of the claim's namespace by name.
    """
    users = claim.status.reservedFor or []
    left = [user for user in users if _uses(user, find_pod)]
    protected = FINALIZER in claim.metadata.finalizers
    going = claim.metadata.deletionTimestamp is not None
    if len(left) < len(users) or (not left and going and claim.status.allocation is not None):
        status = codec.copy(claim.status)
        status.reservedFor = left or None
        if not left and protected:
            status.allocation = status.devices = None
        return Cleanup(status, unprotect=protected and status.allocation is None)
    if not left and not going and _is_orphan(claim, find_pod):
        return Cleanup(delete=True)
    return Cleanup(unprotect=protected and not left and claim.status.allocation is None)


def _uses(user: resource_v1.ResourceClaimConsumerReference, find_pod: Callable[[str], core_v1.Pod | None]) -> bool:
    if user.apiGroup or user.resource != "pods":
        # Who else may use a claim is not ours to judge.
        return True
    pod = find_pod(user.name)
    return pod is not None and pod.metadata.uid == user.uid and not is_done(pod)


def _is_orphan(claim: resource_v1.ResourceClaim, find_pod: Callable[[str], core_v1.Pod | None]) -> bool:
    """It was made for a Pod that is done."""
    owner = meta.controller_of(claim)
    if owner is None or owner.kind != "Pod" or POD_CLAIM_NAME not in claim.metadata.annotations:
        return False
    pod = find_pod(owner.name)
    return pod is not None and pod.metadata.uid == owner.uid and is_done(pod)
