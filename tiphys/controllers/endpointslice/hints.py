"""Which zones and nodes an endpoint is meant for. Pure.

``trafficDistribution`` of a Service says how near traffic should stay; each
ready endpoint then names its own zone or node. The older annotation
``service.kubernetes.io/topology-mode: Auto`` deals endpoints out to zones by
their share of the nodes' CPUs, and to none if that cannot be even.
Source: KEP-4444 Traffic Distribution for Services; KEP-2433 Topology Aware Hints; KEP-3015 PreferSameZone and
PreferSameNode.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from tiphys.api import core_v1, discovery_v1
from tiphys.machinery import quantity

ZONE_LABEL: Final = "topology.kubernetes.io/zone"
MODE: Final = "service.kubernetes.io/topology-mode"
#: Its name before 1.27.
_OLD_MODE: Final = "service.kubernetes.io/topology-aware-hints"
_CONTROL_PLANE: Final = ("node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master")
#: How much more than its share of endpoints a zone may have to carry.
OVERLOAD: Final = 0.2

Endpoint = discovery_v1.Endpoint


class Zones(NamedTuple):
    """Zone of each node, and each zone's share of all CPUs; no shares and a reason where they cannot be told."""

    of_node: Mapping[str, str]
    shares: Mapping[str, float]
    problem: str = ""


def zone_of(node: core_v1.Node) -> str:
    return node.metadata.labels.get(ZONE_LABEL, "")


def facts_of(node: core_v1.Node) -> tuple[object, ...]:
    """All of a node that zones and shares are made of."""
    control_plane = any(label in node.metadata.labels for label in _CONTROL_PLANE)
    return zone_of(node), control_plane, _is_ready_node(node), (node.status.allocatable or {}).get("cpu")


def _is_ready_node(node: core_v1.Node) -> bool:
    return any(found.type == "Ready" and found.status == "True" for found in node.status.conditions or ())


def zones(nodes: Iterable[core_v1.Node]) -> Zones:
    of_node: dict[str, str] = {}
    cpus: Counter[str] = Counter()
    problem = ""
    for node in nodes:
        zone = zone_of(node)
        if zone:
            of_node[node.metadata.name] = zone
        if any(label in node.metadata.labels for label in _CONTROL_PLANE) or not _is_ready_node(node):
            continue
        milli = quantity.milli((node.status.allocatable or {}).get("cpu", "0"))
        if not zone or not milli:
            problem = "Insufficient Node information: allocatable CPU or zone not specified on one or more nodes"
        cpus[zone] += milli
    if not problem and len(cpus) < 2:
        problem = "Nodes only ready in one zone"
    total = cpus.total()
    return Zones(of_node, {} if problem else {zone: count / total for zone, count in cpus.items()}, problem)


def wants_shares(service: core_v1.Service) -> bool:
    """Whether the annotation asks for endpoints by zones' shares."""
    annotations = service.metadata.annotations
    return annotations.get(MODE, annotations.get(_OLD_MODE, "")) in ("Auto", "auto")


def with_hints(
    service: core_v1.Service, endpoints: Sequence[Endpoint], known: Zones
) -> tuple[list[Endpoint], str | None]:
    """Endpoints with their hints; and, where the annotation asks, why there are none (empty: there are)."""
    if wants_shares(service):
        problem = known.problem or _too_few(endpoints, known.shares)
        return (list(endpoints) if problem else _dealt(endpoints, known.shares)), problem
    near = service.spec.trafficDistribution
    if near in ("PreferClose", "PreferSameZone", "PreferSameNode"):
        return [_near(endpoint, near == "PreferSameNode") for endpoint in endpoints], None
    return list(endpoints), None


def _is_ready(endpoint: Endpoint) -> bool:
    return endpoint.conditions is not None and endpoint.conditions.ready is not False


def _near(endpoint: Endpoint, same_node: bool) -> Endpoint:
    if not _is_ready(endpoint):
        return endpoint
    zone, node = endpoint.zone, endpoint.nodeName
    found = discovery_v1.EndpointHints(
        forZones=[discovery_v1.ForZone(name=zone)] if zone else None,
        forNodes=[discovery_v1.ForNode(name=node)] if same_node and node else None,
    )
    return msgspec.structs.replace(endpoint, hints=found) if zone or found.forNodes else endpoint


def _minimum(share: float, total: int) -> int:
    return math.ceil(share * total / (1 + OVERLOAD))


def _too_few(endpoints: Sequence[Endpoint], shares: Mapping[str, float]) -> str:
    ready = [endpoint for endpoint in endpoints if _is_ready(endpoint)]
    if any(not endpoint.zone for endpoint in ready):
        return "One or more endpoints do not have a zone specified"
    if len(ready) < len(shares):
        return f"Insufficient number of endpoints ({len(ready)} endpoints, {len(shares)} zones)"
    if sum(_minimum(share, len(ready)) for share in shares.values()) > len(ready):
        return "Unable to allocate minimum required endpoints to each zone without exceeding overload threshold"
    return ""


def _dealt(endpoints: Sequence[Endpoint], shares: Mapping[str, float]) -> list[Endpoint]:
    """Each zone keeps its own endpoints up to its share; what is left over goes where most are wanting."""
    ready = [endpoint for endpoint in endpoints if _is_ready(endpoint)]
    wanting = {zone: share * len(ready) for zone, share in shares.items()}
    own: defaultdict[str, list[Endpoint]] = defaultdict(list)
    for endpoint in sorted(ready, key=lambda one: one.addresses):
        own[endpoint.zone or ""].append(endpoint)
    chosen: dict[int, str] = {}
    left: list[Endpoint] = []
    for zone, members in sorted(own.items()):
        keep = min(len(members), math.ceil(wanting.get(zone, 0.0)))
        for endpoint in members[:keep]:
            chosen[id(endpoint)] = zone
            wanting[zone] -= 1
        left.extend(members[keep:])
    for endpoint in left:
        zone = max(sorted(wanting), key=lambda name: wanting[name])
        chosen[id(endpoint)] = zone
        wanting[zone] -= 1
    return [_for_zone(endpoint, chosen.get(id(endpoint))) for endpoint in endpoints]


def _for_zone(endpoint: Endpoint, zone: str | None) -> Endpoint:
    if zone is None:
        return endpoint
    hints = discovery_v1.EndpointHints(forZones=[discovery_v1.ForZone(name=zone)])
    return msgspec.structs.replace(endpoint, hints=hints)
