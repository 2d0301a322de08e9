"""Types from OpenAPI schemas, with the sizes that cost estimation needs.

Source: Kubernetes docs, "Custom Resources", "Validation rules"; apiserver's ``SchemaDeclType``, by behaviour.
"""

import base64
import binascii
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from tiphys.machinery.cel import limits, times, types
from tiphys.machinery.cel.errors import EvaluationError
from tiphys.machinery.cel.escaping import escape
from tiphys.machinery.cel.types import Field, Type
from tiphys.machinery.cel.values import MapList, SetList

Schema = Mapping[str, Any]
_LONGEST: Final = limits.MAX_REQUEST_BYTES - 2


class _Sized(NamedTuple):
    """A type and the fewest bytes that a value of it takes as JSON."""

    type: Type
    smallest: int


def schema_type(schema: Schema, root: bool = False) -> Type | None:
    """The type of values of a schema; None where expressions see nothing. ``root`` for whole resources.

    The schema is a CRD's structural one or a definition with its references replaced.
    """
    found = _type(schema, root or bool(schema.get("x-kubernetes-embedded-resource")))
    return found.type if found else None


def _type(schema: Schema, root: bool = False) -> _Sized | None:
    if schema.get("x-kubernetes-int-or-string") or schema.get("format") == "int-or-string":
        return _Sized(Type("dyn", size=_length(schema)), limits.MIN_NUMBER)
    if root:
        schema = _with_metadata(schema)
    make = _MAKERS.get(schema.get("type", ""))
    return make(schema) if make else None


def _below(schema: Schema) -> _Sized | None:
    return _type(schema, bool(schema.get("x-kubernetes-embedded-resource")))


def _with_metadata(schema: Schema) -> Schema:
    """Of a resource, kind, version and name can always be read."""
    text = {"type": "string"}
    given = schema.get("properties") or {}
    named = (given.get("metadata") or {}).get("properties") or {}
    if {"name", "generateName"} <= named.keys() and {"kind", "apiVersion"} <= given.keys():
        return schema
    metadata = {"type": "object", "properties": {"name": text, "generateName": text}}
    return {**schema, "properties": {**given, "kind": text, "apiVersion": text, "metadata": metadata}}


def _at_least_zero(value: int) -> int:
    return max(value, 0)


def _length(schema: Schema) -> int:
    """The most bytes of a string: a character may take four."""
    if schema.get("maxLength") is not None:
        return _at_least_zero(schema["maxLength"]) * 4
    choices = [len(choice.encode()) for choice in schema.get("enum") or () if isinstance(choice, str)]
    return max(choices) if choices else _LONGEST


def _parsed(parse: Callable[[str], Any]) -> Callable[[Any], Any]:
    """A converter that leaves alone what it has converted already."""

    def convert(value: Any) -> Any:
        if type(value) is not str and not isinstance(value, str):
            return value
        try:
            return parse(value)
        except (ValueError, EvaluationError) as error:
            raise EvaluationError(str(error)) from None

    return convert


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text)
    except binascii.Error:
        raise ValueError("illegal base64 data") from None


def _as_double(value: Any) -> Any:
    return float(value) if type(value) is int else value


_FORMATS: Final[dict[str, tuple[str, Callable[[Any], Any], int, int]]] = {
    "duration": ("duration", _parsed(times.parse_duration), limits.MAX_DURATION_JSON, limits.MIN_DURATION_JSON),
    "date": ("timestamp", _parsed(times.parse_date), limits.DATE_JSON, limits.DATE_JSON),
    "date-time": ("timestamp", _parsed(times.parse_timestamp), limits.MAX_DATETIME_JSON, limits.MIN_DATETIME_JSON),
}


def _string(schema: Schema) -> _Sized:
    format_ = schema.get("format")
    if format_ == "byte":
        longest = _at_least_zero(schema["maxLength"]) if schema.get("maxLength") is not None else _LONGEST
        return _Sized(Type("bytes", size=longest, convert=_parsed(_decoded)), limits.MIN_STRING)
    if format_ in _FORMATS:
        kind, convert, longest, smallest = _FORMATS[format_]
        return _Sized(Type(kind, size=longest, convert=convert), smallest)
    return _Sized(Type("string", size=_length(schema)), limits.MIN_STRING)


def _number(schema: Schema) -> _Sized:
    return _Sized(Type("double", convert=_as_double), limits.MIN_NUMBER)


def _array(schema: Schema) -> _Sized | None:
    item = _below(schema["items"]) if schema.get("items") else None
    if item is None:
        return None
    given = schema.get("maxItems")
    most = _at_least_zero(given) if given is not None else _LONGEST // (item.smallest + 1)
    return _Sized(types.list_of(item.type, size=most, convert=_list_converter(schema, item.type)), 2)


def _list_converter(schema: Schema, item: Type) -> Callable[[Any], Any] | None:
    kind, convert = schema.get("x-kubernetes-list-type"), item.convert
    if kind == "map":
        keys = tuple(schema.get("x-kubernetes-list-map-keys") or ())
        return lambda value: MapList(value, keys) if type(value) is list else value
    if kind == "set":
        if convert is None:
            return lambda value: SetList(value) if type(value) is list else value
        return lambda value: SetList(map(convert, value)) if type(value) is list else value
    return None if convert is None else lambda value: [convert(one) for one in value]


def _object(schema: Schema) -> _Sized | None:
    extra = schema.get("additionalProperties")
    if isinstance(extra, Mapping) and extra:
        return _map(schema, extra)
    if extra and not schema.get("properties"):
        return None
    smallest = 2
    required = set(schema.get("required") or ())
    fields: dict[str, Field] = {}
    for name, below in (schema.get("properties") or {}).items():
        found = _below(below)
        if found is None:
            continue
        spelled = escape(name)
        if spelled is not None:
            fields[spelled] = Field(found.type, name)
        if name in required and below.get("default") is None:
            smallest += len(name) + found.smallest + 4
    return _Sized(Type("object", "object", fields=fields), smallest)


def _map(schema: Schema, extra: Schema) -> _Sized | None:
    value = _below(extra)
    if value is None:
        return None
    given = schema.get("maxProperties")
    most = _at_least_zero(given) if given is not None else _LONGEST // (value.smallest + 6)
    convert = value.type.convert
    every = None if convert is None else lambda found: {key: convert(one) for key, one in found.items()}
    return _Sized(types.map_of(types.STRING, value.type, size=most, convert=every), 2)


_MAKERS: Final[dict[str, Callable[[Schema], _Sized | None]]] = {
    "string": _string,
    "boolean": lambda schema: _Sized(types.BOOL, limits.MIN_BOOL),
    "integer": lambda schema: _Sized(types.INT, limits.MIN_NUMBER),
    "number": _number,
    "array": _array,
    "object": _object,
}
