"""DNS messages as far as a server of prebuilt answers needs them. No socket here.

A query's name is compared as it stands on the wire, in lower case: letters are
the only bytes that change, since lengths are below 64. Answers repeat the
question byte by byte, so the sender's capitals come back (0x20), and owner
names in answers point to it.

Sources: RFC 1035; RFC 6891 EDNS(0); RFC 2308 negative answers.
"""

import struct
from collections.abc import Iterator, Sequence
from ipaddress import ip_address
from typing import NamedTuple

A, NS, CNAME, SOA, PTR, TXT, AAAA, SRV, OPT, ANY = 1, 2, 5, 6, 12, 16, 28, 33, 41, 255
IN = 1
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED = range(6)
BADVERS = 16
QR, AA, TC, RD, RA = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080
_OPCODE = 0x7800
_CD = 0x0010

#: What fits without fragments everywhere. Source: DNS flag day 2020.
UDP_BYTES = 1232
_PLAIN_UDP_BYTES = 512
_MAX_NAME = 255
_QUESTION = 12

_HEADER = struct.Struct("!HHHHHH")
_RECORD = struct.Struct("!HHIH")
#: The owner name "as in the question".
SAME_NAME = b"\xc0\x0c"


class Malformed(Exception):
    """Not a query that can be understood; ``answer`` says so, empty if even that is not due."""

    def __init__(self, answer: bytes = b"") -> None:
        super().__init__("malformed DNS query")
        self.answer = answer


class Query(NamedTuple):
    """``name`` in lower case on the wire; ``question`` as it came; ``limit`` what the sender takes over UDP."""

    id: int
    flags: int
    name: bytes
    type: int
    question: bytes
    edns: bool
    limit: int
    dnssec: bool

    @property
    def labels(self) -> list[bytes]:
        return list(labels(self.name))


class Answer(NamedTuple):
    """Records ready for the wire; owner names in ``records`` are SAME_NAME or complete."""

    code: int = NOERROR
    records: tuple[bytes, ...] = ()
    authority: tuple[bytes, ...] = ()
    additional: tuple[bytes, ...] = ()


def encode_name(text: str) -> bytes:
    """A dotted name, with or without the last dot, in lower case. Raises ValueError for one that DNS cannot hold."""
    out = bytearray()
    for label in text.lower().rstrip(".").split(".") if text.rstrip(".") else ():
        raw = label.encode()
        if not 0 < len(raw) < 64:
            raise ValueError(f"label {label!r} of {text!r} must have 1 to 63 bytes")
        out.append(len(raw))
        out += raw
    out.append(0)
    if len(out) > _MAX_NAME:
        raise ValueError(f"name {text!r} is longer than {_MAX_NAME} bytes")
    return bytes(out)


def labels(name: bytes) -> Iterator[bytes]:
    """The labels of a complete, uncompressed name."""
    offset = 0
    while name[offset]:
        length = name[offset]
        yield name[offset + 1 : offset + 1 + length]
        offset += length + 1


def is_within(name: bytes, zone: bytes) -> bool:
    """Whether the name is the zone's or below it."""
    if not name.endswith(zone):
        return False
    start, offset = len(name) - len(zone), 0
    while offset < start:
        offset += name[offset] + 1
    return offset == start


def record(kind: int, ttl: int, data: bytes, owner: bytes = SAME_NAME) -> bytes:
    return owner + _RECORD.pack(kind, IN, ttl, len(data)) + data


def address_record(address: str, ttl: int, owner: bytes = SAME_NAME) -> bytes:
    """A or AAAA."""
    packed = ip_address(address).packed
    return record(A if len(packed) == 4 else AAAA, ttl, packed, owner)


def srv_data(priority: int, weight: int, port: int, target: bytes) -> bytes:
    return struct.pack("!HHH", priority, weight, port) + target


def soa_data(primary: bytes, mailbox: bytes, serial: int, minimum: int) -> bytes:
    return primary + mailbox + struct.pack("!IIIII", serial, 7200, 1800, 86400, minimum)


def reverse_name(address: str) -> bytes:
    """Where the PTR of an address stands."""
    return encode_name(ip_address(address).reverse_pointer)


def parse(data: bytes) -> Query:
    """The query in ``data``. Raises Malformed."""
    if len(data) < _QUESTION:
        raise Malformed
    number, flags, questions, answers, authorities, additionals = _HEADER.unpack_from(data)
    if flags & QR:
        # Answering an answer could go on forever.
        raise Malformed
    if flags & _OPCODE:
        raise Malformed(_bare(number, flags, NOTIMP))
    if questions != 1 or answers or authorities or additionals > 2:
        raise Malformed(_bare(number, flags, FORMERR))
    try:
        end = skip_name(data, _QUESTION, compressed=False)
        kind, class_ = struct.unpack_from("!HH", data, end)
        limit, dnssec, version = _edns(data, end + 4, additionals)
    except (IndexError, ValueError, struct.error) as error:
        raise Malformed(_bare(number, flags, FORMERR)) from error
    question = data[_QUESTION : end + 4]
    query = Query(
        number, flags, data[_QUESTION:end].lower(), kind, question, limit > 0, max(limit, _PLAIN_UDP_BYTES), dnssec
    )
    if version:
        raise Malformed(encode(query, Answer(BADVERS), query.limit, authoritative=False))
    if class_ not in (IN, ANY):
        raise Malformed(encode(query, Answer(REFUSED), query.limit, authoritative=False))
    return query


def _bare(number: int, flags: int, code: int) -> bytes:
    return _HEADER.pack(number, QR | flags & (_OPCODE | RD) | code, 0, 0, 0, 0)


def skip_name(data: bytes, offset: int, compressed: bool = True) -> int:
    """Where the name that begins at ``offset`` ends. Raises ValueError or IndexError for one that is none."""
    start = offset
    while True:
        length = data[offset]
        if length == 0:
            return offset + 1
        if length >= 0xC0 and compressed:
            return offset + 2
        if length > 63:
            raise ValueError("label type is not supported")
        offset += length + 1
        if offset - start >= _MAX_NAME:
            raise ValueError("name is too long")


def _edns(data: bytes, offset: int, count: int) -> tuple[int, bool, int]:
    """UDP size (0 without EDNS), the DO bit and the version."""
    for _ in range(count):
        offset = skip_name(data, offset)
        kind, size, ttl, length = _RECORD.unpack_from(data, offset)
        offset += _RECORD.size + length
        if offset > len(data):
            raise ValueError("record is cut off")
        if kind == OPT:
            return max(size, _PLAIN_UDP_BYTES), bool(ttl & 0x8000), ttl >> 16 & 0xFF
    return 0, False, 0


def encode(query: Query, answer: Answer, limit: int, authoritative: bool = True) -> bytes:
    """The response; whole records are left out, and TC set, where ``limit`` would be exceeded."""
    opt = _opt(query, answer.code) if query.edns else b""
    room = limit - _QUESTION - len(query.question) - len(opt)
    flags = QR | query.flags & (RD | _CD) | RA | answer.code & 0xF
    if authoritative:
        flags |= AA
    records, cut = _fit(answer.records, room)
    room -= sum(map(len, records))
    authority: Sequence[bytes] = () if cut else answer.authority
    # Additional records are a courtesy: leaving some out is not a truncation.
    additional, _ = ((), False) if cut else _fit(answer.additional, room - sum(map(len, authority)))
    header = _HEADER.pack(
        query.id,
        flags | (TC if cut else 0),
        1,
        len(records),
        len(authority),
        len(additional) + bool(opt),
    )
    return b"".join((header, query.question, *records, *authority, *additional, opt))


def _opt(query: Query, code: int) -> bytes:
    flags = 0x8000 if query.dnssec else 0
    return b"\0" + _RECORD.pack(OPT, UDP_BYTES, (code >> 4) << 24 | flags, 0)


def _fit(records: tuple[bytes, ...], room: int) -> tuple[tuple[bytes, ...], bool]:
    used = 0
    for index, each in enumerate(records):
        used += len(each)
        if used > room:
            return records[:index], True
    return records, False


# What a forwarder must know of other servers' answers --------------------------------------------------------------


class Reply(NamedTuple):
    """An answer of another server. ``ttls`` are (offset, seconds) of its records; ``body`` begins at the question."""

    id: int
    flags: int
    question: bytes
    ttls: tuple[tuple[int, int], ...]

    @property
    def code(self) -> int:
        return self.flags & 0xF

    @property
    def truncated(self) -> bool:
        return bool(self.flags & TC)


def parse_reply(data: bytes) -> Reply:
    """Raises Malformed."""
    try:
        number, flags, questions, *counts = _HEADER.unpack_from(data)
        if not flags & QR or questions != 1:
            raise Malformed
        offset = skip_name(data, _QUESTION, compressed=False) + 4
        question = data[_QUESTION:offset]
        ttls = []
        for _ in range(sum(counts)):
            offset = skip_name(data, offset)
            kind, _, ttl, length = _RECORD.unpack_from(data, offset)
            if kind != OPT:
                ttls.append((offset + 4, min(ttl, 1 << 31)))
            offset += _RECORD.size + length
            if offset > len(data):
                raise Malformed
    except (IndexError, ValueError, struct.error) as error:
        raise Malformed from error
    return Reply(number, flags, question, tuple(ttls))


def readdress(data: bytes, query: Query, reply: Reply, age_seconds: int) -> bytes:
    """Another server's answer as the answer to ``query``: its id and capitals, and TTLs that have aged."""
    out = bytearray(data)
    # Not our authority, but recursion is available from us.
    struct.pack_into("!HH", out, 0, query.id, reply.flags & ~AA | RA)
    out[_QUESTION : _QUESTION + len(query.question)] = query.question
    for offset, ttl in reply.ttls:
        struct.pack_into("!I", out, offset, max(ttl - age_seconds, 0))
    return bytes(out)


def records_of(data: bytes) -> list[bytes]:
    """The answer records of another server's answer if they are addresses, with their owner as SAME_NAME.

    Aliases on the way are left out: what the client asked for is an alias of the last of them anyway.
    """
    reply = parse_reply(data)
    count = _HEADER.unpack_from(data)[3]
    offset = _QUESTION + len(reply.question)
    found = []
    for _ in range(count):
        offset = skip_name(data, offset)
        kind, _, ttl, length = _RECORD.unpack_from(data, offset)
        body = data[offset + _RECORD.size : offset + _RECORD.size + length]
        if kind in (A, AAAA):
            found.append(record(kind, ttl, body))
        offset += _RECORD.size + length
    return found


def question_of(name: bytes, kind: int) -> bytes:
    return name + struct.pack("!HH", kind, IN)


def build_query(number: int, question: bytes, dnssec: bool = False, edns: bool = True) -> bytes:
    """A recursive query."""
    opt = b"\0" + _RECORD.pack(OPT, UDP_BYTES, 0x8000 if dnssec else 0, 0) if edns else b""
    return _HEADER.pack(number, RD, 1, 0, 0, bool(opt)) + question + opt
