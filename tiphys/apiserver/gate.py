"""What the chain knows of flow control: ask to begin, perhaps wait, say when it has ended."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from tiphys.wire.exchange import Request, Response

if TYPE_CHECKING:
    # Attributes carry their ticket.
    from tiphys.apiserver.seams import Attributes

#: As Go's ``http.Error`` writes it: text, not a Status.
REFUSAL_HEADERS: Mapping[str, str] = {
    "Content-Type": "text/plain; charset=utf-8",
    "X-Content-Type-Options": "nosniff",
}
REFUSAL_BODY = b"Too many requests, please try again later.\n"


class Ticket:
    """A request that may run, or waits until ``turn`` is resolved: True to run, False to be refused."""

    __slots__ = ("headers", "json_headers", "turn")

    def __init__(
        self,
        headers: Mapping[str, str],
        json_headers: Mapping[str, str],
        turn: asyncio.Future[bool] | None = None,
    ) -> None:
        #: What the answer says about how the request was classified; shared.
        self.headers = headers
        #: The same together with those of an ordinary answer in JSON.
        self.json_headers = json_headers
        self.turn = turn


class Refused(Exception):
    """There is no place for the request, not even to wait."""

    def __init__(self, headers: Mapping[str, str], retry_after_seconds: int = 1) -> None:
        super().__init__("too many requests")
        self.headers = headers
        self.retry_after_seconds = retry_after_seconds

    def response(self) -> Response:
        """429, in the words and the form of kube-apiserver."""
        more = {"Retry-After": str(self.retry_after_seconds), **self.headers}
        return Response(429, {**REFUSAL_HEADERS, **more}, REFUSAL_BODY)


class Gate(Protocol):
    """``begin`` never waits; who gets a ticket calls ``end`` once, whatever happened in between."""

    def begin(self, request: Request, attributes: Attributes) -> Ticket:
        """Raises Refused."""

    async def wait(self, ticket: Ticket) -> None:
        """Return once a ticket with a ``turn`` may run; raises Refused."""

    def end(self, ticket: Ticket) -> None: ...
