"""The OpenAPI v2 document as a protobuf message, which Go clients ask for.

``kubectl`` reads it when a kind is unknown and when told to explain by v2. Only
what our documents contain has a place in the tables below: a key that has none
is a mistake of ours and raises ``KeyError``. Values of free form (extensions)
travel as YAML text, for which JSON will do.
Source: github.com/google/gnostic, openapiv2/OpenAPIv2.proto (field numbers).
"""

import struct
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from tiphys.machinery import codec

MEDIA_TYPE: Final = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"

#: From a value of JSON to the bytes of a field, tag and length included.
_Encode = Callable[[int, Any], bytes]


class _Field(NamedTuple):
    number: int
    encode: _Encode


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _field(number: int, payload: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(payload)) + payload


def _text(number: int, value: str) -> bytes:
    return _field(number, value.encode())


def _flag(number: int, value: bool) -> bytes:
    return _varint(number << 3) + _varint(int(value))


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _double(number: int, value: float) -> bytes:
    return _varint(number << 3 | 1) + struct.pack("<d", value)


def _free(number: int, value: Any) -> bytes:
    return _field(number, _text(2, codec.encode(value).decode()))


def _many(one: _Encode) -> _Encode:
    return lambda number, values: b"".join(one(number, value) for value in values)


def _within(encode: _Encode, *numbers: int) -> _Encode:
    """The value wrapped in messages that hold nothing else, outermost first, by their field's number."""

    def encode_within(number: int, value: Any) -> bytes:
        payload = encode(numbers[-1], value)
        for outer in reversed(numbers[:-1]):
            payload = _field(outer, payload)
        return _field(number, payload)

    return encode_within


def _named(one: _Encode) -> _Encode:
    """A map: each entry is a message of name and value."""
    return lambda number, values: b"".join(
        _field(number, _text(1, name) + one(2, value)) for name, value in values.items()
    )


def _message(fields: Callable[[], Mapping[str, _Field]], extensions: int) -> _Encode:
    def encode(number: int, value: Mapping[str, Any]) -> bytes:
        return _field(number, _fields(fields(), extensions, value))

    return encode


def _fields(fields: Mapping[str, _Field], extensions: int, value: Mapping[str, Any]) -> bytes:
    parts = []
    for key, content in value.items():
        if key.startswith("x-"):
            parts.append(_field(extensions, _text(1, key) + _free(2, content)))
        else:
            field = fields[key]
            parts.append(field.encode(field.number, content))
    return b"".join(parts)


_texts = _many(_text)
_schema = _message(lambda: _SCHEMA, 31)
_operation = _message(lambda: _OPERATION, 13)


def _parameter(number: int, value: Mapping[str, Any]) -> bytes:
    """A body's, a query's or a path's: each is a message of its own within the alternatives."""
    match value["in"]:
        case "body":
            inner = _field(1, _fields(_BODY_PARAMETER, 6, value))
        case "query":
            inner = _field(2, _field(3, _fields(_QUERY_PARAMETER, 23, value)))
        case _:
            inner = _field(2, _field(4, _fields(_PATH_PARAMETER, 22, value)))
    return _field(number, _field(1, inner))


_response = _message(lambda: _RESPONSE, 5)


def _either(number: int, value: Any) -> bytes:
    """A schema or a boolean."""
    return _field(number, _flag(2, value) if isinstance(value, bool) else _schema(1, value))


_SCHEMA: Final[Mapping[str, _Field]] = {
    "$ref": _Field(1, _text),
    "format": _Field(2, _text),
    "title": _Field(3, _text),
    "description": _Field(4, _text),
    "default": _Field(5, _free),
    "multipleOf": _Field(6, _double),
    "maximum": _Field(7, _double),
    "exclusiveMaximum": _Field(8, _flag),
    "minimum": _Field(9, _double),
    "exclusiveMinimum": _Field(10, _flag),
    "maxLength": _Field(11, _number),
    "minLength": _Field(12, _number),
    "pattern": _Field(13, _text),
    "maxItems": _Field(14, _number),
    "minItems": _Field(15, _number),
    "uniqueItems": _Field(16, _flag),
    "maxProperties": _Field(17, _number),
    "minProperties": _Field(18, _number),
    "required": _Field(19, _texts),
    "enum": _Field(20, _many(_free)),
    "additionalProperties": _Field(21, _either),
    "type": _Field(22, _within(_text, 1)),
    "items": _Field(23, _within(_schema, 1)),
    "properties": _Field(25, _within(_named(_schema), 1)),
}
_COMMON_PARAMETER: Final = {
    "required": _Field(1, _flag),
    "in": _Field(2, _text),
    "description": _Field(3, _text),
    "name": _Field(4, _text),
}
_QUERY_PARAMETER: Final[Mapping[str, _Field]] = {
    **_COMMON_PARAMETER,
    "type": _Field(6, _text),
    "uniqueItems": _Field(20, _flag),
}
_PATH_PARAMETER: Final[Mapping[str, _Field]] = {
    **_COMMON_PARAMETER,
    "type": _Field(5, _text),
    "uniqueItems": _Field(19, _flag),
}
_BODY_PARAMETER: Final[Mapping[str, _Field]] = {
    "description": _Field(1, _text),
    "name": _Field(2, _text),
    "in": _Field(3, _text),
    "required": _Field(4, _flag),
    "schema": _Field(5, _schema),
}
_RESPONSE: Final[Mapping[str, _Field]] = {
    "description": _Field(1, _text),
    "schema": _Field(2, _within(_schema, 1)),
}
_OPERATION: Final[Mapping[str, _Field]] = {
    "tags": _Field(1, _texts),
    "description": _Field(3, _text),
    "operationId": _Field(5, _text),
    "produces": _Field(6, _texts),
    "consumes": _Field(7, _texts),
    "parameters": _Field(8, _many(_parameter)),
    "responses": _Field(9, _within(_named(_within(_response, 1)), 1)),
    "schemes": _Field(10, _texts),
    "deprecated": _Field(11, _flag),
}
_PATH: Final[Mapping[str, _Field]] = {
    "get": _Field(2, _operation),
    "put": _Field(3, _operation),
    "post": _Field(4, _operation),
    "delete": _Field(5, _operation),
    "options": _Field(6, _operation),
    "head": _Field(7, _operation),
    "patch": _Field(8, _operation),
    "parameters": _Field(9, _many(_parameter)),
}
_KEY_SECURITY: Final[Mapping[str, _Field]] = {
    "type": _Field(1, _text),
    "name": _Field(2, _text),
    "in": _Field(3, _text),
    "description": _Field(4, _text),
}
_INFO: Final[Mapping[str, _Field]] = {"title": _Field(1, _text), "version": _Field(2, _text)}
_DOCUMENT: Final[Mapping[str, _Field]] = {
    "swagger": _Field(1, _text),
    "info": _Field(2, _message(lambda: _INFO, 7)),
    "paths": _Field(8, _within(_named(_message(lambda: _PATH, 10)), 2)),
    "definitions": _Field(9, _within(_named(_schema), 1)),
    "security": _Field(12, _many(_within(_named(_within(_texts, 1)), 1))),
    "securityDefinitions": _Field(13, _within(_named(_within(_message(lambda: _KEY_SECURITY, 5), 2)), 1)),
}


def encode(document: Mapping[str, Any]) -> bytes:
    """The message for a whole v2 document."""
    return _fields(_DOCUMENT, 16, document)
