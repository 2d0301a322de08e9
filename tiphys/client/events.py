"""Which Events are written: aggregation and the spam filter, without I/O.

An Event that was seen before becomes a higher count of the same object; more
than ten different messages of one kind within ten minutes become one Event
"(combined from similar events)"; and each object has a budget of 25 Events,
refilled by one every five minutes.
Source: client-go's events correlator (tools/record), by behaviour.
"""

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import msgspec

from tiphys.api import core_v1, meta_v1
from tiphys.api.scalars import Time
from tiphys.base.clock import Clock
from tiphys.machinery import times

CACHE_SIZE = 4096
SPAM_BURST = 25
SPAM_REFILL_PER_SECOND = 1 / 300
SIMILAR_MAXIMUM = 10
SIMILAR_SECONDS = 600

K = TypeVar("K")
E = TypeVar("E")


class Recent(Generic[K, E]):
    """The most recently used entries, ``CACHE_SIZE`` at most."""

    def __init__(self) -> None:
        self._entries: OrderedDict[K, E] = OrderedDict()

    def get(self, key: K) -> E | None:
        entry = self._entries.get(key)
        if entry is not None:
            self._entries.move_to_end(key)
        return entry

    def put(self, key: K, entry: E) -> None:
        self._entries[key] = entry
        self._entries.move_to_end(key)
        if len(self._entries) > CACHE_SIZE:
            self._entries.popitem(last=False)


@dataclass(slots=True)
class _Similar:
    #: In order: which of them is given up must not be chance.
    messages: dict[str, None] = field(default_factory=dict)
    last: float = 0.0


@dataclass(slots=True)
class _Seen:
    name: str
    count: int
    first: Time | None


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled: float


@dataclass(frozen=True, slots=True)
class Write:
    """The Event to write; ``patch`` if it exists already and only its count has grown."""

    event: core_v1.Event
    patch: bool


class Correlator:
    """Turns what components say into what is written."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._similar: Recent[tuple[Any, ...], _Similar] = Recent()
        self._seen: Recent[tuple[Any, ...], _Seen] = Recent()
        self._buckets: Recent[tuple[Any, ...], _Bucket] = Recent()

    def correlate(self, event: core_v1.Event) -> Write | None:
        """What to write for ``event``; None if its object has said too much."""
        key, message = self._aggregate(event)
        write = self._observe(key, message, event)
        return write if self._allowed(event) else None

    def _aggregate(self, event: core_v1.Event) -> tuple[tuple[Any, ...], str]:
        """The key under which the event counts, and its message."""
        now = self._clock.monotonic()
        kind = (*_about(event), event.type, event.reason)
        similar = self._similar.get(kind)
        if similar is None or now - similar.last > SIMILAR_SECONDS:
            similar = _Similar()
        similar.messages[event.message or ""] = None
        similar.last = now
        self._similar.put(kind, similar)
        if len(similar.messages) < SIMILAR_MAXIMUM:
            # What two containers of a Pod have in common is still said of each.
            return (*kind, event.involvedObject.fieldPath, event.message), event.message or ""
        # Only how many there are matters from here on.
        similar.messages.popitem()
        return kind, f"(combined from similar events): {event.message}"

    def _observe(self, key: tuple[Any, ...], message: str, event: core_v1.Event) -> Write:
        seen = self._seen.get(key)
        if seen is None:
            self._seen.put(key, _Seen(event.metadata.name, 1, event.firstTimestamp))
            return Write(msgspec.structs.replace(event, message=message, count=1), patch=False)
        seen.count += 1
        meta = msgspec.structs.replace(event.metadata, name=seen.name)
        again = msgspec.structs.replace(
            event, metadata=meta, message=message, count=seen.count, firstTimestamp=seen.first
        )
        return Write(again, patch=True)

    def _allowed(self, event: core_v1.Event) -> bool:
        now = self._clock.monotonic()
        about = _about(event)
        bucket = self._buckets.get(about)
        if bucket is None:
            bucket = _Bucket(float(SPAM_BURST), now)
            self._buckets.put(about, bucket)
        bucket.tokens = min(float(SPAM_BURST), bucket.tokens + (now - bucket.filled) * SPAM_REFILL_PER_SECOND)
        bucket.filled = now
        if bucket.tokens < 1.0:
            return False
        bucket.tokens -= 1.0
        return True


def _about(event: core_v1.Event) -> tuple[Any, ...]:
    ref = event.involvedObject
    return (event.source.component, event.source.host, ref.kind, ref.namespace, ref.name, ref.uid, ref.apiVersion)


def reference(obj: Any, field_path: str = "") -> core_v1.ObjectReference:
    """A reference to ``obj`` (a Struct, a dict, or a reference already) as Events hold it."""
    if isinstance(obj, core_v1.ObjectReference):
        return msgspec.structs.replace(obj, fieldPath=field_path or obj.fieldPath)
    if isinstance(obj, dict):
        meta = obj.get("metadata") or {}
        return core_v1.ObjectReference(
            apiVersion=obj.get("apiVersion"),
            kind=obj.get("kind"),
            name=meta.get("name"),
            namespace=meta.get("namespace"),
            uid=meta.get("uid"),
            resourceVersion=meta.get("resourceVersion"),
            fieldPath=field_path or None,
        )
    return core_v1.ObjectReference(
        apiVersion=obj.apiVersion,
        kind=obj.kind,
        name=obj.metadata.name,
        namespace=obj.metadata.namespace or None,
        uid=obj.metadata.uid or None,
        resourceVersion=obj.metadata.resourceVersion or None,
        fieldPath=field_path or None,
    )


def new_event(
    ref: core_v1.ObjectReference, event_type: str, reason: str, message: str, clock: Clock, component: str, host: str
) -> core_v1.Event:
    """The Event, with a name that differs for every instant: object and time in hexadecimal nanoseconds."""
    now = clock.now()
    stamp = times.format_time(now)
    nanoseconds = int(now.timestamp() * 1_000_000) * 1000
    return core_v1.Event(
        metadata=meta_v1.ObjectMeta(name=f"{ref.name}.{nanoseconds:x}", namespace=ref.namespace or "default"),
        involvedObject=ref,
        reason=reason,
        message=message,
        type=event_type,
        count=1,
        firstTimestamp=stamp,
        lastTimestamp=stamp,
        source=core_v1.EventSource(component=component, host=host or None),
        reportingComponent=component,
        reportingInstance=host or None,
    )
