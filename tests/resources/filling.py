"""Objects with every field set, made from the types alone, the same ones each time."""

import types
import typing
from collections.abc import Hashable
from typing import Any

import msgspec

from tiphys.api.scalars import MicroTime, Quantity, Time
from tiphys.resources.rules import Resource


def filled(row: Resource) -> Any:
    obj = fill(row.cls)
    obj.metadata.name, obj.metadata.namespace = "name", "ns" if row.namespaced else ""
    return obj


def fill(cls: Any, within: frozenset[Any] = frozenset()) -> Any:
    """``within`` holds the classes around it: one that holds itself is left out inside."""
    hints = typing.get_type_hints(cls, include_extras=True)
    given = {"apiVersion", "kind"} & set(hints) if _is_kind(cls) else set()
    around = within | {cls}
    wanted = {name: hint for name, hint in hints.items() if name not in given and not _mentioned(hint) & around}
    return cls(**{name: _value(hint, name, around) for name, hint in wanted.items()})


def _mentioned(hint: Any) -> set[Any]:
    return {hint}.union(*map(_mentioned, typing.get_args(hint))) if isinstance(hint, Hashable) else set()


def _is_kind(cls: Any) -> bool:
    return "metadata" in cls.__struct_fields__ and "kind" in cls.__struct_fields__


def _value(hint: Any, name: str, around: frozenset[Any]) -> Any:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return _value(args[0], name, around)
    if origin in (typing.Union, types.UnionType):
        return _value(next(arg for arg in args if arg is not type(None)), name, around)
    if origin is list:
        return [_value(args[0], name, around)]
    if origin is dict:
        return {name.lower(): _value(args[1], name, around)}
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return fill(hint, around)
    return _SCALARS[hint](name)


_SCALARS: dict[Any, Any] = {
    Quantity: lambda name: Quantity("1500m"),
    Time: lambda name: Time("2026-01-31T08:00:00Z"),
    MicroTime: lambda name: MicroTime("2026-01-31T08:00:00.000001Z"),
    str: lambda name: f"a-{name.lower()}",
    int: lambda name: len(name),
    float: lambda name: len(name) + 0.5,
    bool: lambda name: True,
    bytes: lambda name: name.encode(),
    Any: lambda name: {name: [1, "two"]},
}
