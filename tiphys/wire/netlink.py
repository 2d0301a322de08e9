"""Netlink messages as bytes: building requests, taking answers apart. No socket here.

A request is made of attributes (``attribute``, ``nested``) behind a fixed header
of its family; ``message`` puts the netlink header before it. ``parse`` splits
what a socket received, ``attributes`` splits a message's body. Written for the
two families that the network needs (``rtnetlink``, ``nftables`` beside this
module): a general library costs more memory than all our other network code.

Source: Linux, include/uapi/linux/netlink.h.
"""

import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple

NLM_F_REQUEST = 0x1
NLM_F_MULTI = 0x2
NLM_F_ACK = 0x4
NLM_F_DUMP_INTR = 0x10
NLM_F_DUMP = 0x300
NLM_F_REPLACE = 0x100
NLM_F_EXCL = 0x200
NLM_F_CREATE = 0x400
NLM_F_APPEND = 0x800

NLMSG_ERROR = 0x2
NLMSG_DONE = 0x3

NLA_F_NESTED = 0x8000
NLA_TYPE_MASK = 0x3FFF

_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_ERROR = struct.Struct("=i")
_PADDING = (b"", b"\0\0\0", b"\0\0", b"\0")


class Message(NamedTuple):
    """One received message; ``body`` begins with the fixed header of its family."""

    type: int
    flags: int
    sequence: int
    body: bytes


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute, padded to four bytes."""
    length = len(value)
    return _ATTRIBUTE.pack(length + 4, kind) + value + _PADDING[length & 3]


def nested(kind: int, *children: bytes) -> bytes:
    """An attribute that holds attributes."""
    return attribute(kind | NLA_F_NESTED, b"".join(children))


def text(kind: int, value: str) -> bytes:
    """A zero-terminated string."""
    return attribute(kind, value.encode() + b"\0")


def u8(kind: int, value: int) -> bytes:
    return attribute(kind, bytes((value,)))


def u16(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack("=H", value))


def u32(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack("=I", value))


def message(kind: int, flags: int, sequence: int, *parts: bytes) -> bytes:
    """A whole message: netlink header, then the parts."""
    body = b"".join(parts)
    return _HEADER.pack(len(body) + 16, kind, flags, sequence, 0) + body


def parse(data: bytes) -> Iterator[Message]:
    """The messages of one datagram. Raises ValueError when it is cut off."""
    offset = 0
    while offset + 16 <= len(data):
        length, kind, flags, sequence, _ = _HEADER.unpack_from(data, offset)
        if length < 16 or offset + length > len(data):
            raise ValueError(f"netlink message of {length} bytes in a datagram of {len(data)}")
        yield Message(kind, flags, sequence, data[offset + 16 : offset + length])
        offset += (length + 3) & ~3


def attributes(data: bytes, offset: int = 0) -> dict[int, bytes]:
    """Kind to value of the attributes in ``data`` from ``offset`` on; of equal kinds the last stays."""
    return dict(each_attribute(data, offset))


def each_attribute(data: bytes, offset: int = 0) -> Iterator[tuple[int, bytes]]:
    """The attributes in order. Raises ValueError when one is cut off."""
    while offset + 4 <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        if length < 4 or offset + length > len(data):
            raise ValueError(f"netlink attribute of {length} bytes at {offset} of {len(data)}")
        yield kind & NLA_TYPE_MASK, data[offset + 4 : offset + length]
        offset += (length + 3) & ~3


def error_of(item: Message) -> int | None:
    """The errno that an NLMSG_ERROR or a NLMSG_DONE carries, 0 for success; None for other messages."""
    if item.type == NLMSG_ERROR or (item.type == NLMSG_DONE and len(item.body) >= 4):
        return -int(_ERROR.unpack_from(item.body)[0])
    return 0 if item.type == NLMSG_DONE else None


def string(value: bytes) -> str:
    """A received zero-terminated string."""
    return value.split(b"\0", 1)[0].decode(errors="replace")


def join(messages: Iterable[bytes]) -> bytes:
    """Several messages as one datagram; each message's length is a multiple of four already or padded here."""
    return b"".join(item + _PADDING[len(item) & 3] for item in messages)
