"""The proxy's own view of Services and EndpointSlices: only what decides about packets, IPv4 only."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address

from tiphys.api import core_v1, discovery_v1

SERVICE_NAME_LABEL = "kubernetes.io/service-name"
PROXY_NAME_LABEL = "service.kubernetes.io/service-proxy-name"
HEADLESS_LABEL = "service.kubernetes.io/headless"
_DEFAULT_AFFINITY_SECONDS = 10800


@dataclass(frozen=True, slots=True)
class Port:
    name: str
    protocol: str
    port: int
    node_port: int


@dataclass(frozen=True, slots=True)
class Service:
    namespace: str
    name: str
    cluster_ip: str
    ports: tuple[Port, ...]
    external_ips: tuple[str, ...] = ()
    load_balancer_ips: tuple[str, ...] = ()
    source_ranges: tuple[str, ...] = ()
    internal_local: bool = False
    external_local: bool = False
    #: 0 for no affinity.
    affinity_seconds: int = 0
    health_check_node_port: int = 0

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True, order=True)
class Endpoint:
    address: str
    port: int
    local: bool = False
    ready: bool = True
    serving: bool = True
    terminating: bool = False
    zones: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()


def is_ipv4(address: str) -> bool:
    try:
        IPv4Address(address)
    except AddressValueError:
        return False
    return True


def service_of(obj: core_v1.Service) -> Service | None:
    """The view; None for a Service that needs no rules: headless, external name, another proxy's, IPv6."""
    spec = obj.spec
    labels = obj.metadata.labels
    if spec.type == "ExternalName" or PROXY_NAME_LABEL in labels:
        return None
    cluster_ip = next((ip for ip in spec.clusterIPs or [spec.clusterIP or ""] if is_ipv4(ip)), "")
    if not cluster_ip:
        return None
    ingress = obj.status.loadBalancer.ingress or []
    return Service(
        namespace=obj.metadata.namespace,
        name=obj.metadata.name,
        cluster_ip=cluster_ip,
        ports=tuple(
            Port(port.name or "", port.protocol or "TCP", port.port, port.nodePort or 0) for port in spec.ports or []
        ),
        external_ips=tuple(ip for ip in spec.externalIPs or [] if is_ipv4(ip)),
        load_balancer_ips=tuple(
            each.ip for each in ingress if each.ip and is_ipv4(each.ip) and each.ipMode in (None, "VIP")
        ),
        source_ranges=tuple(text.strip() for text in spec.loadBalancerSourceRanges or [] if ":" not in text),
        internal_local=spec.internalTrafficPolicy == "Local",
        external_local=spec.externalTrafficPolicy == "Local",
        affinity_seconds=_affinity_seconds(spec),
        health_check_node_port=spec.healthCheckNodePort or 0,
    )


def _affinity_seconds(spec: core_v1.ServiceSpec) -> int:
    if spec.sessionAffinity != "ClientIP":
        return 0
    config = spec.sessionAffinityConfig
    client = config.clientIP if config else None
    return (client.timeoutSeconds if client else None) or _DEFAULT_AFFINITY_SECONDS


def service_key_of(slice_: discovery_v1.EndpointSlice) -> str | None:
    """``namespace/name`` of the Service that the slice belongs to; None if the proxy has no use for it."""
    name = slice_.metadata.labels.get(SERVICE_NAME_LABEL)
    if not name or slice_.addressType != "IPv4" or HEADLESS_LABEL in slice_.metadata.labels:
        return None
    return f"{slice_.metadata.namespace}/{name}"


Endpoints = dict[tuple[str, str], tuple[Endpoint, ...]]


def endpoints_of(slices: Iterable[discovery_v1.EndpointSlice], node_name: str) -> Endpoints:
    """Endpoints by port name and protocol, sorted; an address in several slices counts once."""
    found: dict[tuple[str, str], dict[tuple[str, int], Endpoint]] = {}
    for slice_ in slices:
        for port in slice_.ports or []:
            if not port.port:
                continue
            chosen = found.setdefault((port.name or "", port.protocol or "TCP"), {})
            for endpoint in _endpoints(slice_, port.port, node_name):
                # While an endpoint moves between slices it may be in both; the better state counts.
                known = chosen.get((endpoint.address, endpoint.port))
                if known is None or (endpoint.ready and not known.ready):
                    chosen[endpoint.address, endpoint.port] = endpoint
    return {key: tuple(sorted(chosen.values())) for key, chosen in found.items()}


def _endpoints(slice_: discovery_v1.EndpointSlice, port: int, node_name: str) -> Iterator[Endpoint]:
    for endpoint in slice_.endpoints or []:
        # Only the first address counts. Source: discovery/v1 Endpoint, "consumers ... may use only the first".
        if not endpoint.addresses or not is_ipv4(endpoint.addresses[0]):
            continue
        conditions = endpoint.conditions or discovery_v1.EndpointConditions()
        ready = conditions.ready is not False
        hints = endpoint.hints
        yield Endpoint(
            address=endpoint.addresses[0],
            port=port,
            local=endpoint.nodeName == node_name,
            ready=ready,
            serving=ready if conditions.serving is None else conditions.serving,
            terminating=bool(conditions.terminating),
            zones=tuple(zone.name for zone in (hints.forZones if hints else None) or []),
            nodes=tuple(node.name for node in (hints.forNodes if hints else None) or []),
        )
