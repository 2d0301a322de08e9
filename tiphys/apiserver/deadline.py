"""How long a request may take, of what ``?timeout=`` asks for.

Source: apiserver's request deadline, by behaviour.
"""

from tiphys.machinery import errors, times
from tiphys.machinery.goformat import quote


def allowed_seconds(asked: str, most: float) -> float:
    """``most``, or the shorter time that the client asks for; 0 asks for nothing. Raises BadRequest."""
    try:
        seconds = times.parse_duration(asked)
    except ValueError as problem:
        why = f"time: invalid duration {quote(asked[:100])}"
        raise errors.BadRequest(f"invalid timeout specified in the request URL - {why}") from problem
    return seconds if 0 < seconds < most else most
