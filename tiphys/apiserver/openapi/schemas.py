"""Schemas of all kinds, in the words of OpenAPI.

The package keeps them as JSON Schema: types that admit null, enumerations of
apiVersion and kind, and references below ``$defs``; this undoes all three.
"""

import json
from collections.abc import Iterable
from importlib.resources import files
from typing import Any, Final, Literal

from tiphys.apiserver.discovery import MINOR

Dialect = Literal["v2", "v3"]
Schema = dict[str, Any]

PREFIX: Final = "#/$defs/"
PLACES: Final[dict[Dialect, str]] = {"v2": "#/definitions/", "v3": "#/components/schemas/"}
# What is neither an object nor a plain scalar.
SPECIAL: Final[dict[str, dict[Dialect, Schema]]] = {
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": {
        "v2": {"type": "string", "format": "int-or-string"},
        "v3": {"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]},
    },
    "io.k8s.apimachinery.pkg.api.resource.Quantity": {
        "v2": {"type": "string"},
        "v3": {"oneOf": [{"type": "string"}, {"type": "number"}]},
    },
}


def definitions() -> dict[str, Schema]:
    """Every schema by its full name. Read anew each time: what is made of it is kept, this is not."""
    folder = files("kubernetes_validate") / "kubernetes-json-schema" / f"v1.{MINOR}.0-local"
    found: dict[str, Schema] = json.loads((folder / "_definitions.json").read_bytes())["$defs"]
    return found


def name_of(found: dict[str, Schema], group: str, version: str, kind: str) -> str:
    """The schema of a kind; empty if there is none."""
    for package in (f"io.k8s.api.{group.partition('.')[0] or 'core'}", "io.k8s.apimachinery.pkg.apis.meta"):
        name = f"{package}.{version}.{kind}"
        if name in found:
            return name
    suffix = f".{version}.{kind}"
    return next(
        (name for name in found if name.endswith(suffix) and _api_version(group, version) in _versions(found[name])), ""
    )


def _api_version(group: str, version: str) -> str:
    return f"{group}/{version}" if group else version


def _versions(schema: Schema) -> list[str]:
    return list(schema.get("properties", {}).get("apiVersion", {}).get("enum", ()))


def group_version_kinds(schema: Schema) -> list[dict[str, str]]:
    """Under which names a schema is a kind; none for parts of kinds."""
    kinds = schema.get("properties", {}).get("kind", {}).get("enum", ())
    found = []
    for api_version in _versions(schema):
        group, _, version = api_version.rpartition("/")
        found += [{"group": group, "kind": kind, "version": version} for kind in kinds]
    return found


def reachable(found: dict[str, Schema], names: Iterable[str]) -> set[str]:
    """``names`` and all that their schemas refer to."""
    todo = [name for name in names if name in found]
    seen: set[str] = set(todo)
    while todo:
        for name in _references(found[todo.pop()]):
            if name not in seen and name in found:
                seen.add(name)
                todo.append(name)
    return seen


def _references(schema: Any) -> Iterable[str]:
    if isinstance(schema, dict):
        reference = schema.get("$ref")
        if isinstance(reference, str):
            yield reference.removeprefix(PREFIX)
        for value in schema.values():
            if isinstance(value, dict | list):
                yield from _references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _references(value)


def definition(name: str, schema: Schema, dialect: Dialect) -> Schema:
    """One named schema."""
    if name in SPECIAL:
        described = {"description": schema["description"]} if "description" in schema else {}
        return described | SPECIAL[name][dialect]
    result = translated(schema, dialect)
    kinds = group_version_kinds(schema)
    if kinds:
        result["x-kubernetes-group-version-kind"] = kinds
        for field in ("apiVersion", "kind"):
            result["properties"][field].pop("enum", None)
    return result


def translated(schema: Schema, dialect: Dialect) -> Schema:
    """A schema of JSON Schema as one of OpenAPI; the caller's own."""
    result: Schema = {}
    for key, value in schema.items():
        if key == "type":
            result[key] = next(one for one in value if one != "null") if isinstance(value, list) else value
        elif key == "$ref":
            result[key] = PLACES[dialect] + value.removeprefix(PREFIX)
        elif key == "properties":
            result[key] = {name: translated(one, dialect) for name, one in value.items()}
        elif key in ("items", "additionalProperties") and isinstance(value, dict):
            result[key] = translated(value, dialect)
        elif key in ("oneOf", "anyOf", "allOf"):
            result[key] = [translated(one, dialect) for one in value]
        elif key == "enum":
            result[key] = [one for one in value if one is not None]
        else:
            result[key] = value
    if dialect == "v3" and "$ref" in result and len(result) > 1:
        # Beside a reference OpenAPI 3.0 ignores everything.
        result["allOf"] = [{"$ref": result.pop("$ref")}]
    return result
