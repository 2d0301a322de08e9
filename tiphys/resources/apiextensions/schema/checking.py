"""Whether a value fits its schema: closures made once, that say yes or no and nothing else."""

from collections.abc import Callable, Sequence
from typing import Any, Final

from tiphys.resources.apiextensions.schema import formats, paths, patterns
from tiphys.resources.apiextensions.schema.paths import EMBEDDED, INT_OR_STRING, META_FIELDS, Schema

Check = Callable[[Any], bool]


def is_integer(value: Any) -> bool:
    """Whole numbers, however they are written."""
    if value.__class__ is int:
        return True
    return value.__class__ is float and value.is_integer()


def _is_number(value: Any) -> bool:
    return value.__class__ is int or value.__class__ is float


TYPES: Final[dict[str, Check]] = {
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: value.__class__ is bool,
    "integer": is_integer,
    "number": _is_number,
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
}


def _all(checks: Sequence[Check]) -> Check | None:
    if len(checks) < 2:
        return checks[0] if checks else None
    if len(checks) == 2:
        one, two = checks
        return lambda value: one(value) and two(value)
    kept = tuple(checks)

    def check(value: Any) -> bool:
        for each in kept:  # noqa: SIM110  # a loop is twice as fast as all() over a generator
            if not each(value):
                return False
        return True

    return check


def check_of(schema: Schema, root: bool = False) -> Check | None:
    """Whether a value fits; None if every value does. ``root``: metadata is typed and fits."""
    checks = [check for make in _MAKERS if (check := make(schema)) is not None]
    checks += _containers(schema, root)
    whole = _all(checks)
    if whole is None:
        return None
    if schema.get("nullable"):
        return lambda value: value is None or whole(value)
    return whole


def _type(schema: Schema) -> Check | None:
    if schema.get(INT_OR_STRING):
        return lambda value: isinstance(value, str) or is_integer(value)
    kind = schema.get("type")
    return TYPES.get(kind) if kind else None


def _text(schema: Schema) -> Check | None:
    shortest, longest = schema.get("minLength"), schema.get("maxLength")
    pattern, form = schema.get("pattern"), schema.get("format")
    search = patterns.compiled(pattern) if pattern else None
    good = formats.find(form) if form and schema.get("type") in ("string", None) else None
    if shortest is None and longest is None and search is None and good is None:
        return None

    def check(value: Any) -> bool:
        if not isinstance(value, str):
            return True
        if longest is not None and len(value) > longest:
            return False
        if shortest is not None and len(value) < shortest:
            return False
        return (search is None or bool(search(value))) and (good is None or good(value))

    return check


def is_multiple(value: float, factor: float) -> bool:
    if isinstance(value, int) and float(factor).is_integer():
        return value % int(factor) == 0
    return (value / factor).is_integer()


#: What fits into the formats of numbers; integers fit into 64 bits whatever their format.
_RANGES: Final[dict[tuple[str, str], tuple[float, float]]] = {
    ("integer", "int32"): (-(2**31), 2**31 - 1),
    ("integer", "uint32"): (0, 2**32 - 1),
    ("integer", "uint64"): (0, 2**64 - 1),
    ("number", "float"): (-3.4028234663852886e38, 3.4028234663852886e38),
}


def range_of(schema: Schema) -> tuple[float, float] | None:
    """The least and the greatest number of a schema's type and format; None if all fit."""
    kind = schema.get("type") or ""
    default = (-(2**63), 2**63 - 1) if kind == "integer" else None
    return _RANGES.get((kind, schema.get("format") or ""), default)


def _number(schema: Schema) -> Check | None:
    low, high, factor = schema.get("minimum"), schema.get("maximum"), schema.get("multipleOf")
    reach = range_of(schema)
    if low is None and high is None and not factor and reach is None:
        return None
    above, below = bool(schema.get("exclusiveMinimum")), bool(schema.get("exclusiveMaximum"))

    def check(value: Any) -> bool:
        if not _is_number(value):
            return True
        if reach is not None and not reach[0] <= value <= reach[1]:
            return False
        if low is not None and (value < low or (above and value == low)):
            return False
        if high is not None and (value > high or (below and value == high)):
            return False
        return not factor or is_multiple(value, factor)

    return check


def same(one: Any, other: Any) -> bool:
    """Equality of JSON values, where a number is no truth value."""
    return bool(one == other) and (one.__class__ is bool) == (other.__class__ is bool)


def _enum(schema: Schema) -> Check | None:
    allowed = schema.get("enum")
    if not allowed:
        return None
    if all(isinstance(choice, str) for choice in allowed):
        texts = frozenset(allowed)
        return lambda value: isinstance(value, str) and value in texts
    return lambda value: any(same(value, choice) for choice in allowed)


def _combined(schema: Schema) -> Check | None:
    checks = [check for sub in schema.get("allOf") or () if (check := check_of(sub)) is not None]
    if options := [check_of(sub) for sub in schema.get("anyOf") or ()]:
        checks.append(lambda value: any(check is None or check(value) for check in options))
    if alternatives := [check_of(sub) for sub in schema.get("oneOf") or ()]:
        checks.append(lambda value: sum(check is None or check(value) for check in alternatives) == 1)
    if (refused := schema.get("not")) is not None:
        bad = check_of(refused)
        checks.append(lambda value: bad is not None and not bad(value))
    return _all(checks)


_MAKERS: Final[tuple[Callable[[Schema], Check | None], ...]] = (_type, _text, _number, _enum, _combined)


def _containers(schema: Schema, root: bool) -> list[Check]:
    return [check for check in (_list(schema), _map(schema, root)) if check is not None]


def _list(schema: Schema) -> Check | None:
    inner = paths.items(schema)
    of_items = check_of(inner) if inner is not None else None
    fewest, most, unique = schema.get("minItems"), schema.get("maxItems"), schema.get("uniqueItems")
    if of_items is None and fewest is None and most is None and not unique:
        return None

    def check(value: Any) -> bool:
        if not isinstance(value, list):
            return True
        if most is not None and len(value) > most:
            return False
        if fewest is not None and len(value) < fewest:
            return False
        if of_items is not None:
            for item in value:
                if not of_items(item):
                    return False
        return not unique or not has_duplicates(value)

    return check


def has_duplicates(value: list[Any]) -> bool:
    return any(same(item, other) for at, item in enumerate(value) for other in value[:at])


def is_resource(value: dict[str, Any]) -> bool:
    """Whether an embedded object says what it is."""
    metadata = value.get("metadata")
    named = all(isinstance(value.get(name), str) and value[name] for name in ("apiVersion", "kind"))
    return named and (metadata is None or isinstance(metadata, dict))


def _map(schema: Schema, root: bool) -> Check | None:
    known = paths.properties(schema)
    below = tuple(
        (name, found)
        for name, sub in known.items()
        if not (root and name in META_FIELDS) and (found := check_of(sub)) is not None
    )
    required = tuple(schema.get("required") or ())
    fewest, most = schema.get("minProperties"), schema.get("maxProperties")
    values = paths.additional(schema)
    of_values = check_of(values) if values is not None else None
    closed = schema.get("additionalProperties") is False
    embedded = bool(schema.get(EMBEDDED))
    if not (below or required or of_values or fewest is not None or most is not None or closed or embedded):
        return None
    names = frozenset(known)

    def check(value: Any) -> bool:
        if not isinstance(value, dict):
            return True
        if embedded and not is_resource(value):
            return False
        for name in required:
            if name not in value:
                return False
        if (most is not None and len(value) > most) or (fewest is not None and len(value) < fewest):
            return False
        for name, fits in below:
            if name in value and not fits(value[name]):
                return False
        if of_values is not None:
            for name, held in value.items():
                if name not in names and not of_values(held):
                    return False
        return not closed or value.keys() <= names

    return check
