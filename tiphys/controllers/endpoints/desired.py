"""The subsets of an Endpoints object. Pure."""

from collections.abc import Iterable
from typing import TypeAlias

import msgspec

from tiphys.api import core_v1, meta_v1
from tiphys.controllers import pods as podfacts
from tiphys.controllers import services

MANAGED_BY_LABEL = "endpoints.kubernetes.io/managed-by"
MANAGED_BY = "endpoint-controller"
OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity"
#: Addresses in one object at most; the rest is left to EndpointSlices.
CAPACITY = 1000

_Port: TypeAlias = tuple[str, int, str, str]
_Address: TypeAlias = tuple[str, str]


def subsets(service: core_v1.Service, pods: Iterable[core_v1.Pod]) -> list[core_v1.EndpointSubset]:
    """Ports and addresses, those with equal addresses joined, in canonical order."""
    unready_counts = bool(service.spec.publishNotReadyAddresses)
    family_six = (service.spec.ipFamilies or ["IPv4"])[0] == "IPv6"
    addresses: dict[_Address, core_v1.EndpointAddress] = {}
    #: port -> address -> whether it is ready there
    members: dict[_Port | None, dict[_Address, bool]] = {}
    for pod in pods:
        if not services.belongs(pod, include_terminating=unready_counts):
            continue
        ip = next((ip for ip in services.addresses(pod) if (":" in ip) == family_six), None)
        if ip is None:
            continue
        key = (ip, pod.metadata.uid)
        addresses[key] = core_v1.EndpointAddress(
            ip=ip,
            nodeName=pod.spec.nodeName or None,
            hostname=services.hostname(pod, service),
            targetRef=services.target_ref(pod),
        )
        ready = unready_counts or podfacts.is_ready(pod)
        for port in _ports(service, pod):
            members.setdefault(port, {})[key] = ready
    return _packed(members, addresses)


def _ports(service: core_v1.Service, pod: core_v1.Pod) -> list[_Port | None]:
    """The ports that ``pod`` serves. A headless Service without ports lists addresses alone."""
    if not service.spec.ports:
        return [None] if services.is_headless(service) else []
    found: list[_Port | None] = []
    for port in service.spec.ports:
        number = services.find_port(pod, port)
        if number is not None:
            found.append((port.name or "", number, port.protocol or "TCP", port.appProtocol or ""))
    return found


def _packed(
    members: dict[_Port | None, dict[_Address, bool]], addresses: dict[_Address, core_v1.EndpointAddress]
) -> list[core_v1.EndpointSubset]:
    groups: dict[tuple[tuple[_Address, bool], ...], list[_Port]] = {}
    for port, served in members.items():
        ports = groups.setdefault(tuple(sorted(served.items())), [])
        if port is not None:
            ports.append(port)
    found = [_subset(served, sorted(ports), addresses) for served, ports in groups.items()]
    return sorted(found, key=lambda subset: msgspec.json.encode(subset))


def _subset(
    served: tuple[tuple[_Address, bool], ...],
    ports: list[_Port],
    addresses: dict[_Address, core_v1.EndpointAddress],
) -> core_v1.EndpointSubset:
    return core_v1.EndpointSubset(
        addresses=[addresses[key] for key, ready in served if ready] or None,
        notReadyAddresses=[addresses[key] for key, ready in served if not ready] or None,
        ports=[
            core_v1.EndpointPort(name=name or None, port=port, protocol=protocol, appProtocol=app or None)
            for name, port, protocol, app in ports
        ]
        or None,
    )


def truncated(found: list[core_v1.EndpointSubset]) -> tuple[list[core_v1.EndpointSubset], bool]:
    """At most CAPACITY addresses, ready ones first; and whether any had to go."""
    ready = sum(len(subset.addresses or ()) for subset in found)
    if ready + sum(len(subset.notReadyAddresses or ()) for subset in found) <= CAPACITY:
        return found, False
    room_ready, room_other = min(ready, CAPACITY), max(0, CAPACITY - ready)
    result = []
    for subset in found:
        kept = (subset.addresses or [])[:room_ready]
        others = (subset.notReadyAddresses or [])[:room_other]
        room_ready -= len(kept)
        room_other -= len(others)
        if kept or others:
            result.append(msgspec.structs.replace(subset, addresses=kept or None, notReadyAddresses=others or None))
    return result, True


def desired(
    service: core_v1.Service, pods: Iterable[core_v1.Pod], current: core_v1.Endpoints | None
) -> core_v1.Endpoints | None:
    """The object to write; None if ``current`` says the same."""
    found, over = truncated(subsets(service, pods))
    base = current or core_v1.Endpoints(
        metadata=meta_v1.ObjectMeta(name=service.metadata.name, namespace=service.metadata.namespace)
    )
    labels = {**services.labels_of(service), MANAGED_BY_LABEL: MANAGED_BY}
    annotations = {key: text for key, text in base.metadata.annotations.items() if key != OVER_CAPACITY}
    if over:
        annotations[OVER_CAPACITY] = "truncated"
    metadata = msgspec.structs.replace(base.metadata, labels=labels, annotations=annotations)
    new = msgspec.structs.replace(base, metadata=metadata, subsets=found or None)
    return None if current is not None and new == current else new
