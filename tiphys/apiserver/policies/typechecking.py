"""Types of a policy's expressions against the kinds that it matches: warnings only, which change nothing.

Source: Kubernetes docs, "Validating Admission Policy", "Type checking"; apiserver's ``typechecking.go``, by behaviour.
"""

from collections.abc import Sequence
from itertools import product
from typing import Any, Final, NamedTuple

from tiphys.api import admissionregistration_v1
from tiphys.apiserver.aggregation.catalog import Catalog, Published
from tiphys.apiserver.openapi import schemas
from tiphys.apiserver.policies import compiled
from tiphys.apiserver.policies.compiled import Composer
from tiphys.machinery import cel
from tiphys.machinery.cel.types import Type

TYPES_MAX: Final = 10


class _Kind(NamedTuple):
    group: str
    version: str
    kind: str

    def __str__(self) -> str:
        return f"{self.group}/{self.version}, Kind={self.kind}"


def warnings(policy: Any, catalog: Catalog) -> list[admissionregistration_v1.ExpressionWarning]:
    """What is wrong with validations and their messages, by field."""
    kinds, params = _types(policy.spec, catalog)
    if not kinds:
        return []
    found: list[admissionregistration_v1.ExpressionWarning] = []
    for index, one in enumerate(policy.spec.validations or ()):
        for name in ("expression", "messageExpression"):
            text = getattr(one, name)
            warning = _checked(policy.spec, kinds, params, text) if text else ""
            if warning:
                path = f"spec.validations[{index}].{name}"
                found.append(admissionregistration_v1.ExpressionWarning(fieldRef=path, warning=warning))
    return found


def _checked(spec: Any, kinds: Sequence[tuple[_Kind, Type]], params: Type | None, text: str) -> str:
    lines = []
    for kind, type_ in kinds:
        composer = Composer(spec.paramKind is not None, of=type_, params_of=params)
        for variable in spec.variables or ():
            composer.add(variable.name, variable.expression)
        fault = compiled.compile_one(composer.environment(), text).fault
        if fault:
            lines.append(f"{kind}: {fault.removeprefix('compilation failed: ')}\n")
    return "\n".join(lines)


def _types(spec: Any, catalog: Catalog) -> tuple[list[tuple[_Kind, Type]], Type | None]:
    """The kinds that the rules name without a ``*``, as far as their schemas are known, at most ten; and the
    parameters' type, if it is known."""
    served = sorted(_served(spec, catalog).items(), key=lambda item: item[0])[:TYPES_MAX]
    if not served:
        return [], None
    documents = schemas.definitions()
    found = [(kind, type_) for kind, one in served if (type_ := _type(documents, kind, one)) is not None]
    return found, _params(spec.paramKind, catalog, documents)


def _params(kind: Any, catalog: Catalog, documents: dict[str, Any]) -> Type | None:
    if kind is None:
        return None
    group, _, version = (kind.apiVersion or "").rpartition("/")
    for one in catalog.served(group, version):
        if one.row.kind == kind.kind:
            return _type(documents, _Kind(group, version, one.row.kind), one)
    return None


def _type(documents: dict[str, Any], kind: _Kind, one: Published) -> Type | None:
    schema = one.schema if one.schema is not None else _built_in(documents, kind)
    return cel.schema_type(schema, root=True) if schema else None


def _served(spec: Any, catalog: Catalog) -> dict[_Kind, Published]:
    found: dict[_Kind, Published] = {}
    rules = (spec.matchConstraints.resourceRules if spec.matchConstraints else None) or ()
    for rule in rules:
        groups, versions = _plain(rule.apiGroups), _plain(rule.apiVersions)
        names = {name for name in rule.resources or () if "*" not in name and "/" not in name}
        for group, version in product(groups, versions):
            for one in catalog.served(group, version):
                if one.row.plural in names:
                    found[_Kind(group, version, one.row.kind)] = one
    return found


def _plain(names: Sequence[str] | None) -> Sequence[str]:
    """Nothing where one of them is a wildcard."""
    return () if any("*" in name for name in names or ()) else names or ()


def _built_in(documents: dict[str, Any], kind: _Kind) -> dict[str, Any] | None:
    name = schemas.name_of(documents, *kind)
    return _resolved(documents, name, ()) if name else None


def _resolved(documents: dict[str, Any], name: str, above: tuple[str, ...]) -> dict[str, Any]:
    """A definition with all it refers to in place; what contains itself is any object."""
    if name in above or name not in documents:
        return {"type": "object"}
    found = schemas.definition(name, documents[name], "v2")
    resolved = _within(documents, found, (*above, name))
    return resolved if isinstance(resolved, dict) else {}


def _within(documents: dict[str, Any], value: Any, above: tuple[str, ...]) -> Any:
    if isinstance(value, list):
        return [_within(documents, one, above) for one in value]
    if not isinstance(value, dict):
        return value
    reference = value.get("$ref")
    if isinstance(reference, str):
        return _resolved(documents, reference.removeprefix(schemas.PLACES["v2"]), above)
    referred = value.get("allOf")
    if isinstance(referred, list) and len(referred) == 1 and "type" not in value:
        return _within(documents, referred[0], above)
    return {key: _within(documents, one, above) for key, one in value.items()}
