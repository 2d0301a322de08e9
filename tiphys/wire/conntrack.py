"""Connection tracking entries as netlink messages: list those of one protocol, delete one.

Source: Linux, include/uapi/linux/netfilter/nfnetlink_conntrack.h.
"""

import struct
from ipaddress import IPv4Address
from typing import NamedTuple

from tiphys.wire.netlink import NLM_F_DUMP, attributes, nested

_SUBSYSTEM = 1
IPCTNL_MSG_CT_GET, IPCTNL_MSG_CT_DELETE = 1, 2
_AF_INET = 2
_CTA_TUPLE_ORIG, _CTA_TUPLE_REPLY = 1, 2
_CTA_TUPLE_IP, _CTA_TUPLE_PROTO = 1, 2
_CTA_PROTO_NUM = 1

Request = tuple[int, int, bytes]


class Flow(NamedTuple):
    """Where a connection was sent, and who answers; ``identity`` names the entry to the kernel."""

    protocol: int
    destination: tuple[str, int]
    answered_by: tuple[str, int]
    identity: bytes


def _header() -> bytes:
    return struct.pack("!BBH", _AF_INET, 0, 0)


def list_flows() -> Request:
    """A dump of all IPv4 entries."""
    return _SUBSYSTEM << 8 | IPCTNL_MSG_CT_GET, NLM_F_DUMP, _header()


def delete_flow(flow: Flow) -> Request:
    return _SUBSYSTEM << 8 | IPCTNL_MSG_CT_DELETE, 0, _header() + nested(_CTA_TUPLE_ORIG, flow.identity)


def flow(body: bytes, protocol: int) -> Flow | None:
    """What a received entry says; None if it is of another protocol."""
    found = attributes(body, 4)
    original = found.get(_CTA_TUPLE_ORIG, b"")
    ports = attributes(attributes(original).get(_CTA_TUPLE_PROTO, b""))
    if ports.get(_CTA_PROTO_NUM) != bytes((protocol,)):
        return None
    addresses = attributes(attributes(original)[_CTA_TUPLE_IP])
    answering = attributes(found[_CTA_TUPLE_REPLY])
    answering_ports = attributes(answering[_CTA_TUPLE_PROTO])
    answering_addresses = attributes(answering[_CTA_TUPLE_IP])
    return Flow(
        protocol,
        (str(IPv4Address(addresses[2])), int.from_bytes(ports[3], "big")),
        (str(IPv4Address(answering_addresses[1])), int.from_bytes(answering_ports[2], "big")),
        original,
    )
