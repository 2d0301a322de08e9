"""``x-kubernetes-validations``, compiled beside the schema and run over whole objects.

``tree`` gives None for schemas without rules, and only with rules is the
expression language imported. Cost is counted per object over all rules.
Source: Kubernetes docs, "Validation rules", "Transition rules", "Resource use by
validation functions"; KEP-2876 and KEP-4008, by behaviour and messages.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from tiphys.machinery import fields
from tiphys.machinery.fields import FieldError
from tiphys.machinery.goformat import quote
from tiphys.resources.apiextensions.schema import checking, paths, problems
from tiphys.resources.apiextensions.schema.paths import EMBEDDED, RULES, Schema, child
from tiphys.resources.apiextensions.schema.problems import MISSING

SELF, OLD = "self", "oldSelf"
_REASONS: Final = {
    "FieldValueForbidden": lambda path, value, detail: fields.forbidden(path, detail),
    "FieldValueRequired": lambda path, value, detail: fields.required(path, detail),
    "FieldValueDuplicate": lambda path, value, detail: fields.duplicate(path, value),
}
_OUT_OF_BUDGET: Final = "validation failed due to running out of cost budget, no further validation rules will be run"


class Rule:
    """One compiled rule."""

    __slots__ = ("message", "optional", "program", "spec", "uses_old")

    def __init__(self, spec: Mapping[str, Any], schema: Schema, root: bool) -> None:
        from tiphys.machinery import cel  # noqa: PLC0415  # only definitions with rules need the language

        self.spec = spec
        self.optional = bool(spec.get("optionalOldSelf"))
        known = cel.schema_type(schema, root=root) or cel.DYN
        variables = {SELF: known, OLD: cel.optional_of(known) if self.optional else known}
        environment = cel.environment(variables)
        self.program = environment.compile(spec["rule"], returns=(cel.BOOL,))
        text = spec.get("messageExpression")
        self.message = environment.compile(text, returns=(cel.STRING,)) if text else None
        self.uses_old = self.program.reads(OLD)

    @property
    def text(self) -> str:
        """What stands for the rule in messages about its failure."""
        return str(self.spec.get("message") or self.spec["rule"]).strip()


class Tree:
    """The rules of one place of a schema, and of all below it."""

    __slots__ = ("all_of", "convert", "items", "kind", "properties", "rules", "schema", "values")

    def __init__(self, schema: Schema, spine: Schema, root: bool) -> None:
        self.schema = spine
        self.kind: str = spine.get("type") or ""
        self.rules = [Rule(spec, spine, root) for spec in schema.get(RULES) or ()]
        self.convert = _converter(spine, root) if self.rules else None
        self.properties = {
            name: found
            for name, sub in paths.properties(schema).items()
            if (found := _tree(sub, paths.properties(spine).get(name))) is not None
        }
        self.items = _tree(paths.items(schema), paths.items(spine))
        self.values = _tree(paths.additional(schema), paths.additional(spine))
        below = [Tree(sub, spine, root) for sub in schema.get("allOf") or () if _has_rules(sub)]
        self.all_of = [tree for tree in below if not tree.is_empty]

    @property
    def is_empty(self) -> bool:
        return not (self.rules or self.properties or self.items or self.values or self.all_of)


def _converter(schema: Schema, root: bool) -> Any:
    from tiphys.machinery import cel  # noqa: PLC0415  # as above

    known = cel.schema_type(schema, root=root)
    return known.convert if known is not None else None


def _has_rules(schema: Any) -> bool:
    if isinstance(schema, dict):
        return bool(schema.get(RULES)) or any(map(_has_rules, schema.values()))
    return isinstance(schema, list) and any(map(_has_rules, schema))


def _tree(schema: Schema | None, spine: Schema | None) -> Tree | None:
    if schema is None or spine is None or not _has_rules(schema):
        return None
    found = Tree(schema, spine, bool(spine.get(EMBEDDED)))
    return None if found.is_empty else found


def tree(schema: Schema) -> Tree | None:
    """All rules of a whole schema, compiled; None if it has none. Raises what compiling raises."""
    return Tree(schema, schema, True) if _has_rules(schema) else None


def run(rules: Tree, obj: Mapping[str, Any], old: Mapping[str, Any] | None) -> list[FieldError]:
    """What the rules say of plain data; faults of parts that are as they were are passed over."""
    from tiphys.machinery import cel  # noqa: PLC0415  # as above

    return list(_Run(cel.Budget()).over(rules, obj, MISSING if old is None else old, "", False))


class _Exhausted(Exception):
    """No more rules are run."""


class _Run:
    """One object's way through its rules."""

    def __init__(self, budget: Any) -> None:
        self._budget = budget

    def over(self, place: Tree, value: Any, old: Any, path: str, same: bool) -> Iterator[FieldError]:
        try:
            yield from self._walk(place, value, old, path, same)
        except _Exhausted as last:
            yield last.args[0]

    def _walk(self, place: Tree, value: Any, old: Any, path: str, same: bool) -> Iterator[FieldError]:
        """``same``: a part that holds this one and can be told from others is as it was."""
        if value is None:
            return
        same = same or (bool(path) and old is not MISSING and checking.same(value, old))
        before = MISSING if old is None else old
        for rule in place.rules:
            yield from self._one(place, rule, value, before, path, same)
        for also in place.all_of:
            yield from self._walk(also, value, old, path, same)
        if isinstance(value, dict):
            yield from self._map(place, value, old, path, same)
        elif isinstance(value, list) and place.items is not None:
            find = problems.correlated(place.schema, old)
            for index, item in enumerate(value):
                yield from self._walk(place.items, item, find(item), f"{path}[{index}]", same)

    def _map(self, place: Tree, value: dict[str, Any], old: Any, path: str, same: bool) -> Iterator[FieldError]:
        atomic = place.schema.get(paths.MAP_TYPE) == "atomic"
        before = old if isinstance(old, dict) and not atomic else {}
        if place.values is not None:
            for name, held in value.items():
                if name not in place.properties:
                    yield from self._walk(place.values, held, before.get(name, MISSING), f"{path}[{name}]", same)
        for name, below in place.properties.items():
            if name in value:
                yield from self._walk(below, value[name], before.get(name, MISSING), child(path, name), same)

    def _one(self, place: Tree, rule: Rule, value: Any, old: Any, path: str, same: bool) -> Iterator[FieldError]:
        from tiphys.machinery import cel  # noqa: PLC0415  # as above

        if rule.uses_old and old is MISSING and not rule.optional:
            return
        convert = place.convert or _same
        variables = {SELF: convert(value)}
        if rule.optional:
            variables[OLD] = cel.Optional(False) if old is MISSING else cel.Optional(True, convert(old))
        elif old is not MISSING:
            variables[OLD] = convert(old)
        shown = path or "<nil>"
        try:
            if rule.program.evaluate(variables, self._budget) is True:
                return
        except cel.BudgetExceeded as problem:
            raise _Exhausted(fields.invalid(shown, place.kind, _OUT_OF_BUDGET)) from problem
        except cel.CostExceeded as problem:
            detail = f"'{problem}': no further validation rules will be run due to call cost exceeds limit for rule: "
            raise _Exhausted(fields.invalid(shown, place.kind, detail + rule.text)) from problem
        except cel.EvaluationError as problem:
            yield fields.invalid(shown, place.kind, _failed(problem, rule))
            return
        if same and not rule.uses_old:
            return
        where = (rule.spec.get("fieldPath") or "").lstrip(".")
        reason = rule.spec.get("reason") or ""
        detail = self._message(rule, variables, shown, place.kind)
        target = child(path, where) if where else shown
        made: Any = _REASONS.get(reason, fields.invalid)
        yield made(target, place.kind, detail)

    def _message(self, rule: Rule, variables: Mapping[str, Any], path: str, kind: str) -> str:
        """What the rule's message expression says, or its message, or the rule itself."""
        from tiphys.machinery import cel  # noqa: PLC0415  # as above

        given = str(rule.spec.get("message") or "").strip()
        default = given or f"failed rule: {rule.text}"
        if rule.message is None:
            return default
        try:
            text = rule.message.evaluate(variables, self._budget)
        except cel.BudgetExceeded as problem:
            detail = (
                "messageExpression evaluation failed due to running out of cost budget, no further validation rules "
                "will be run"
            )
            raise _Exhausted(fields.invalid(path, kind, detail)) from problem
        except cel.CostExceeded as problem:
            expression = quote(rule.spec["messageExpression"])
            detail = (
                "no further validation rules will be run due to call cost exceeds limit for messageExpression: "
                f"{expression}"
            )
            raise _Exhausted(fields.invalid(path, kind, detail)) from problem
        except cel.EvaluationError:
            return default
        text = text.strip() if isinstance(text, str) else ""
        fits = text and "\n" not in text and len(text.encode()) <= cel.MAX_MESSAGE_BYTES
        return text if fits else default


def _same(value: Any) -> Any:
    return value


def _failed(problem: Exception, rule: Rule) -> str:
    text = str(problem)
    if text.startswith("no such overload"):
        return (
            f"'{text}': call arguments did not match a supported operator, function or macro signature for rule: "
            f"{rule.text}"
        )
    return f"{text} evaluating rule: {rule.text}"
