"""Lists that are sets or maps hold no item twice.

Source: Kubernetes docs, "Merge strategy"; the ``listtype`` validation, by behaviour.
"""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from tiphys.machinery import fields
from tiphys.machinery.fields import FieldError
from tiphys.resources.apiextensions.schema import paths
from tiphys.resources.apiextensions.schema.paths import LIST_TYPE, MAP_KEYS, Schema, child

Walk = Callable[[Any, str], Iterator[FieldError]]
_canonical = msgspec.json.Encoder(order="deterministic").encode


def walker(schema: Schema) -> Walk | None:
    """What finds duplicates in a value at a path; None if the schema has no such lists."""
    below = {name: found for name, sub in paths.properties(schema).items() if (found := walker(sub)) is not None}
    values = walker(sub) if (sub := paths.additional(schema)) is not None else None
    inner = paths.items(schema)
    of_items = walker(inner) if inner is not None else None
    identity = _identity(schema)
    if not below and values is None and of_items is None and identity is None:
        return None
    nodes = tuple(below.items())

    def walk(value: Any, path: str) -> Iterator[FieldError]:
        if isinstance(value, dict):
            for name, deeper in nodes:
                if name in value:
                    yield from deeper(value[name], child(path, name))
            if values is not None:
                for name, held in value.items():
                    if name not in below:
                        yield from values(held, f"{path}[{name}]")
        elif isinstance(value, list):
            if identity is not None:
                yield from _duplicates(value, path, identity)
            if of_items is not None:
                for index, item in enumerate(value):
                    yield from of_items(item, f"{path}[{index}]")

    return walk


def _identity(schema: Schema) -> Callable[[Any], Any] | None:
    """What must differ between two items."""
    kind = schema.get(LIST_TYPE)
    if kind == "set":
        return lambda item: item
    if kind != "map":
        return None
    keys = tuple(schema.get(MAP_KEYS) or ())
    known = paths.properties(paths.items(schema) or {})
    defaults = {key: known[key]["default"] for key in keys if key in known and known[key].get("default") is not None}

    def keyed(item: Any) -> Any:
        if not isinstance(item, dict):
            return item
        return {key: item.get(key, defaults.get(key)) for key in keys if key in item or key in defaults}

    return keyed


def _duplicates(value: list[Any], path: str, identity: Callable[[Any], Any]) -> Iterator[FieldError]:
    seen: set[Any] = set()
    told: set[Any] = set()
    for index, item in enumerate(value):
        same = identity(item)
        mark = same if same.__class__ is str else _canonical(same)
        if mark in seen and mark not in told:
            yield fields.duplicate(f"{path}[{index}]", same)
            told.add(mark)
        seen.add(mark)


def problems(walk: Walk | None, value: Any) -> list[FieldError]:
    """All duplicates of a whole object."""
    return list(walk(value, "")) if walk is not None else []
