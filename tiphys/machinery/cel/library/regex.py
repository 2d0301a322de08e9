"""Regular expressions by RE2: nothing backtracks. Source: Kubernetes docs, "CEL", "Kubernetes regex library"."""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

from tiphys.machinery.cel.errors import EvaluationError
from tiphys.machinery.cel.limits import REGEX_FACTOR, STRING_FACTOR


def compile_pattern(pattern: str) -> Any:
    """Raises ValueError with the reason."""
    # A library of its own in C++, loaded with the first expression that matches something.
    import re2  # noqa: PLC0415

    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0].decode() if isinstance(error.args[0], bytes) else str(error.args[0])
        raise ValueError(f"error parsing regexp: {reason}") from None


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> Any:
    return compile_pattern(pattern)


def _pattern(pattern: str) -> Any:
    try:
        return _compiled(pattern)
    except ValueError as error:
        raise EvaluationError(str(error)) from None


def matches(text: str, pattern: str) -> bool:
    return _pattern(pattern).search(text) is not None


def find(text: str, pattern: str) -> str:
    """The first match, or nothing."""
    match = _pattern(pattern).search(text)
    return str(match.group(0)) if match else ""


def find_all(text: str, pattern: str, limit: int = -1) -> list[str]:
    """All matches, or so many of them."""
    found: list[str] = []
    if limit == 0:
        return found
    for match in _pattern(pattern).finditer(text):
        found.append(match.group(0))
        if len(found) == limit:
            break
    return found


def charge(args: Sequence[Any], result: Any) -> int:
    """The text's length times the pattern's, each with its factor."""
    return math.ceil((1 + len(args[0])) * STRING_FACTOR) * math.ceil(len(args[1]) * REGEX_FACTOR)


ROWS: Final = (
    (".find", "string_find_string", "string, string -> string", find, charge),
    (".findAll", "string_find_all_string", "string, string -> list<string>", find_all, charge),
    (".findAll", "string_find_all_string_int", "string, string, int -> list<string>", find_all, charge),
)
