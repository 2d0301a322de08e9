"""Flow control as the chain uses it, over the FlowSchemas and levels that the API shows.

A request costs one look-up (who, and what of which resource → lane) and, unless
it is exempt, the counting of its seat. All that is remembered is forgotten when
the configuration changes. What levels borrow from each other is adjusted every
ten seconds by the first request after them, so an idle server does nothing.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, Final

from tiphys.api import flowcontrol_v1 as v1
from tiphys.apiserver.flowcontrol import borrowing, estimation, matching
from tiphys.apiserver.flowcontrol.borrowing import Limits
from tiphys.apiserver.flowcontrol.fairness import Level, Queuing, Seated
from tiphys.apiserver.flowcontrol.lanes import Counts, Exempt, Lane
from tiphys.apiserver.flowcontrol.retry import RetryAfter
from tiphys.apiserver.gate import Refused, Ticket
from tiphys.apiserver.requestinfo import first
from tiphys.apiserver.seams import OPERATIONS, Attributes, Objects
from tiphys.base.clock import Clock
from tiphys.resources.flowcontrol import mandatory as defaults
from tiphys.wire.exchange import Request

GROUP: Final = "flowcontrol.apiserver.k8s.io"
LANES_MAX: Final = 8192
#: Longer paths are not worth remembering; whoever sends them can send many.
PATH_MAX: Final = 512
WAIT_SECONDS_MAX: Final = 60.0
EXEMPT: Final = "exempt"
CATCH_ALL: Final = "catch-all"


class FlowControl:
    """``gate.Gate``. ``total`` seats are shared by all levels that limit."""

    def __init__(self, objects: Objects, clock: Clock, total: int, request_timeout_seconds: float) -> None:
        self._objects = objects
        self._clock = clock
        self._total = total
        self._wait_seconds = min(WAIT_SECONDS_MAX, request_timeout_seconds / 4)
        self.levels: dict[str, Level] = {}
        self.lanes: list[Lane] = []
        #: The limits of levels, those of exempt ones too.
        self.limits: dict[str, Limits] = {}
        self.counts: defaultdict[tuple[str, str], Counts] = defaultdict(Counts)
        self._retry: defaultdict[str, RetryAfter] = defaultdict(RetryAfter)
        self._known: dict[tuple[Any, ...], Lane] = {}
        self._adjust_at = clock.monotonic() + borrowing.PERIOD_SECONDS
        self._stale = True
        #: How many watch a resource (group and plural); set by who knows.
        self.watchers: Callable[[str, str], int] = lambda group, plural: 0
        for plural in ("flowschemas", "prioritylevelconfigurations"):
            objects.subscribe(GROUP, plural, self._changed)

    def _changed(self, new: Any, old: Any) -> None:
        # Conditions are ours, and no reason to begin anew.
        if new is None or old is None or new.spec != old.spec:
            self._stale = True

    # The request's side

    def begin(self, request: Request, attributes: Attributes) -> Ticket:
        if self._stale:
            self.digest()
        user = attributes.user
        key: tuple[Any, ...]
        if attributes.is_resource_request:
            key = (
                user.name,
                user.groups,
                attributes.verb,
                attributes.resource,
                attributes.namespace,
                attributes.group,
                attributes.subresource,
            )
        else:
            key = (user.name, user.groups, attributes.verb, attributes.path)
        lane = self._known.get(key)
        if lane is None:
            lane = self._classified(key, attributes)
        level = lane.level
        counts = lane.counts
        if level is None:
            counts.dispatched += 1
            counts.executing += 1
            return lane.ticket
        now = self._clock.monotonic()
        if now >= self._adjust_at:
            self._adjust(now)
        seats = 1 if attributes.verb != "list" else self._list_seats(level, request, attributes)
        ticket = Seated(lane.headers, lane.json_headers, level, lane, seats, now)
        if level.take(ticket):
            counts.dispatched += 1
            counts.executing += 1
            counts.seats += seats
            if seats > 1:
                counts.widths.observe(seats)
            return ticket
        return self._queued(lane, level, ticket, attributes)

    def _queued(self, lane: Lane, level: Level, ticket: Seated, attributes: Attributes) -> Ticket:
        ticket.what = attributes
        flow = (lane.schema.metadata.name, matching.distinguisher(lane.schema, attributes.user, attributes))
        if level.enqueue(ticket, flow):
            lane.counts.waiting += 1
            return ticket
        reason = "queue-full" if level.queuing is not None else "concurrency-limit"
        raise self._refused(lane, level, reason, 0.0)

    def _refused(self, lane: Lane, level: Level, reason: str, waited: float) -> Refused:
        counts = lane.counts
        counts.refused[reason] = counts.refused.get(reason, 0) + 1
        counts.waited[False].observe(waited)
        return Refused(lane.headers, self._retry[level.name].refused(self._clock.monotonic()))

    async def wait(self, ticket: Ticket) -> None:
        assert isinstance(ticket, Seated) and ticket.turn is not None
        lane, level = ticket.lane, ticket.level
        assert isinstance(lane, Lane)
        counts = lane.counts
        try:
            async with asyncio.timeout(self._wait_seconds):
                await ticket.turn
        except TimeoutError as problem:
            self._gave_up(ticket)
            raise self._refused(lane, level, "time-out", self._clock.monotonic() - ticket.arrived) from problem
        except BaseException:
            self._gave_up(ticket)
            counts.refused["cancelled"] = counts.refused.get("cancelled", 0) + 1
            raise
        finally:
            counts.waiting -= 1
        counts.dispatched += 1
        counts.executing += 1
        counts.seats += ticket.seats
        counts.waited[True].observe(ticket.began - ticket.arrived)

    def _gave_up(self, ticket: Seated) -> None:
        """It waits no more; should its turn have come in the same moment, the seat is given back."""
        now = self._clock.monotonic()
        if ticket.turn is not None and ticket.turn.done() and not ticket.turn.cancelled():
            ticket.level.end(ticket, now)
        else:
            ticket.level.leave(ticket, now)

    def end(self, ticket: Ticket) -> None:
        if isinstance(ticket, Exempt):
            ticket.lane.counts.executing -= 1
            return
        assert isinstance(ticket, Seated)
        lane, level = ticket.lane, ticket.level
        assert isinstance(lane, Lane)
        now = self._clock.monotonic()
        counts = lane.counts
        counts.executing -= 1
        counts.seats -= ticket.seats
        counts.executed.observe(now - ticket.began)
        if level.waiting and ticket.what is not None and ticket.what.verb in OPERATIONS:
            watchers = self.watchers(ticket.what.group, ticket.what.resource)
            ticket.after = estimation.change_seats(watchers, estimation.seats_max(level.limits.nominal))
        level.end(ticket, now)
        if level.quiescing and level.idle:
            self._stale = True

    def _list_seats(self, level: Level, request: Request, attributes: Attributes) -> int:
        if attributes.name:
            return 1
        try:
            stored = self._objects.count(attributes.group, attributes.resource)
        except LookupError:
            return 1
        if stored <= estimation.OBJECTS_PER_SEAT:
            return 1
        limit = first(request.query, "limit")
        selective = bool(attributes.label_selector or attributes.field_selector)
        most = estimation.seats_max(level.limits.nominal)
        # More digits than a page can have objects are somebody's joke; the list itself will say so.
        return estimation.list_seats(
            stored, int(limit) if limit.isdecimal() and len(limit) < 10 else 0, selective, most
        )

    def _classified(self, key: tuple[Any, ...], attributes: Attributes) -> Lane:
        lane = self.lane_of(attributes)
        if len(attributes.path) <= PATH_MAX:
            if len(self._known) >= LANES_MAX:
                self._known.clear()
            self._known[key] = lane
        return lane

    def lane_of(self, attributes: Attributes) -> Lane:
        """The first lane whose schema matches; the catch-all's, if none does."""
        user = attributes.user
        fallback = self.lanes[-1]
        for lane in self.lanes:
            if matching.matches(lane.schema, user, attributes):
                return lane
            if lane.schema.metadata.name == CATCH_ALL:
                fallback = lane
        return fallback

    # The configuration's side

    def digest(self) -> None:
        """Make levels and lanes of what is stored; what must be there and is not is imagined."""
        self._stale = False
        stored: Sequence[v1.PriorityLevelConfiguration] = self._objects.all(GROUP, "prioritylevelconfigurations")
        configured = {each.metadata.name: each for each in defaults.mandatory_levels()}
        configured.update((each.metadata.name, each) for each in stored if _is_sound(each))
        lingering = {
            name: level
            for name, level in self.levels.items()
            if (name not in configured or configured[name].spec.limited is None) and not level.idle
        }
        self.limits = borrowing.limits(self._total, {name: _shares(each) for name, each in configured.items()})
        levels = {
            name: self._level(name, each.spec.limited)
            for name, each in configured.items()
            if each.spec.limited is not None
        }
        for name, level in lingering.items():
            level.quiescing = True
            levels.setdefault(name, level)
        self.levels = levels
        self.lanes = self._made_lanes(configured)
        self._known.clear()

    def _level(self, name: str, limited: v1.LimitedPriorityLevelConfiguration) -> Level:
        queuing = _queuing(limited)
        limits = self.limits[name]
        level = self.levels.get(name)
        if level is None:
            return Level(name, queuing, limits, self._clock.monotonic)
        level.quiescing = False
        level.reshape(queuing)
        if level.limits != limits:
            level.limits = limits
            level.limit = limits.nominal
        return level

    def _made_lanes(self, configured: dict[str, v1.PriorityLevelConfiguration]) -> list[Lane]:
        schemas: dict[str, v1.FlowSchema] = {each.metadata.name: each for each in defaults.mandatory_schemas()}
        schemas.update((each.metadata.name, each) for each in self._objects.all(GROUP, "flowschemas"))
        lanes = []
        for schema in matching.ordered(schemas.values()):
            name = schema.spec.priorityLevelConfiguration.name
            if name in configured:
                counts = self.counts[schema.metadata.name, name]
                level = self.levels[name] if configured[name].spec.limited is not None else None
                lanes.append(Lane(schema, configured[name].metadata.uid, level, counts, name))
        return lanes

    def _adjust(self, now: float) -> None:
        """Let levels borrow what others do not use."""
        self._adjust_at = now + borrowing.PERIOD_SECONDS
        wishes = {}
        for name, level in self.levels.items():
            _, _, peak = level.demand.close(now)
            wishes[name] = (level.limits, peak, level.demand.smooth)
        total = sum(limits.nominal for limits in self.limits.values())
        seats, targets = borrowing.adjusted(total, wishes)
        for name, level in self.levels.items():
            level.limit = max(1, seats[name])
            level.target = targets[name]
            if level.waiting:
                level.dispatch()


def _is_sound(level: v1.PriorityLevelConfiguration) -> bool:
    """Whether it can be used: only the level of that name is exempt, and queues are there where there is queueing."""
    spec = level.spec
    if (spec.type == "Exempt") != (spec.limited is None) or (spec.type == "Exempt") != (level.metadata.name == EXEMPT):
        return False
    response = spec.limited.limitResponse if spec.limited is not None else None
    return response is None or (response.type == "Reject") == (response.queuing is None)


def _shares(level: v1.PriorityLevelConfiguration) -> tuple[int, int, int | None]:
    """Shares, lendable per cent, borrowing limit per cent."""
    limited, exempt = level.spec.limited, level.spec.exempt
    if limited is not None:
        shares = limited.nominalConcurrencyShares
        return 30 if shares is None else shares, limited.lendablePercent or 0, limited.borrowingLimitPercent
    if exempt is not None:
        return exempt.nominalConcurrencyShares or 0, exempt.lendablePercent or 0, None
    return 0, 0, None


def _queuing(limited: v1.LimitedPriorityLevelConfiguration) -> Queuing | None:
    response = limited.limitResponse
    queuing = response.queuing if response is not None else None
    if queuing is None:
        return None
    # Unset ones have been given their defaults when the object was written.
    return Queuing(max(1, queuing.queues or 1), max(1, queuing.handSize or 1), max(1, queuing.queueLengthLimit or 1))
