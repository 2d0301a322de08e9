"""The plain bounds on requests at once, for servers without priority and fairness.

Source: kube-apiserver's ``--max-requests-inflight`` and ``--max-mutating-requests-inflight``, by behaviour.
"""

from typing import Final

from tiphys.apiserver.gate import Refused, Ticket
from tiphys.apiserver.seams import Attributes
from tiphys.wire.exchange import Request

READING: Final = frozenset({"get", "list"})
PRIVILEGED: Final = "system:masters"


class _Counted(Ticket):
    __slots__ = ("reading",)

    def __init__(self, reading: bool) -> None:
        super().__init__({}, {})
        self.reading = reading


class InFlight:
    """``Gate`` with one bound for requests that read and one for all others; 0 is no bound."""

    def __init__(self, reading_max: int, mutating_max: int) -> None:
        self._max = {True: reading_max, False: mutating_max}
        self.running = {True: 0, False: 0}

    def begin(self, request: Request, attributes: Attributes) -> Ticket:
        reading = attributes.verb in READING
        limit = self._max[reading]
        # Administrators must be able to find out what is wrong.
        if limit and self.running[reading] >= limit and PRIVILEGED not in attributes.user.groups:
            raise Refused({})
        self.running[reading] += 1
        return _Counted(reading)

    async def wait(self, ticket: Ticket) -> None:
        return None

    def end(self, ticket: Ticket) -> None:
        assert isinstance(ticket, _Counted)
        self.running[ticket.reading] -= 1
