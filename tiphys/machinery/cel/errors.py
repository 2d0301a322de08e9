"""What can go wrong: at compile time with a place in the text, at run time without one."""

from collections.abc import Sequence
from typing import NamedTuple


class Issue(NamedTuple):
    """One fault: line from 1, column from 0 in characters, and the sentence."""

    line: int
    column: int
    message: str


class CompileError(ValueError):
    """The expression cannot be used. ``str()`` is the block with carets that Kubernetes shows."""

    def __init__(self, source: str, issues: Sequence[Issue]) -> None:
        self.issues = tuple(issues)
        lines = source.split("\n")
        super().__init__("\n".join(_shown(lines, issue) for issue in issues))


def _shown(lines: Sequence[str], issue: Issue) -> str:
    text = lines[issue.line - 1] if issue.line <= len(lines) else ""
    head = f"ERROR: <input>:{issue.line}:{issue.column + 1}: {issue.message}"
    # A wide character before the place makes the marks wide as well, so that the caret stays below it.
    marks = "".join("." if ord(char) < 128 else "\uff0e" for char in text[: issue.column].ljust(issue.column))
    under = text[issue.column : issue.column + 1]
    caret = "^" if not under or ord(under) < 128 else "\uff3e"
    return f"{head}\n | {text.replace(chr(9), ' ')}\n | {marks}{caret}"


class ReturnTypeError(ValueError):
    """The expression compiles, but to a type that its place does not take."""


class EvaluationError(Exception):
    """A value that cannot be had: ``no such key: a``, ``division by zero``. Logical operators may absorb it."""


class CostExceeded(Exception):
    """One evaluation has cost more than one may. Never absorbed."""

    def __init__(self) -> None:
        super().__init__("operation cancelled: actual cost limit exceeded")


class BudgetExceeded(Exception):
    """All evaluations of a request together have cost more than they may."""

    def __init__(self) -> None:
        super().__init__("validation failed due to running out of cost budget, no further validation rules will be run")


def place(source: str, offset: int) -> tuple[int, int]:
    """Line from 1 and column from 0 of an offset."""
    line = source.count("\n", 0, offset) + 1
    return line, offset - (source.rfind("\n", 0, offset) + 1)
