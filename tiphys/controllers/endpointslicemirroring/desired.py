"""The endpoints that a copy of Endpoints has. Pure."""

import ipaddress
from collections.abc import Iterator
from typing import Final, NamedTuple

from tiphys.api import core_v1, discovery_v1
from tiphys.controllers.endpointslice.desired import Groups, Ports
from tiphys.controllers.endpointslice.packing import Owner
from tiphys.machinery import meta

MANAGED_BY: Final = "endpointslicemirroring-controller.k8s.io"
SKIP: Final = "endpointslice.kubernetes.io/skip-mirror"
_LEADER: Final = "control-plane.alpha.kubernetes.io/leader"
_LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
#: Addresses copied of one subset.
SUBSET_ADDRESSES_MAX: Final = 1000


class Mirrored(NamedTuple):
    """What to copy, and how many addresses were left out."""

    groups: Groups
    too_many: int
    invalid: int


def is_mirrored(endpoints: core_v1.Endpoints | None, service: core_v1.Service | None) -> bool:
    """Whether these Endpoints are a user's, for a Service that has no selector."""
    if endpoints is None or service is None or service.spec.selector:
        return False
    if endpoints.metadata.deletionTimestamp is not None or endpoints.metadata.labels.get(SKIP) == "true":
        return False
    return _LEADER not in endpoints.metadata.annotations


def owner_of(endpoints: core_v1.Endpoints) -> Owner:
    metadata = endpoints.metadata
    annotations = {key: text for key, text in metadata.annotations.items() if key != _LAST_APPLIED}
    reference = meta.owner_reference(endpoints)
    return Owner(metadata.namespace, metadata.name, MANAGED_BY, reference, metadata.labels, annotations)


def mirrored(endpoints: core_v1.Endpoints) -> Mirrored:
    groups: Groups = {}
    too_many = invalid = 0
    for subset in endpoints.subsets or ():
        listed = list(_addresses(subset))
        too_many += max(0, len(listed) - SUBSET_ADDRESSES_MAX)
        ports = _ports(subset)
        for address, ready in listed[:SUBSET_ADDRESSES_MAX]:
            kind = _kind(address.ip)
            if not kind:
                invalid += 1
                continue
            groups.setdefault((kind, ports), []).append(_endpoint(address, ready))
    return Mirrored(groups, too_many, invalid)


def _addresses(subset: core_v1.EndpointSubset) -> Iterator[tuple[core_v1.EndpointAddress, bool]]:
    for address in subset.addresses or ():
        yield address, True
    for address in subset.notReadyAddresses or ():
        yield address, False


def _kind(ip: str) -> str:
    try:
        return f"IPv{ipaddress.ip_address(ip).version}"
    except ValueError:
        return ""


def _ports(subset: core_v1.EndpointSubset) -> Ports:
    found = ((p.name or "", p.port, p.protocol or "TCP", p.appProtocol) for p in subset.ports or ())
    return tuple(sorted(found, key=lambda entry: entry[:3]))


def _endpoint(address: core_v1.EndpointAddress, ready: bool) -> discovery_v1.Endpoint:
    return discovery_v1.Endpoint(
        addresses=[address.ip],
        conditions=discovery_v1.EndpointConditions(ready=ready),
        hostname=address.hostname or None,
        nodeName=address.nodeName,
        targetRef=address.targetRef,
    )
