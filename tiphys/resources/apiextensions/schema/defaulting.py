"""Defaults are filled in, and nulls that a schema does not allow make room for them.

Source: Kubernetes docs, "Defaulting", "Defaulting and Nullable".
"""

from collections.abc import Callable
from typing import Any

import msgspec

from tiphys.resources.apiextensions.schema import paths
from tiphys.resources.apiextensions.schema.paths import META_FIELDS, Schema

Fill = Callable[[Any], None]
_SCALARS = (str, int, float, bool)


def default(schema: Schema, root: bool = False) -> Fill | None:
    """What fills in the defaults of a value, in place; None if there is nothing to do for any value."""
    if (inner := paths.items(schema)) is not None:
        return _list(inner)
    known = paths.properties(schema)
    values = paths.additional(schema)
    if not known and values is None:
        return None
    return _map({name: sub for name, sub in known.items() if not (root and name in META_FIELDS)}, values)


def _maker(schema: Schema) -> Callable[[], Any] | None:
    """What makes a schema's default anew each time."""
    value = schema.get("default")
    if value is None:
        return None
    if isinstance(value, _SCALARS):
        return lambda: value
    text = msgspec.json.encode(value)
    decode = msgspec.json.Decoder().decode
    return lambda: decode(text)


def _map(known: dict[str, Schema], values: Schema | None) -> Fill:
    makers = tuple((name, make) for name, sub in known.items() if (make := _maker(sub)) is not None)
    below = tuple((name, fill) for name, sub in known.items() if (fill := default(sub)) is not None)
    names = frozenset(known)
    nullable = frozenset(name for name, sub in known.items() if sub.get("nullable"))
    of_values = default(values) if values is not None else None
    value_maker = _maker(values) if values is not None else None
    value_nullable = values is None or bool(values.get("nullable"))

    def drop_nulls(value: dict[str, Any]) -> None:
        for name in [name for name, held in value.items() if held is None]:
            if name in names:
                if name not in nullable:
                    del value[name]
            elif not value_nullable:
                if value_maker is not None:
                    value[name] = value_maker()
                else:
                    del value[name]

    def fill_map(value: Any) -> None:
        if not isinstance(value, dict):
            return
        if None in value.values():
            drop_nulls(value)
        for name, make in makers:
            if name not in value:
                value[name] = make()
        for name, inner in below:
            if name in value:
                inner(value[name])
        if of_values is not None:
            for name, held in value.items():
                if name not in names:
                    of_values(held)

    return fill_map


def _list(inner: Schema) -> Fill | None:
    """What fills in the items of a list."""
    of_items = default(inner)
    make = _maker(inner)
    if of_items is None and make is None:
        return None
    nullable = bool(inner.get("nullable"))

    def fill(value: Any) -> None:
        if not isinstance(value, list):
            return
        if make is not None and not nullable and None in value:
            value[:] = [make() if item is None else item for item in value]
        if of_items is not None:
            for item in value:
                of_items(item)

    return fill
