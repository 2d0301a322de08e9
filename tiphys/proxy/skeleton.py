"""The part of the rules that is the same whatever Services there are.

New connections are looked up by address, protocol and port, then, on addresses
of this host, by protocol and port; that cost does not grow with the number of
Services. What has no endpoint is refused where the packet would be forwarded,
delivered or sent, because only there a rule can answer.
"""

from ipaddress import IPv4Network

from tiphys.proxy.config import ProxyConfig
from tiphys.wire import nftables as nft

_ADDRESS_KEY = (nft.IPV4, nft.PROTOCOL, nft.PORT)
_PORT_KEY = (nft.PROTOCOL, nft.PORT)
SERVICES = nft.SetSpec("services", _ADDRESS_KEY, verdicts=True)
NODE_PORTS = nft.SetSpec("node-ports", _PORT_KEY, verdicts=True)
NO_ENDPOINTS = nft.SetSpec("no-endpoints", _ADDRESS_KEY, verdicts=True)
NO_ENDPOINTS_NODE_PORTS = nft.SetSpec("no-endpoints-node-ports", _PORT_KEY, verdicts=True)
FIREWALL = nft.SetSpec("firewall", _ADDRESS_KEY, verdicts=True)
CLUSTER_IPS = nft.SetSpec("cluster-ips", (nft.IPV4,))
#: Pairs of equal addresses: nftables cannot compare source and destination with each other.
HAIRPINS = nft.SetSpec("hairpins", (nft.IPV4, nft.IPV4))
SETS = (SERVICES, NODE_PORTS, NO_ENDPOINTS, NO_ENDPOINTS_NODE_PORTS, FIREWALL, CLUSTER_IPS, HAIRPINS)

DISPATCH, REFUSE, REJECT = "dispatch", "refuse", "reject"
_BEFORE_NAT, _AFTER_NAT = nft.NF_IP_PRI_NAT_DST - 10, nft.NF_IP_PRI_NAT_DST + 10
BASE_CHAINS = (
    nft.BaseChain("nat-prerouting", "nat", nft.NF_INET_PRE_ROUTING, nft.NF_IP_PRI_NAT_DST),
    nft.BaseChain("nat-output", "nat", nft.NF_INET_LOCAL_OUT, nft.NF_IP_PRI_NAT_DST),
    nft.BaseChain("nat-postrouting", "nat", nft.NF_INET_POST_ROUTING, nft.NF_IP_PRI_NAT_SRC - 5),
    nft.BaseChain("filter-prerouting", "filter", nft.NF_INET_PRE_ROUTING, _BEFORE_NAT),
    nft.BaseChain("filter-input", "filter", nft.NF_INET_LOCAL_IN, _AFTER_NAT),
    nft.BaseChain("filter-forward", "filter", nft.NF_INET_FORWARD, _AFTER_NAT),
    nft.BaseChain("filter-output", "filter", nft.NF_INET_LOCAL_OUT, _AFTER_NAT),
)
CHAINS = (DISPATCH, REFUSE, REJECT)

_REGISTERS = nft.REG, nft.REG + 1, nft.REG + 2


def _by_address(map_name: str) -> nft.Rule:
    first, second, third = _REGISTERS
    load = nft.ip_destination(first), nft.protocol(second), nft.port_destination(third)
    return *load, nft.lookup(map_name, first, into=nft.REG_VERDICT)


def _by_port(map_name: str) -> nft.Rule:
    first, second, _ = _REGISTERS
    load = nft.protocol(first), nft.port_destination(second)
    return *nft.destination_is_local(), *load, nft.lookup(map_name, first, into=nft.REG_VERDICT)


def _new_connection() -> nft.Rule:
    new = nft.mask_of(nft.CT_STATE_NEW)
    return nft.connection(nft.NFT_CT_STATE), nft.bitwise(4, new, bytes(4)), nft.compare(bytes(4), negate=True)


def rules(config: ProxyConfig) -> list[tuple[str, nft.Rule]]:
    """Chain and rule, in order."""
    services = IPv4Network(config.service_cidr)
    to_services = nft.destination_in(services.network_address.packed, services.netmask.packed)
    refuse = (*_new_connection(), nft.decide(nft.jump(REFUSE)))
    return [
        ("nat-prerouting", (nft.decide(nft.jump(DISPATCH)),)),
        ("nat-output", (nft.decide(nft.jump(DISPATCH)),)),
        (DISPATCH, _by_address(SERVICES.name)),
        (DISPATCH, _by_port(NODE_PORTS.name)),
        (
            "nat-postrouting",
            (
                nft.meta(nft.NFT_META_MARK),
                nft.bitwise(4, nft.mask_of(config.mark), bytes(4)),
                nft.compare(bytes(4), negate=True),
                *nft.clear_mark(config.mark),
                nft.masquerade(),
            ),
        ),
        # A Pod that reached itself would drop the answer of its own address.
        (
            "nat-postrouting",
            (
                nft.ip_source(_REGISTERS[0]),
                nft.ip_destination(_REGISTERS[1]),
                nft.lookup(HAIRPINS.name, _REGISTERS[0]),
                nft.masquerade(),
            ),
        ),
        ("filter-prerouting", (*_new_connection(), *_by_address(FIREWALL.name))),
        ("filter-input", refuse),
        ("filter-forward", refuse),
        ("filter-output", refuse),
        (REFUSE, _by_address(NO_ENDPOINTS.name)),
        (REFUSE, _by_port(NO_ENDPOINTS_NODE_PORTS.name)),
        # What has endpoints was translated before: only unknown ports and unknown addresses come here.
        (REFUSE, (nft.ip_destination(), nft.lookup(CLUSTER_IPS.name), nft.decide(nft.goto(REJECT)))),
        (REFUSE, (*to_services, nft.decide(nft.DROP))),
        # Both say "connection refused"; the kernel limits the rate of ICMP, not that of resets.
        (REJECT, (nft.protocol(), nft.compare(nft.protocol_byte("TCP")), nft.reject_reset())),
        (REJECT, (nft.reject_unreachable(),)),
    ]
