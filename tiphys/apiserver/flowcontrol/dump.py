"""``/debug/api_priority_and_fairness/dump_*``: what levels, queues and requests are like now, as tables of text.

Source: Kubernetes docs, "API Priority and Fairness", "Debug endpoints".
"""

from collections.abc import Iterator, Sequence
from typing import Final

from tiphys.apiserver.flowcontrol import matching
from tiphys.apiserver.flowcontrol.control import FlowControl
from tiphys.apiserver.flowcontrol.fairness import GUESS_SECONDS, Seated
from tiphys.apiserver.flowcontrol.lanes import Lane
from tiphys.apiserver.requestinfo import flag
from tiphys.apiserver.seams import Context, RawRoute
from tiphys.wire.exchange import Response

PATH: Final = "/debug/api_priority_and_fairness/"
TEXT: Final = {"Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff"}
REASONS: Final = ("queue-full", "concurrency-limit", "time-out", "cancelled")
LEVEL_COLUMNS: Final = (
    *("PriorityLevelName", "ActiveQueues", "IsIdle", "IsQuiescing", "WaitingRequests", "ExecutingRequests"),
    *("DispatchedRequests", "RejectedRequests", "TimedoutRequests", "CancelledRequests"),
)
QUEUE_COLUMNS: Final = (
    *("PriorityLevelName", "Index", "PendingRequests", "ExecutingRequests", "SeatsInUse", "NextDispatchR"),
    *("InitialSeatsSum", "MaxSeatsSum", "TotalWorkSum"),
)
REQUEST_COLUMNS: Final = (
    *("PriorityLevelName", "FlowSchemaName", "QueueIndex", "RequestIndexInQueue", "FlowDistingsher", "ArriveTime"),
    *("InitialSeats", "FinalSeats", "AdditionalLatency", "StartTime"),
)
DETAIL_COLUMNS: Final = ("UserName", "Verb", "APIPath", "Namespace", "Name", "APIVersion", "Resource", "SubResource")

Row = Sequence[object]


class Dumps:
    """The routes."""

    def __init__(self, control: FlowControl) -> None:
        self._control = control

    def routes(self) -> list[RawRoute]:
        return [
            RawRoute(f"{PATH}dump_priority_levels", self._levels),
            RawRoute(f"{PATH}dump_queues", self._queues),
            RawRoute(f"{PATH}dump_requests", self._requests),
        ]

    async def _levels(self, context: Context) -> Response:
        return _table([LEVEL_COLUMNS, *sorted(map(tuple, self._level_rows()))])

    def _level_rows(self) -> Iterator[Row]:
        control = self._control
        totals: dict[str, list[int]] = {}
        for (_, name), counts in control.counts.items():
            refused = [counts.refused.get(reason, 0) for reason in REASONS]
            row = [counts.dispatched, refused[0] + refused[1], refused[2], refused[3], counts.executing]
            totals[name] = [a + b for a, b in zip(totals.get(name, [0] * 5), row, strict=True)]
        for name in {*control.limits, *control.levels}:
            *counted, executing = totals.get(name, [0] * 5)
            level = control.levels.get(name)
            if level is None:
                yield (name, 0, _word(not executing), "false", 0, executing, *counted)
                continue
            active = sum(bool(queue.waiting or queue.executing) for queue in level.queues)
            state = (_word(level.idle), _word(level.quiescing))
            yield (name, active, *state, level.waiting, level.executing, *counted)

    async def _queues(self, context: Context) -> Response:
        rows: list[Row] = [QUEUE_COLUMNS]
        for _, level in sorted(self._control.levels.items()):
            for queue in level.queues:
                waiting = sum(each.seats for each in queue.waiting)
                seats = (queue.seats - waiting, f"{queue.next_r:.8f}ss", waiting, waiting)
                work = f"{waiting * GUESS_SECONDS:.8f}ss"
                rows.append((level.name, queue.index, len(queue.waiting), queue.executing, *seats, work))
        return _table(rows)

    async def _requests(self, context: Context) -> Response:
        detailed = flag(context.request.query, "includeRequestDetails")
        rows: list[Row] = [(*REQUEST_COLUMNS, *(DETAIL_COLUMNS if detailed else ()))]
        for _, level in sorted(self._control.levels.items()):
            for queue in level.queues:
                for position, ticket in enumerate(queue.waiting):
                    rows.append((*_ticket(ticket, position), *(_details(ticket) if detailed else ())))
        return _table(rows)


def _ticket(ticket: Seated, position: int) -> Row:
    lane, asked, queue = ticket.lane, ticket.what, ticket.queue
    assert isinstance(lane, Lane) and asked is not None and queue is not None
    schema, level = lane.names
    flow = matching.distinguisher(lane.schema, asked.user, asked)
    return (level, schema, queue.index, position, flow, f"{ticket.arrived:.9f}", ticket.seats, 0, "0s", "")


def _details(ticket: Seated) -> Row:
    asked = ticket.what
    assert asked is not None
    version = f"{asked.group}/{asked.version}" if asked.group else asked.version
    place = (asked.path, asked.namespace, asked.name, version, asked.resource, asked.subresource)
    return (asked.user.name, asked.verb, *place)


def _word(value: bool) -> str:
    return "true" if value else "false"


def _table(rows: Sequence[Row]) -> Response:
    """Columns separated by commas, padded to line up."""
    cells = [[f"{value}," for value in row[:-1]] + [str(row[-1])] for row in rows]
    widths = [max(map(len, column)) + 1 for column in zip(*cells, strict=True)]
    lines = ["".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    return Response(200, TEXT, "\n".join([*lines, ""]).encode())
