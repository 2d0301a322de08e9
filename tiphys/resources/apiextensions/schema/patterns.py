"""Regular expressions with RE2's syntax and promise: time grows with the text, never explodes."""

from functools import lru_cache
from typing import Any

# Go's patterns are searched for, not matched from the start.
Search = Any


class BadPattern(ValueError):
    """``str()`` is what is wrong, as Go says it."""


@lru_cache(maxsize=4096)
def compiled(pattern: str) -> Search:
    """What searches a text for ``pattern``; truthy if found. Raises BadPattern."""
    import re2  # noqa: PLC0415  # native code that only custom resources with patterns need

    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options).search
    except re2.error as problem:
        text = problem.args[0] if problem.args else ""
        why = text.decode(errors="replace") if isinstance(text, bytes) else str(text)
        raise BadPattern(f"error parsing regexp: {why}") from problem
