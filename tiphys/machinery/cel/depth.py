"""Room on Python's stack for deep trees. Calls from Python to Python take none of the machine's stack."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

#: Five calls a level and 250 levels twice over (an index within an index), and what calls us.
_ROOM: Final = 8_000


@contextmanager
def deep(needed: bool) -> Iterator[None]:
    """Raise the limit of recursion for a while."""
    before = sys.getrecursionlimit()
    if not needed or before >= _ROOM:
        yield
        return
    sys.setrecursionlimit(_ROOM)
    try:
        yield
    finally:
        sys.setrecursionlimit(before)
