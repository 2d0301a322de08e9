"""What OpenAPI allows and a definition's schema may not say, and the extensions that Kubernetes adds to it.

Source: Kubernetes docs, "Validation" of custom resources; apiextensions validation, by behaviour and messages.
"""

from collections.abc import Iterator
from typing import Any, Final

from tiphys.machinery import fields
from tiphys.machinery.fields import FieldError
from tiphys.resources.apiextensions.schema import checking, formats, paths, problems, pruning
from tiphys.resources.apiextensions.schema.paths import LIST_TYPE, MAP_KEYS, MAP_TYPE, PRESERVE, Schema

TYPES: Final = ("array", "boolean", "integer", "number", "object", "string")
_UNSUPPORTED: Final = (
    ("definitions", "definitions is not supported"),
    ("dependencies", "dependencies is not supported"),
    ("id", "id is not supported"),
    ("additionalItems", "additionalItems is not supported"),
    ("patternProperties", "patternProperties is not supported"),
    ("$ref", "$ref is not supported"),
)
#: Formats that are known without being checked.
_KNOWN_FORMATS: Final = {"int32", "int64", "float", "double", "date-time"}


def validate(schema: Schema, path: str) -> list[FieldError]:
    """All that is wrong, in the order of the schema."""
    return list(_walk(schema, path))


def _below(schema: Schema, path: str) -> Iterator[tuple[Schema, str]]:
    """The schemas directly below one, wherever they stand."""
    for name in ("items", "additionalProperties", "not"):
        if isinstance(schema.get(name), dict):
            yield schema[name], f"{path}.{name}"
    for name, sub in paths.properties(schema).items():
        yield sub, f"{path}.properties[{name}]"
    for name in ("allOf", "oneOf", "anyOf"):
        for index, sub in enumerate(schema.get(name) or ()):
            yield sub, f"{path}.{name}[{index}]"


def _walk(schema: Schema, path: str) -> Iterator[FieldError]:
    yield from _one(schema, path)
    yield from _lists(schema, path)
    for sub, where in _below(schema, path):
        yield from _walk(sub, where)


def _one(schema: Schema, path: str) -> Iterator[FieldError]:
    if schema.get("uniqueItems"):
        detail = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        yield fields.forbidden(f"{path}.uniqueItems", detail)
    values = schema.get("additionalProperties")
    if values is not None:
        if paths.properties(schema) and values is not True:
            detail = "additionalProperties and properties are mutual exclusive"
            yield fields.forbidden(f"{path}.additionalProperties", detail)
        if values is False:
            yield fields.forbidden(f"{path}.additionalProperties", "additionalProperties cannot be set to false")
    for name, detail in _UNSUPPORTED:
        if schema.get(name) is not None:
            yield fields.forbidden(f"{path}.{name}", detail)
    kind = schema.get("type")
    if kind == "null":
        yield fields.forbidden(f"{path}.type", "type cannot be set to null, use nullable as an alternative")
    elif kind and kind not in TYPES:
        yield fields.not_supported(f"{path}.type", kind, TYPES)
    if isinstance(schema.get("items"), list):
        yield fields.forbidden(f"{path}.items", "items must be a schema object and not an array")
    if schema.get(PRESERVE) is False:
        yield fields.invalid(f"{path}.{PRESERVE}", False, "must be true or undefined")
    if (map_type := schema.get(MAP_TYPE)) is not None:
        yield from _extension_type(schema, path, MAP_TYPE, "object")
        if map_type not in ("atomic", "granular"):
            yield fields.not_supported(f"{path}.{MAP_TYPE}", map_type, ["atomic", "granular"])


def _extension_type(schema: Schema, path: str, extension: str, wanted: str) -> Iterator[FieldError]:
    kind = schema.get("type") or ""
    if kind == wanted:
        return
    detail = f"must be {wanted} if {extension} is specified"
    yield fields.invalid(f"{path}.type", kind, detail) if kind else fields.required(f"{path}.type", detail)


def _lists(schema: Schema, path: str) -> Iterator[FieldError]:
    kind, keys = schema.get(LIST_TYPE), schema.get(MAP_KEYS) or []
    if kind is not None:
        yield from _extension_type(schema, path, LIST_TYPE, "array")
        if kind not in ("atomic", "map", "set"):
            yield fields.not_supported(f"{path}.{LIST_TYPE}", kind, ["atomic", "map", "set"])
    if keys and kind != "map":
        detail = f"must be map if {MAP_KEYS} is non-empty"
        where = f"{path}.{LIST_TYPE}"
        yield fields.required(where, detail) if kind is None else fields.invalid(where, kind, detail)
    inner = paths.items(schema)
    if kind == "map":
        yield from _keyed(schema, keys, inner, path)
    elif kind == "set" and inner is not None:
        yield from _set_items(inner, f"{path}.items")


def _set_items(inner: Schema, path: str) -> Iterator[FieldError]:
    if inner.get("nullable"):
        yield fields.forbidden(f"{path}.nullable", f"cannot be nullable when {LIST_TYPE} is set")
    detail = f"must be atomic as item of a list with {LIST_TYPE}=set"
    for kind, extension, default in (("array", LIST_TYPE, "atomic"), ("object", MAP_TYPE, "granular")):
        held = inner.get(extension) or default
        if inner.get("type") == kind and held != "atomic":
            where = f"{path}.{extension}"
            yield fields.invalid(where, held, detail) if inner.get(extension) else fields.required(where, detail)


def _keyed(schema: Schema, keys: list[str], inner: Schema | None, path: str) -> Iterator[FieldError]:
    where = f"{path}.{MAP_KEYS}"
    if not keys:
        yield fields.required(where, f"must not be empty if {LIST_TYPE} is map")
    if inner is None:
        yield fields.required(f"{path}.items", f"must have a schema if {LIST_TYPE} is map")
        return
    if inner.get("type") != "object":
        detail = f"must be object if parent array's {LIST_TYPE} is map"
        yield fields.invalid(f"{path}.items.type", inner.get("type") or "", detail)
    known, required = paths.properties(inner), inner.get("required") or ()
    if len(set(keys)) < len(keys):
        yield fields.invalid(where, keys, "must not contain duplicate entries")
    if any(key not in known for key in keys):
        yield fields.invalid(where, keys, "entries must all be names of item properties")
    for key in dict.fromkeys(keys):
        if key not in known:
            continue
        below = f"{path}.items.properties[{key}]"
        sub = known[key]
        if sub.get("type") in ("array", "object"):
            detail = f"must be a scalar type if parent array's {LIST_TYPE} is map"
            yield fields.invalid(f"{below}.type", sub["type"], detail)
        if sub.get("nullable"):
            yield fields.forbidden(f"{below}.nullable", f"this property is in {MAP_KEYS}, so it cannot be nullable")
        if key not in required and sub.get("default") is None:
            detail = f"this property is in {MAP_KEYS}, so it must have a default or be a required property"
            yield fields.required(f"{below}.default", detail)


def validate_defaults(schema: Schema, path: str) -> list[FieldError]:
    """Defaults that would themselves be pruned or refused."""
    return list(_defaults(schema, path, False))


def _defaults(schema: Schema, path: str, in_metadata: bool) -> Iterator[FieldError]:
    value = schema.get("default")
    where = f"{path}.default"
    if value is not None and in_metadata:
        yield fields.forbidden(where, "must not be set in top-level metadata")
    elif value is not None:
        clean = pruning.clean(schema)
        if clean is not None and not clean(value):
            yield fields.invalid(where, value, "must not have unknown fields")
        check = checking.check_of(schema)
        if check is not None and not check(value):
            yield from problems.problems(schema, value, where)
    if (inner := paths.items(schema)) is not None:
        yield from _defaults(inner, f"{path}.items", in_metadata)
    root = path.endswith("openAPIV3Schema")
    for name, sub in paths.properties(schema).items():
        yield from _defaults(sub, f"{path}.properties[{name}]", in_metadata or (root and name == "metadata"))
    if (values := paths.additional(schema)) is not None:
        yield from _defaults(values, f"{path}.additionalProperties", in_metadata)


def unknown_formats(schema: Schema, path: str) -> list[str]:
    """Warnings about formats that nothing checks."""
    found: list[str] = []
    form: Any = schema.get("format")
    if form and form not in _KNOWN_FORMATS and formats.find(form) is None:
        found.append(f'{path}.format: unrecognized format "{form}"')
    for sub, where in _below(schema, path):
        found += unknown_formats(sub, where)
    return found
