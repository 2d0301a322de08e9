"""A request's way through the audit log: the stages of its event.

Events are handed to sinks, which never make a request wait but in blocking
modes, and never fail one.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Final, Protocol
from urllib.parse import quote, urlencode

from tiphys.apiserver.audit import event as events
from tiphys.apiserver.audit.event import Event
from tiphys.apiserver.audit.policy import Policy, Wanted
from tiphys.apiserver.authentication import bearer_token
from tiphys.apiserver.decoding import body_of
from tiphys.apiserver.seams import Attributes
from tiphys.base.clock import Clock
from tiphys.machinery import times
from tiphys.wire.exchange import Request, Response, UserInfo
from tiphys.wire.exchange import Sink as Stream

EARLY: Final = {"metadata": {}, "status": "Success", "message": "Connection closed early", "code": 200}
BODIES: Final = frozenset({"Request", "RequestResponse"})


class Sink(Protocol):
    """Where events go."""

    #: As metrics name it: ``log`` or ``webhook``.
    name: str
    #: Events that it could not take or hand over.
    dropped: int

    def put(self, line: bytes) -> None:
        """Take one event; drop it rather than fail. Never waits for a network."""

    async def close(self) -> None:
        """Return once everything taken has been written."""


class Audit:
    """``seams.Auditor``."""

    def __init__(self, policy: Policy, sinks: Sequence[Sink], clock: Clock) -> None:
        self._policy = policy
        self.sinks = sinks
        self._clock = clock
        self.levels: Counter[str] = Counter()
        self.events = 0

    async def close(self) -> None:
        for sink in self.sinks:
            await sink.close()

    def begin(self, request: Request, attributes: Attributes, audit_id: str, received: datetime) -> "Entry | None":
        wanted = self._policy.wanted(attributes.user, attributes)
        self.levels[wanted.level] += 1
        if wanted.level == "None":
            return None
        entry = Entry(self, wanted, self._event(request, attributes, wanted, audit_id, received), request, attributes)
        entry.stage("RequestReceived", received)
        return entry

    def rejected(self, request: Request, attributes: Attributes, audit_id: str, received: datetime) -> None:
        # Nobody is known to have asked.
        attributes.user = UserInfo("")
        wanted = self._policy.wanted(attributes.user, attributes)
        if wanted.level == "None":
            return
        made = self._event(request, attributes, wanted, audit_id, received)
        tried = _attempted(request)
        how = f"attempted: {tried}" if tried else "no credentials provided"
        message = f"Authentication failed, {how}"
        made.responseStatus = {"metadata": {}, "message": message, "code": 401}
        Entry(self, wanted, made, request, attributes).stage("ResponseStarted")

    def _event(
        self, request: Request, attributes: Attributes, wanted: Wanted, audit_id: str, received: datetime
    ) -> Event:
        user = attributes.user
        return Event(
            level=wanted.level,
            auditID=audit_id,
            stage="",
            requestURI=uri_of(request),
            verb=attributes.verb,
            user=events.user_of(user.impersonator or user),
            impersonatedUser=events.user_of(user) if user.impersonator is not None else None,
            sourceIPs=events.source_ips(request),
            userAgent=events.user_agent_of(request),
            objectRef=events.reference_of(attributes),
            requestReceivedTimestamp=times.format_micro(received),
        )

    def emit(self, event: Event) -> None:
        self.events += 1
        line = events.line(event)
        for sink in self.sinks:
            sink.put(line)

    def now(self) -> datetime:
        return self._clock.now()


class Entry:
    """``seams.Record``: one request's event, stage by stage."""

    def __init__(self, audit: Audit, wanted: Wanted, event: Event, request: Request, attributes: Attributes) -> None:
        self._audit = audit
        self._wanted = wanted
        self._event = event
        self._request = request
        self._attributes = attributes
        self._panicked = False

    def stage(self, name: str, at: datetime | None = None) -> None:
        if name in self._wanted.omit_stages:
            return
        event = self._event
        event.stage = name
        event.stageTimestamp = times.format_micro(at or self._audit.now())
        annotations = self._attributes.audit_annotations
        event.annotations = dict(sorted(annotations.items()))
        self._audit.emit(event)

    def answered(self, response: Response) -> None:
        event = self._event
        kind = response.headers.get("Content-Type", "")
        event.responseStatus = events.status_of(response.status, kind, response.body)
        self._learned(response)
        omit = self._wanted.omit_managed_fields
        if self._wanted.level in BODIES:
            event.requestObject = events.object_of(*_body_of(self._request), omit_managed_fields=omit)
        if self._wanted.level == "RequestResponse" and response.stream is None:
            event.responseObject = events.object_of(response.body, kind, omit_managed_fields=omit)

    def _learned(self, response: Response) -> None:
        """The name that a created object was given."""
        reference = self._event.objectRef
        if reference is not None and not reference.name and self._attributes.verb == "create":
            reference.name = self._attributes.name

    def failed(self, problem: BaseException) -> None:
        self._panicked = True
        message = f"APIServer panic'd: {type(problem).__name__}: {problem}"
        status = {"metadata": {}, "status": "Failure", "message": message, "reason": "InternalError", "code": 500}
        self._event.responseStatus = status
        self.stage("Panic")

    def finished(self, response: Response) -> Response:
        if self._panicked:
            return response
        if self._event.responseStatus is None:
            self._event.responseStatus = EARLY
        if response.stream is None:
            self.stage("ResponseComplete")
            return response
        self.stage("ResponseStarted")
        stream = response.stream

        async def followed(sink: Stream) -> None:
            try:
                await stream(sink)
            finally:
                self.stage("ResponseComplete")

        response.stream = followed
        return response


def uri_of(request: Request) -> str:
    """Path and query, as they are written in a request line."""
    path = quote(request.path, safe="/:@!$&'()*+,;=~-._")
    if not request.query:
        return path
    return f"{path}?{urlencode(request.query, doseq=True)}"


def _body_of(request: Request) -> tuple[bytes, str]:
    """The request's body as JSON, if it is or can be made JSON."""
    kind = request.headers.get("content-type", "application/json")
    if not request.body or "json" in kind:
        return request.body, kind
    try:
        return body_of(request, "").data, "application/json"
    except Exception:
        # What cannot be read has been refused with its own message.
        return b"", kind


def _attempted(request: Request) -> str:
    """Which ways of showing who one is were tried."""
    tried = []
    if request.peer_certificate is not None:
        tried.append("x509")
    if bearer_token(request.headers):
        tried.append("bearer")
    if request.headers.get("authorization", "").lower().startswith("basic "):
        tried.append("basic")
    return ", ".join(tried)
