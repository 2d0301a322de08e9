"""The state of one evaluation."""

from typing import Any, Final

from tiphys.machinery.cel.errors import CostExceeded

#: Items of lists and, sixteen for one, characters that are made, which CEL's cost does not count. Bounds time and
#: memory where cost does not.
WORK_LIMIT: Final = 5_000_000


class Frame:
    """Variables (macros' own among them), what has been spent, and how much may be."""

    __slots__ = ("cost", "limit", "vars", "work")

    def __init__(self, variables: dict[str, Any], limit: int) -> None:
        self.vars = variables
        self.cost = 0
        self.limit = limit
        self.work = 0

    def charge(self, amount: int) -> None:
        """Raises CostExceeded."""
        self.cost += amount
        if self.cost > self.limit:
            raise CostExceeded

    def toil(self, amount: int) -> None:
        """Raises CostExceeded."""
        self.work += amount
        if self.work > WORK_LIMIT:
            raise CostExceeded
