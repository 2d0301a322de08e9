"""Functions by name: signatures, what they do, what they cost.

A library is a tuple of rows ``(name, id, signature, function[, charge])``. The
name of a method begins with a dot. A signature reads ``string, list<A> -> A``.
``charge(args, result)`` is what a call costs at run time; 1 where there is none.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple

from tiphys.machinery.cel import types
from tiphys.machinery.cel.types import Type
from tiphys.machinery.cel.values import Duration, Opaque, Optional, Timestamp, TypeValue, UInt

Charge = Callable[[Sequence[Any], Any], int]


class Overload(NamedTuple):
    function: str
    id: str
    member: bool
    params: tuple[Type, ...]
    result: Type
    implementation: Callable[..., Any]
    charge: Charge | None
    generic: bool


_SIMPLE: Final = {
    type_.name: type_
    for type_ in (
        types.DYN,
        types.NULL,
        types.BOOL,
        types.INT,
        types.UINT,
        types.DOUBLE,
        types.STRING,
        types.BYTES,
        types.DURATION,
        types.TIMESTAMP,
        types.TYPE,
    )
}
_PART: Final = re.compile(r"[\w.]+|[<>,]")


def signature(text: str) -> Type:
    """A type from its text: ``map<A, list<string>>``; one capital letter is a parameter, other names are opaque."""
    parts = _PART.findall(text)
    type_, rest = _read(parts)
    assert not rest, text
    return type_


def _read(parts: list[str]) -> tuple[Type, list[str]]:
    name, rest = parts[0], parts[1:]
    params = []
    if rest and rest[0] == "<":
        while rest[0] != ">":
            param, rest = _read(rest[1:])
            params.append(param)
        rest = rest[1:]
    if name in ("list", "map"):
        return Type(name, name, params), rest
    if name == "optional":
        return types.optional_of(params[0]), rest
    if len(name) == 1:
        return Type("param", name), rest
    return _SIMPLE.get(name) or types.opaque(name), rest


def _split(text: str) -> list[str]:
    """At commas outside of ``<>``."""
    found, depth, begin = [], 0, 0
    for at, char in enumerate(text):
        depth += (char == "<") - (char == ">")
        if char == "," and depth == 0:
            found.append(text[begin:at])
            begin = at + 1
    return [part for part in (*found, text[begin:]) if part.strip()]


def _has_params(type_: Type) -> bool:
    return type_.kind == "param" or any(map(_has_params, type_.params))


def overload(
    name: str, id_: str, text: str, implementation: Callable[..., Any], charge: Charge | None = None
) -> Overload:
    given, _, result = text.rpartition("->")
    params = tuple(signature(part) for part in _split(given))
    result_type = signature(result)
    generic = any(map(_has_params, (*params, result_type)))
    return Overload(name.lstrip("."), id_, name[0] == ".", params, result_type, implementation, charge, generic)


Functions = dict[str, list[Overload]]


def table(rows: Iterable[tuple[Any, ...]], into: Functions | None = None) -> Functions:
    """Overloads by function."""
    functions: Functions = {} if into is None else into
    for row in rows:
        one = overload(*row)
        functions.setdefault(one.function, []).append(one)
    return functions


def _exactly(kind: type) -> Callable[[Any], bool]:
    return lambda value: type(value) is kind


_CHECKS: Final[dict[str, Callable[[Any], bool]]] = {
    "bool": _exactly(bool),
    "int": _exactly(int),
    "uint": _exactly(UInt),
    "double": _exactly(float),
    "string": lambda value: isinstance(value, str),
    "bytes": _exactly(bytes),
    "null": lambda value: value is None,
    "duration": _exactly(Duration),
    "timestamp": _exactly(Timestamp),
    "type": _exactly(TypeValue),
    "list": lambda value: isinstance(value, list),
    "map": lambda value: isinstance(value, dict),
    "object": lambda value: isinstance(value, dict),
}


def fits(param: Type) -> Callable[[Any], bool] | None:
    """What a value must be for the parameter; None if it may be anything."""
    if param.kind == "opaque":
        if param.name == "optional_type":
            return _exactly(Optional)
        return lambda value, name=param.name: isinstance(value, Opaque) and value.cel_type == name  # type: ignore[misc]
    return _CHECKS.get(param.kind)
