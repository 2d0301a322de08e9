"""``apiserver_flowcontrol_*``, as Prometheus reads them.

Source: Kubernetes docs, "API Priority and Fairness", "Metrics".
"""

from collections.abc import Callable, Iterator
from typing import Final

from tiphys.apiserver.flowcontrol.control import FlowControl
from tiphys.apiserver.flowcontrol.fairness import Level
from tiphys.apiserver.flowcontrol.lanes import Counts
from tiphys.apiserver.instruments import Histogram, head, labelled

PREFIX: Final = "apiserver_flowcontrol_"

#: Name, type, help and value of what is counted per schema and level.
PER_LANE: Final[tuple[tuple[str, str, str, Callable[[Counts], int]], ...]] = (
    ("dispatched_requests_total", "counter", "Requests that were let run.", lambda each: each.dispatched),
    ("current_executing_requests", "gauge", "Requests that run.", lambda each: each.executing),
    ("current_executing_seats", "gauge", "Seats of requests that run.", lambda each: each.seats),
    ("current_inqueue_requests", "gauge", "Requests that wait.", lambda each: each.waiting),
)
HISTOGRAMS: Final[tuple[tuple[str, str, Callable[[Counts], Histogram]], ...]] = (
    ("request_execution_seconds", "How long requests ran.", lambda each: each.executed),
    ("work_estimated_seats", "Seats of requests that took more than one.", lambda each: each.widths),
)
#: The same per level.
PER_LEVEL: Final[tuple[tuple[str, str, Callable[[Level], float]], ...]] = (
    ("nominal_limit_seats", "Seats that are a level's own.", lambda level: level.limits.nominal),
    ("lower_limit_seats", "Seats that a level always keeps.", lambda level: level.limits.lower),
    ("upper_limit_seats", "Most seats that a level may have.", lambda level: level.limits.upper),
    ("current_limit_seats", "Seats that a level has now.", lambda level: level.limit),
    ("demand_seats_high_watermark", "Most seats wanted in this period.", lambda level: level.demand.peak),
    ("demand_seats_smoothed", "Seats wanted, falling slowly.", lambda level: level.demand.smooth),
    ("target_seats", "Seats aimed at by the last adjustment.", lambda level: level.target),
)


def lines(control: FlowControl) -> Iterator[str]:
    """All of them."""
    lanes = sorted(control.counts.items())
    for name, kind, help_, value in PER_LANE:
        yield from head(PREFIX + name, kind, help_)
        for names, counts in lanes:
            yield f"{PREFIX}{name}{{{_lane(names)}}} {value(counts)}"
    yield from head(f"{PREFIX}rejected_requests_total", "counter", "Requests that were refused.")
    for names, counts in lanes:
        for reason, count in sorted(counts.refused.items()):
            yield f"{PREFIX}rejected_requests_total{{{_lane(names, reason=reason)}}} {count}"
    for name, help_, of in HISTOGRAMS:
        yield from head(PREFIX + name, "histogram", help_)
        for names, counts in lanes:
            yield from of(counts).lines(PREFIX + name, _lane(names))
    name = f"{PREFIX}request_wait_duration_seconds"
    yield from head(name, "histogram", "How long requests waited that had to.")
    for names, counts in lanes:
        for ran, histogram in counts.waited.items():
            yield from histogram.lines(name, _lane(names, execute=str(ran).lower()))
    yield from _levels(control)


def _levels(control: FlowControl) -> Iterator[str]:
    for name, help_, value in PER_LEVEL:
        yield from head(PREFIX + name, "gauge", help_)
        for level in control.levels.values():
            yield f'{PREFIX}{name}{{priority_level="{level.name}"}} {value(level):g}'


def _lane(names: tuple[str, str], **more: str) -> str:
    schema, level = names
    return labelled({"flow_schema": schema, "priority_level": level, **more})
