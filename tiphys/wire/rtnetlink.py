"""Links, addresses, routes and rules of a network namespace as netlink messages.

Each function returns ``(type, flags, body)`` for ``netlink.message``; the
functions named after things received (``link``, ``route``, ``address``) read one.

Source: Linux, include/uapi/linux/{rtnetlink,if_link,if_addr,veth}.h.
"""

import struct
from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network, ip_address, ip_interface, ip_network
from typing import NamedTuple

from tiphys.wire.netlink import (
    NLM_F_CREATE,
    NLM_F_DUMP,
    NLM_F_EXCL,
    NLM_F_REPLACE,
    attribute,
    attributes,
    nested,
    string,
    text,
    u8,
    u32,
)

AF_UNSPEC, AF_INET, AF_INET6 = 0, 2, 10
RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK, RTM_SETLINK = 16, 17, 18, 19
RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE = 24, 25, 26

IFF_UP = 0x1
IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_MASTER, IFLA_LINKINFO, IFLA_NET_NS_FD = 1, 3, 4, 10, 18, 28
IFLA_INFO_KIND, IFLA_INFO_DATA, IFLA_INFO_SLAVE_KIND, IFLA_INFO_SLAVE_DATA = 1, 2, 4, 5
IFLA_BRPORT_MODE = 4
VETH_INFO_PEER = 1
IFA_ADDRESS, IFA_LOCAL = 1, 2
RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_PREFSRC, RTA_TABLE = 1, 4, 5, 7, 15
RT_TABLE_MAIN, RT_TABLE_LOCAL, RTPROT_BOOT, RTN_UNICAST, RTN_LOCAL = 254, 255, 3, 1, 2
RT_SCOPE_UNIVERSE, RT_SCOPE_LINK, RT_SCOPE_HOST = 0, 253, 254
RTNH_F_ONLINK = 4

Request = tuple[int, int, bytes]
Network = IPv4Network | IPv6Network
Interface = IPv4Interface | IPv6Interface

_LINK = struct.Struct("=BxHiII")
_ADDRESS = struct.Struct("=BBBBI")
_ROUTE = struct.Struct("=BBBBBBBBI")


class Link(NamedTuple):
    number: int
    name: str
    up: bool
    mtu: int
    master: int
    kind: str


class Route(NamedTuple):
    destination: Network
    link: int
    gateway: str
    table: int


def _ifinfo(index: int = 0, up: bool = False) -> bytes:
    return _LINK.pack(AF_UNSPEC, 0, index, IFF_UP if up else 0, IFF_UP if up else 0)


def _packed(address: str) -> bytes:
    return ip_address(address).packed


def _family(address: str) -> int:
    return AF_INET6 if ":" in address else AF_INET


def add_bridge(name: str, mtu: int, mac: bytes) -> Request:
    """A bridge, up, without spanning tree (the kernel's default). A set MAC keeps it from changing with its ports."""
    kind = nested(IFLA_LINKINFO, text(IFLA_INFO_KIND, "bridge"))
    body = _ifinfo(up=True) + text(IFLA_IFNAME, name) + u32(IFLA_MTU, mtu) + attribute(IFLA_ADDRESS, mac) + kind
    return RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, body


def add_veth(name: str, bridge: int, mtu: int, peer: str, peer_mac: bytes, namespace_fd: int) -> Request:
    """A pair: ``name`` a port of the bridge and up, ``peer`` born inside the namespace and down.

    Moving a link into a namespace afterwards would wait for a grace period of the kernel (15 to 30 ms).
    """
    # The kernel refuses (ENOTCONN) to set the peer up before both ends exist.
    other = _ifinfo() + text(IFLA_IFNAME, peer) + u32(IFLA_MTU, mtu)
    other += attribute(IFLA_ADDRESS, peer_mac) + u32(IFLA_NET_NS_FD, namespace_fd)
    kind = nested(IFLA_LINKINFO, text(IFLA_INFO_KIND, "veth"), nested(IFLA_INFO_DATA, attribute(VETH_INFO_PEER, other)))
    body = _ifinfo(up=True) + text(IFLA_IFNAME, name) + u32(IFLA_MTU, mtu) + u32(IFLA_MASTER, bridge) + kind
    return RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, body


def ask_for_kind(kind: str, name: str) -> Request:
    """Fails always, with EINVAL if the kernel knows links of this kind: the master does not exist."""
    body = _ifinfo() + text(IFLA_IFNAME, name) + nested(IFLA_LINKINFO, text(IFLA_INFO_KIND, kind))
    return RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, body + u32(IFLA_MASTER, 0x7FFFFFFF)


def set_port_hairpin(name: str) -> Request:
    """Let a bridge send a frame back out of the port it came from."""
    port = nested(
        IFLA_LINKINFO,
        text(IFLA_INFO_SLAVE_KIND, "bridge"),
        nested(IFLA_INFO_SLAVE_DATA, u8(IFLA_BRPORT_MODE, 1)),
    )
    return RTM_NEWLINK, 0, _ifinfo() + text(IFLA_IFNAME, name) + port


def set_up(index: int) -> Request:
    return RTM_SETLINK, 0, _ifinfo(index, up=True)


def delete_link(index: int) -> Request:
    return RTM_DELLINK, 0, _ifinfo(index)


def add_address(index: int, interface: str) -> Request:
    """Give a link an address, e.g. ``10.244.0.1/24``. Given twice is no error."""
    value = ip_interface(interface)
    packed = value.ip.packed
    body = _ADDRESS.pack(_family(interface), value.network.prefixlen, 0, 0, index)
    return (
        RTM_NEWADDR,
        NLM_F_CREATE | NLM_F_REPLACE,
        body + attribute(IFA_LOCAL, packed) + attribute(IFA_ADDRESS, packed),
    )


def delete_address(index: int, interface: str) -> Request:
    value = ip_interface(interface)
    body = _ADDRESS.pack(_family(interface), value.network.prefixlen, 0, 0, index)
    return RTM_DELADDR, 0, body + attribute(IFA_LOCAL, value.ip.packed)


def add_route(destination: str, index: int, gateway: str = "", source: str = "") -> Request:
    """A route through a link; a gateway counts as on the link even if no address of the link covers it."""
    target = ip_network(destination)
    scope = RT_SCOPE_UNIVERSE if gateway else RT_SCOPE_LINK
    flags = RTNH_F_ONLINK if gateway else 0
    family = _family(destination)
    body = _ROUTE.pack(family, target.prefixlen, 0, 0, RT_TABLE_MAIN, RTPROT_BOOT, scope, RTN_UNICAST, flags)
    if target.prefixlen:
        body += attribute(RTA_DST, target.network_address.packed)
    body += u32(RTA_OIF, index)
    if gateway:
        body += attribute(RTA_GATEWAY, _packed(gateway))
    if source:
        body += attribute(RTA_PREFSRC, _packed(source))
    return RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, body


def add_local_route(destination: str, index: int) -> Request:
    """Make every address of a range this host's own."""
    return RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, _local_route(destination, index)


def delete_local_route(destination: str, index: int) -> Request:
    return RTM_DELROUTE, 0, _local_route(destination, index)


def _local_route(destination: str, index: int) -> bytes:
    target = ip_network(destination)
    body = _ROUTE.pack(
        _family(destination), target.prefixlen, 0, 0, RT_TABLE_LOCAL, RTPROT_BOOT, RT_SCOPE_HOST, RTN_LOCAL, 0
    )
    return body + attribute(RTA_DST, target.network_address.packed) + u32(RTA_OIF, index)


def get_links() -> Request:
    return RTM_GETLINK, NLM_F_DUMP, _ifinfo()


def get_link(name: str) -> Request:
    return RTM_GETLINK, 0, _ifinfo() + text(IFLA_IFNAME, name)


def get_addresses() -> Request:
    return RTM_GETADDR, NLM_F_DUMP, _ADDRESS.pack(AF_UNSPEC, 0, 0, 0, 0)


def get_routes() -> Request:
    return RTM_GETROUTE, NLM_F_DUMP, _ROUTE.pack(AF_UNSPEC, 0, 0, 0, 0, 0, 0, 0, 0)


def link(body: bytes) -> Link:
    """What an RTM_NEWLINK says."""
    _, _, index, flags, _ = _LINK.unpack_from(body)
    found = attributes(body, _LINK.size)
    info = attributes(found.get(IFLA_LINKINFO, b""))
    return Link(
        number=index,
        name=string(found.get(IFLA_IFNAME, b"")),
        up=bool(flags & IFF_UP),
        mtu=int.from_bytes(found.get(IFLA_MTU, b""), "little"),
        master=int.from_bytes(found.get(IFLA_MASTER, b""), "little"),
        kind=string(info.get(IFLA_INFO_KIND, b"")),
    )


def address(body: bytes) -> tuple[int, Interface]:
    """Link index and address of an RTM_NEWADDR."""
    _, prefix, _, _, index = _ADDRESS.unpack_from(body)
    found = attributes(body, _ADDRESS.size)
    packed = found.get(IFA_LOCAL) or found[IFA_ADDRESS]
    return index, ip_interface((packed, prefix))


def route(body: bytes) -> Route:
    """What an RTM_NEWROUTE says; a default route has the destination 0.0.0.0/0 or ::/0."""
    family, prefix, _, _, table, *_ = _ROUTE.unpack_from(body)
    found = attributes(body, _ROUTE.size)
    zero = bytes(4 if family == AF_INET else 16)
    gateway = found.get(RTA_GATEWAY)
    return Route(
        destination=ip_network((found.get(RTA_DST, zero), prefix), strict=False),
        link=int.from_bytes(found.get(RTA_OIF, b""), "little"),
        gateway=str(ip_address(gateway)) if gateway else "",
        table=int.from_bytes(found[RTA_TABLE], "little") if RTA_TABLE in found else table,
    )
