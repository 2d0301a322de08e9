"""Which objects a node has to do with: those that its Pods refer to, and those that name the node.

Kept per node as counts of references, from the first question of a node on.
What hangs on a claim (its volume, the volume's secrets) is looked up when asked
for, because claims are bound long after their Pod.
Source: Kubernetes docs, "Using Node Authorization"; node authorizer's graph, by behaviour.
"""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any, Final

from tiphys.apiserver.seams import Objects
from tiphys.wire.exchange import UserInfo

NODE_PREFIX: Final = "system:node:"
NODES_GROUP: Final = "system:nodes"
NODE_LEASES: Final = "kube-node-lease"
MIRROR: Final = "kubernetes.io/config.mirror"
#: What a Pod needs: (plural, namespace, name).
Needed = tuple[str, str, str]


def node_name_of(user: UserInfo) -> str | None:
    """The node that a user is; None if it is none."""
    if not user.name.startswith(NODE_PREFIX) or NODES_GROUP not in user.groups:
        return None
    return user.name.removeprefix(NODE_PREFIX)


class Graph:
    """Answers whether a node is related to an object."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._counts: dict[str, dict[Needed, int]] | None = None

    def related(self, node: str, group: str, needed: Needed) -> bool:
        """Whether the object has to do with the node."""
        plural, namespace, name = needed
        if plural in ("volumeattachments", "resourceslices"):
            found = self._objects.find(group, plural, "", name)
            return found is not None and found.spec.nodeName == node
        if plural == "persistentvolumes":
            return self._needs_volume(node, self._objects.find("", plural, "", name))
        if self._needs(node, needed):
            return True
        return plural == "secrets" and any((namespace, name) in _secrets_of(pv) for pv in self._volumes(node))

    def _needs_volume(self, node: str, volume: Any | None) -> bool:
        if volume is None or volume.spec.claimRef is None:
            return False
        claim = volume.spec.claimRef
        return self._needs(node, ("persistentvolumeclaims", claim.namespace or "", claim.name or ""))

    def _volumes(self, node: str) -> Iterator[Any]:
        """The volumes that are bound to claims of the node's Pods."""
        for plural, namespace, name in self._followed().get(node, ()):
            if plural != "persistentvolumeclaims":
                continue
            claim = self._objects.find("", plural, namespace, name)
            bound = claim.spec.volumeName if claim is not None else None
            volume = self._objects.find("", "persistentvolumes", "", bound) if bound else None
            if self._needs_volume(node, volume):
                yield volume

    def _needs(self, node: str, needed: Needed) -> bool:
        counts = self._followed().get(node)
        return counts is not None and counts.get(needed, 0) > 0

    def _followed(self) -> dict[str, dict[Needed, int]]:
        if self._counts is None:
            # Subscribed late: a server without nodes should not decode every Pod that is written.
            self._counts = {}
            for pod in self._objects.all("", "pods"):
                self._count(pod, 1)
            self._objects.subscribe("", "pods", self._changed)
        return self._counts

    def _changed(self, new: Any | None, old: Any | None) -> None:
        if new is not None and old is not None and new.spec == old.spec and _claims(new) == _claims(old):
            return
        if old is not None:
            self._count(old, -1)
        if new is not None:
            self._count(new, 1)

    def _count(self, pod: Any, step: int) -> None:
        node = pod.spec.nodeName
        if not node or self._counts is None:
            return
        counts = self._counts.setdefault(node, defaultdict(int))
        for needed in pod_needs(pod):
            counts[needed] += step
            if counts[needed] <= 0:
                del counts[needed]
        if not counts:
            del self._counts[node]


def pod_needs(pod: Any) -> Iterator[Needed]:
    """Every object that the Pod names and its node has to read; itself included."""
    namespace = pod.metadata.namespace
    spec = pod.spec
    yield ("pods", namespace, pod.metadata.name)
    if MIRROR in pod.metadata.annotations:
        # A node writes those itself and must not gain anything by them.
        return
    if spec.serviceAccountName:
        yield ("serviceaccounts", namespace, spec.serviceAccountName)
    for secret in spec.imagePullSecrets or ():
        yield ("secrets", namespace, secret.name or "")
    for container in (*spec.containers, *(spec.initContainers or ()), *(spec.ephemeralContainers or ())):
        for plural, name in _environment_needs(container):
            yield (plural, namespace, name)
    for volume in spec.volumes or ():
        for plural, name in _volume_needs(volume, pod.metadata.name):
            yield (plural, namespace, name)
    for name in _claims(pod):
        yield ("resourceclaims", namespace, name)


def _claims(pod: Any) -> list[str]:
    """The names of the resource claims a Pod has, also of those that were made for it."""
    made = {one.name: one.resourceClaimName for one in pod.status.resourceClaimStatuses or ()}
    names = [claim.resourceClaimName or made.get(claim.name) for claim in pod.spec.resourceClaims or ()]
    extended = pod.status.extendedResourceClaimStatus
    if extended is not None:
        names.append(extended.resourceClaimName)
    return [name for name in names if name]


def _environment_needs(container: Any) -> Iterator[tuple[str, str]]:
    for variable in container.env or ():
        source = variable.valueFrom
        if source is not None and source.secretKeyRef is not None:
            yield ("secrets", source.secretKeyRef.name or "")
        if source is not None and source.configMapKeyRef is not None:
            yield ("configmaps", source.configMapKeyRef.name or "")
    for source in container.envFrom or ():
        if source.secretRef is not None:
            yield ("secrets", source.secretRef.name or "")
        if source.configMapRef is not None:
            yield ("configmaps", source.configMapRef.name or "")


def _volume_needs(volume: Any, pod_name: str) -> Iterator[tuple[str, str]]:
    if volume.secret is not None:
        yield ("secrets", volume.secret.secretName or "")
    if volume.configMap is not None:
        yield ("configmaps", volume.configMap.name or "")
    if volume.persistentVolumeClaim is not None:
        yield ("persistentvolumeclaims", volume.persistentVolumeClaim.claimName or "")
    if volume.ephemeral is not None:
        yield ("persistentvolumeclaims", f"{pod_name}-{volume.name}")
    if volume.projected is not None:
        for source in volume.projected.sources or ():
            if source.secret is not None:
                yield ("secrets", source.secret.name or "")
            if source.configMap is not None:
                yield ("configmaps", source.configMap.name or "")
    yield from (("secrets", name) for name in _driver_secrets(volume))


#: Volumes whose driver takes a Secret from the Pod's own namespace: field and the field in it.
_DRIVER_SECRETS: Final = (
    ("azureFile", "secretName"),
    ("cephfs", "secretRef"),
    ("cinder", "secretRef"),
    ("flexVolume", "secretRef"),
    ("rbd", "secretRef"),
    ("scaleIO", "secretRef"),
    ("iscsi", "secretRef"),
    ("storageos", "secretRef"),
    ("csi", "nodePublishSecretRef"),
)
#: The same of PersistentVolumes, whose references may name a namespace.
_CSI_SECRETS: Final = (
    "controllerPublishSecretRef",
    "nodePublishSecretRef",
    "nodeStageSecretRef",
    "controllerExpandSecretRef",
    "nodeExpandSecretRef",
)


def _driver_secrets(volume: Any) -> Iterator[str]:
    for field, inner in _DRIVER_SECRETS:
        source = getattr(volume, field, None)
        found = getattr(source, inner, None)
        name = found if isinstance(found, str) else getattr(found, "name", None)
        if name:
            yield name


def _secrets_of(volume: Any) -> set[tuple[str, str]]:
    """Namespace and name of each Secret that a PersistentVolume refers to."""
    own = volume.spec.claimRef.namespace or ""
    found = set()
    for field, inner in _DRIVER_SECRETS[:-1]:
        reference = getattr(getattr(volume.spec, field, None), inner, None)
        if isinstance(reference, str):
            found.add((getattr(volume.spec, field).secretNamespace or own, reference))
        elif reference is not None:
            found.add((getattr(reference, "namespace", None) or own, reference.name or ""))
    for inner in _CSI_SECRETS:
        reference = getattr(volume.spec.csi, inner, None)
        if reference is not None:
            found.add((reference.namespace or own, reference.name or ""))
    return found
