"""matchConditions: all must hold for a webhook or a policy to be asked.

Source: Kubernetes docs, "Dynamic Admission Control", "Matching requests: matchConditions"; KEP-3716.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from tiphys.apiserver.admission.plugin import Tools
from tiphys.apiserver.policies import declarations
from tiphys.apiserver.policies.scope import Scope
from tiphys.machinery import cel, errors
from tiphys.wire.exchange import UserInfo


class MatchCondition(Protocol):
    name: str
    expression: str


class ConditionError(Exception):
    """Conditions of which none is false and some cannot be evaluated. The text is Kubernetes'."""


@dataclass(frozen=True, slots=True)
class Condition:
    """``fault`` says why there is no program."""

    name: str
    expression: str
    program: cel.Program | None
    fault: str = ""


def compile_condition(expression: str, *, params: bool) -> cel.Program:
    """Raises ValueError with the compiler's text. ``variables`` are not there: conditions come before them."""
    environment = cel.environment(declarations.variables(params=params))
    try:
        return environment.compile(expression, returns=(cel.BOOL,))
    except cel.CompileError as error:
        raise ValueError(f"compilation failed: {error}") from None


def compile_conditions(conditions: Sequence[MatchCondition] | None, params: bool = False) -> list[Condition]:
    """Conditions ready to run; those that do not compile fail when they are asked."""
    found = []
    for one in conditions or ():
        try:
            found.append(Condition(one.name, one.expression, compile_condition(one.expression, params=params)))
        except ValueError as error:
            found.append(Condition(one.name, one.expression, None, str(error)))
    return found


def variables(values: Mapping[str, Any], user: UserInfo, tools: Tools) -> Scope:
    """Values for conditions: ``object``, ``oldObject``, ``request`` (and ``params``, ``namespaceObject``) by name."""
    return Scope(values, user, tools)


async def matches(conditions: Sequence[Condition], about: Scope, budget: cel.Budget | None = None) -> bool:
    """Whether all hold; one that is false decides. Raises ConditionError if none is and some fail."""
    budget = budget or cel.Budget(cel.MATCH_CONDITIONS_BUDGET)
    faults: list[str] = []
    for one in conditions:
        try:
            if one.program is None:
                raise cel.EvaluationError(one.fault)
            if await about.evaluate(one.program, budget) is not True:
                return False
        except (cel.EvaluationError, cel.CostExceeded) as error:
            faults.append(f"expression '{one.expression}' resulted in error: {error}")
        except cel.BudgetExceeded as error:
            raise ConditionError(str(error)) from None
    if faults:
        raise ConditionError(errors.aggregate(faults))
    return True
