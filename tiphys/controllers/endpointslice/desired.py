"""The endpoints of a Service, grouped by address type and ports. Pure."""

from collections.abc import Iterable, Mapping
from typing import TypeAlias

from tiphys.api import core_v1, discovery_v1
from tiphys.controllers import pods as podfacts
from tiphys.controllers import services

#: (name, port, protocol, appProtocol) of each port, sorted: what makes slices different.
Ports: TypeAlias = tuple[tuple[str, int, str, str | None], ...]
#: Address type and ports, and the endpoints that have them.
Groups: TypeAlias = dict[tuple[str, Ports], list[discovery_v1.Endpoint]]


def desired(service: core_v1.Service, pods: Iterable[core_v1.Pod], zones: Mapping[str, str]) -> Groups:
    """All endpoints of ``service``; ``zones`` maps node names to zones.

    A service without any endpoint has an empty group for each address type.
    """
    groups: Groups = {}
    listed = [pod for pod in pods if services.belongs(pod, include_terminating=True)]
    for address_type in address_types(service):
        for pod in listed:
            found = [ip for ip in services.addresses(pod) if (":" in ip) == (address_type == "IPv6")]
            if found:
                group = (address_type, ports(service, pod))
                groups.setdefault(group, []).append(endpoint(service, pod, found, zones))
        if not any(kind == address_type for kind, _ in groups):
            groups[address_type, ()] = []
    return groups


def address_types(service: core_v1.Service) -> tuple[str, ...]:
    """IPv4, IPv6 or both, the Service's primary family first."""
    if service.spec.ipFamilies:
        return tuple(service.spec.ipFamilies)
    return ("IPv6",) if ":" in (service.spec.clusterIP or "") else ("IPv4",)


def ports(service: core_v1.Service, pod: core_v1.Pod) -> Ports:
    """The Service's ports as this Pod serves them; a port that it lacks is left out."""
    found = []
    for port in service.spec.ports or ():
        number = services.find_port(pod, port)
        if number is not None:
            found.append((port.name or "", number, port.protocol or "TCP", port.appProtocol))
    return tuple(sorted(found, key=lambda entry: entry[:3]))


def endpoint(
    service: core_v1.Service, pod: core_v1.Pod, found: list[str], zones: Mapping[str, str]
) -> discovery_v1.Endpoint:
    serving = podfacts.is_ready(pod)
    terminating = pod.metadata.deletionTimestamp is not None
    ready = bool(service.spec.publishNotReadyAddresses) or (serving and not terminating)
    node = pod.spec.nodeName or None
    return discovery_v1.Endpoint(
        addresses=found,
        conditions=discovery_v1.EndpointConditions(ready=ready, serving=serving, terminating=terminating),
        hostname=services.hostname(pod, service),
        targetRef=services.target_ref(pod),
        nodeName=node,
        zone=zones.get(node) if node else None,
    )


def slice_ports(wanted: Ports) -> list[discovery_v1.EndpointPort]:
    return [
        discovery_v1.EndpointPort(name=name, port=port, protocol=protocol, appProtocol=app)
        for name, port, protocol, app in wanted
    ]


def ports_of(found: discovery_v1.EndpointSlice) -> Ports:
    """The group to which an existing slice belongs."""
    entries = ((p.name or "", p.port or 0, p.protocol or "TCP", p.appProtocol) for p in found.ports or ())
    return tuple(sorted(entries, key=lambda entry: entry[:3]))
