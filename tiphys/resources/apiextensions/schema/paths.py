"""Paths of fields in messages, and what a schema says of what stands below it."""

from collections.abc import Mapping
from typing import Any, Final

Schema = Mapping[str, Any]

EMBEDDED: Final = "x-kubernetes-embedded-resource"
INT_OR_STRING: Final = "x-kubernetes-int-or-string"
LIST_TYPE: Final = "x-kubernetes-list-type"
MAP_KEYS: Final = "x-kubernetes-list-map-keys"
MAP_TYPE: Final = "x-kubernetes-map-type"
PRESERVE: Final = "x-kubernetes-preserve-unknown-fields"
RULES: Final = "x-kubernetes-validations"
#: What every object has, whatever its schema says.
META_FIELDS: Final = frozenset({"apiVersion", "kind", "metadata"})


def child(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def properties(schema: Schema) -> Mapping[str, Schema]:
    return schema.get("properties") or {}


def additional(schema: Schema) -> Schema | None:
    """The schema of a map's values; None if there is none or it allows anything without describing it."""
    found = schema.get("additionalProperties")
    return found if isinstance(found, dict) else None


def items(schema: Schema) -> Schema | None:
    """The schema of a list's items."""
    found = schema.get("items")
    return found if isinstance(found, dict) else None
