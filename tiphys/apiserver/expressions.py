"""CEL in the files that configure who may do what: compiled once, evaluated per token or request.

Source: Kubernetes docs, "Authenticating" and "Authorization", structured configuration.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

#: What one evaluation may cost; as for admission.
COST_MAX: Final = 10_000_000


class ExpressionProblem(ValueError):
    """An expression that does not compile, or whose evaluation failed."""


class Expression:
    """One expression over variables of any type."""

    def __init__(self, text: str, variables: Sequence[str], *, boolean: bool = False) -> None:
        """``boolean`` ones must come to true or false. Raises ExpressionProblem."""
        # Late: who configures no expression need not carry the language.
        from tiphys.machinery import cel  # noqa: PLC0415

        self.text = text
        self._cel: Any = cel
        try:
            environment = self._cel.environment(dict.fromkeys(variables, self._cel.DYN))
            returns = (self._cel.BOOL,) if boolean else None
            self._program = environment.compile(text, returns=returns) if boolean else environment.compile(text)
        except (self._cel.CompileError, self._cel.ReturnTypeError) as problem:
            raise ExpressionProblem(f"compilation failed: {problem}") from problem

    def evaluate(self, variables: Mapping[str, Any]) -> Any:
        """Raises ExpressionProblem."""
        cel = self._cel
        try:
            return self._program.evaluate(variables, cel.Budget(COST_MAX))
        except (cel.EvaluationError, cel.CostExceeded, cel.BudgetExceeded) as problem:
            raise ExpressionProblem(str(problem)) from problem
