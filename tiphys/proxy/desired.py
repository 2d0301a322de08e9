"""What the kernel must hold for one Service. Pure: a ``Plan`` of chains, sets and elements.

The skeleton, which is the same for all Services, is in ``skeleton``. Chains of a
service port:

- ``svc`` sends to any endpoint, ``loc`` to one of this node;
- ``ext`` receives what comes from outside (node port, external and load balancer
  address) and decides by the external traffic policy;
- ``fw`` drops what the load balancer's source ranges do not name;
- ``ep`` exists only with session affinity, one per endpoint.
"""

import hashlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Network

from tiphys.proxy import skeleton
from tiphys.proxy.choice import Choice, choose
from tiphys.proxy.config import ProxyConfig
from tiphys.proxy.services import Endpoint, Endpoints, Port, Service
from tiphys.wire import nftables as nft

_NAME_LENGTH = 100


@dataclass(frozen=True, slots=True)
class Balance:
    """The end of a rule: one of the targets by chance, an address and port or a chain."""

    targets: tuple[bytes | nft.Verdict, ...]


RuleParts = tuple[bytes | Balance, ...]


@dataclass(slots=True)
class Plan:
    """Chains by name with their rules, sets by name, and elements of the skeleton's sets."""

    chains: dict[str, tuple[RuleParts, ...]] = field(default_factory=dict)
    sets: dict[str, nft.SetSpec] = field(default_factory=dict)
    elements: dict[tuple[str, bytes], nft.Verdict | None] = field(default_factory=dict)
    #: UDP service addresses, and UDP endpoints: their connection tracking outlives them and must be removed.
    udp_addresses: frozenset[tuple[str, int]] = frozenset()
    udp_node_ports: frozenset[int] = frozenset()
    udp_endpoints: frozenset[tuple[str, int]] = frozenset()
    #: Port of the health check and how many endpoints of this node it reports.
    health_check: tuple[int, int] | None = None


def plan(service: Service, endpoints: Endpoints, config: ProxyConfig, zone: str = "") -> Plan:
    """The rules of one Service with these endpoints."""
    result = Plan()
    result.elements[skeleton.CLUSTER_IPS.name, socket.inet_aton(service.cluster_ip)] = None
    udp_addresses: set[tuple[str, int]] = set()
    udp_node_ports: set[int] = set()
    udp_endpoints: set[tuple[str, int]] = set()
    local_addresses: set[str] = set()
    for port in service.ports:
        if port.protocol not in nft.PROTOCOLS:
            continue
        choice = choose(endpoints.get((port.name, port.protocol), ()), config.node_name, zone)
        _PortPlan(service, port, choice, config, result).write()
        local_addresses.update(each.address for each in choice.local)
        if port.protocol == "UDP":
            udp_addresses.update((address, port.port) for address in _addresses(service))
            if port.node_port:
                udp_node_ports.add(port.node_port)
            udp_endpoints.update((each.address, each.port) for each in (*choice.cluster, *choice.local))
    result.udp_addresses = frozenset(udp_addresses)
    result.udp_node_ports = frozenset(udp_node_ports)
    result.udp_endpoints = frozenset(udp_endpoints)
    if service.health_check_node_port:
        result.health_check = service.health_check_node_port, len(local_addresses)
    return result


def _addresses(service: Service) -> tuple[str, ...]:
    return service.cluster_ip, *service.external_ips, *service.load_balancer_ips


class _PortPlan:
    """Writes one service port into a plan."""

    def __init__(self, service: Service, port: Port, choice: Choice, config: ProxyConfig, result: Plan) -> None:
        self._service = service
        self._port = port
        self._choice = choice
        self._config = config
        self._result = result
        text = f"{service.namespace}/{service.name}/{port.protocol.lower()}/{port.name}"
        digest = hashlib.blake2b(text.encode(), digest_size=5).hexdigest()
        self._suffix = f"{digest}-{text}"[:_NAME_LENGTH]

    def _name(self, kind: str) -> str:
        return f"{kind}-{self._suffix}"

    def write(self) -> None:
        service, choice = self._service, self._choice
        if choice.cluster:
            self._balance_chain("svc", choice.cluster, (self._masquerade_strangers(),))
        if (service.internal_local or service.external_local) and choice.local:
            self._balance_chain("loc", choice.local, ())
        self._hairpins()
        self._internal()
        externals = (*service.external_ips, *service.load_balancer_ips)
        if not externals and not self._port.node_port:
            return
        verdict, filtered = self._external()
        for address in externals:
            self._address_element(address, verdict, filtered)
        self._node_port_element(verdict, filtered)
        self._firewall()

    def _internal(self) -> None:
        kind, endpoints = "svc", self._choice.cluster
        if self._service.internal_local:
            kind, endpoints = "loc", self._choice.local
        if endpoints:
            self._address_element(self._service.cluster_ip, nft.goto(self._name(kind)), None)
        else:
            self._address_element(self._service.cluster_ip, None, self._refusal())

    def _refusal(self) -> nft.Verdict:
        """Refused if nobody serves at all; silently dropped if only this node has nobody, as Kubernetes does."""
        return nft.DROP if self._choice.any else nft.goto(skeleton.REJECT)

    def _external(self) -> tuple[nft.Verdict | None, nft.Verdict | None]:
        """Where traffic from outside goes, and what happens to that which goes nowhere."""
        if not self._choice.cluster:
            return None, self._refusal()
        to_service = nft.decide(nft.goto(self._name("svc")))
        mark = nft.set_mark(self._config.mark)
        if not self._service.external_local:
            rules: list[RuleParts] = [(*mark, to_service)]
            filtered = None
        else:
            cluster = IPv4Network(self._config.cluster_cidr)
            pods = nft.source_in(cluster.network_address.packed, cluster.netmask.packed)
            # Pods and the node itself need not leave and come back: to them it is a cluster address.
            rules = [(*pods, to_service), (*nft.source_is_local(), *mark, to_service)]
            filtered = None if self._choice.local else nft.DROP
            if self._choice.local:
                rules.append((nft.decide(nft.goto(self._name("loc"))),))
        self._result.chains[self._name("ext")] = tuple(rules)
        return nft.goto(self._name("ext")), filtered

    def _key(self, address: str) -> bytes:
        port = nft.port_bytes(self._port.port)
        return nft.concat(socket.inet_aton(address), nft.protocol_byte(self._port.protocol), port)

    def _address_element(self, address: str, verdict: nft.Verdict | None, filtered: nft.Verdict | None) -> None:
        key = self._key(address)
        if verdict is not None:
            self._result.elements[skeleton.SERVICES.name, key] = verdict
        if filtered is not None:
            self._result.elements[skeleton.NO_ENDPOINTS.name, key] = filtered

    def _node_port_element(self, verdict: nft.Verdict | None, filtered: nft.Verdict | None) -> None:
        if not self._port.node_port:
            return
        key = nft.concat(nft.protocol_byte(self._port.protocol), nft.port_bytes(self._port.node_port))
        if verdict is not None:
            self._result.elements[skeleton.NODE_PORTS.name, key] = verdict
        if filtered is not None:
            self._result.elements[skeleton.NO_ENDPOINTS_NODE_PORTS.name, key] = filtered

    def _firewall(self) -> None:
        if not self._service.source_ranges or not self._service.load_balancer_ips:
            return
        rules: list[RuleParts] = []
        for text in self._service.source_ranges:
            network = IPv4Network(text, strict=False)
            if network.prefixlen == 0:
                return
            inside = nft.source_in(network.network_address.packed, network.netmask.packed)
            rules.append((*inside, nft.decide(nft.RETURN)))
        rules.append((nft.decide(nft.DROP),))
        self._result.chains[self._name("fw")] = tuple(rules)
        for address in self._service.load_balancer_ips:
            self._result.elements[skeleton.FIREWALL.name, self._key(address)] = nft.goto(self._name("fw"))

    def _masquerade_strangers(self) -> RuleParts:
        """Who is no Pod could get the answer past this node, untranslated."""
        cluster = IPv4Network(self._config.cluster_cidr)
        return (
            nft.ip_destination(),
            nft.compare(socket.inet_aton(self._service.cluster_ip)),
            *nft.source_in(cluster.network_address.packed, cluster.netmask.packed, negate=True),
            *nft.set_mark(self._config.mark),
        )

    def _hairpins(self) -> None:
        for endpoint in self._choice.local:
            packed = socket.inet_aton(endpoint.address)
            self._result.elements[skeleton.HAIRPINS.name, packed + packed] = None

    def _balance_chain(self, kind: str, endpoints: tuple[Endpoint, ...], first: tuple[RuleParts, ...]) -> None:
        if self._service.affinity_seconds:
            rules = tuple(self._with_affinity(endpoints))
        else:
            targets = tuple(_target(each) for each in endpoints)
            to_target = nft.dnat(nft.NFPROTO_IPV4, nft.REG, nft.REG + 1)
            rules = ((Balance(targets), to_target),)
        self._result.chains[self._name(kind)] = (*first, *rules)

    def _with_affinity(self, endpoints: tuple[Endpoint, ...]) -> Iterator[RuleParts]:
        """First to the endpoint that remembers the client, otherwise to any, which then remembers it."""
        chains = {each: self._endpoint_chain(each) for each in endpoints}
        for endpoint in endpoints:
            yield (nft.ip_source(), nft.lookup(self._clients(endpoint)), nft.decide(nft.goto(chains[endpoint])))
        yield (Balance(tuple(nft.goto(chains[each]) for each in endpoints)),)

    def _clients(self, endpoint: Endpoint) -> str:
        return f"{self._name('clients')}/{endpoint.address}/{endpoint.port}"

    def _endpoint_chain(self, endpoint: Endpoint) -> str:
        name = f"{self._name('ep')}/{endpoint.address}/{endpoint.port}"
        clients = self._clients(endpoint)
        seconds = self._service.affinity_seconds
        flags = nft.NFT_SET_TIMEOUT | nft.NFT_SET_EVAL
        self._result.sets[clients] = nft.SetSpec(clients, (nft.IPV4,), flags=flags, timeout_seconds=seconds)
        address, port = socket.inet_aton(endpoint.address), nft.port_bytes(endpoint.port)
        self._result.chains[name] = (
            (nft.ip_source(), nft.remember(clients, nft.REG, seconds)),
            (
                nft.immediate(address),
                nft.immediate(port, nft.REG + 1),
                nft.dnat(nft.NFPROTO_IPV4, nft.REG, nft.REG + 1),
            ),
        )
        return name


def _target(endpoint: Endpoint) -> bytes:
    return nft.concat(socket.inet_aton(endpoint.address), nft.port_bytes(endpoint.port))
