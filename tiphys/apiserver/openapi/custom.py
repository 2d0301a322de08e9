"""Schemas of custom resources, from what their definitions say of each version.

Version 3 shows the schema as it is. Version 2 has no words for some of it, and
its readers trip over others; those are left out, and what is shown then admits
more than the server does.
Source: Kubernetes docs, "Extend the Kubernetes API with CustomResourceDefinitions",
"Publish Validation Schema in OpenAPI"; apiextensions-apiserver's publication, by behaviour.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from tiphys.apiserver.aggregation.catalog import Published
from tiphys.apiserver.openapi.schemas import PLACES, Dialect, Schema

META: Final = "io.k8s.apimachinery.pkg.apis.meta.v1."
#: What definitions of custom resources refer to.
REFERRED: Final = (f"{META}ObjectMeta", f"{META}ListMeta")
PRESERVE: Final = "x-kubernetes-preserve-unknown-fields"
EMBEDDED: Final = "x-kubernetes-embedded-resource"
#: Keys of a definition's schema that are schemas, lists of schemas and maps of schemas.
ONE: Final = frozenset({"items", "additionalProperties", "not"})
MANY: Final = frozenset({"allOf", "anyOf", "oneOf"})
NAMED: Final = frozenset({"properties"})
#: Keys that version 2 keeps as they are.
PLAIN_V2: Final = frozenset(
    {
        "type", "format", "title", "description", "default", "required", "enum", "pattern", "uniqueItems",
        "maximum", "minimum", "exclusiveMaximum", "exclusiveMinimum", "multipleOf", "maxLength", "minLength",
        "maxItems", "minItems", "maxProperties", "minProperties",
    }
)  # fmt: skip
#: And those of version 3 besides.
PLAIN_V3: Final = PLAIN_V2 | {"nullable"}
API_VERSION: Final = {"type": "string", "description": "The version of the schema that this object is written in."}
KIND: Final = {"type": "string", "description": "The kind of object that this is."}


def name_of(group: str, version: str, kind: str) -> str:
    """``com.example.stable.v1.CronTab``."""
    return ".".join((*reversed(group.split(".")), version, kind))


def names(served: Iterable[Published]) -> dict[tuple[str, str, str], str]:
    """Names of all their schemas by group, version and kind."""
    found = {}
    for one in served:
        for kind in (one.row.kind, one.list_name):
            found[one.row.group, one.row.version, kind] = name_of(one.row.group, one.row.version, kind)
    return found


def definitions(one: Published, dialect: Dialect) -> dict[str, Schema]:
    """The schemas of the kind and of its lists, by name."""
    row = one.row
    return {
        name_of(row.group, row.version, row.kind): _kind(one, dialect),
        name_of(row.group, row.version, one.list_name): _list(one, dialect),
    }


def _kind(one: Published, dialect: Dialect) -> Schema:
    schema = one.schema
    if schema is None or (dialect == "v2" and schema.get(PRESERVE)):
        # Any property named here would make readers refuse all others.
        found: Schema = {"type": "object"}
    else:
        found = translated(schema, dialect)
        found["properties"] = {**found.get("properties", {}), **_type_fields(dialect)}
    found["x-kubernetes-group-version-kind"] = _kinds(one, one.row.kind)
    return found


def _list(one: Published, dialect: Dialect) -> Schema:
    row = one.row
    kind = {"$ref": PLACES[dialect] + name_of(row.group, row.version, row.kind)}
    items = {"type": "array", "items": kind, "description": f"List of {row.plural}."}
    metadata = _reference(f"{META}ListMeta", "Facts about the list.", dialect)
    return {
        "description": f"{one.list_name} is a list of {row.kind}",
        "type": "object",
        "required": ["items"],
        "properties": {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "items": items},
        "x-kubernetes-group-version-kind": _kinds(one, one.list_name),
    }


def _kinds(one: Published, kind: str) -> list[dict[str, str]]:
    return [{"group": one.row.group, "kind": kind, "version": one.row.version}]


def _type_fields(dialect: Dialect) -> Schema:
    metadata = _reference(f"{META}ObjectMeta", "What every object has.", dialect)
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata}


def _reference(name: str, description: str, dialect: Dialect) -> Schema:
    reference = {"$ref": PLACES[dialect] + name}
    # Beside a reference OpenAPI 3.0 ignores everything.
    return {"description": description} | (reference if dialect == "v2" else {"allOf": [reference]})


def translated(schema: Mapping[str, Any], dialect: Dialect) -> Schema:
    """One schema with all below it; the caller's own."""
    result = _lowered(schema) if dialect == "v2" else dict(schema)
    plain = PLAIN_V2 if dialect == "v2" else PLAIN_V3
    found: Schema = {}
    for key, value in result.items():
        if key in NAMED:
            found[key] = {name: translated(one, dialect) for name, one in value.items()}
        elif key in ONE:
            found[key] = translated(value, dialect) if isinstance(value, Mapping) else value
        elif key in MANY:
            found[key] = [translated(one, dialect) for one in value]
        elif key in plain or key.startswith("x-kubernetes-"):
            found[key] = value
    if found.get(EMBEDDED) and not (dialect == "v2" and found.get(PRESERVE)):
        found["properties"] = {**found.get("properties", {}), **_type_fields(dialect)}
    return found


def _lowered(schema: Mapping[str, Any]) -> Schema:
    """Without what version 2 cannot say, and without what its readers take for more than it says."""
    found = {key: value for key, value in schema.items() if key not in MANY and key not in ("not", "nullable")}
    if schema.get("nullable"):
        # A type, items or properties would refuse the null.
        for key in ("type", "items", "properties"):
            found.pop(key, None)
    if schema.get(PRESERVE):
        for key in ("items", "properties"):
            found.pop(key, None)
    if found.get("type") == "array" and "items" not in found:
        del found["type"]
    below = found.get("additionalProperties")
    may_be_null = {name for name, one in found.get("properties", {}).items() if one.get("nullable")}
    required = [name for name in found.pop("required", ()) if name not in may_be_null]
    if required and not (isinstance(below, Mapping) and below.get("nullable")):
        found["required"] = required
    return found
