"""Validation of ``x-kubernetes-validations``: each rule compiles, may look where it looks, and cannot cost too much.

Cost is estimated before a rule ever runs: what the expression may cost, times
how often it may be run in one object.
Source: Kubernetes docs, "Resource use by validation functions"; apiextensions validation, by behaviour and messages.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from tiphys.machinery import fields
from tiphys.machinery.fields import FieldError
from tiphys.resources.apiextensions.schema import paths
from tiphys.resources.apiextensions.schema.paths import EMBEDDED, LIST_TYPE, MAP_TYPE, RULES, Schema

REASONS: Final = ("FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired")
_HINT: Final = (
    "(try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are "
    "declared)"
)
#: Macros that run an expression for each item.
_LOOPS: Final = (".all(", ".exists(", ".exists_one(", ".map(", ".filter(", ".transform", ".sortBy(")
_UNBOUNDED: Final = 2**64 - 1
#: How many of the most expensive rules are named when all of them together cost too much.
NAMED_MAX: Final = 10


@dataclass(slots=True)
class _Total:
    """What all rules cost together."""

    cost: int = 0
    places: list[tuple[int, str]] = field(default_factory=list)

    def add(self, path: str, cost: int) -> None:
        self.cost = min(self.cost + cost, _UNBOUNDED)
        self.places.append((cost, path))


def validate(schema: Schema, path: str) -> list[FieldError]:
    """All that is wrong with the rules of a whole schema."""
    if not _anywhere(schema):
        return []
    from tiphys.machinery import cel  # noqa: PLC0415  # only definitions with rules need the language

    total = _Total()
    errs = list(_walk(schema, path, True, 1, None, total))
    if total.cost > cel.CRD_TOTAL_LIMIT:
        detail = "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema"
        dearest = sorted(total.places, key=lambda each: -each[0])[:NAMED_MAX]
        errs += [fields.forbidden(where, detail) for cost, where in dearest if cost]
        what = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema"
        errs.append(fields.forbidden(path, _exceeded(what, total.cost, cel.CRD_TOTAL_LIMIT)))
    return errs


def _anywhere(schema: Any) -> bool:
    if isinstance(schema, dict):
        return bool(schema.get(RULES)) or any(map(_anywhere, schema.values()))
    return isinstance(schema, list) and any(map(_anywhere, schema))


def _exceeded(what: str, cost: int, limit: int) -> str:
    factor = cost / limit
    shown = "more than 100x" if factor > 100 else f"{factor:.1f}x"
    return f"{what} exceeds budget by factor of {shown} {_HINT}"


def _times(one: int, other: int) -> int:
    return min(one * other, _UNBOUNDED)


def _walk(
    schema: Schema, path: str, root: bool, often: int, uncorrelated: str | None, total: _Total
) -> Iterator[FieldError]:
    """``often``: how many values of this schema one object may have. ``uncorrelated``: the part of the schema,
    with this one in it, whose old values cannot be told."""
    for index, spec in enumerate(schema.get(RULES) or ()):
        yield from _rule(schema, spec, f"{path}.{RULES}[{index}]", root, often, uncorrelated, total)
    inner = paths.items(schema)
    if inner is not None:
        where = uncorrelated or (path if schema.get(LIST_TYPE) != "map" else None)
        yield from _walk(inner, f"{path}.items", bool(inner.get(EMBEDDED)), _many(schema, often), where, total)
    where = uncorrelated or (path if schema.get(MAP_TYPE) == "atomic" else None)
    for name, sub in paths.properties(schema).items():
        yield from _walk(sub, f"{path}.properties[{name}]", bool(sub.get(EMBEDDED)), often, where, total)
    if (values := paths.additional(schema)) is not None:
        below = f"{path}.additionalProperties"
        yield from _walk(values, below, bool(values.get(EMBEDDED)), _many(schema, often), where, total)


def _many(schema: Schema, often: int) -> int:
    from tiphys.machinery import cel  # noqa: PLC0415  # as above

    known = cel.schema_type(schema)
    return _times(often, known.size if known is not None and known.size is not None else 1)


def _rule(
    schema: Schema, spec: Schema, path: str, root: bool, often: int, uncorrelated: str | None, total: _Total
) -> Iterator[FieldError]:
    from tiphys.machinery import cel  # noqa: PLC0415  # as above
    from tiphys.resources.apiextensions.schema.expressions import Rule  # noqa: PLC0415  # as above

    faults = list(_form(spec, schema, path))
    if faults:
        yield from faults
        return
    try:
        rule = Rule({**spec, "messageExpression": None}, schema, root)
    except cel.ReturnTypeError:
        yield fields.invalid(f"{path}.rule", spec["rule"], "cel expression must evaluate to a bool")
        return
    except cel.CompileError as problem:
        yield fields.invalid(f"{path}.rule", spec["rule"], f"compilation failed: {problem}")
        return
    if rule.uses_old and uncorrelated is not None:
        detail = f"oldSelf cannot be used on the uncorrelatable portion of the schema within {uncorrelated}"
        yield fields.invalid(f"{path}.rule", spec["rule"], detail)
    elif spec.get("optionalOldSelf") is not None and not rule.uses_old:
        detail = "may not be set if oldSelf is not used in rule"
        yield fields.invalid(f"{path}.optionalOldSelf", spec["optionalOldSelf"], detail)
    yield from _cost("estimated rule cost", rule.program, f"{path}.rule", often, total)
    if text := spec.get("messageExpression"):
        yield from _message(spec, text, schema, path, root, often, total)


def _message(
    spec: Schema, text: str, schema: Schema, path: str, root: bool, often: int, total: _Total
) -> Iterator[FieldError]:
    from tiphys.machinery import cel  # noqa: PLC0415  # as above
    from tiphys.resources.apiextensions.schema.expressions import Rule  # noqa: PLC0415  # as above

    where = f"{path}.messageExpression"
    try:
        rule = Rule(spec, schema, root)
    except cel.ReturnTypeError:
        yield fields.invalid(where, text, "messageExpression must evaluate to a string")
    except cel.CompileError as problem:
        yield fields.invalid(where, text, f"messageExpression compilation failed: {problem}")
    else:
        # Kubernetes' own examples join text with string(number), whose length the estimate takes for boundless.
        # What has no loop cannot cost more than the object is long.
        if any(macro in text for macro in _LOOPS):
            yield from _cost("estimated messageExpression cost", rule.message, where, often, total)


def _cost(what: str, program: Any, path: str, often: int, total: _Total) -> Iterator[FieldError]:
    from tiphys.machinery import cel  # noqa: PLC0415  # as above

    cost = _times(program.cost().high, often)
    if cost > cel.RULE_ESTIMATE_LIMIT:
        yield fields.forbidden(path, _exceeded(what, cost, cel.RULE_ESTIMATE_LIMIT))
    total.add(path, cost)


def _form(spec: Schema, schema: Schema, path: str) -> Iterator[FieldError]:
    """What can be seen without compiling."""
    rule, message = spec.get("rule") or "", spec.get("message")
    if not rule.strip():
        yield fields.required(f"{path}.rule", "rule is not specified")
    if message and not message.strip():
        yield fields.invalid(f"{path}.message", message, "message must be non-empty if specified")
    elif message and "\n" in message.strip():
        yield fields.invalid(f"{path}.message", message, "message must not contain line breaks")
    elif "\n" in rule.strip() and not message:
        yield fields.required(f"{path}.message", "message must be specified if rule contains line breaks")
    if spec.get("messageExpression") and not spec["messageExpression"].strip():
        detail = "messageExpression must be non-empty if specified"
        yield fields.required(f"{path}.messageExpression", detail)
    reason = spec.get("reason")
    if reason is not None and reason not in REASONS:
        yield fields.not_supported(f"{path}.reason", reason, REASONS)
    where = spec.get("fieldPath")
    if where is not None:
        if not where.strip():
            yield fields.invalid(f"{path}.fieldPath", where, "fieldPath must be non-empty if specified")
        elif "\n" in where:
            yield fields.invalid(f"{path}.fieldPath", where, "fieldPath must not contain line breaks")
        elif problem := _wrong_path(where, schema):
            yield fields.invalid(f"{path}.fieldPath", where, f"fieldPath must be a valid path: {problem}")


def _wrong_path(text: str, schema: Schema) -> str:
    """What is wrong with a path that must lead to a field of the schema."""
    found: Schema | None = schema
    rest = text
    while rest:
        if rest.startswith("."):
            name, end = rest[1:], len(rest)
            for index, letter in enumerate(name):
                if letter in ".[":
                    name, end = name[:index], index + 1
                    break
        elif rest.startswith("['") and "']" in rest:
            end = rest.index("']") + 2
            name = rest[2 : end - 2]
        else:
            return f"expected [ or . but got: {rest}"
        assert found is not None
        found = paths.properties(found).get(name) or paths.additional(found)
        if found is None:
            return "does not refer to a valid field"
        rest = rest[end:]
    return ""
