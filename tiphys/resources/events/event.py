"""Event of events.k8s.io: the same objects as core Events, with newer names for the same fields.

The conversions are pure and lose nothing. Source: Kubernetes API reference, Event v1 events.k8s.io, by field.
"""

from dataclasses import replace

from tiphys.api import core_v1, events_v1
from tiphys.machinery import fields
from tiphys.machinery.fields import FieldError
from tiphys.resources import checks
from tiphys.resources.checks import Errors
from tiphys.resources.core import event as core_event
from tiphys.resources.rules import Column, Resource, Strategy

UNSET = "needs to be unset"
#: Names that paths of errors use: those of the stored form, and fields that a change may not touch.
FROZEN = (
    "involvedObject",
    "reason",
    "message",
    "source",
    "firstTimestamp",
    "lastTimestamp",
    "count",
    "type",
    "eventTime",
    "action",
    "related",
    "reportingComponent",
    "reportingInstance",
)


def validate_create(event: core_v1.Event) -> Errors:
    """The strict rules of this group, for the Event in its stored form."""
    errs = core_event.validate(event)
    _series(errs, event)
    if event.eventTime is None:
        errs.append(fields.required("eventTime"))
    if event.type not in ("Normal", "Warning"):
        errs.append(fields.invalid("type", "", f"has invalid value: {event.type or ''}"))
    for field in ("firstTimestamp", "lastTimestamp", "count"):
        if getattr(event, field):
            errs.append(fields.invalid(field, "", UNSET))
    if event.source.component or event.source.host:
        errs.append(fields.invalid("source", "", UNSET))
    return errs


def validate_update(event: core_v1.Event, old: core_v1.Event) -> Errors:
    errs = core_event.validate(event)
    if event.series != old.series:
        _series(errs, event)
    for field in FROZEN:
        path = "reportingController" if field == "reportingComponent" else field
        checks.immutable(errs, path, getattr(event, field), getattr(old, field))
    return errs


def _series(errs: Errors, event: core_v1.Event) -> None:
    if event.series is None:
        return
    if (event.series.count or 0) < 2:
        errs.append(fields.invalid("series.count", "", "should be at least 2"))
    if event.series.lastObservedTime is None:
        errs.append(fields.required("series.lastObservedTime"))


class EventStrategy(Strategy[events_v1.Event]):
    """The main endpoint."""

    create_on_update = True

    def validate_create(self, obj: events_v1.Event) -> list[FieldError]:
        return validate_create(to_core(obj))

    def validate_update(self, obj: events_v1.Event, old: events_v1.Event) -> list[FieldError]:
        return validate_update(to_core(obj), to_core(old))


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


def _column(column: Column) -> Column:
    """The same cell, of an Event in this group's form."""
    return replace(column, cell=lambda event, now: column.cell(to_core(event), now))


ROW = Resource(
    group="events.k8s.io",
    version="v1",
    kind="Event",
    plural="events",
    cls=events_v1.Event,
    strategy=EventStrategy(),
    short_names=("ev",),
    columns=tuple(map(_column, core_event.COLUMNS)),
    fields={
        "regarding.kind": lambda event: (event.regarding and event.regarding.kind) or "",
        "regarding.namespace": lambda event: (event.regarding and event.regarding.namespace) or "",
        "regarding.name": lambda event: (event.regarding and event.regarding.name) or "",
        "regarding.uid": lambda event: (event.regarding and event.regarding.uid) or "",
        "regarding.apiVersion": lambda event: (event.regarding and event.regarding.apiVersion) or "",
        "regarding.resourceVersion": lambda event: (event.regarding and event.regarding.resourceVersion) or "",
        "regarding.fieldPath": lambda event: (event.regarding and event.regarding.fieldPath) or "",
        "reason": lambda event: event.reason or "",
        "reportingController": lambda event: event.reportingController or "",
        "type": lambda event: event.type or "",
    },
    storage=("", "events"),
    to_storage=to_core,
    from_storage=from_core,
    ttl_seconds=core_event.TTL_SECONDS,
)
