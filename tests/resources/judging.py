"""Helpers of rule tests: what a client's JSON becomes, and what is said against it."""

from typing import Any

import msgspec

from tiphys.machinery import codec
from tiphys.resources import metadata, table

UID = "0c5b1a52-0000-4000-8000-000000000001"


def made(name: str, body: dict[str, Any]) -> Any:
    """The object as the registry hands it to validation."""
    row = table.find(name)
    obj = codec.convert(row.cls, {"apiVersion": row.api_version, "kind": row.kind, **body})
    row.strategy.default(obj)
    obj.metadata.name = obj.metadata.name or "web"
    if row.namespaced:
        obj.metadata.namespace = obj.metadata.namespace or "default"
    obj.metadata.uid = UID
    row.strategy.prepare_for_create(obj)
    return obj


def faults(name: str, obj: Any) -> list[str]:
    """Errors of creation, as sentences."""
    row = table.find(name)
    return [str(error) for error in (*metadata.validate_create(row, obj), *row.strategy.validate_create(obj))]


def faults_of(name: str, body: dict[str, Any]) -> list[str]:
    return faults(name, made(name, body))


def changed(name: str, old: Any, change: Any, subresource: str = "") -> tuple[Any, list[str]]:
    """The object after ``change(new)`` through an endpoint, and the errors of the update."""
    row = table.find(name)
    strategy: Any = row.strategy
    if subresource:
        strategy = next(sub.strategy for sub in row.subresources if sub.name == subresource)
    new = codec.copy(old)
    change(new)
    strategy.default(new)
    strategy.prepare_for_update(new, old)
    return new, [str(error) for error in strategy.validate_update(new, old)]


def cells(name: str, obj: Any, now: Any) -> dict[str, Any]:
    return {column.name: column.cell(obj, now) for column in table.find(name).columns}


def builtins(obj: Any) -> Any:
    return msgspec.json.decode(codec.encode(obj))
