"""nf_tables transactions as bytes: tables, chains, sets, rules and the expressions of rules.

``Batch`` collects changes and frames them as one transaction: the kernel does
all of them at once or none. Expressions are bytes and pure functions make
them, so a rule is a tuple that can be compared and kept in a dictionary.
Registers are the 32-bit ones; a concatenated key takes consecutive registers.

Source: Linux, include/uapi/linux/netfilter/nf_tables.h and nfnetlink.h.
"""

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from tiphys.wire.netlink import (
    NLM_F_ACK,
    NLM_F_CREATE,
    NLM_F_DUMP,
    NLM_F_REQUEST,
    attribute,
    attributes,
    each_attribute,
    join,
    message,
    nested,
    string,
    text,
)

_SUBSYSTEM = 10
_BATCH_BEGIN, _BATCH_END = 0x10, 0x11
NFT_MSG_NEWTABLE, NFT_MSG_GETTABLE, NFT_MSG_DELTABLE = 0, 1, 2
NFT_MSG_NEWCHAIN, NFT_MSG_GETCHAIN, NFT_MSG_DELCHAIN = 3, 4, 5
NFT_MSG_NEWRULE, NFT_MSG_GETRULE, NFT_MSG_DELRULE = 6, 7, 8
NFT_MSG_NEWSET, NFT_MSG_GETSET, NFT_MSG_DELSET = 9, 10, 11
NFT_MSG_NEWSETELEM, NFT_MSG_GETSETELEM, NFT_MSG_DELSETELEM = 12, 13, 14

NFPROTO_IPV4, NFPROTO_IPV6 = 2, 10
NF_INET_PRE_ROUTING, NF_INET_LOCAL_IN, NF_INET_FORWARD, NF_INET_LOCAL_OUT, NF_INET_POST_ROUTING = range(5)
NF_IP_PRI_RAW, NF_IP_PRI_NAT_DST, NF_IP_PRI_FILTER, NF_IP_PRI_NAT_SRC = -300, -100, 0, 100

NFT_SET_ANONYMOUS, NFT_SET_CONSTANT, NFT_SET_INTERVAL, NFT_SET_MAP = 1, 2, 4, 8
NFT_SET_TIMEOUT, NFT_SET_EVAL, NFT_SET_CONCAT = 0x10, 0x20, 0x80
NFT_SET_ELEM_INTERVAL_END = 1
_DATA_VERDICT = 0xFFFFFF00

NF_DROP, NF_ACCEPT = 0, 1
NFT_JUMP, NFT_GOTO, NFT_RETURN = -3, -4, -5

#: Data types as the ``nft`` tool numbers them, so that it can show our sets; the kernel does not look at them.
TYPE_IPV4, TYPE_IPV6, TYPE_PROTOCOL, TYPE_PORT, TYPE_MARK = 7, 8, 12, 13, 19
_CONCAT_BITS = 6

#: The expressions of a rule, or of a part of one.
Rule = tuple[bytes, ...]

REG_VERDICT = 0
#: The first of sixteen 32-bit registers.
REG = 8

NFT_PAYLOAD_NETWORK_HEADER, NFT_PAYLOAD_TRANSPORT_HEADER = 1, 2
NFT_META_MARK, NFT_META_IIFNAME, NFT_META_OIFNAME, NFT_META_L4PROTO = 3, 6, 7, 16
NFT_CT_STATE, NFT_CT_STATUS = 0, 2
NFT_CMP_EQ, NFT_CMP_NEQ = 0, 1
IPS_DST_NAT = 1 << 5
CT_STATE_NEW = 1 << 3


def _be32(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack("!I", value & 0xFFFFFFFF))


def _expression(name: str, *data: bytes) -> bytes:
    return text(1, name) + nested(2, *data)


class Verdict(NamedTuple):
    """What a rule or an element of a verdict map decides; ``chain`` for jump and goto."""

    code: int
    chain: str = ""

    def encoded(self) -> bytes:
        return nested(2, _be32(1, self.code), *((text(2, self.chain),) if self.chain else ()))


ACCEPT, DROP, RETURN = Verdict(NF_ACCEPT), Verdict(NF_DROP), Verdict(NFT_RETURN)


def jump(chain: str) -> Verdict:
    return Verdict(NFT_JUMP, chain)


def goto(chain: str) -> Verdict:
    return Verdict(NFT_GOTO, chain)


# Expressions -----------------------------------------------------------------------------------------------------


@lru_cache
def payload(base: int, offset: int, length: int, register: int = REG) -> bytes:
    """Load bytes of a header."""
    return _expression("payload", _be32(1, register), _be32(2, base), _be32(3, offset), _be32(4, length))


def ip_source(register: int = REG) -> bytes:
    return payload(NFT_PAYLOAD_NETWORK_HEADER, 12, 4, register)


def ip_destination(register: int = REG) -> bytes:
    return payload(NFT_PAYLOAD_NETWORK_HEADER, 16, 4, register)


def port_destination(register: int = REG) -> bytes:
    return payload(NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2, register)


@lru_cache
def meta(key: int, register: int = REG) -> bytes:
    return _expression("meta", _be32(1, register), _be32(2, key))


def protocol(register: int = REG) -> bytes:
    return meta(NFT_META_L4PROTO, register)


@lru_cache
def set_mark(bits: int) -> Rule:
    """Set the given bits of the packet's mark and leave the others."""
    load = meta(NFT_META_MARK)
    mix = bitwise(4, mask_of(~bits), mask_of(bits))
    store = _expression("meta", _be32(2, NFT_META_MARK), _be32(3, REG))
    return load, mix, store


def clear_mark(bits: int) -> Rule:
    load = meta(NFT_META_MARK)
    mix = bitwise(4, mask_of(~bits), bytes(4))
    store = _expression("meta", _be32(2, NFT_META_MARK), _be32(3, REG))
    return load, mix, store


@lru_cache
def connection(key: int, register: int = REG) -> bytes:
    """Load a fact of connection tracking."""
    return _expression("ct", _be32(1, register), _be32(2, key))


def mask_of(bits: int) -> bytes:
    """A number as the kernel keeps marks and states in registers: in the machine's byte order."""
    return struct.pack("=I", bits & 0xFFFFFFFF)


def bitwise(length: int, mask: bytes, xor: bytes, register: int = REG) -> bytes:
    return _expression(
        "bitwise",
        _be32(1, register),
        _be32(2, register),
        _be32(3, length),
        nested(4, attribute(1, mask)),
        nested(5, attribute(1, xor)),
    )


def compare(value: bytes, negate: bool = False, register: int = REG) -> bytes:
    """Go on with the rule only if the register holds ``value``."""
    return _expression(
        "cmp", _be32(1, register), _be32(2, NFT_CMP_NEQ if negate else NFT_CMP_EQ), nested(3, attribute(1, value))
    )


def lookup(set_name: str, register: int = REG, into: int | None = None, negate: bool = False, set_id: int = 0) -> bytes:
    """Go on only if the key is in the set; of a map, load its value (a verdict map acts at once)."""
    parts = [text(1, set_name), _be32(2, register)]
    if into is not None:
        parts.append(_be32(3, into))
    if set_id:
        parts.append(_be32(4, set_id))
    if negate:
        parts.append(_be32(5, 1))
    return _expression("lookup", *parts)


def immediate(value: bytes, register: int = REG) -> bytes:
    return _expression("immediate", _be32(1, register), nested(2, attribute(1, value)))


def decide(verdict: Verdict) -> bytes:
    """End of a rule."""
    return _expression("immediate", _be32(1, REG_VERDICT), nested(2, verdict.encoded()))


def dnat(family: int, address: int, port: int) -> bytes:
    """Send the connection to the address and port in these registers."""
    return _expression("nat", _be32(1, 1), _be32(2, family), _be32(3, address), _be32(5, port), _be32(7, 0b11))


def masquerade() -> bytes:
    return _expression("masq")


def random_number(modulus: int, register: int = REG) -> bytes:
    """A number from 0 to ``modulus`` - 1, in the machine's byte order."""
    return _expression("numgen", _be32(1, register), _be32(2, modulus), _be32(3, 1))


def destination_is_local(register: int = REG) -> Rule:
    """Go on only if the destination is an address of this host."""
    return _fib_type(2, register), compare(struct.pack("=I", 2), register=register)


def source_is_local(register: int = REG) -> Rule:
    return _fib_type(1, register), compare(struct.pack("=I", 2), register=register)


def _fib_type(flags: int, register: int) -> bytes:
    return _expression("fib", _be32(1, register), _be32(2, 3), _be32(3, flags))


def reject_unreachable(code: int = 3) -> bytes:
    """Answer with ICMP destination unreachable; code 3 is port unreachable, "connection refused" to a client."""
    return _expression("reject", _be32(1, 0), attribute(2, bytes((code,))))


def reject_reset() -> bytes:
    """Answer with a TCP reset."""
    return _expression("reject", _be32(1, 1), attribute(2, b"\0"))


def remember(set_name: str, key: int, timeout_seconds: int) -> bytes:
    """Add the key to a set, or begin its timeout anew."""
    return _expression(
        "dynset", text(1, set_name), _be32(3, 1), _be32(4, key), attribute(6, struct.pack("!Q", timeout_seconds * 1000))
    )


def counter() -> bytes:
    return _expression("counter")


def source_in(network: bytes, mask: bytes, negate: bool = False) -> Rule:
    return _within(ip_source(), network, mask, negate)


def destination_in(network: bytes, mask: bytes, negate: bool = False) -> Rule:
    return _within(ip_destination(), network, mask, negate)


def _within(load: bytes, network: bytes, mask: bytes, negate: bool) -> Rule:
    return load, bitwise(len(mask), mask, bytes(len(mask))), compare(network, negate)


def interface_name(key: int, name: str, negate: bool = False) -> Rule:
    """Go on only if the packet came in by (NFT_META_IIFNAME) or goes out by (NFT_META_OIFNAME) this link."""
    return meta(key), compare(name.encode().ljust(16, b"\0"), negate)


def concat(*components: bytes) -> bytes:
    """A concatenated key or value: every component padded to four bytes."""
    return b"".join(part + bytes(-len(part) % 4) for part in components)


def _encoded_rule(rule: Rule) -> bytes:
    return nested(4, *(nested(1, expression) for expression in rule))


# Changes ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SetSpec:
    """A set or a map. ``key`` and ``data`` list (type, length in bytes) of their components."""

    name: str
    key: tuple[tuple[int, int], ...]
    data: tuple[tuple[int, int], ...] = ()
    verdicts: bool = False
    flags: int = 0
    timeout_seconds: int = 0
    size: int = 0


@dataclass(frozen=True, slots=True)
class BaseChain:
    """A chain that a hook of the kernel calls."""

    name: str
    kind: str
    hook: int
    priority: int


IPV4 = (TYPE_IPV4, 4)
PROTOCOL = (TYPE_PROTOCOL, 1)
PORT = (TYPE_PORT, 2)
INDEX = (TYPE_MARK, 4)


def _type_of(components: Sequence[tuple[int, int]]) -> int:
    number = 0
    for kind, _ in components:
        number = number << _CONCAT_BITS | kind
    return number


def _length_of(components: Sequence[tuple[int, int]]) -> int:
    if len(components) == 1:
        return components[0][1]
    return sum((length + 3) & ~3 for _, length in components)


class Batch:
    """Changes of one table, done all at once."""

    #: Elements of one message: far below the 64 KiB that one attribute can hold.
    _CHUNK = 250

    def __init__(self, family: int, table: str, sequence: int = 1) -> None:
        self._family = family
        self._table = table
        self._sequence = sequence
        self._set_ids = 0
        self._messages: list[bytes] = [self._control(_BATCH_BEGIN)]

    def __len__(self) -> int:
        return len(self._messages) - 1

    def _control(self, kind: int, flags: int = 0) -> bytes:
        return message(kind, NLM_F_REQUEST | flags, self._sequence, struct.pack("!BBH", 0, 0, _SUBSYSTEM))

    def _add(self, kind: int, flags: int, *parts: bytes) -> None:
        self._sequence += 1
        header = struct.pack("!BBH", self._family, 0, 0)
        self._messages.append(message(_SUBSYSTEM << 8 | kind, NLM_F_REQUEST | flags, self._sequence, header, *parts))

    def finish(self) -> tuple[bytes, int]:
        """The datagram, and the sequence number that its acknowledgement will bear."""
        # Only the last change asks for an answer: what fails is always answered.
        last = bytearray(self._messages[-1])
        flags = struct.unpack_from("=H", last, 6)[0]
        struct.pack_into("=H", last, 6, flags | NLM_F_ACK)
        answered = self._sequence
        self._sequence += 1
        return join([*self._messages[:-1], bytes(last), self._control(_BATCH_END)]), answered

    def add_table(self) -> None:
        self._add(NFT_MSG_NEWTABLE, NLM_F_CREATE, text(1, self._table), _be32(2, 0))

    def delete_table(self) -> None:
        self._add(NFT_MSG_DELTABLE, 0, text(1, self._table))

    def add_base_chain(self, chain: BaseChain) -> None:
        hook = nested(4, _be32(1, chain.hook), _be32(2, chain.priority))
        self._add(
            NFT_MSG_NEWCHAIN, NLM_F_CREATE, text(1, self._table), text(3, chain.name), hook, _be32(5, 1),
            text(7, chain.kind),
        )  # fmt: skip

    def add_chain(self, name: str) -> None:
        self._add(NFT_MSG_NEWCHAIN, NLM_F_CREATE, text(1, self._table), text(3, name))

    def delete_chain(self, name: str) -> None:
        self._add(NFT_MSG_DELCHAIN, 0, text(1, self._table), text(3, name))

    def flush_rules(self, chain: str = "") -> None:
        """Delete the rules of one chain, or of the whole table."""
        parts = (text(2, chain),) if chain else ()
        self._add(NFT_MSG_DELRULE, 0, text(1, self._table), *parts)

    def add_rule(self, chain: str, rule: Rule) -> None:
        """Append a rule."""
        self._add(NFT_MSG_NEWRULE, NLM_F_CREATE | 0x800, text(1, self._table), text(2, chain), _encoded_rule(rule))

    def add_set(self, spec: SetSpec) -> None:
        self._new_set(spec, self._next_set_id())

    def _next_set_id(self) -> int:
        self._set_ids += 1
        return self._set_ids

    def _new_set(self, spec: SetSpec, set_id: int) -> None:
        flags = spec.flags | (NFT_SET_MAP if spec.data or spec.verdicts else 0)
        parts = [
            text(1, self._table),
            text(2, spec.name),
            _be32(3, flags),
            _be32(4, _type_of(spec.key)),
            _be32(5, _length_of(spec.key)),
        ]
        if spec.verdicts:
            parts += [_be32(6, _DATA_VERDICT), _be32(7, 0)]
        elif spec.data:
            parts += [_be32(6, _type_of(spec.data)), _be32(7, _length_of(spec.data))]
        if spec.size:
            parts.append(nested(9, _be32(1, spec.size)))
        parts.append(_be32(10, set_id))
        if spec.timeout_seconds:
            parts.append(attribute(11, struct.pack("!Q", spec.timeout_seconds * 1000)))
        self._add(NFT_MSG_NEWSET, NLM_F_CREATE, *parts)

    def delete_set(self, name: str) -> None:
        self._add(NFT_MSG_DELSET, 0, text(1, self._table), text(2, name))

    def add_anonymous_map(self, data: Sequence[tuple[int, int]], values: Sequence[bytes | Verdict]) -> tuple[str, int]:
        """A map from 0, 1, 2, … to the values, verdicts if ``data`` is empty.

        Returns name and id for ``lookup`` in the next rule, with which the map goes away.
        """
        flags = NFT_SET_ANONYMOUS | NFT_SET_CONSTANT
        spec = SetSpec("__map%d", (INDEX,), tuple(data), verdicts=not data, flags=flags, size=len(values))
        set_id = self._next_set_id()
        self._new_set(spec, set_id)
        # numgen counts in the machine's byte order.
        numbered = ((mask_of(number), value) for number, value in enumerate(values))
        self._elements(NFT_MSG_NEWSETELEM, NLM_F_CREATE, spec.name, numbered, set_id)
        return spec.name, set_id

    def add_elements(self, set_name: str, elements: Iterable[tuple[bytes, bytes | Verdict | None]]) -> None:
        """Put keys, with values for maps. A key that is there with another value is an error of the whole batch."""
        self._elements(NFT_MSG_NEWSETELEM, NLM_F_CREATE, set_name, elements)

    def delete_elements(self, set_name: str, keys: Iterable[bytes]) -> None:
        self._elements(NFT_MSG_DELSETELEM, 0, set_name, ((key, None) for key in keys))

    def flush_set(self, set_name: str) -> None:
        self._add(NFT_MSG_DELSETELEM, 0, text(1, self._table), text(2, set_name))

    def _elements(
        self,
        kind: int,
        flags: int,
        set_name: str,
        elements: Iterable[tuple[bytes, bytes | Verdict | None]],
        set_id: int = 0,
    ) -> None:
        encoded = [nested(1, *_element(key, value)) for key, value in elements]
        for start in range(0, len(encoded), self._CHUNK):
            parts = [text(1, self._table), text(2, set_name)]
            if set_id:
                parts.append(_be32(4, set_id))
            self._add(kind, flags, *parts, nested(3, *encoded[start : start + self._CHUNK]))


def _element(key: bytes, value: bytes | Verdict | None) -> Iterator[bytes]:
    yield nested(1, attribute(1, key))
    if isinstance(value, Verdict):
        yield nested(2, value.encoded())
    elif value is not None:
        yield nested(2, attribute(1, value))


# Questions -------------------------------------------------------------------------------------------------------


def ask(kind: int, family: int, table: str = "", set_name: str = "") -> tuple[int, int, bytes]:
    """A dump of tables, chains, sets or, with ``set_name``, of a set's elements."""
    body = struct.pack("!BBH", family, 0, 0)
    if table:
        body += text(1, table)
    if set_name:
        body += text(2, set_name)
    return _SUBSYSTEM << 8 | kind, NLM_F_DUMP, body


def is_deletion_of(kind: int, body: bytes, family: int, table: str) -> bool:
    """Whether a notification says that this table is gone."""
    return (
        kind == _SUBSYSTEM << 8 | NFT_MSG_DELTABLE and body[0] == family and name_in(body, NFT_MSG_GETTABLE)[0] == table
    )


def name_in(body: bytes, kind: int) -> tuple[str, str]:
    """Table and name of a received table, chain or set."""
    found = attributes(body, 4)
    table = string(found.get(1, b""))
    if kind == NFT_MSG_GETTABLE:
        return table, table
    return table, string(found.get(3 if kind == NFT_MSG_GETCHAIN else 2, b""))


def keys_in(body: bytes) -> Iterator[bytes]:
    """The keys of a received list of elements."""
    for _, element in each_attribute(attributes(body, 4).get(3, b"")):
        yield attributes(attributes(element).get(1, b"")).get(1, b"")


def port_bytes(port: int) -> bytes:
    return struct.pack("!H", port)


def protocol_byte(name: str) -> bytes:
    """``TCP``, ``UDP`` or ``SCTP`` as the number in an IP header."""
    return bytes((PROTOCOLS[name],))


PROTOCOLS = {"TCP": 6, "UDP": 17, "SCTP": 132}
