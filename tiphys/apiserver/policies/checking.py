"""What is wrong with the expressions of a policy, field by field, as its validation reports it."""

from collections.abc import Sequence
from typing import Any

from tiphys.apiserver.policies import compiled, conditions, declarations
from tiphys.apiserver.policies.compiled import Composer, Expression
from tiphys.machinery import cel, fields
from tiphys.machinery.cel.types import Type
from tiphys.machinery.fields import FieldError


def condition(expression: str, *, params: bool) -> str:
    """Why this is no match condition; empty if it is one."""
    try:
        conditions.compile_condition(expression, params=params)
    except ValueError as error:
        return str(error)
    return ""


def policy(one: Any) -> list[FieldError]:
    """Of either kind of policy."""
    spec = one.spec
    errs: list[FieldError] = []
    composer = Composer(spec.paramKind is not None)
    for index, variable in enumerate(spec.variables or ()):
        if variable.expression.strip() and variable.name.strip():
            found = composer.add(variable.name, variable.expression)
            _report(errs, f"spec.variables[{index}].expression", found)
    if hasattr(spec, "mutations"):
        _mutations(errs, composer, spec)
    else:
        _validations(errs, composer, spec)
    return errs


def _report(errs: list[FieldError], path: str, found: Expression) -> None:
    if found.fault:
        errs.append(fields.invalid(path, found.source, found.fault))


def _compile(
    errs: list[FieldError], path: str, environment: cel.Environment, text: str | None, returns: Sequence[Type]
) -> None:
    if (text or "").strip():
        _report(errs, path, compiled.compile_one(environment, text or "", returns))


def _validations(errs: list[FieldError], composer: Composer, spec: Any) -> None:
    full, plain = composer.environment(), composer.environment(authorizer=False)
    for index, one in enumerate(spec.validations or ()):
        path = f"spec.validations[{index}]"
        _compile(errs, f"{path}.expression", full, one.expression, (cel.BOOL,))
        _compile(errs, f"{path}.messageExpression", plain, one.messageExpression, (cel.STRING,))
    for index, one in enumerate(spec.auditAnnotations or ()):
        path = f"spec.auditAnnotations[{index}].valueExpression"
        _compile(errs, path, full, one.valueExpression, (cel.STRING, cel.NULL))


def _mutations(errs: list[FieldError], composer: Composer, spec: Any) -> None:
    environment = composer.environment(structs=declarations.Structs())
    for index, one in enumerate(spec.mutations or ()):
        path = f"spec.mutations[{index}]"
        if one.patchType == "JSONPatch" and one.jsonPatch is not None:
            text = one.jsonPatch.expression
            _compile(errs, f"{path}.jsonPatch.expression", environment, text, (declarations.PATCHES,))
        elif one.patchType == "ApplyConfiguration" and one.applyConfiguration is not None:
            text = one.applyConfiguration.expression
            _compile(errs, f"{path}.applyConfiguration.expression", environment, text, (declarations.CONFIGURATION,))
