"""The packet rules of a node's own Pods: masquerade, host ports, hairpins. Pure: makes transactions, sends none."""

import socket
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network
from itertools import islice
from typing import NamedTuple

from tiphys.wire import nftables as nft

PREROUTING, OUTPUT, POSTROUTING, HOST_PORTS, GUARD = "prerouting", "output", "postrouting", "host-ports", "guard"
_HAIRPIN_LIMIT = 1 << 16

_TARGET = (nft.IPV4, nft.PORT)
#: Host ports open on every address of the host, and those bound to one.
PORTS = nft.SetSpec("ports", (nft.PROTOCOL, nft.PORT), _TARGET)
ADDRESS_PORTS = nft.SetSpec("address-ports", (nft.IPV4, nft.PROTOCOL, nft.PORT), _TARGET)
#: Pairs of equal addresses: nftables cannot compare source and destination with each other.
HAIRPINS = nft.SetSpec("hairpins", (nft.IPV4, nft.IPV4))


class PortMapping(NamedTuple):
    """A port of the host that leads into a Pod."""

    protocol: str
    host_port: int
    container_port: int
    host_ip: str = ""


class Element(NamedTuple):
    """A host port as the kernel holds it."""

    set_name: str
    key: bytes
    value: bytes


def elements(address: str, mappings: Iterable[PortMapping]) -> list[Element]:
    """Where the host ports of the Pod with this address lead."""
    found = []
    for mapping in mappings:
        key = [nft.protocol_byte(mapping.protocol), nft.port_bytes(mapping.host_port)]
        name = PORTS.name
        if mapping.host_ip not in ("", "0.0.0.0"):
            key.insert(0, socket.inet_aton(mapping.host_ip))
            name = ADDRESS_PORTS.name
        target = nft.concat(socket.inet_aton(address), nft.port_bytes(mapping.container_port))
        found.append(Element(name, nft.concat(*key), target))
    return found


def setup(table: str, bridge: str, pod_cidr: str, cluster_cidr: str, ports: Sequence[Element]) -> nft.Batch:
    """The whole table, in place of what is in it now."""
    batch = nft.Batch(nft.NFPROTO_IPV4, table)
    batch.add_table()
    # Made and deleted first, so that a table of another version leaves nothing behind; all one transaction.
    batch.delete_table()
    batch.add_table()
    for spec in (PORTS, ADDRESS_PORTS, HAIRPINS):
        batch.add_set(spec)
    batch.add_chain(HOST_PORTS)
    batch.add_base_chain(nft.BaseChain(PREROUTING, "nat", nft.NF_INET_PRE_ROUTING, nft.NF_IP_PRI_NAT_DST + 5))
    batch.add_base_chain(nft.BaseChain(OUTPUT, "nat", nft.NF_INET_LOCAL_OUT, nft.NF_IP_PRI_NAT_DST + 5))
    batch.add_base_chain(nft.BaseChain(POSTROUTING, "nat", nft.NF_INET_POST_ROUTING, nft.NF_IP_PRI_NAT_SRC))
    batch.add_base_chain(nft.BaseChain(GUARD, "filter", nft.NF_INET_PRE_ROUTING, nft.NF_IP_PRI_RAW))
    for chain, rule in _rules(bridge, IPv4Network(pod_cidr), IPv4Network(cluster_cidr)):
        batch.add_rule(chain, rule)
    pods = (address.packed for address in islice(IPv4Network(pod_cidr).hosts(), _HAIRPIN_LIMIT))
    batch.add_elements(HAIRPINS.name, ((pod + pod, None) for pod in pods))
    for element in ports:
        batch.add_elements(element.set_name, [(element.key, element.value)])
    return batch


def _rules(bridge: str, pods: IPv4Network, cluster: IPv4Network) -> list[tuple[str, nft.Rule]]:
    first, second, third = nft.REG, nft.REG + 1, nft.REG + 2
    to_target = nft.dnat(nft.NFPROTO_IPV4, first, second)
    local = nft.destination_is_local()
    loopback = socket.inet_aton("127.0.0.0"), socket.inet_aton("255.0.0.0")
    enter = nft.decide(nft.jump(HOST_PORTS))
    from_pods = nft.source_in(pods.network_address.packed, pods.netmask.packed)
    return [
        (PREROUTING, (*local, enter)),
        (OUTPUT, (*local, enter)),
        (
            HOST_PORTS,
            (
                nft.ip_destination(first), nft.protocol(second), nft.port_destination(third),
                nft.lookup(ADDRESS_PORTS.name, first, into=first), to_target,
            ),
        ),
        (
            HOST_PORTS,
            (
                nft.protocol(first), nft.port_destination(second),
                nft.lookup(PORTS.name, first, into=first), to_target,
            ),
        ),
        # A Pod would drop an answer of its own address, and could not answer 127.0.0.1 of the host.
        (
            POSTROUTING,
            (nft.ip_source(first), nft.ip_destination(second), nft.lookup(HAIRPINS.name, first), nft.masquerade()),
        ),
        (
            POSTROUTING,
            (*nft.source_in(*loopback), *nft.interface_name(nft.NFT_META_OIFNAME, bridge), nft.masquerade()),
        ),
        (
            POSTROUTING,
            (
                *from_pods,
                *nft.destination_in(cluster.network_address.packed, cluster.netmask.packed, negate=True),
                *nft.interface_name(nft.NFT_META_OIFNAME, bridge, negate=True),
                nft.masquerade(),
            ),
        ),
        # The bridge may carry 127.0.0.1 so that host ports work there (route_localnet); a Pod must not use that.
        # Before connection tracking, so that answers still bear the bridge's address and pass.
        (
            GUARD,
            (
                *nft.interface_name(nft.NFT_META_IIFNAME, bridge),
                *nft.destination_in(*loopback), nft.decide(nft.DROP),
            ),
        ),
    ]  # fmt: skip


def change_ports(table: str, added: Sequence[Element], removed: Sequence[Element]) -> nft.Batch:
    """Open and close host ports."""
    batch = nft.Batch(nft.NFPROTO_IPV4, table)
    for element in removed:
        batch.delete_elements(element.set_name, [element.key])
    for element in added:
        batch.add_elements(element.set_name, [(element.key, element.value)])
    return batch


def purge(table: str) -> nft.Batch:
    """Remove a table; no error if there is none."""
    batch = nft.Batch(nft.NFPROTO_IPV4, table)
    batch.add_table()
    batch.delete_table()
    return batch
