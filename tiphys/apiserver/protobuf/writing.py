"""From JSON documents (as builtins) to protobuf, by writers that are put together once per message and Struct.

Fields are written in the order of their numbers, absent ones not at all. What
JSON has as one value and protobuf as a message (quantities, times, ports that
may have names, raw extensions) is told by the table; what JSON inlines is
gathered from the same object.
"""

import base64
import json
import struct
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final

import msgspec

from tiphys.apiserver.protobuf.messages import (
    EXTRA_VALUES,
    INT_OR_STRING,
    MAGIC,
    META,
    QUANTITY,
    RAW,
    Field,
    ProtobufError,
    class_of,
    message_of,
    messages,
)
from tiphys.machinery import shapes, times

#: Writes a value as the content of a field, without its tag.
Write = Callable[[Any], bytes]
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def varint(value: int) -> bytes:
    """A number as protobuf has it; negative ones as 64 bits."""
    if 0 <= value < 0x80:
        return bytes((value,))
    value &= 2**64 - 1
    found = bytearray()
    while value >= 0x80:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


def framed(tag: int, content: bytes) -> bytes:
    """A field of bytes; ``tag`` is number and wire type, one byte."""
    return b"%c%b%b" % (tag, varint(len(content)), content)


def _tag(number: int, wire: int) -> bytes:
    return varint(number << 3 | wire)


def _delimited(content: bytes) -> bytes:
    return varint(len(content)) + content


def _string(value: Any) -> bytes:
    return _delimited(value.encode())


def _bytes(value: Any) -> bytes:
    return _delimited(base64.b64decode(value))


def _bool(value: Any) -> bytes:
    return b"\x01" if value else b"\x00"


def _double(value: Any) -> bytes:
    return struct.pack("<d", value)


def _quantity(value: Any) -> bytes:
    return _delimited(b"\x0a" + _string(str(value)))


def _int_or_string(value: Any) -> bytes:
    if isinstance(value, str):
        return _delimited(b"\x08\x01\x1a" + _string(value))
    return _delimited(b"\x08\x00\x10" + varint(value))


def _raw(value: Any) -> bytes:
    return _delimited(b"\x0a" + _delimited(json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()))


def _time(value: Any) -> bytes:
    delta = times.parse(value) - EPOCH
    seconds = b"\x08" + varint(delta.days * 86400 + delta.seconds)
    return _delimited(seconds + b"\x10" + varint(delta.microseconds * 1000))


def _duration(value: Any) -> bytes:
    return _delimited(b"\x08" + varint(round(times.parse_duration(value) * 1_000_000_000)))


def _list(value: Any) -> bytes:
    return _delimited(b"".join(b"\x0a" + _string(item) for item in value))


#: Wire type and writer of each kind that is not a message of fields.
_KINDS: Final[Mapping[str, tuple[int, Write]]] = {
    "string": (2, _string),
    "bytes": (2, _bytes),
    "bool": (0, _bool),
    "int": (0, varint),
    "uint": (0, varint),
    "double": (1, _double),
    QUANTITY: (2, _quantity),
    INT_OR_STRING: (2, _int_or_string),
    RAW: (2, _raw),
    f"{META}.FieldsV1": (2, _raw),
    f"{META}.Time": (2, _time),
    f"{META}.MicroTime": (2, _time),
    f"{META}.Duration": (2, _duration),
    f"{META}.Verbs": (2, _list),
    **dict.fromkeys(EXTRA_VALUES, (2, _list)),
}


class _Message:
    """Writes objects of one message. ``parts`` are filled in after it is known, because messages hold each other."""

    __slots__ = ("parts",)

    def __init__(self) -> None:
        #: Name in JSON (empty: everything that is inlined) and what appends the field's bytes.
        self.parts: list[tuple[str, Callable[[Any, list[bytes]], None]]] = []

    def content(self, value: Any) -> bytes:
        found: list[bytes] = []
        for name, append in self.parts:
            if not name:
                append(value, found)
            elif (item := value.get(name)) is not None:
                append(item, found)
        return b"".join(found)

    def delimited(self, value: Any) -> bytes:
        return _delimited(self.content(value))


def _one(tag: bytes, write: Write) -> Callable[[Any, list[bytes]], None]:
    def append(value: Any, found: list[bytes]) -> None:
        found.append(tag)
        found.append(write(value))

    return append


def _many(tag: bytes, write: Write) -> Callable[[Any, list[bytes]], None]:
    def append(value: Any, found: list[bytes]) -> None:
        for item in value:
            found.append(tag)
            found.append(write(item))

    return append


def _map(tag: bytes, value_tag: bytes, write: Write) -> Callable[[Any, list[bytes]], None]:
    def append(value: Any, found: list[bytes]) -> None:
        # As gogo-protobuf does where bytes are to be the same each time.
        for key in sorted(value):
            found.append(tag)
            found.append(_delimited(b"\x0a" + _string(key) + value_tag + write(value[key])))

    return append


def _inline(tag: bytes, message: _Message) -> Callable[[Any, list[bytes]], None]:
    def append(value: Any, found: list[bytes]) -> None:
        content = message.content(value)
        if content:
            found.append(tag)
            found.append(_delimited(content))

    return append


_made: dict[tuple[str, Any], _Message] = {}


def _message(name: str, cls: type[Any] | None) -> _Message:
    found = _made.get((name, cls))
    if found is None:
        found = _made[name, cls] = _Message()
        known = shapes.fields_of(cls) if cls is not None else None
        for number, field in sorted(messages()[name].items()):
            found.parts.append(_part(number, field, cls, known))
    return found


def _part(
    number: int, field: Field, cls: type[Any] | None, known: Mapping[str, shapes.Shape] | None
) -> tuple[str, Callable[[Any, list[bytes]], None]]:
    name, kind, label = field
    shape = known.get(name) if known is not None else None
    below = shape.cls if shape is not None else None
    if known is not None and shape is None and label == "one" and kind in messages() and kind not in _KINDS:
        return "", _inline(_tag(number, 2), _message(kind, cls))
    if kind in _KINDS:
        wire, write = _KINDS[kind]
    else:
        wire, write = 2, _message(kind, below).delimited
    if label == "map":
        return name, _map(_tag(number, 2), _tag(2, wire), write)
    tag = _tag(number, wire)
    return name, (_many if label == "many" else _one)(tag, write)


@cache
def writes(api_version: str, kind: str) -> bool:
    """Whether objects of this kind can be written."""
    try:
        message_of(api_version, kind)
    except ProtobufError:
        return False
    return True


class Writer:
    """Writes objects of one kind; raises ProtobufError when made for one that no message is known of."""

    def __init__(self, api_version: str, kind: str) -> None:
        self._message = _message(message_of(api_version, kind), class_of(api_version, kind))
        about = framed(0x0A, framed(0x0A, api_version.encode()) + framed(0x12, kind.encode()))
        self._head = MAGIC + about

    def message(self, document: Mapping[str, Any]) -> bytes:
        """The object's own message."""
        return self._message.content(document)

    def body(self, *parts: bytes) -> bytes:
        """A whole body around the parts of a message."""
        return self.around(framed(0x12, b"".join(parts)))

    def around(self, raw: bytes) -> bytes:
        """A whole body around a message that is a field with the number 2 already, as items of lists are too."""
        return b"%b%b\x1a\x00\x22\x00" % (self._head, raw)


@cache
def _writer(api_version: str, kind: str) -> Writer:
    return Writer(api_version, kind)


def document_of(data: bytes) -> bytes | None:
    """A JSON object as a protobuf body; None if its kind has no message."""
    try:
        found = msgspec.json.decode(data)
        writer = _writer(found["apiVersion"], found["kind"])
    except (ProtobufError, KeyError, TypeError):
        return None
    return writer.body(writer.message(found))
