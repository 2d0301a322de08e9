"""Objects with every field set, made from the types alone, the same ones each time."""

import types
import typing
from typing import Any

import msgspec

from tiphys.api.scalars import MicroTime, Quantity, Time
from tiphys.resources.rules import Resource


def filled(row: Resource) -> Any:
    obj = fill(row.cls)
    obj.metadata.name, obj.metadata.namespace = "name", "ns" if row.namespaced else ""
    return obj


def fill(cls: Any) -> Any:
    hints = typing.get_type_hints(cls, include_extras=True)
    given = {"apiVersion", "kind"} & set(hints) if _is_kind(cls) else set()
    return cls(**{name: _value(hint, name) for name, hint in hints.items() if name not in given})


def _is_kind(cls: Any) -> bool:
    return "metadata" in cls.__struct_fields__ and "kind" in cls.__struct_fields__


def _value(hint: Any, name: str) -> Any:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return _value(args[0], name)
    if origin in (typing.Union, types.UnionType):
        return _value(next(arg for arg in args if arg is not type(None)), name)
    if origin is list:
        return [_value(args[0], name)]
    if origin is dict:
        return {name.lower(): _value(args[1], name)}
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return fill(hint)
    return _SCALARS[hint](name)


_SCALARS: dict[Any, Any] = {
    Quantity: lambda name: Quantity("1500m"),
    Time: lambda name: Time("2026-01-31T08:00:00Z"),
    MicroTime: lambda name: MicroTime("2026-01-31T08:00:00.000001Z"),
    str: lambda name: f"a-{name.lower()}",
    int: lambda name: len(name),
    bool: lambda name: True,
    bytes: lambda name: name.encode(),
    Any: lambda name: {name: [1, "two"]},
}
