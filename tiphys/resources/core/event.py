"""Event of the core group, in which form Events of both groups are stored.

Source: Kubernetes, packages registry/core/event and apis/core/validation, by behaviour.
"""

from datetime import datetime

from tiphys.api import core_v1
from tiphys.machinery import fields
from tiphys.machinery.fields import FieldError
from tiphys.resources import checks
from tiphys.resources.checks import Errors
from tiphys.resources.columns import NAME, since
from tiphys.resources.rules import Column, Resource, Strategy

TTL_SECONDS = 3600
SHORT = 128
NOTE_MAX = 1024
NAMESPACE_MISMATCH = "does not match event.namespace"


def validate(event: core_v1.Event) -> Errors:
    """The lenient rules of the core group; Events with an eventTime have to be complete."""
    errs: Errors = []
    namespace, regarded = event.metadata.namespace, event.involvedObject.namespace or ""
    if event.eventTime is None:
        fits = regarded == namespace if regarded else namespace in ("", "default")
    else:
        fits = bool(regarded) or namespace in ("default", "kube-system")
    if not fits:
        errs.append(fields.invalid("involvedObject.namespace", regarded, NAMESPACE_MISMATCH))
    if event.eventTime is not None:
        _complete(errs, event)
    checks.form(errs, "namespace", namespace, checks.dns1123_subdomain)
    return errs


def _complete(errs: Errors, event: core_v1.Event) -> None:
    controller = event.reportingComponent or ""
    if not controller:
        errs.append(fields.required("reportingController"))
    checks.form(errs, "reportingController", controller, checks.qualified_name)
    for field in ("reportingInstance", "action", "reason"):
        value = getattr(event, field) or ""
        if not value:
            errs.append(fields.required(field))
        if len(value.encode()) > SHORT:
            errs.append(fields.invalid(field, "", f"can have at most {SHORT} characters"))
    if len((event.message or "").encode()) > NOTE_MAX:
        errs.append(fields.invalid("message", "", f"can have at most {NOTE_MAX} characters"))


class EventStrategy(Strategy[core_v1.Event]):
    """The main endpoint."""

    create_on_update = True

    def validate_create(self, obj: core_v1.Event) -> list[FieldError]:
        return validate(obj)

    def validate_update(self, obj: core_v1.Event, old: core_v1.Event) -> list[FieldError]:
        return validate(obj)


def times_of(event: core_v1.Event) -> tuple[str, str]:
    """When it was seen first and last, whichever fields say so; empty where unknown."""
    first = event.firstTimestamp or event.eventTime or ""
    last = event.lastTimestamp or ""
    if event.series is not None and event.series.lastObservedTime:
        last = event.series.lastObservedTime
    return first, last or first


def count_of(event: core_v1.Event) -> int:
    if event.series is not None:
        return event.series.count or 0
    return event.count or 1


def _regarded(event: core_v1.Event, now: datetime) -> str:
    regarded = event.involvedObject
    kind = (regarded.kind or "").lower()
    return f"{kind}/{regarded.name}" if regarded.name else kind


def source_of(event: core_v1.Event) -> str:
    component = event.source.component or event.reportingComponent or ""
    host = event.source.host or event.reportingInstance or ""
    return f"{component}, {host}" if host else component


COLUMNS = (
    Column("Last Seen", lambda event, now: since(times_of(event)[1], now), description="When it was seen last."),
    Column("Type", lambda event, now: event.type or "", description="Normal or Warning."),
    Column("Reason", lambda event, now: event.reason or "", description="Why, in one word."),
    Column("Object", _regarded, description="What it is about."),
    Column("Subobject", lambda event, now: event.involvedObject.fieldPath or "", priority=1, description="Part of it."),
    Column("Source", lambda event, now: source_of(event), priority=1, description="Who reports it."),
    Column("Message", lambda event, now: (event.message or "").strip(), description="What happened."),
    Column(
        "First Seen",
        lambda event, now: since(times_of(event)[0], now),
        priority=1,
        description="When it was first seen.",
    ),
    Column("Count", lambda event, now: count_of(event), type="integer", priority=1, description="How often."),
    Column("Name", lambda event, now: event.metadata.name, format="name", priority=1, description=NAME.description),
)

ROW = Resource(
    group="",
    version="v1",
    kind="Event",
    plural="events",
    cls=core_v1.Event,
    strategy=EventStrategy(),
    short_names=("ev",),
    columns=COLUMNS,
    fields={
        "involvedObject.kind": lambda event: event.involvedObject.kind or "",
        "involvedObject.namespace": lambda event: event.involvedObject.namespace or "",
        "involvedObject.name": lambda event: event.involvedObject.name or "",
        "involvedObject.uid": lambda event: event.involvedObject.uid or "",
        "involvedObject.apiVersion": lambda event: event.involvedObject.apiVersion or "",
        "involvedObject.resourceVersion": lambda event: event.involvedObject.resourceVersion or "",
        "involvedObject.fieldPath": lambda event: event.involvedObject.fieldPath or "",
        "reason": lambda event: event.reason or "",
        "reportingComponent": lambda event: event.reportingComponent or "",
        "source": lambda event: event.source.component or event.reportingComponent or "",
        "type": lambda event: event.type or "",
    },
    ttl_seconds=TTL_SECONDS,
)
