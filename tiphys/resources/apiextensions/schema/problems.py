"""What is wrong with a value that does not fit its schema, in Kubernetes' words.

On an update, faults of parts that are as they were are not held against the
writer. Source: Kubernetes docs, "Validation ratcheting" (KEP-4008); kube-openapi's
validation and its messages, by behaviour.
"""

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from tiphys.machinery import fields
from tiphys.machinery.fields import FieldError
from tiphys.machinery.goformat import json_kind
from tiphys.resources.apiextensions.schema import checking, formats, paths, patterns
from tiphys.resources.apiextensions.schema.paths import EMBEDDED, INT_OR_STRING, META_FIELDS, Schema, child

#: There is no older value to compare with.
MISSING: Final = object()
_KINDS: Final = {"bool": "boolean", "array": "array", "object": "object", "string": "string", "null": "null"}


def problems(
    schema: Schema, value: Any, path: str = "", old: Any = MISSING, *, root: bool = False
) -> Iterator[FieldError]:
    """All that is wrong; nothing for what equals ``old``."""
    if old is not MISSING and not root and checking.same(value, old):
        return
    if value is None and schema.get("nullable"):
        return
    if misfit := _type(schema, value, path):
        yield misfit
        if value is None:
            return
    yield from _combined(schema, value, path)
    if isinstance(value, str):
        yield from _text(schema, value, path)
    elif checking.TYPES["number"](value):
        yield from _number(schema, value, path)
    elif isinstance(value, list):
        yield from _list(schema, value, path, old)
    allowed = schema.get("enum")
    if allowed and not any(checking.same(value, choice) for choice in allowed):
        shown = [choice if isinstance(choice, str) else msgspec.json.encode(choice).decode() for choice in allowed]
        yield fields.not_supported(path, value, shown)
    if isinstance(value, dict):
        yield from _map(schema, value, path, old, root)


def _kind(value: Any) -> str:
    kind = json_kind(value)
    return ("integer" if checking.is_integer(value) else "number") if kind == "number" else _KINDS[kind]


def _type(schema: Schema, value: Any, path: str) -> FieldError | None:
    if schema.get(INT_OR_STRING):
        wanted, fits = "integer,string", isinstance(value, str) or checking.is_integer(value)
    elif kind := schema.get("type"):
        wanted, fits = kind, checking.TYPES[kind](value)
    else:
        return None
    if fits:
        return None
    found = _kind(value)
    return fields.type_invalid(path, found, f'{path} in body must be of type {wanted}: "{found}"')


def _shown(number: Any) -> str:
    return str(int(number)) if float(number).is_integer() and abs(number) < 1e21 else repr(number)


def _text(schema: Schema, value: str, path: str) -> Iterator[FieldError]:
    longest, shortest = schema.get("maxLength"), schema.get("minLength")
    if longest is not None and len(value) > longest:
        yield fields.too_long(path, value, longest)
    if shortest is not None and len(value) < shortest:
        yield fields.invalid(path, value, f"{path} in body should be at least {shortest} chars long", "minLength")
    pattern = schema.get("pattern")
    if pattern and not patterns.compiled(pattern)(value):
        yield fields.invalid(path, value, f"{path} in body should match '{pattern}'", "pattern")
    form = schema.get("format")
    good = formats.find(form) if form else None
    if form and good is not None and not good(value):
        quoted = msgspec.json.encode(value).decode()
        yield fields.type_invalid(path, value, f"{path} in body must be of type {form}: {quoted}")


def _number(schema: Schema, value: Any, path: str) -> Iterator[FieldError]:
    reach = checking.range_of(schema)
    if reach is not None and not reach[0] <= value <= reach[1]:
        form = f"with format {schema['format']}" if schema.get("format") else "(default format)"
        yield fields.invalid("<nil>", "", f"Checked value must be of type {schema['type']} {form} in {path}")
    factor, high, low = schema.get("multipleOf"), schema.get("maximum"), schema.get("minimum")
    if factor and not checking.is_multiple(value, factor):
        yield fields.invalid(path, value, f"{path} in body should be a multiple of {_shown(factor)}", "multipleOf")
    if high is not None:
        strict = bool(schema.get("exclusiveMaximum"))
        if value > high or (strict and value == high):
            words = "less than" if strict else "less than or equal to"
            yield fields.invalid(path, value, f"{path} in body should be {words} {_shown(high)}", "maximum")
    if low is not None:
        strict = bool(schema.get("exclusiveMinimum"))
        if value < low or (strict and value == low):
            words = "greater than" if strict else "greater than or equal to"
            yield fields.invalid(path, value, f"{path} in body should be {words} {_shown(low)}", "minimum")


def _combined(schema: Schema, value: Any, path: str) -> Iterator[FieldError]:
    options = schema.get("anyOf") or ()
    if options:
        found = [list(problems(sub, value, path)) for sub in options]
        if all(found):
            yield _junctor(path, "must validate at least one schema (anyOf)")
            yield from min(found, key=len)
    alternatives = schema.get("oneOf") or ()
    if alternatives:
        found = [list(problems(sub, value, path)) for sub in alternatives]
        valid = sum(not each for each in found)
        if valid != 1:
            why = "Found none valid" if not valid else f"Found {valid} valid alternatives"
            yield _junctor(path, f"must validate one and only one schema (oneOf). {why}")
            if not valid:
                yield from min(found, key=len)
    together = schema.get("allOf") or ()
    if together:
        found = [list(problems(sub, value, path)) for sub in together]
        valid = sum(not each for each in found)
        if valid != len(together):
            why = "" if valid else ". None validated"
            yield _junctor(path, f"must validate all the schemas (allOf){why}")
        for each in found:
            yield from each
    refused = schema.get("not")
    if refused is not None and not list(problems(refused, value, path)):
        yield _junctor(path, "must not validate the schema (not)")


def _junctor(path: str, text: str) -> FieldError:
    return fields.invalid("<nil>", "", f'"{path}" {text}')


def _list(schema: Schema, value: list[Any], path: str, old: Any) -> Iterator[FieldError]:
    inner = paths.items(schema)
    if inner is not None:
        before = correlated(schema, old)
        for index, item in enumerate(value):
            yield from problems(inner, item, f"{path}[{index}]", before(item))
    fewest, most = schema.get("minItems"), schema.get("maxItems")
    if fewest is not None and len(value) < fewest:
        text = f"{path} in body should have at least {fewest} items"
        yield fields.invalid(path, len(value), text, "minItems")
    if most is not None and len(value) > most:
        yield fields.too_many(path, len(value), most)
    if schema.get("uniqueItems") and checking.has_duplicates(value):
        yield fields.invalid(path, "", f"{path} in body shouldn't contain duplicates")


def correlated(schema: Schema, old: Any) -> Any:
    """What finds the old item that a new one was; ``MISSING`` where the list's type does not tell."""
    if schema.get(paths.LIST_TYPE) != "map" or not isinstance(old, list):
        return lambda item: MISSING
    keys = schema.get(paths.MAP_KEYS) or ()
    known = paths.properties(paths.items(schema) or {})

    def identity(item: Any) -> str:
        held = item if isinstance(item, dict) else {}
        return repr([held.get(key, (known.get(key) or {}).get("default")) for key in keys])

    by_keys = {identity(item): item for item in old}
    return lambda item: by_keys.get(identity(item), MISSING)


def _map(schema: Schema, value: dict[str, Any], path: str, old: Any, root: bool) -> Iterator[FieldError]:
    known = paths.properties(schema)
    values = paths.additional(schema)
    before = old if isinstance(old, dict) else {}
    fewest, most = schema.get("minProperties"), schema.get("maxProperties")
    if most is not None and len(value) > most:
        yield fields.too_many(path, len(value), most)
    if fewest is not None and len(value) < fewest:
        text = f"{path} in body should have at least {fewest} properties"
        yield fields.invalid(path, len(value), text, "minProperties")
    if schema.get(EMBEDDED):
        yield from _resource(value, path)
    for name in schema.get("required") or ():
        if name not in value:
            yield fields.required(child(path, name))
    for name, held in value.items():
        if root and name in META_FIELDS:
            continue
        sub = known.get(name, values)
        if sub is not None:
            yield from problems(sub, held, child(path, name), before.get(name, MISSING))
        elif schema.get("additionalProperties") is False:
            yield fields.invalid(path, name, f"{path}.{name} in body is a forbidden property")


def _resource(value: dict[str, Any], path: str) -> Iterator[FieldError]:
    """An embedded object says what it is."""
    for name in ("apiVersion", "kind"):
        held = value.get(name)
        if held is None or held == "":
            yield fields.required(child(path, name), "must not be empty")
        elif not isinstance(held, str):
            yield fields.type_invalid(child(path, name), _kind(held), "must be a string")
    metadata = value.get("metadata")
    if metadata is not None and not isinstance(metadata, dict):
        yield fields.type_invalid(child(path, "metadata"), _kind(metadata), "must be an object")
