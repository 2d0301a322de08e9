"""What a claim and a volume need next. Pure.

A binding is four writes: the volume's reference, its phase, the claim's
reference, its phase. Each is made only where it is missing, so that a crash
between two of them is mended by looking again.
Source: Kubernetes docs, "Persistent Volumes", "Lifecycle of a volume and claim".
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from tiphys.api import core_v1, storage_v1
from tiphys.machinery.goformat import quote
from tiphys.resources.storage import volumes as rules

Claim = core_v1.PersistentVolumeClaim
Volume = core_v1.PersistentVolume

IS_DEFAULT_CLASS: Final = "storageclass.kubernetes.io/is-default-class"
_NO_VOLUME: Final = "no persistent volumes available for this claim and no storage class is set"
_FIRST_CONSUMER: Final = "waiting for first consumer to be created before binding"
_LOST_REFERENCE: Final = "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!"
_LOST_VOLUME: Final = "Bound claim has lost its PersistentVolume. Data on the volume is lost!"
_MISBOUND: Final = "Two claims are bound to the same volume, this one is bound incorrectly"


@dataclass(frozen=True, slots=True)
class Emit:
    """An event about the claim or the volume in question."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Bind:
    volume: Volume
    claim: Claim


@dataclass(frozen=True, slots=True)
class SetClass:
    """A claim without a class gets the default one, also if that came later (KEP-3333)."""

    name: str


@dataclass(frozen=True, slots=True)
class SetPhase:
    """Of the claim or the volume in question. ``event`` is told only when the phase changes."""

    phase: str
    event: Emit | None = None
    reason: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Provision:
    """Leave it to a provisioner outside, by its name in an annotation."""

    provisioner: str


@dataclass(frozen=True, slots=True)
class Unbind:
    """Take back what this controller wrote into the volume."""


Action = Emit | Bind | SetClass | SetPhase | Provision | Unbind


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of the rest of the cluster."""

    find_volume: Callable[[str], Volume | None]
    volumes_of_class: Callable[[str], Sequence[Volume]]
    find_class: Callable[[str], storage_v1.StorageClass | None]
    default_class: Callable[[], storage_v1.StorageClass | None]
    #: Names of Pods that use the claim and have no node yet.
    waiting_pods: Callable[[Claim], Sequence[str]]


def default_class(classes: Sequence[storage_v1.StorageClass]) -> storage_v1.StorageClass | None:
    """The newest of the classes that call themselves default; of equally new ones the first by name."""
    marked = [one for one in classes if one.metadata.annotations.get(IS_DEFAULT_CLASS) == "true"]
    marked.sort(key=lambda one: one.metadata.name)
    marked.sort(key=lambda one: one.metadata.creationTimestamp or "", reverse=True)
    return marked[0] if marked else None


def claim_actions(claim: Claim, facts: Facts) -> list[Action]:
    """What the claim needs."""
    if rules.BIND_COMPLETED in claim.metadata.annotations:
        return _bound_claim(claim, facts)
    if claim.metadata.deletionTimestamp is not None:
        return []
    if not claim.spec.volumeName:
        return _open_claim(claim, facts)
    return _claim_with_wish(claim, facts)


def _open_claim(claim: Claim, facts: Facts) -> list[Action]:
    if claim.spec.storageClassName is None and not rules.class_of(claim) and (default := facts.default_class()):
        return [SetClass(default.metadata.name)]
    name = rules.class_of(claim)
    storage_class = facts.find_class(name) if name else None
    delayed = storage_class is not None and storage_class.volumeBindingMode == "WaitForFirstConsumer"
    found = rules.best_match(claim, facts.volumes_of_class(name), lambda volume: not delayed or _kept(volume, claim))
    if found is not None:
        return [Bind(found, claim)]
    pending = SetPhase("Pending")
    if delayed and rules.SELECTED_NODE not in claim.metadata.annotations:
        return [_waiting(facts.waiting_pods(claim)), pending]
    if not name:
        return [Emit("Normal", "FailedBinding", _NO_VOLUME), pending]
    if storage_class is None:
        missing = f"storageclass.storage.k8s.io {quote(name)} not found"
        return [Emit("Warning", "ProvisioningFailed", missing), pending]
    return [*_provision(storage_class.provisioner), pending]


def _kept(volume: Volume, claim: Claim) -> bool:
    return rules.belongs_to(volume, claim)


def _waiting(pods: Sequence[str]) -> Emit:
    if not pods:
        return Emit("Normal", "WaitForFirstConsumer", _FIRST_CONSUMER)
    noun = "pod" if len(pods) == 1 else "pods"
    return Emit("Normal", "WaitForPodScheduled", f"waiting for {noun} {','.join(pods)} to be scheduled")


def _provision(provisioner: str) -> list[Action]:
    if provisioner == rules.NO_PROVISIONER:
        # Volumes of such a class are made by hand: there is nobody to ask.
        return []
    told = (
        f"Waiting for a volume to be created either by the external provisioner '{provisioner}' or manually by the "
        "system administrator. If volume creation is delayed, please verify that the provisioner is running and "
        "correctly registered."
    )
    return [Provision(provisioner), Emit("Normal", "ExternalProvisioning", told)]


def _claim_with_wish(claim: Claim, facts: Facts) -> list[Action]:
    """The claim names its volume, but the two are not bound yet."""
    name = claim.spec.volumeName or ""
    volume = facts.find_volume(name)
    if volume is None:
        return [SetPhase("Pending")]
    if volume.spec.claimRef is None:
        if why := rules.mismatch(volume, claim):
            told = f"Cannot bind to requested volume {quote(name)}: {why}"
            return [Emit("Warning", "VolumeMismatch", told), SetPhase("Pending")]
        return [Bind(volume, claim)]
    if rules.belongs_to(volume, claim):
        return [Bind(volume, claim)]
    told = f"volume {quote(name)} already bound to a different claim."
    return [Emit("Warning", "FailedBinding", told), SetPhase("Pending")]


def _bound_claim(claim: Claim, facts: Facts) -> list[Action]:
    if not claim.spec.volumeName:
        return [SetPhase("Lost", Emit("Warning", "ClaimLost", _LOST_REFERENCE))]
    volume = facts.find_volume(claim.spec.volumeName)
    if volume is None:
        return [SetPhase("Lost", Emit("Warning", "ClaimLost", _LOST_VOLUME))]
    ref = volume.spec.claimRef
    if ref is None or ref.uid == claim.metadata.uid:
        return [Bind(volume, claim)]
    return [SetPhase("Lost", Emit("Warning", "ClaimMisbound", _MISBOUND))]


def volume_actions(volume: Volume, claim: Claim | None) -> list[Action]:
    """What the volume needs; ``claim`` is the one that it refers to, if there is such a claim now."""
    ref = volume.spec.claimRef
    if ref is None or not ref.uid:
        return [SetPhase("Available")]
    if claim is None or claim.metadata.uid != ref.uid:
        return _released(volume)
    if not claim.spec.volumeName:
        # The claim's own turn comes; it will find the volume that is kept for it.
        return []
    if claim.spec.volumeName == volume.metadata.name:
        return [SetPhase("Bound")]
    if rules.PROVISIONED_BY in volume.metadata.annotations and _reclaim(volume) == "Delete":
        return _released(volume)
    if rules.BOUND_BY_CONTROLLER in volume.metadata.annotations:
        return [Unbind()]
    return []


def _reclaim(volume: Volume) -> str:
    return volume.spec.persistentVolumeReclaimPolicy or "Retain"


def _released(volume: Volume) -> list[Action]:
    if volume.status.phase == "Failed":
        return []
    if volume.status.phase != "Released":
        return [SetPhase("Released")]
    policy = _reclaim(volume)
    if policy == "Retain" or rules.PROVISIONED_BY in volume.metadata.annotations:
        # Kept for the administrator, or deleted by whoever made it.
        return []
    name = quote(volume.metadata.name)
    if policy == "Delete":
        why = f"error getting deleter volume plugin for volume {name}: no deletable volume plugin matched"
        return [SetPhase("Failed", Emit("Warning", "VolumeFailedDelete", why), "VolumeFailedDelete", why)]
    why = f"volume {name} cannot be recycled: no recyclable volume plugin matched"
    return [SetPhase("Failed", Emit("Warning", "VolumeFailedRecycle", why), "VolumeFailedRecycle", why)]
