"""What makes a schema structural, so that it can be pruned by and its values be found without trying.

Source: Kubernetes docs, "Specifying a structural schema"; the structural schema's validation, by behaviour.
"""

from collections.abc import Iterator
from typing import Any, Final

from tiphys.machinery import fields
from tiphys.machinery.fields import FieldError
from tiphys.resources.apiextensions.schema import paths, patterns
from tiphys.resources.apiextensions.schema.paths import EMBEDDED, INT_OR_STRING, PRESERVE, Schema

_EITHER: Final = [{"type": "integer"}, {"type": "string"}]
#: Where a schema stands decides how its missing type is spoken of.
_UNTYPED: Final = {
    "root": "must not be empty at the root",
    "item": "must not be empty for specified array items",
    "field": "must not be empty for specified object fields",
}
#: What must not stand below a junctor, with its sentence.
_FORBIDDEN: Final = (
    ("type", "must be empty to be structural"),
    ("additionalProperties", "must be undefined to be structural"),
    ("default", "must be undefined to be structural"),
    ("title", "must be empty to be structural"),
    ("description", "must be empty to be structural"),
    ("nullable", "must be false to be structural"),
    ("externalDocs", "must be undefined to be structural"),
    (PRESERVE, "must be false to be structural"),
    (EMBEDDED, "must be false to be structural"),
    (INT_OR_STRING, "must be false to be structural"),
    (paths.MAP_KEYS, "must be empty to be structural"),
    (paths.LIST_TYPE, "must be undefined to be structural"),
    (paths.MAP_TYPE, "must be undefined to be structural"),
    (paths.RULES, "must be empty to be structural"),
)
_JUNCTORS: Final = ("anyOf", "allOf", "oneOf")


def validate(schema: Schema, path: str) -> list[FieldError]:
    """All that is not structural, sorted by what is said, as Kubernetes does."""
    return sorted([*_invariants(schema, "root", path), *_complete(schema, schema, path)], key=str)


def _key(path: str, name: str) -> str:
    return f"{path}.properties[{name}]"


def _invariants(schema: Schema, level: str, path: str) -> Iterator[FieldError]:
    kind = schema.get("type") or ""
    inner, values = paths.items(schema), schema.get("additionalProperties")
    if kind == "array" and inner is None:
        yield fields.required(f"{path}.items", "must be specified")
    if inner is not None:
        yield from _invariants(inner, "item", f"{path}.items")
    for name, sub in paths.properties(schema).items():
        yield from _invariants(sub, "field", _key(path, name))
    if values is not None:
        if level == "root":
            yield fields.forbidden(f"{path}.additionalProperties", "must not be used at the root")
        if isinstance(values, dict):
            yield from _invariants(values, "field", f"{path}.additionalProperties")
    yield from _extensions(schema, path)
    yield from _junctors(schema, level, path)
    yield from _type(schema, kind, level, path)
    yield from _known_fields(schema, level, path)


def _extensions(schema: Schema, path: str) -> Iterator[FieldError]:
    if schema.get(INT_OR_STRING):
        for name in (PRESERVE, EMBEDDED):
            if schema.get(name):
                yield fields.invalid(f"{path}.{name}", True, f"must be false if {INT_OR_STRING} is true")
    if schema.get(EMBEDDED):
        if schema.get("additionalProperties") is not None:
            yield fields.forbidden(f"{path}.additionalProperties", f"must not be used if {EMBEDDED} is set")
        if not schema.get(PRESERVE) and not paths.properties(schema):
            detail = f"must not be empty if {EMBEDDED} is true without {PRESERVE}"
            yield fields.required(f"{path}.properties", detail)


def _type(schema: Schema, kind: str, level: str, path: str) -> Iterator[FieldError]:
    where = f"{path}.type"
    if schema.get(EMBEDDED) and kind != "object":
        detail = f"must be object if {EMBEDDED} is true"
        yield fields.invalid(where, kind, detail) if kind else fields.required(where, detail)
    elif not kind and not schema.get(INT_OR_STRING) and not schema.get(PRESERVE):
        yield fields.required(where, _UNTYPED[level])
    if level == "root" and kind and kind != "object":
        yield fields.invalid(where, kind, "must be object at the root")


def _known_fields(schema: Schema, level: str, path: str) -> Iterator[FieldError]:
    """What every object has is implied; a schema may only restrict its names."""
    known = paths.properties(schema)
    whole = level == "root" or bool(schema.get(EMBEDDED))
    for name in ("kind", "apiVersion"):
        if whole and name in known and known[name].get("type") != "string":
            yield fields.invalid(f"{_key(path, name)}.type", known[name].get("type") or "", "must be string")
    metadata = known.get("metadata")
    if metadata is None:
        return
    where = _key(path, "metadata")
    if whole and metadata.get("type") != "object":
        yield fields.invalid(f"{where}.type", metadata.get("type") or "", "must be object")
    if level == "root":
        rest = metadata.keys() - {"type", "properties", "description"}
        if rest or not paths.properties(metadata).keys() <= {"name", "generateName"}:
            detail = "must not specify anything other than name and generateName, but metadata is implicitly specified"
            yield fields.forbidden(where, detail)


def _junctors(schema: Schema, level: str, path: str, skip_any: bool = False) -> Iterator[FieldError]:
    """The values that a schema demands: below its junctors stand no structures."""
    any_of, all_of = schema.get("anyOf") or [], schema.get("allOf") or []
    if not skip_any and any_of != _EITHER:
        for index, sub in enumerate(any_of):
            yield from _nested(sub, level, f"{path}.anyOf[{index}]")
    for index, sub in enumerate(all_of):
        either = index == 0 and sub.get("anyOf") == _EITHER
        yield from _nested(sub, level, f"{path}.allOf[{index}]", skip_any=either)
    for index, sub in enumerate(schema.get("oneOf") or ()):
        yield from _nested(sub, level, f"{path}.oneOf[{index}]")
    if (refused := schema.get("not")) is not None:
        yield from _nested(refused, level, f"{path}.not")
    if pattern := schema.get("pattern"):
        try:
            patterns.compiled(pattern)
        except patterns.BadPattern as problem:
            detail = f"must be a valid regular expression, but isn't: {problem}"
            yield fields.invalid(f"{path}.pattern", pattern, detail)


def _nested(schema: Schema, level: str, path: str, skip_any: bool = False) -> Iterator[FieldError]:
    yield from _junctors(schema, level, path, skip_any)
    if (inner := paths.items(schema)) is not None:
        yield from _nested(inner, level, f"{path}.items")
    for name, sub in paths.properties(schema).items():
        yield from _nested(sub, "field", _key(path, name))
    for name, detail in _FORBIDDEN:
        if schema.get(name):
            yield fields.forbidden(f"{path}.{name}", detail)
    if "metadata" in paths.properties(schema):
        yield fields.forbidden(_key(path, "metadata"), "must not be specified in a nested context")


def _complete(schema: Schema, spine: Schema, path: str) -> Iterator[FieldError]:
    """Whatever is demanded below a junctor is specified outside of it too."""
    for junctor in _JUNCTORS:
        for index, sub in enumerate(schema.get(junctor) or ()):
            yield from _specified(sub, spine, path, f"{path}.{junctor}[{index}]")
    if (refused := schema.get("not")) is not None:
        yield from _specified(refused, spine, path, f"{path}.not")
    if schema is spine:
        if (inner := paths.items(schema)) is not None:
            yield from _complete(inner, inner, f"{path}.items")
        for name, sub in paths.properties(schema).items():
            yield from _complete(sub, sub, _key(path, name))
        if (values := paths.additional(schema)) is not None:
            yield from _complete(values, values, f"{path}.additionalProperties")


def _specified(schema: Schema, spine: Schema, at: str, path: str) -> Iterator[FieldError]:
    yield from _complete(schema, spine, at) if schema is not spine else ()
    inner: Any = paths.items(schema)
    if inner is not None:
        known = paths.items(spine)
        if known is None:
            yield fields.required(f"{at}.items", f"because it is defined in {path}.items")
        else:
            yield from _specified(inner, known, f"{at}.items", f"{path}.items")
    for name, sub in paths.properties(schema).items():
        below = paths.properties(spine).get(name)
        if below is None:
            yield fields.required(_key(at, name), f"because it is defined in {_key(path, name)}")
        else:
            yield from _specified(sub, below, _key(at, name), _key(path, name))
