"""Variables and functions that expressions may use, and what comes of compiling one."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final

from tiphys.machinery.cel import compiler, cost, limits, literals
from tiphys.machinery.cel.ast import Ident, Node, children
from tiphys.machinery.cel.checker import Checker
from tiphys.machinery.cel.depth import deep
from tiphys.machinery.cel.errors import BudgetExceeded, CostExceeded, EvaluationError, ReturnTypeError
from tiphys.machinery.cel.frame import Frame
from tiphys.machinery.cel.library import (
    authorization,
    formats,
    jsonpatch,
    lists,
    network,
    optionals,
    quantities,
    regex,
    standard,
    strings,
)
from tiphys.machinery.cel.overloads import Functions, table
from tiphys.machinery.cel.parser import parse
from tiphys.machinery.cel.sizes import Range
from tiphys.machinery.cel.types import Type, is_dyn

_LIBRARIES: Final = (
    standard,
    optionals,
    strings,
    lists,
    regex,
    network,
    quantities,
    formats,
    authorization,
    jsonpatch,
)


@cache
def base_functions() -> Functions:
    """All libraries' functions; made once, with the first expression."""
    functions: Functions = {}
    for library in _LIBRARIES:
        table(library.ROWS, functions)
    return functions


class Budget:
    """What the expressions of one request have left together."""

    __slots__ = ("remaining",)

    def __init__(self, limit: int = limits.RUNTIME_BUDGET) -> None:
        self.remaining = limit

    def spend(self, amount: int) -> None:
        """Raises BudgetExceeded."""
        self.remaining -= amount
        if self.remaining < 0:
            raise BudgetExceeded


class Program:
    """A compiled expression. ``type`` is what it evaluates to."""

    __slots__ = ("_deep", "_node", "_roots", "_run", "source", "type")

    def __init__(self, source: str, node: Node, roots: Mapping[str, Type]) -> None:
        self.source = source
        self.type: Type = node.type
        self._node = node
        self._roots = roots
        self._deep = depth_of(node) > _SHALLOW
        with deep(self._deep):
            self._run = compiler.compiled(node)

    def cost(self) -> Range:
        """The static estimate."""
        with deep(self._deep):
            return cost.Coster(self._roots).cost(self._node)

    def evaluate(
        self, variables: Mapping[str, Any], budget: Budget | None = None, limit: int = limits.PER_CALL_LIMIT
    ) -> Any:
        """The value, as Python has it.

        Raises EvaluationError (no such value), CostExceeded (this expression
        alone), BudgetExceeded (all of the budget's).
        """
        frame = Frame(dict(variables), limit)
        try:
            if self._deep:
                with deep(True):
                    value = self._run(frame)
            else:
                value = self._run(frame)
            if frame.cost > limit:
                raise CostExceeded
        except (RecursionError, MemoryError, OverflowError) as error:
            raise EvaluationError(f"evaluation failed: {error}") from None
        finally:
            if budget is not None:
                budget.remaining -= frame.cost
        if budget is not None and budget.remaining < 0:
            raise BudgetExceeded
        return value

    def reads(self, name: str) -> bool:
        """Whether the expression mentions a variable."""
        level = [self._node]
        while level:
            if any(isinstance(one, Ident) and one.name == name for one in level):
                return True
            level = [child for one in level for child in children(one)]
        return False

    def measured(self, variables: Mapping[str, Any]) -> tuple[Any, int]:
        """The value and what it cost; for tests and tools."""
        budget = Budget()
        before = budget.remaining
        value = self.evaluate(variables, budget)
        return value, before - budget.remaining


#: Trees that need no more of Python's stack than ordinary code.
_SHALLOW: Final = 40


def depth_of(node: Node) -> int:
    """Levels of the tree; without a call per level."""
    depth, level = 0, [node]
    while level:
        depth += 1
        level = [child for one in level for child in children(one)]
        if depth > 10_000:
            break
    return depth


class Environment:
    """What expressions of one place may use. ``structs`` are objects that they may make, by name."""

    def __init__(
        self,
        variables: Mapping[str, Type],
        functions: Functions | None = None,
        structs: Mapping[str, Type] | None = None,
    ) -> None:
        self.variables = variables
        self._functions = base_functions() if functions is None else functions
        self._structs = structs or {}

    def compile(self, source: str, returns: Sequence[Type] = ()) -> Program:
        """The program. Raises CompileError, or ReturnTypeError where it gives none of ``returns`` (dyn gives all)."""
        with deep(True):
            node = parse(source)
            Checker(source, self.variables, self._functions, self._structs).run(node)
        literals.check(source, node)
        if returns and not any(node.type == wanted for wanted in returns) and not is_dyn(node.type):
            raise ReturnTypeError(_wanted(returns))
        return Program(source, node, self.variables)


def _wanted(returns: Sequence[Type]) -> str:
    if len(returns) == 1:
        return f"must evaluate to {returns[0]}"
    return f"must evaluate to one of [{' '.join(map(str, returns))}]"
