"""From a protobuf body to JSON, by the table of field numbers.

Where JSON differs from the message: quantities, times, int-or-strings and raw
extensions are messages there and values here; embedded structs are fields
there and inlined here, which shows in that the Struct has no such field.
"""

import base64
import json
import struct
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from tiphys.apiserver.protobuf.messages import (
    DEPTH_MAX,
    EXTRA_VALUES,
    FIXED32,
    FIXED64,
    INT_OR_STRING,
    LENGTH,
    MAGIC,
    META,
    QUANTITY,
    RAW,
    VARINT,
    ProtobufError,
    class_of,
    message_of,
    messages,
)
from tiphys.machinery import codec, shapes, times


def to_json(data: bytes) -> bytes:
    """The object in a protobuf body, as JSON. Raises ProtobufError."""
    if not data.startswith(MAGIC):
        raise ProtobufError("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")
    envelope: dict[int, bytes] = {
        number: value for number, _, value in _fields(data[len(MAGIC) :]) if isinstance(value, bytes)
    }
    about = {number: value for number, _, value in _fields(envelope.get(1, b"")) if isinstance(value, bytes)}
    api_version, kind = _text(about.get(1, b"")), _text(about.get(2, b""))
    raw = envelope.get(2, b"")
    if _text(envelope.get(4, b"")) == "application/json":
        return raw
    message = message_of(api_version, kind)
    found = {"apiVersion": api_version, "kind": kind, **_read(raw, message, class_of(api_version, kind), 0)}
    return codec.encode(found)


def _fields(data: bytes) -> Iterator[tuple[int, int, int | bytes]]:
    """Number, wire type and raw value of each field of a message."""
    position, end = 0, len(data)
    while position < end:
        tag, position = _varint(data, position)
        number, wire = tag >> 3, tag & 7
        value: int | bytes
        if wire == VARINT:
            value, position = _varint(data, position)
        else:
            length = 8 if wire == FIXED64 else 4
            if wire == LENGTH:
                length, position = _varint(data, position)
            elif wire not in (FIXED64, FIXED32):
                raise ProtobufError(f"proto: illegal wireType {wire}")
            if position + length > end:
                raise ProtobufError("unexpected EOF")
            value = data[position : position + length]
            position += length
        yield number, wire, value


def _varint(data: bytes, position: int) -> tuple[int, int]:
    result = shift = 0
    while True:
        if position >= len(data):
            raise ProtobufError("unexpected EOF")
        if shift >= 70:
            raise ProtobufError("proto: integer overflow")
        byte = data[position]
        position += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, position
        shift += 7


def _read(data: bytes, message: str, cls: type[Any] | None, depth: int) -> dict[str, Any]:
    """A message as a JSON object; ``cls`` tells what is inlined."""
    if depth > DEPTH_MAX:
        raise ProtobufError("proto: message is nested too deeply")
    described = messages()[message]
    known = shapes.fields_of(cls) if cls is not None else None
    found: dict[str, Any] = {}
    for number, wire, value in _fields(data):
        field = described.get(number)
        if field is None:
            continue
        name, kind, label = field
        shape = known.get(name) if known is not None else None
        below = shape.cls if shape is not None else None
        if label == "map":
            key, item = _entry(value, kind, below, depth)
            found.setdefault(name, {})[key] = item
        elif label == "many":
            found.setdefault(name, []).extend(_items(value, wire, kind, below, depth))
        elif known is not None and shape is None and kind in messages() and kind not in _SPECIAL:
            found.update(_read(_bytes(value), kind, cls, depth + 1))
        else:
            item = _value(value, wire, kind, below, depth)
            if item is not None:
                found[name] = item
    return found


def _entry(value: int | bytes, kind: str, cls: type[Any] | None, depth: int) -> tuple[str, Any]:
    """Key and value of one entry of a map."""
    key, item = "", b"" if kind in ("string", "bytes") or kind in messages() else 0
    raw: int | bytes = item
    wire = LENGTH if isinstance(item, bytes) else VARINT
    for number, found_wire, found in _fields(_bytes(value)):
        if number == 1:
            key = _text(_bytes(found))
        elif number == 2:
            raw, wire = found, found_wire
    return key, _value(raw, wire, kind, cls, depth)


def _items(value: int | bytes, wire: int, kind: str, cls: type[Any] | None, depth: int) -> list[Any]:
    """The items that one field adds to a list: one, or several numbers packed together."""
    if wire == LENGTH and kind in ("int", "uint", "bool"):
        data, position, found = _bytes(value), 0, []
        while position < len(data):
            number, position = _varint(data, position)
            found.append(_number(number, kind))
        return found
    return [_value(value, wire, kind, cls, depth)]


def _value(value: int | bytes, wire: int, kind: str, cls: type[Any] | None, depth: int) -> Any:
    if kind == "string":
        return _text(_bytes(value))
    if kind == "bytes":
        return base64.b64encode(_bytes(value)).decode()
    if kind in ("double", "float"):
        return struct.unpack("<d" if wire == FIXED64 else "<f", _bytes(value))[0]
    if kind in ("int", "uint", "bool"):
        if not isinstance(value, int):
            raise ProtobufError(f"proto: wrong wireType = {wire}")
        return _number(value, kind)
    special = _SPECIAL.get(kind)
    if special is not None:
        return special(_bytes(value))
    return _read(_bytes(value), kind, cls, depth + 1)


def _number(value: int, kind: str) -> int | bool:
    if kind == "bool":
        return bool(value)
    value &= 2**64 - 1
    return value - 2**64 if kind == "int" and value >= 2**63 else value


def _bytes(value: int | bytes) -> bytes:
    if isinstance(value, bytes):
        return value
    raise ProtobufError("proto: wrong wireType = 0")


def _text(value: bytes) -> str:
    return value.decode(errors="replace")


def _plain(data: bytes, message: str) -> dict[str, Any]:
    return _read(data, message, None, 0)


def _quantity(data: bytes) -> str:
    text: str = _plain(data, QUANTITY).get("string", "0")
    return text


def _int_or_string(data: bytes) -> int | str:
    found = _plain(data, INT_OR_STRING)
    value: int | str = found.get("strVal", "") if found.get("type") else found.get("intVal", 0)
    return value


def _instant(data: bytes) -> datetime | None:
    """None for the empty message, which is Go's zero time."""
    if not data:
        return None
    found = _plain(data, f"{META}.Time")
    try:
        return datetime.fromtimestamp(0, UTC) + timedelta(
            seconds=found.get("seconds", 0), microseconds=found.get("nanos", 0) // 1000
        )
    except OverflowError as problem:
        raise ProtobufError("time is out of range") from problem


def _time(data: bytes) -> str | None:
    instant = _instant(data)
    return times.format_time(instant) if instant else None


def _micro_time(data: bytes) -> str | None:
    instant = _instant(data)
    return times.format_micro(instant) if instant else None


def _duration(data: bytes) -> str:
    return f"{_plain(data, f'{META}.Duration').get('duration', 0) / 1e9:g}s"


def _raw(data: bytes) -> Any:
    """A JSON document carried as bytes."""
    raw = next((value for number, _, value in _fields(data) if number == 1 and isinstance(value, bytes)), b"")
    if not raw:
        return None
    try:
        return json.loads(raw)
    except ValueError as problem:
        raise ProtobufError(f"raw extension is no JSON: {problem}") from problem


def _list(data: bytes) -> list[str]:
    return [_text(value) for number, _, value in _fields(data) if number == 1 and isinstance(value, bytes)]


_SPECIAL: Final[Mapping[str, Callable[[bytes], Any]]] = {
    QUANTITY: _quantity,
    INT_OR_STRING: _int_or_string,
    RAW: _raw,
    f"{META}.Time": _time,
    f"{META}.MicroTime": _micro_time,
    f"{META}.Duration": _duration,
    f"{META}.FieldsV1": _raw,
    f"{META}.Verbs": _list,
    **dict.fromkeys(EXTRA_VALUES, _list),
}
