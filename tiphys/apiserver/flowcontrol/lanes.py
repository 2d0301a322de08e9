"""A lane is a FlowSchema together with its level: what a request of it needs to know, and what is counted for it."""

from collections.abc import Mapping
from typing import Final

from tiphys.api import flowcontrol_v1 as v1
from tiphys.apiserver.flowcontrol.fairness import Level
from tiphys.apiserver.gate import Ticket
from tiphys.apiserver.headers import SharedHeaders
from tiphys.apiserver.instruments import Histogram
from tiphys.apiserver.registry.endpoint import JSON_HEADERS

WAIT_BUCKETS: Final = (0.0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0)
EXECUTION_BUCKETS: Final = (0.0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0)
SEAT_BUCKETS: Final = (1.0, 2.0, 4.0, 10.0)


class Counts:
    """What outlives a change of the configuration, per schema and level."""

    __slots__ = ("dispatched", "executed", "executing", "refused", "seats", "waited", "waiting", "widths")

    def __init__(self) -> None:
        self.dispatched = 0
        self.executing = 0
        self.seats = 0
        self.waiting = 0
        self.refused: dict[str, int] = {}
        self.executed = Histogram(EXECUTION_BUCKETS)
        #: Of those that ran, and of those that did not.
        self.waited = {True: Histogram(WAIT_BUCKETS), False: Histogram(WAIT_BUCKETS)}
        self.widths = Histogram(SEAT_BUCKETS)


class Lane:
    """``level`` is None for those that are exempt; their requests share one ticket."""

    __slots__ = ("counts", "exempt", "headers", "json_headers", "level", "schema", "ticket")

    def __init__(
        self, schema: v1.FlowSchema, uid: str, level: Level | None, counts: Counts, exempt: str = "exempt"
    ) -> None:
        self.schema = schema
        self.level = level
        self.counts = counts
        #: The name of the exempt level, where ``level`` is None.
        self.exempt = exempt
        self.headers: Mapping[str, str] = {
            "X-Kubernetes-PF-FlowSchema-UID": schema.metadata.uid,
            "X-Kubernetes-PF-PriorityLevel-UID": uid,
        }
        self.json_headers = SharedHeaders({**JSON_HEADERS, **self.headers})
        self.ticket = Exempt(self)

    @property
    def names(self) -> tuple[str, str]:
        """Schema and level."""
        return self.schema.metadata.name, self.level.name if self.level is not None else self.exempt


class Exempt(Ticket):
    """What all requests of an exempt lane are given."""

    __slots__ = ("lane",)

    def __init__(self, lane: Lane) -> None:
        super().__init__(lane.headers, lane.json_headers)
        self.lane = lane
