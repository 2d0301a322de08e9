"""Into which slices endpoints go, so that few slices change. Pure.

An endpoint stays in its slice. What is new fills slices that must be written
anyway, then makes new full slices, and the rest goes where it just fits: one
write to one slice reaches every node, so writes are dearer than half-empty slices.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from tiphys.api import discovery_v1, meta_v1
from tiphys.controllers.endpointslice.desired import Groups, Ports, ports_of, slice_ports

SERVICE_LABEL = "kubernetes.io/service-name"
MANAGED_BY_LABEL = "endpointslice.kubernetes.io/managed-by"
#: Endpoints in one slice at most.
CAPACITY = 100

Endpoint = discovery_v1.Endpoint
EndpointSlice = discovery_v1.EndpointSlice


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose slices these are. ``reference`` is to the object that they go with."""

    namespace: str
    #: The Service, which names begin with.
    service: str
    managed_by: str
    reference: meta_v1.OwnerReference
    labels: Mapping[str, str]
    #: None leaves those of a slice alone.
    annotations: Mapping[str, str] | None = None

    def all_labels(self) -> dict[str, str]:
        return {**self.labels, SERVICE_LABEL: self.service, MANAGED_BY_LABEL: self.managed_by}


@dataclass(slots=True)
class Plan:
    """What to write, and what to remove."""

    create: list[EndpointSlice] = field(default_factory=list)
    update: list[EndpointSlice] = field(default_factory=list)
    delete: list[EndpointSlice] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        return not (self.create or self.update or self.delete)


@dataclass(slots=True)
class _Bin:
    """A slice and what it will hold."""

    slice: EndpointSlice
    endpoints: list[Endpoint]
    changed: bool

    @property
    def room(self) -> int:
        return CAPACITY - len(self.endpoints)


def plan(owner: Owner, existing: Sequence[EndpointSlice], groups: Groups) -> Plan:
    """Changes that turn ``existing`` slices of ``owner`` into ``groups``; empty if they say the same."""
    result = Plan()
    unclaimed = {found.metadata.name: found for found in existing}
    for (address_type, ports), endpoints in groups.items():
        own = [found for found in unclaimed.values() if found.addressType == address_type and ports_of(found) == ports]
        for found in own:
            del unclaimed[found.metadata.name]
        _pack(owner, address_type, ports, own, endpoints, result)
    result.delete.extend(unclaimed.values())
    return result


def _pack(
    owner: Owner,
    address_type: str,
    ports: Ports,
    own: Sequence[EndpointSlice],
    endpoints: Sequence[Endpoint],
    result: Plan,
) -> None:
    missing = {_identity(endpoint): endpoint for endpoint in endpoints}
    bins = [_kept(found, missing, owner) for found in own]
    rest = list(missing.values())
    for bin in sorted((b for b in bins if b.changed and b.endpoints), key=lambda b: b.room):
        rest = _fill(bin, rest)
    while len(rest) >= CAPACITY:
        result.create.append(_new(owner, address_type, ports, rest[:CAPACITY]))
        rest = rest[CAPACITY:]
    if rest:
        fitting = [bin for bin in bins if bin.room >= len(rest)]
        if fitting:
            rest = _fill(min(fitting, key=lambda bin: bin.room), rest)
    # An empty service keeps one slice that says so.
    if rest or not (endpoints or bins):
        result.create.append(_new(owner, address_type, ports, rest))
    spare = [] if endpoints else bins[:1]
    for bin in bins:
        if not bin.endpoints and bin not in spare:
            result.delete.append(bin.slice)
        elif bin.changed:
            result.update.append(_updated(owner, bin))


def _identity(endpoint: Endpoint) -> tuple[object, ...]:
    return (tuple(endpoint.addresses), endpoint.targetRef.uid if endpoint.targetRef else None)


def _kept(found: EndpointSlice, missing: dict[tuple[object, ...], Endpoint], owner: Owner) -> _Bin:
    """The slice with what stays in it, in the newest form; that is then no longer ``missing``."""
    kept: list[Endpoint] = []
    changed = found.metadata.labels != owner.all_labels() or owner.annotations not in (None, found.metadata.annotations)
    for old in found.endpoints or ():
        new = missing.pop(_identity(old), None)
        changed = changed or new != old
        if new is not None:
            kept.append(new)
    return _Bin(found, kept, changed)


def _fill(bin: _Bin, rest: list[Endpoint]) -> list[Endpoint]:
    if bin.room <= 0 or not rest:
        return rest
    taken, left = rest[: bin.room], rest[bin.room :]
    bin.endpoints.extend(taken)
    bin.changed = True
    return left


def _updated(owner: Owner, bin: _Bin) -> EndpointSlice:
    metadata = msgspec.structs.replace(bin.slice.metadata, labels=owner.all_labels())
    if owner.annotations is not None:
        metadata.annotations = dict(owner.annotations)
    return msgspec.structs.replace(bin.slice, metadata=metadata, endpoints=bin.endpoints)


def _new(owner: Owner, address_type: str, ports: Ports, endpoints: list[Endpoint]) -> EndpointSlice:
    return EndpointSlice(
        metadata=meta_v1.ObjectMeta(
            generateName=f"{owner.service}-",
            namespace=owner.namespace,
            labels=owner.all_labels(),
            annotations=dict(owner.annotations or {}),
            ownerReferences=[owner.reference],
        ),
        addressType=address_type,
        endpoints=endpoints,
        ports=slice_ports(ports),
    )
