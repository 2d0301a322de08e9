"""One priority level: its seats, and the fair queues of those that wait for them.

A request that finds a seat takes it, without any book-keeping of queues.
Otherwise its flow is dealt a hand of queues (the same ones each time), it joins
the one with the least work in it, and queues are served so that each gets the
same amount of seat-seconds: the queue whose next request would be done first in
virtual time goes first. Virtual time ``R`` runs as fast as each of the queues
would be served if all were served at once.

A seat is free again on the loop's turn after its request has ended, not before:
on one thread requests that came together are served one after the other, and
would otherwise never be seen to be many.

Source: KEP-1040, "Fair Queuing for Server Requests"; by behaviour.
"""

import asyncio
import hashlib
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from tiphys.apiserver.flowcontrol.borrowing import Demand, Limits
from tiphys.apiserver.gate import Ticket
from tiphys.apiserver.seams import Attributes

#: How long a request is taken to last until it has ended.
GUESS_SECONDS: Final = 60.0


class Queue:
    """Requests of the flows that were dealt to it."""

    __slots__ = ("executing", "index", "next_r", "seats", "waiting")

    def __init__(self, index: int) -> None:
        self.index = index
        self.waiting: deque[Seated] = deque()
        #: Virtual time at which its next request would begin.
        self.next_r = 0.0
        self.executing = 0
        #: Of those executing and those waiting.
        self.seats = 0


class Seated(Ticket):
    """A request of a level: where it waits, since when, and what it takes."""

    __slots__ = ("after", "arrived", "arrived_r", "began", "lane", "level", "queue", "seats", "what")

    def __init__(
        self,
        headers: Mapping[str, str],
        json_headers: Mapping[str, str],
        level: "Level",
        lane: object,
        seats: int,
        now: float,
    ) -> None:
        # The attributes of Ticket, without a call: one of these is made for each request.
        self.headers = headers
        self.json_headers = json_headers
        self.turn: asyncio.Future[bool] | None = None
        self.level = level
        #: What is counted together with it.
        self.lane = lane
        self.seats = seats
        #: Seats and seconds it goes on to cost after its end.
        self.after = (0, 0.0)
        self.arrived = now
        self.began = now
        self.queue: Queue | None = None
        self.arrived_r = 0.0
        #: Who asks for what, of those that wait; for the dumps.
        self.what: Attributes | None = None


class Queuing:
    """The shape of a level's queues; hashable, so that an unchanged one keeps its queues."""

    __slots__ = ("hand_size", "length_max", "queues")

    def __init__(self, queues: int, hand_size: int, length_max: int) -> None:
        self.queues = queues
        self.hand_size = hand_size
        self.length_max = length_max

    @property
    def facts(self) -> tuple[int, int, int]:
        return (self.queues, self.hand_size, self.length_max)


class Level:
    """A priority level that limits. ``limit`` is what borrowing has made of its seats."""

    def __init__(self, name: str, queuing: Queuing | None, limits: Limits, clock: Callable[[], float]) -> None:
        now = clock()
        self.name = name
        self._clock = clock
        self.limits = limits
        self.limit = limits.nominal
        self.queuing = queuing
        self.queues = [Queue(index) for index in range(queuing.queues)] if queuing else []
        self.seats_in_use = 0
        self.executing = 0
        self.waiting = 0
        self.demand = Demand(now)
        self.target = 0.0
        #: Not configured any more; goes when it is empty.
        self.quiescing = False
        self._r = 0.0
        self._r_at = now
        self._next = 0
        #: Seats whose requests have ended in this turn of the loop.
        self._ended = 0

    def reshape(self, queuing: Queuing | None) -> None:
        """Another shape of queues: those that wait are spread anew, in the order of their arrival."""
        if (queuing and queuing.facts) == (self.queuing and self.queuing.facts):
            return
        waiting = sorted((each for queue in self.queues for each in queue.waiting), key=lambda each: each.arrived)
        self.queuing = queuing
        self.queues = [Queue(index) for index in range(queuing.queues)] if queuing else []
        for number, each in enumerate(waiting):
            # Without queues those that wait are let in one after the other all the same.
            queue = self.queues[number % len(self.queues)] if self.queues else self._lone()
            each.queue = queue
            queue.waiting.append(each)
            queue.seats += each.seats

    def _lone(self) -> Queue:
        self.queues.append(Queue(0))
        return self.queues[0]

    def take(self, ticket: Seated) -> bool:
        """Seat the request if that takes no waiting."""
        if self.waiting or not self._fits(ticket.seats):
            return False
        self._seat(ticket)
        self.demand.add(ticket.seats, ticket.arrived)
        return True

    def _fits(self, seats: int) -> bool:
        # What is wider than the level has the level to itself.
        return self.seats_in_use + seats <= self.limit or not self.seats_in_use

    def _seat(self, ticket: Seated) -> None:
        self.seats_in_use += ticket.seats
        self.executing += 1

    def enqueue(self, ticket: Seated, flow: tuple[str, str]) -> bool:
        """Let the request wait; False if there is no place to. ``ticket.turn`` is then a future."""
        queuing = self.queuing
        if queuing is None:
            return False
        now = ticket.arrived
        self._advance(now)
        queue = min(
            (self.queues[card] for card in hand(flow, queuing.queues, queuing.hand_size)), key=lambda each: each.seats
        )
        if len(queue.waiting) >= queuing.length_max:
            return False
        if not queue.waiting and not queue.executing:
            queue.next_r = self._r
        ticket.turn = asyncio.get_running_loop().create_future()
        ticket.queue = queue
        ticket.arrived_r = self._r
        queue.waiting.append(ticket)
        queue.seats += ticket.seats
        self.waiting += 1
        self.demand.add(ticket.seats, now)
        self.dispatch(now)
        return True

    def leave(self, ticket: Seated, now: float) -> None:
        """A request that waited goes without having been served."""
        queue = ticket.queue
        if queue is not None and ticket in queue.waiting:
            self._advance(now)
            queue.waiting.remove(ticket)
            queue.seats -= ticket.seats
            self.waiting -= 1
            self.demand.add(-ticket.seats, now)

    def end(self, ticket: Seated, now: float) -> None:
        """The request has been served; its seats are free from the loop's next turn on."""
        queue = ticket.queue
        if queue is not None:
            self._advance(now)
            queue.executing -= 1
            queue.seats -= ticket.seats
            # It was taken to last longer, or shorter.
            queue.next_r -= ticket.seats * (GUESS_SECONDS - (now - ticket.began))
        self.executing -= 1
        if not self._ended:
            asyncio.get_running_loop().call_soon(self._turn)
        self._ended += ticket.seats
        self.demand.add(-ticket.seats, now)
        seats, seconds = ticket.after
        if seats and self.waiting:
            # Nobody notices seats that go on being taken unless others wait for them.
            self.seats_in_use += seats
            asyncio.get_running_loop().call_later(seconds, self._release, seats)

    def _turn(self) -> None:
        ended, self._ended = self._ended, 0
        self._release(ended)

    def _release(self, seats: int) -> None:
        self.seats_in_use -= seats
        if self.waiting:
            self.dispatch()

    def dispatch(self, now: float | None = None) -> None:
        """Seat as many of those that wait as there are seats for."""
        if now is None:
            now = self._clock()
            self._advance(now)
        while self.waiting:
            queue = self._next_queue()
            if queue is None or not self._fits(queue.waiting[0].seats):
                return
            ticket = queue.waiting.popleft()
            self.waiting -= 1
            queue.next_r += ticket.seats * GUESS_SECONDS
            queue.executing += 1
            self._next = queue.index + 1
            ticket.began = now
            self._seat(ticket)
            if ticket.turn is not None and not ticket.turn.done():
                ticket.turn.set_result(True)

    def _next_queue(self) -> Queue | None:
        """The queue whose first request would be done first in virtual time; in turn, where several would."""
        best: Queue | None = None
        best_r = 0.0
        count = len(self.queues)
        for step in range(count):
            queue = self.queues[(self._next + step) % count]
            if not queue.waiting:
                continue
            head = queue.waiting[0]
            # A queue gets no credit for times at which it had nothing to do.
            queue.next_r = max(queue.next_r, head.arrived_r)
            done_r = queue.next_r + head.seats * GUESS_SECONDS
            if best is None or done_r < best_r:
                best, best_r = queue, done_r
        return best

    def _advance(self, now: float) -> None:
        """Let virtual time pass up to ``now``."""
        active = wanted = 0
        for queue in self.queues:
            if queue.waiting or queue.executing:
                active += 1
                wanted += queue.seats
        if active:
            self._r += (now - self._r_at) * min(wanted, self.limit) / active
        self._r_at = now

    @property
    def idle(self) -> bool:
        return not self.waiting and not self.executing


def hand(flow: tuple[str, str], deck: int, size: int) -> Sequence[int]:
    """``size`` different queues of ``deck``, always the same for a flow (a schema's name and what tells flows apart).

    Source: KEP-1040, "Shuffle sharding".
    """
    digest = hashlib.sha256("\0".join(flow).encode("utf-8", "surrogatepass")).digest()
    value = int.from_bytes(digest[:8], "little")
    cards: list[int] = []
    for index in range(min(size, deck)):
        value, card = divmod(value, deck - index)
        # The card is counted among those not dealt yet.
        for dealt in sorted(cards):
            card += card >= dealt
        cards.append(card)
    return cards
