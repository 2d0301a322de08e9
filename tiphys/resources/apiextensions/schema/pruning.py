"""Unknown fields are dropped, except where the schema says that they are kept.

Source: Kubernetes docs, "Field pruning"; the structural schema's pruning, by behaviour.
"""

from collections.abc import Callable
from typing import Any, Final

from tiphys.api import meta_v1
from tiphys.resources.apiextensions.schema import paths
from tiphys.resources.apiextensions.schema.paths import EMBEDDED, META_FIELDS, PRESERVE, Schema, child

Clean = Callable[[Any], bool]

#: What the metadata of an embedded object may hold.
METADATA: Final = frozenset(meta_v1.ObjectMeta.__struct_fields__)


def clean(schema: Schema, root: bool = False) -> Clean | None:
    """Whether a value has no field that would be pruned; None if no value has one."""
    below = {name: found for name, sub in paths.properties(schema).items() if (found := _below(sub)) is not None}
    if root:
        below = {name: found for name, found in below.items() if name not in META_FIELDS}
    values = paths.additional(schema)
    of_values = _below(values) if values is not None else None
    of_items = _below(sub) if (sub := paths.items(schema)) is not None else None
    keeps = bool(schema.get(PRESERVE)) or values is not None
    if values is None and schema.get("additionalProperties") is True and not schema.get(PRESERVE):
        keeps, of_values = True, _holds_nothing
    if schema.get("type") == "array" or of_items is not None:
        return _list(of_items) if of_items is not None else None
    if schema.get("type") not in ("object", None):
        return None
    known = frozenset(paths.properties(schema)) | (META_FIELDS if root else frozenset())
    if keeps and not below and of_values is None:
        return None
    return _map(known, below, of_values, keeps)


def _below(schema: Schema) -> Clean | None:
    embedded = bool(schema.get(EMBEDDED))
    found = clean(schema, embedded)
    return _embedded(found) if embedded else found


def _embedded(inner: Clean | None) -> Clean:
    def check(value: Any) -> bool:
        metadata = value.get("metadata") if isinstance(value, dict) else None
        if isinstance(metadata, dict) and not metadata.keys() <= METADATA:
            return False
        return inner is None or inner(value)

    return check


def _holds_nothing(value: Any) -> bool:
    """Below what nothing describes, no field is known."""
    if isinstance(value, list):
        return all(map(_holds_nothing, value))
    return not isinstance(value, dict) or not value


def _list(of_items: Clean) -> Clean:
    def check(value: Any) -> bool:
        if isinstance(value, list):
            for item in value:
                if not of_items(item):
                    return False
        return True

    return check


def _map(known: frozenset[str], below: dict[str, Clean], of_values: Clean | None, keeps: bool) -> Clean:
    children = tuple(below.items())

    def check(value: Any) -> bool:
        if not isinstance(value, dict):
            return True
        if not keeps and not value.keys() <= known:
            return False
        for name, inner in children:
            if name in value and not inner(value[name]):
                return False
        if of_values is not None:
            for name, held in value.items():
                if name not in known and not of_values(held):
                    return False
        return True

    return check


def prune(schema: Schema | None, value: Any, path: str, dropped: list[str], root: bool = False) -> None:
    """Drop unknown fields in place and note their paths."""
    if isinstance(value, list):
        inner = paths.items(schema) if schema is not None else None
        preserves = schema is not None and bool(schema.get(PRESERVE))
        if inner is None and preserves:
            return
        for index, item in enumerate(value):
            prune(inner, item, f"{path}[{index}]", dropped, bool(inner and inner.get(EMBEDDED)))
    elif isinstance(value, dict):
        _prune_map(schema or {}, value, path, dropped, root)


def _prune_map(schema: Schema, value: dict[str, Any], path: str, dropped: list[str], root: bool) -> None:
    known = paths.properties(schema)
    open_ended = schema.get("additionalProperties")
    for name in list(value):
        if root and name in META_FIELDS:
            if name == "metadata" and isinstance(value[name], dict):
                _prune_metadata(value[name], child(path, name), dropped)
            continue
        sub = known.get(name)
        if sub is None and isinstance(open_ended, dict):
            sub = open_ended
        if sub is not None:
            prune(sub, value[name], child(path, name), dropped, bool(sub.get(EMBEDDED)))
        elif schema.get(PRESERVE):
            continue
        elif open_ended:
            prune(None, value[name], child(path, name), dropped)
        else:
            del value[name]
            dropped.append(child(path, name))


def _prune_metadata(metadata: dict[str, Any], path: str, dropped: list[str]) -> None:
    """Of an embedded object; an object's own metadata has a type."""
    for name in metadata.keys() - METADATA:
        del metadata[name]
        dropped.append(child(path, name))
