"""How long a request may take, of what ``?timeout=`` asks for, and the end of those that take longer.

Source: apiserver's request deadline, by behaviour.
"""

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any, TypeVar

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


T = TypeVar("T")


async def within(seconds: float, work: Coroutine[Any, Any, T]) -> T:
    """What ``work`` returns. Raises TimeoutError if it takes longer.

    Most requests are served without waiting for anything, and need no timer:
    it is set when ``work`` waits for the first time.
    """
    try:
        waited = work.send(None)
    except StopIteration as done:
        found: T = done.value
        return found
    async with asyncio.timeout(seconds):
        result: T = await _Rest(work, waited)
        return result


class _Rest:
    """A coroutine that has begun and waits for ``waited``, to be awaited on."""

    __slots__ = ("_waited", "_work")

    def __init__(self, work: Coroutine[Any, Any, Any], waited: Any) -> None:
        self._work = work
        self._waited = waited

    def __await__(self) -> Generator[Any, Any, Any]:
        work, waited = self._work, self._waited
        try:
            while True:
                try:
                    sent = yield waited
                except BaseException as problem:
                    waited = work.throw(problem)
                else:
                    waited = work.send(sent)
        except StopIteration as done:
            return done.value
