"""Constants that can only fail: durations, timestamps and patterns are tried when they are compiled.

Source: cel-go's ``ValidateDurationLiterals``, ``ValidateTimestampLiterals``, ``ValidateRegexLiterals``.
"""

from collections.abc import Callable
from typing import Any, Final

from tiphys.machinery.cel import times
from tiphys.machinery.cel.ast import Call, Const, Node, children
from tiphys.machinery.cel.errors import CompileError, EvaluationError, Issue, place
from tiphys.machinery.cel.library.regex import compile_pattern

_TRIED: Final[dict[str, tuple[Callable[[str], Any], int]]] = {
    "duration": (times.parse_duration, 0),
    "timestamp": (times.parse_timestamp, 0),
    "matches": (compile_pattern, -1),
}


def check(source: str, node: Node) -> None:
    """Raises CompileError."""
    issues, todo = [], [node]
    while todo:
        at = todo.pop()
        todo += children(at)
        if not isinstance(at, Call) or at.function not in _TRIED or not at.args:
            continue
        parse, which = _TRIED[at.function]
        given = at.args[which]
        if isinstance(given, Const) and isinstance(given.value, str) and not _passes(parse, given.value):
            issues.append(Issue(*place(source, given.pos), f"invalid {at.function} argument"))
    if issues:
        raise CompileError(source, sorted(issues, key=lambda issue: issue[:2]))


def _passes(parse: Callable[[str], Any], text: str) -> bool:
    try:
        parse(text)
    except (ValueError, EvaluationError):
        return False
    return True
