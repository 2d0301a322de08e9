"""Event of events.k8s.io: the same objects as core Events, with newer names for the same fields.

The conversions are pure and lose nothing. Source: Kubernetes API reference, Event v1 events.k8s.io, by field.
"""

from tiphys.api import core_v1, events_v1
from tiphys.resources import columns
from tiphys.resources.rules import Resource, Strategy


class EventStrategy(Strategy[events_v1.Event]):
    """Rules of the newer group."""


def to_core(event: events_v1.Event) -> core_v1.Event:
    """The same Event as core/v1, which is what is stored."""
    series = event.series
    return core_v1.Event(
        metadata=event.metadata,
        type=event.type,
        action=event.action,
        count=event.deprecatedCount,
        eventTime=event.eventTime,
        firstTimestamp=event.deprecatedFirstTimestamp,
        involvedObject=event.regarding or core_v1.ObjectReference(),
        lastTimestamp=event.deprecatedLastTimestamp,
        message=event.note,
        reason=event.reason,
        related=event.related,
        reportingComponent=event.reportingController,
        reportingInstance=event.reportingInstance,
        series=None
        if series is None
        else core_v1.EventSeries(count=series.count, lastObservedTime=series.lastObservedTime),
        source=event.deprecatedSource or core_v1.EventSource(),
    )


def from_core(event: core_v1.Event) -> events_v1.Event:
    """The same Event in the newer group."""
    series = event.series
    return events_v1.Event(
        metadata=event.metadata,
        type=event.type,
        action=event.action,
        deprecatedCount=event.count,
        eventTime=event.eventTime,
        deprecatedFirstTimestamp=event.firstTimestamp,
        regarding=event.involvedObject,
        deprecatedLastTimestamp=event.lastTimestamp,
        note=event.message,
        reason=event.reason,
        related=event.related,
        reportingController=event.reportingComponent,
        reportingInstance=event.reportingInstance,
        series=None
        if series is None
        else events_v1.EventSeries(count=series.count or 0, lastObservedTime=series.lastObservedTime),
        deprecatedSource=event.source,
    )


ROW = Resource(
    group="events.k8s.io",
    version="v1",
    kind="Event",
    plural="events",
    cls=events_v1.Event,
    strategy=EventStrategy(),
    short_names=("ev",),
    columns=columns.DEFAULT_COLUMNS,
    storage=("", "events"),
    to_storage=to_core,
    from_storage=from_core,
    ttl_seconds=3600,
)
