"""Expressions in CEL: what is checked of them here, and the interface to what compiles them.

Compiling needs the types that expressions of admission may use, which are known above this layer
(``tiphys/apiserver/policies``). Whoever knows them calls ``use``; until then expressions are checked for being there.
"""

import re
from collections.abc import Sequence
from typing import Any, Final, Protocol

from tiphys.api import admissionregistration_v1
from tiphys.machinery import fields
from tiphys.resources import checks
from tiphys.resources.checks import Errors

CONDITIONS_MAX: Final = 64
IDENTIFIER: Final = re.compile(r"[_a-zA-Z][_a-zA-Z0-9]*")
RESERVED: Final = frozenset(
    (
        *("true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if", "import"),
        *("let", "loop", "package", "namespace", "return", "var", "void", "while"),
    )
)


class Compiler(Protocol):
    """Finds faults in expressions; each call returns texts as Kubernetes' compiler writes them, none for no fault."""

    def condition(self, expression: str, *, params: bool) -> str:
        """A match condition: ``object``, ``oldObject``, ``request``, ``authorizer``, with ``params`` that too; must
        be a bool."""

    def policy(self, policy: Any) -> Errors:
        """Variables, validations, messages, audit annotations or mutations of a policy, with their paths."""


_compiler: list[Compiler] = []


def use(compiler: Compiler) -> None:
    """Check expressions with it from now on."""
    _compiler[:] = [compiler]


def match_conditions(
    errs: Errors,
    path: str,
    conditions: Sequence[admissionregistration_v1.MatchCondition] | None,
    *,
    params: bool = False,
) -> None:
    listed = conditions or ()
    if len(listed) > CONDITIONS_MAX:
        errs.append(fields.too_many(path, len(listed), CONDITIONS_MAX))
    for index, one in enumerate(listed):
        where = f"{path}[{index}]"
        expression = one.expression.strip()
        if not expression:
            errs.append(fields.required(f"{where}.expression"))
        else:
            problem = _compiler[0].condition(expression, params=params) if _compiler else ""
            if problem:
                errs.append(fields.invalid(f"{where}.expression", expression, problem))
        checks.required_form(errs, f"{where}.name", one.name, checks.qualified_name)
    names = [one.name for one in listed if one.name]
    if len(set(names)) != len(names):
        checks.duplicates(errs, lambda index: f"{path}[{index}].name", [one.name for one in listed])


def variables(errs: Errors, path: str, listed: Sequence[admissionregistration_v1.Variable] | None) -> None:
    for index, one in enumerate(listed or ()):
        where = f"{path}[{index}]"
        if not one.name.strip():
            errs.append(fields.required(f"{where}.name", "name is not specified"))
        elif not is_identifier(one.name):
            errs.append(fields.invalid(f"{where}.name", one.name, "name is not a valid CEL identifier"))
        required(errs, f"{where}.expression", one.expression)


def required(errs: Errors, path: str, expression: str | None) -> None:
    if not (expression or "").strip():
        errs.append(fields.required(path, "expression is not specified"))


def is_identifier(name: str) -> bool:
    return IDENTIFIER.fullmatch(name) is not None and name not in RESERVED


def compiled(policy: Any) -> Errors:
    """What is wrong with a policy's expressions, where there is something to compile them."""
    return _compiler[0].policy(policy) if _compiler else []
