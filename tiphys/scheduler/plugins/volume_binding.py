"""VolumeBinding: a Pod goes where its claims' volumes can be reached.

A bound claim's volume may be reachable from some nodes only. A claim that waits
for its first consumer may take any volume that fits and that the node reaches,
or one that is yet to be provisioned there.
Source: Kubernetes docs, "Storage Classes", "Volume binding mode"; "Persistent Volumes".
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from tiphys.api import core_v1, storage_v1
from tiphys.machinery import quantity, selectors
from tiphys.resources.storage import volumes as rules
from tiphys.scheduler.events import NodeChanged, VolumesChanged
from tiphys.scheduler.nodes import Bools, NodeTable
from tiphys.scheduler.plugins.interface import Plugin, Rows
from tiphys.scheduler.plugins.node_affinity import selector_matches
from tiphys.scheduler.pods import PodInfo


class Volumes(Protocol):
    """What there is of claims, volumes and classes."""

    def find_claim(self, namespace: str, name: str) -> core_v1.PersistentVolumeClaim | None: ...

    def find_volume(self, name: str) -> core_v1.PersistentVolume | None: ...

    def find_class(self, name: str) -> storage_v1.StorageClass | None: ...

    def volumes_of_class(self, name: str) -> Sequence[core_v1.PersistentVolume]: ...

    def find_driver(self, name: str) -> storage_v1.CSIDriver | None: ...

    def capacities_of_class(self, name: str) -> Sequence[storage_v1.CSIStorageCapacity]: ...

    def find_csi_node(self, name: str) -> storage_v1.CSINode | None: ...

    def attached_to(self, node: str) -> Sequence[core_v1.PersistentVolume]:
        """Volumes that are attached to a node, whoever uses them."""

    @property
    def attachments_version(self) -> int:
        """Changes with what drivers say of nodes and with what is attached."""


@dataclass(frozen=True, slots=True)
class NoVolumes:
    """A cluster without any."""

    claims: Mapping[str, core_v1.PersistentVolumeClaim] = field(default_factory=dict)

    def find_claim(self, namespace: str, name: str) -> core_v1.PersistentVolumeClaim | None:
        return self.claims.get(f"{namespace}/{name}")

    def find_volume(self, name: str) -> core_v1.PersistentVolume | None:
        return None

    def find_class(self, name: str) -> storage_v1.StorageClass | None:
        return None

    def volumes_of_class(self, name: str) -> Sequence[core_v1.PersistentVolume]:
        return ()

    def find_driver(self, name: str) -> storage_v1.CSIDriver | None:
        return None

    def capacities_of_class(self, name: str) -> Sequence[storage_v1.CSIStorageCapacity]:
        return ()

    def find_csi_node(self, name: str) -> storage_v1.CSINode | None:
        return None

    def attached_to(self, node: str) -> Sequence[core_v1.PersistentVolume]:
        return ()

    @property
    def attachments_version(self) -> int:
        return 0


def claims_of(info: PodInfo) -> Iterator[tuple[str, bool]]:
    """Names of the Pod's claims, and whether the claim is made for the Pod alone."""
    for volume in info.pod.spec.volumes or ():
        if volume.persistentVolumeClaim is not None:
            yield volume.persistentVolumeClaim.claimName, False
        elif volume.ephemeral is not None:
            yield f"{info.pod.metadata.name}-{volume.name}", True


def waits_for_consumer(claim: core_v1.PersistentVolumeClaim, volumes: Volumes) -> bool:
    found = volumes.find_class(rules.class_of(claim))
    return found is not None and found.volumeBindingMode == "WaitForFirstConsumer" and not claim.spec.volumeName


def reaches(node: core_v1.Node, volume: core_v1.PersistentVolume) -> bool:
    affinity = volume.spec.nodeAffinity
    if affinity is None or affinity.required is None:
        return True
    return selector_matches(affinity.required.nodeSelectorTerms, node)


def _sufficient(capacity: storage_v1.CSIStorageCapacity, wanted: int) -> bool:
    limit = capacity.maximumVolumeSize or capacity.capacity
    return limit is not None and quantity.value(limit) >= wanted


def _accessible(capacity: storage_v1.CSIStorageCapacity, node: core_v1.Node) -> bool:
    topology = capacity.nodeTopology
    return topology is not None and selectors.from_label_selector(topology).matches(node.metadata.labels)


class VolumeBinding(Plugin):
    name = "VolumeBinding"
    filters = True
    wakes = (VolumesChanged, NodeChanged)

    def __init__(self, volumes: Volumes | None = None) -> None:
        self._volumes: Volumes = volumes or NoVolumes()

    def applies(self, info: PodInfo) -> bool:
        return any(True for _ in claims_of(info))

    def class_part(self, info: PodInfo) -> Any:
        """Results hold as long as claims and their volumes stay what they are."""
        if not info.pod.spec.volumes:
            return None
        return [self._state(info.namespace, name) for name, _ in claims_of(info)] or None

    def _state(self, namespace: str, name: str) -> list[str]:
        claim = self._volumes.find_claim(namespace, name)
        if claim is None:
            return [name]
        state = [claim.metadata.uid, claim.metadata.resourceVersion]
        if rules.is_bound(claim):
            volume = self._volumes.find_volume(claim.spec.volumeName or "")
            return [*state, volume.metadata.resourceVersion if volume is not None else ""]
        name = rules.class_of(claim)
        state += (volume.metadata.resourceVersion for volume in self._volumes.volumes_of_class(name))
        return [*state, *(capacity.metadata.resourceVersion for capacity in self._volumes.capacities_of_class(name))]

    def refusal(self, info: PodInfo) -> str:
        for name, ephemeral in claims_of(info):
            claim = self._volumes.find_claim(info.namespace, name)
            if claim is None:
                if ephemeral:
                    return f'waiting for ephemeral volume controller to create the persistentvolumeclaim "{name}"'
                return f'persistentvolumeclaim "{name}" not found'
            if claim.status.phase == "Lost":
                return (
                    f'persistentvolumeclaim "{name}" bound to non-existent persistentvolume "{claim.spec.volumeName}"'
                )
            if claim.metadata.deletionTimestamp is not None:
                return f'persistentvolumeclaim "{name}" is being deleted'
            if not rules.is_bound(claim) and not waits_for_consumer(claim, self._volumes):
                return "pod has unbound immediate PersistentVolumeClaims"
        return ""

    def filter(self, info: PodInfo, nodes: NodeTable, rows: Rows) -> Bools:
        found = (nodes.nodes[row] for row in rows.tolist())
        return np.fromiter((node is not None and not self._problems(info, node) for node in found), bool, len(rows))

    def _problems(self, info: PodInfo, node: core_v1.Node) -> list[str]:
        conflict = missing = unavailable = full = False
        for name, _ in claims_of(info):
            claim = self._volumes.find_claim(info.namespace, name)
            if claim is None:
                continue
            if rules.is_bound(claim):
                volume = self._volumes.find_volume(claim.spec.volumeName or "")
                missing |= volume is None
                conflict |= volume is not None and not reaches(node, volume)
            elif self.find_static(claim, node) is None:
                provisions = self._provisions(claim, node)
                unavailable |= not provisions
                full |= provisions and not self._has_capacity(claim, node)
        if missing:
            return ["node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"]
        found = []
        if conflict:
            found.append("node(s) didn't match PersistentVolume's node affinity")
        if unavailable:
            found.append("node(s) didn't find available persistent volumes to bind")
        if full:
            found.append("node(s) did not have enough free storage")
        return found

    def find_static(self, claim: core_v1.PersistentVolumeClaim, node: core_v1.Node) -> core_v1.PersistentVolume | None:
        """The smallest volume of those that are there already and will do."""
        candidates = self._volumes.volumes_of_class(rules.class_of(claim))
        return rules.best_match(claim, candidates, lambda volume: reaches(node, volume))

    def _provisions(self, claim: core_v1.PersistentVolumeClaim, node: core_v1.Node) -> bool:
        found = self._volumes.find_class(rules.class_of(claim))
        if found is None or not found.provisioner or found.provisioner == rules.NO_PROVISIONER:
            return False
        selected = claim.metadata.annotations.get(rules.SELECTED_NODE)
        if selected and selected != node.metadata.name:
            return False
        topologies = found.allowedTopologies
        return not topologies or any(
            all(node.metadata.labels.get(e.key) in e.values for e in term.matchLabelExpressions or ())
            for term in topologies
        )

    def _has_capacity(self, claim: core_v1.PersistentVolumeClaim, node: core_v1.Node) -> bool:
        """Whether the claim's driver, if it says how much is free where, has enough for the node (KEP-1472)."""
        found = self._volumes.find_class(rules.class_of(claim))
        driver = self._volumes.find_driver(found.provisioner) if found is not None else None
        wanted = rules.requested(claim)
        if found is None or driver is None or not driver.spec.storageCapacity or not wanted:
            return True
        return any(
            _sufficient(capacity, wanted) and _accessible(capacity, node)
            for capacity in self._volumes.capacities_of_class(found.metadata.name)
        )

    def reasons(self, info: PodInfo, nodes: NodeTable, row: int) -> list[str]:
        node = nodes.nodes[row]
        return self._problems(info, node) if node is not None else []
