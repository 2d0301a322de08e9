"""A policy's expressions, compiled once per version of the policy, and its variables, evaluated when first read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tiphys.apiserver.policies import conditions, declarations
from tiphys.machinery import cel
from tiphys.machinery.cel.types import Type


@dataclass(frozen=True, slots=True)
class Expression:
    """``program`` or what is wrong with the text."""

    source: str
    program: cel.Program | None
    fault: str = ""


@dataclass(slots=True)
class Compiled:
    """What is common to both kinds of policies. ``main`` are validations or mutations, in their order."""

    conditions: list[conditions.Condition]
    variables: dict[str, Expression]
    main: list[Expression]
    messages: list[Expression | None] = field(default_factory=list)
    annotations: list[Expression] = field(default_factory=list)


class Composer:
    """Compiles expressions of one policy: each variable may use those before it."""

    def __init__(self, params: bool, of: Type | None = None, params_of: Type | None = None) -> None:
        self._params = params
        self._of = of
        self._params_of = params_of
        self._types: dict[str, Type] = {}

    def environment(self, *, authorizer: bool = True, structs: Mapping[str, Type] | None = None) -> cel.Environment:
        names = declarations.variables(
            params=self._params,
            authorizer=authorizer,
            composed=dict(self._types),
            of=self._of,
            params_of=self._params_of,
        )
        return cel.environment(names, structs)

    def add(self, name: str, expression: str) -> Expression:
        """A variable; one that does not compile is of any type."""
        found = compile_one(self.environment(), expression)
        self._types[name] = found.program.type if found.program else cel.DYN
        return found


def compile_one(environment: cel.Environment, source: str, returns: Sequence[Type] = ()) -> Expression:
    """Never raises: what is wrong is kept."""
    try:
        return Expression(source, environment.compile(source, returns))
    except cel.CompileError as error:
        return Expression(source, None, f"compilation failed: {error}")
    except cel.ReturnTypeError as error:
        return Expression(source, None, str(error))


def composed(spec: Any) -> tuple[Composer, dict[str, Expression]]:
    composer = Composer(spec.paramKind is not None)
    return composer, {one.name: composer.add(one.name, one.expression) for one in spec.variables or ()}


def validating(spec: Any) -> Compiled:
    """Of a ValidatingAdmissionPolicy's spec."""
    composer, variables = composed(spec)
    full, plain = composer.environment(), composer.environment(authorizer=False)
    listed = spec.validations or ()
    return Compiled(
        conditions.compile_conditions(spec.matchConditions, spec.paramKind is not None),
        variables,
        [compile_one(full, one.expression, (cel.BOOL,)) for one in listed],
        [compile_one(plain, one.messageExpression, (cel.STRING,)) if one.messageExpression else None for one in listed],
        [compile_one(full, one.valueExpression, (cel.STRING, cel.NULL)) for one in spec.auditAnnotations or ()],
    )


def mutating(spec: Any) -> Compiled:
    """Of a MutatingAdmissionPolicy's spec."""
    composer, variables = composed(spec)
    environment = composer.environment(structs=declarations.Structs())
    return Compiled(
        conditions.compile_conditions(spec.matchConditions, spec.paramKind is not None),
        variables,
        [mutation(environment, one) for one in spec.mutations or ()],
    )


def mutation(environment: cel.Environment, one: Any) -> Expression:
    if one.jsonPatch is not None:
        return compile_one(environment, one.jsonPatch.expression or "", (declarations.PATCHES,))
    text = one.applyConfiguration.expression if one.applyConfiguration is not None else ""
    return compile_one(environment, text or "", (declarations.CONFIGURATION,))


class Variables(dict[str, Any]):
    """``variables``: each is evaluated when it is first read, and kept."""

    def __init__(self, expressions: Mapping[str, Expression], values: Mapping[str, Any], budget: cel.Budget) -> None:
        super().__init__()
        self._expressions = expressions
        self._values = values
        self._budget = budget

    def __contains__(self, name: object) -> bool:
        return name in self._expressions

    def __missing__(self, name: str) -> Any:
        one = self._expressions[name]
        try:
            if one.program is None:
                raise cel.EvaluationError(one.fault)
            value = one.program.evaluate({**self._values, "variables": self}, self._budget)
        except cel.EvaluationError as error:
            text = f'composited variable "{name}" fails to evaluate: {error}'
            raise cel.EvaluationError(text) from None
        self[name] = value
        return value
