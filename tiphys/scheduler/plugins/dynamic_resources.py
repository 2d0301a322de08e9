"""DynamicResources: a Pod goes where devices can be given to all its claims, or where those it has can be used.

Source: Kubernetes docs, "Dynamic Resource Allocation"; KEP-4381.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final, Protocol

import numpy as np

from tiphys.api import core_v1, resource_v1
from tiphys.machinery import meta
from tiphys.scheduler.devices.allocator import AllocationError, Given, allocate, alternatives
from tiphys.scheduler.devices.inventory import Id
from tiphys.scheduler.events import DevicesChanged, NodeChanged
from tiphys.scheduler.nodes import Bools, NodeTable
from tiphys.scheduler.plugins.interface import Plugin, Rows
from tiphys.scheduler.plugins.node_affinity import selector_matches
from tiphys.scheduler.pods import PodInfo

RESERVED_MAX: Final = 256


class Devices(Protocol):
    """What there is of claims and devices; ``version`` changes with any of it."""

    version: int

    def find_claim(self, namespace: str, name: str) -> resource_v1.ResourceClaim | None: ...

    def find_class(self, name: str) -> resource_v1.DeviceClass | None: ...

    def slices(self) -> Sequence[resource_v1.ResourceSlice]: ...

    def taken(self) -> frozenset[Id]:
        """Devices of claims that have them, and of those that are about to."""

    def is_pending(self, uid: str) -> bool:
        """Whether devices have been found for a claim that does not yet say so."""


class NoDevices:
    version = 0

    def find_claim(self, namespace: str, name: str) -> resource_v1.ResourceClaim | None:
        return None

    def find_class(self, name: str) -> resource_v1.DeviceClass | None:
        return None

    def slices(self) -> Sequence[resource_v1.ResourceSlice]:
        return ()

    def taken(self) -> frozenset[Id]:
        return frozenset()

    def is_pending(self, uid: str) -> bool:
        return False


class NoClaim(Exception):
    """A claim of the Pod is not there, or is not its own; the text says so in Kubernetes' words."""


def claim_names(pod: core_v1.Pod) -> Iterator[tuple[str, bool]]:
    """Names of the Pod's claims, and whether the claim was made for it. Raises NoClaim for one yet to be made."""
    made = {status.name: status.resourceClaimName for status in pod.status.resourceClaimStatuses or ()}
    for claim in pod.spec.resourceClaims or ():
        if claim.resourceClaimName:
            yield claim.resourceClaimName, False
        elif claim.name not in made:
            raise NoClaim(f'pod "{meta.key_of(pod)}": pod claim {claim.name} not found')
        elif name := made[claim.name]:
            yield name, True


def claims_of(info: PodInfo, devices: Devices) -> list[resource_v1.ResourceClaim]:
    """The Pod's claims, in its order. Raises NoClaim."""
    found = []
    for name, own in claim_names(info.pod):
        claim = devices.find_claim(info.namespace, name)
        if claim is None:
            raise NoClaim(f'resourceclaim "{name}" not found')
        if claim.metadata.deletionTimestamp is not None:
            raise NoClaim(f'resourceclaim "{name}" is being deleted')
        if own and not meta.is_controlled_by(claim, info.pod):
            raise NoClaim(
                f"ResourceClaim {info.namespace}/{name} was not created for pod {info.key} (pod is not owner)"
            )
        found.append(claim)
    return found


def is_reserved(claim: resource_v1.ResourceClaim, info: PodInfo) -> bool:
    return any(consumer.uid == info.uid for consumer in claim.status.reservedFor or ())


class DynamicResources(Plugin):
    name = "DynamicResources"
    filters = True
    wakes = (DevicesChanged, NodeChanged)

    def __init__(self, devices: Devices | None = None) -> None:
        self._devices: Devices = devices or NoDevices()

    def applies(self, info: PodInfo) -> bool:
        return bool(info.pod.spec.resourceClaims)

    def class_part(self, info: PodInfo) -> Any:
        """Which devices are free changes with every claim, so Pods with claims share little."""
        if not info.pod.spec.resourceClaims:
            return None
        return [info.uid, self._devices.version]

    def refusal(self, info: PodInfo) -> str:
        try:
            claims = claims_of(info, self._devices)
        except NoClaim as error:
            return str(error)
        for claim in claims:
            if claim.status.allocation is not None:
                if len(claim.status.reservedFor or ()) >= RESERVED_MAX and not is_reserved(claim, info):
                    return "resourceclaim in use"
            elif self._devices.is_pending(claim.metadata.uid):
                return f"resource claim {meta.key_of(claim)} is in the process of being allocated"
            elif problem := self._missing_class(claim):
                return problem
        return ""

    def _missing_class(self, claim: resource_v1.ResourceClaim) -> str:
        for request in (claim.spec.devices.requests if claim.spec.devices else None) or ():
            for name, one in alternatives(request):
                if self._devices.find_class(one.deviceClassName) is None:
                    return f"request {name}: device class {one.deviceClassName} does not exist"
        return ""

    def filter(self, info: PodInfo, nodes: NodeTable, rows: Rows) -> Bools:
        found = (nodes.nodes[row] for row in rows.tolist())
        return np.fromiter((node is not None and not self._problem(info, node) for node in found), bool, len(rows))

    def _problem(self, info: PodInfo, node: core_v1.Node) -> str:
        try:
            claims = claims_of(info, self._devices)
        except NoClaim as error:
            return str(error)
        if not all(usable(claim, node) for claim in claims):
            return "resourceclaim not available on the node"
        try:
            return "" if self.found_for(claims, node) is not None else "cannot allocate all claims"
        except AllocationError as error:
            return str(error)

    def found_for(self, claims: Sequence[resource_v1.ResourceClaim], node: core_v1.Node) -> list[list[Given]] | None:
        """Devices for those of the claims that have none. Raises AllocationError."""
        waiting = [claim for claim in claims if claim.status.allocation is None]
        if not waiting:
            return []
        devices = self._devices
        return allocate(waiting, devices.slices(), devices.taken(), devices.find_class, node)

    def reasons(self, info: PodInfo, nodes: NodeTable, row: int) -> list[str]:
        node = nodes.nodes[row]
        return [self._problem(info, node)] if node is not None else []


def usable(claim: resource_v1.ResourceClaim, node: core_v1.Node) -> bool:
    """Whether what the claim has, if it has anything, can be used on a node."""
    allocation = claim.status.allocation
    if allocation is None or allocation.nodeSelector is None:
        return True
    return selector_matches(allocation.nodeSelector.nodeSelectorTerms, node)
