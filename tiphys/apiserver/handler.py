"""The chain: every request travels it from top to bottom, whatever carried it here.

request info → authentication → audit → flow control → authorization → the
route's handler → encoding.
A refusal anywhere is an ``errors.StatusError`` and becomes its Status; anything
else that is raised becomes 500 with an id that the log holds too.
"""

import asyncio
import logging
from collections.abc import Coroutine, Mapping
from dataclasses import replace
from typing import Any, Final

from tiphys.api import meta_v1
from tiphys.apiserver import negotiation, protobuf
from tiphys.apiserver.authorization.refusal import forbidden
from tiphys.apiserver.deadline import allowed_seconds, within
from tiphys.apiserver.flowcontrol import FlowControl, InFlight
from tiphys.apiserver.gate import Gate, Refused
from tiphys.apiserver.lifecycle import REFUSAL
from tiphys.apiserver.registry import creating, deleting, reading, updating, watching
from tiphys.apiserver.registry.endpoint import JSON_HEADERS, Call, Endpoint, Services
from tiphys.apiserver.requestinfo import attributes_of, first
from tiphys.apiserver.routes import TEXT_HEADERS, Routes, Verb
from tiphys.apiserver.seams import ANONYMOUS, OPERATIONS, Attributes, Context, Objects, RawRoute, ResourceRoute, Seams
from tiphys.apiserver.table import include_of
from tiphys.base.ids import Ids
from tiphys.machinery import codec, errors, fields
from tiphys.machinery.goformat import quote
from tiphys.resources import table
from tiphys.resources.rules import Resource, Subresource
from tiphys.store.interface import StoreError, Unavailable
from tiphys.wire.exchange import Request, Response, Sink

log = logging.getLogger(__name__)

VERBS: Final[Mapping[str, Verb]] = {
    "get": reading.get,
    "list": reading.list_,
    "watch": watching.watch,
    "create": creating.create,
    "update": updating.update,
    "patch": updating.patch,
    "delete": deleting.delete,
    "deletecollection": deleting.delete_collection,
}
#: What is counted when the client has left before there was an answer.
ABANDONED: Final = Response(0)
#: Longer ids of clients are cut.
AUDIT_ID_MAX: Final = 64
#: What is answered without being stored, by path.
VIRTUAL: Final = {(row.group, row.version, row.plural): row for row in table.ALL if row.virtual}
LONG_RUNNING_SUBRESOURCES: Final = frozenset({"attach", "exec", "log", "portforward", "proxy"})


class AuditIds:
    """An id for each request: a uid's beginning, the same for all, and a number. Made for every answer, hence cheap."""

    def __init__(self, ids: Ids) -> None:
        self._ids = ids
        self._prefix = ""
        self._last = 0

    def next(self) -> str:
        if not self._last:
            self._prefix = self._ids.uid()[:24]
        self._last += 1
        return f"{self._prefix}{self._last:012x}"


class Handler:
    """See the module. ``handle`` never raises but for cancellation."""

    def __init__(self, seams: Seams, routes: Routes, services: Services, objects: Objects) -> None:
        self._seams = seams
        self._routes = routes
        self._services = services
        services.authorize = self._authorize
        self._objects = objects
        self._lifecycle = seams.lifecycle
        config = services.config
        self._gate: Gate = seams.gate or InFlight(config.requests_in_flight_max, config.mutating_in_flight_max)
        if isinstance(self._gate, FlowControl):
            self._gate.watchers = self._watchers
        self._audit_ids = AuditIds(services.ids)
        #: Writes that go on although their client has left.
        self._detached: set[asyncio.Task[Response]] = set()

    def _watchers(self, group: str, plural: str) -> int:
        """How many watch a resource; asked for only while requests wait."""
        endpoints = self._routes.endpoints.items()
        hubs = {id(each.hub): each.hub for key, each in endpoints if (key[0], key[2]) == (group, plural)}
        return sum(hub.watchers for hub in hubs.values())

    async def close(self) -> None:
        """Return once all writes have ended."""
        await asyncio.gather(*self._detached, return_exceptions=True)

    async def handle(self, request: Request) -> Response:
        """The answer to ``request``."""
        lifecycle = self._lifecycle
        if lifecycle.refusing and lifecycle.refuses(request):
            return REFUSAL
        attributes = attributes_of(request)
        audit_id = request.headers.get("audit-id", "")[:AUDIT_ID_MAX] or self._audit_ids.next()
        observer = self._seams.observer
        clock = self._services.clock
        begun = observer.begun(attributes) if observer is not None else None
        start = clock.monotonic()
        lifecycle.running += 1
        response = ABANDONED
        try:
            response = await self._safe(request, attributes, audit_id)
        finally:
            lifecycle.ended()
            if observer is not None:
                observer.finished(begun, response, clock.monotonic() - start)
            if attributes.record is not None and response is ABANDONED:
                attributes.record.finished(response)
        if response.stream is not None:
            self._follow(response, begun)
        return response

    async def _safe(self, request: Request, attributes: Attributes, audit_id: str) -> Response:
        """The answer, whatever happens, with all its headers."""
        try:
            response = await self._answered(request, attributes, audit_id)
            if attributes.record is not None:
                attributes.record.answered(response)
            response = await self._finished(request, attributes, response)
        except Exception as problem:
            if attributes.record is not None:
                attributes.record.failed(problem)
            response = self._refusal(self._unexpected(request, problem))
        return self._stamped(attributes, response, audit_id)

    def _stamped(self, attributes: Attributes, response: Response, audit_id: str) -> Response:
        """With what flow control and the audit log say about the request."""
        ticket = attributes.ticket
        headers = response.headers
        if ticket is not None and ticket.headers:
            headers = ticket.json_headers if headers is JSON_HEADERS else {**headers, **ticket.headers}
        if attributes.is_resource_request:
            response.headers = headers
            response.audit_id = audit_id
        else:
            # A route may answer with one Response many times.
            response = replace(response, headers=headers, audit_id=audit_id)
        if attributes.record is not None:
            response = attributes.record.finished(response)
        return response

    def _follow(self, response: Response, begun: Any) -> None:
        """Count a stream until it ends."""
        stream, lifecycle, observer = response.stream, self._lifecycle, self._seams.observer
        assert stream is not None

        async def followed(sink: Sink) -> None:
            lifecycle.streams += 1
            try:
                await stream(sink)
            finally:
                lifecycle.stream_ended()
                if observer is not None:
                    observer.stream_ended(begun)

        response.stream = followed

    async def _answered(self, request: Request, attributes: Attributes, audit_id: str) -> Response:
        """What was asked for, or the declared refusal."""
        try:
            if _is_long_running(attributes):
                return await self._served(request, attributes, audit_id)
            return await self._bounded(request, attributes, audit_id)
        except errors.StatusError as problem:
            return self._refusal(problem)
        except Refused as problem:
            return problem.response()
        except codec.DecodeError as problem:
            # What a patch has made of an object, or an option, and could not be read as what it should be.
            return self._refusal(errors.BadRequest(str(problem)))
        except StoreError as problem:
            log.warning("store failed", extra={"path": request.path}, exc_info=problem)
            return self._refusal(_store_refusal(problem))

    async def _bounded(self, request: Request, attributes: Attributes, audit_id: str) -> Response:
        """Serve within the time that the server, or the client, allows."""
        seconds = self._services.config.request_timeout_seconds
        if request.query and "timeout" in request.query:
            seconds = allowed_seconds(first(request.query, "timeout"), seconds)
        try:
            return await within(seconds, self._served(request, attributes, audit_id))
        except TimeoutError as problem:
            raise errors.Timeout("request did not complete within the allotted timeout") from problem

    async def _served(self, request: Request, attributes: Attributes, audit_id: str) -> Response:
        if len(request.body) > self._services.config.body_bytes_max:
            raise errors.RequestEntityTooLarge(f"limit is {self._services.config.body_bytes_max}")
        auditor = self._seams.auditor
        try:
            user = request.user or await self._seams.authenticator.authenticate(request) or ANONYMOUS
        except errors.Unauthorized:
            if auditor is not None:
                auditor.rejected(request, attributes, audit_id, self._services.clock.now())
            raise
        attributes.user = user
        if request.warnings:
            attributes.warnings.extend(request.warnings)
        if auditor is not None:
            attributes.record = auditor.begin(request, attributes, audit_id, self._services.clock.now())
        if attributes.subresource in LONG_RUNNING_SUBRESOURCES:
            return await self._decided(request, attributes)
        gate = self._gate
        attributes.ticket = ticket = gate.begin(request, attributes)
        if ticket.turn is not None:
            await gate.wait(ticket)
        try:
            return await self._decided(request, attributes)
        finally:
            gate.end(ticket)

    async def _decided(self, request: Request, attributes: Attributes) -> Response:
        """Served, if the user may have it."""
        route = None if attributes.is_resource_request else self._routes.raw(request.path)
        if route is None or not route.public:
            await self._authorize(attributes)
        if not attributes.is_resource_request:
            return await self._raw(request, attributes, route)
        return await self._resource(request, attributes)

    async def _authorize(self, attributes: Attributes) -> None:
        decision = await self._seams.authorizer.authorize(attributes.user, attributes)
        if self._seams.auditor is not None:
            attributes.audit_annotations["authorization.k8s.io/decision"] = "allow" if decision.allowed else "forbid"
            attributes.audit_annotations["authorization.k8s.io/reason"] = decision.reason
        if decision.allowed:
            return
        if decision.error:
            raise errors.InternalError(decision.error)
        raise forbidden(attributes, decision.reason)

    async def _raw(self, request: Request, attributes: Attributes, route: RawRoute | None) -> Response:
        if route is None:
            return Response(404, TEXT_HEADERS, b"404 page not found\n")
        if request.method not in route.methods:
            raise _not_allowed()
        return await route.handler(self._context(request, attributes))

    def _context(self, request: Request, attributes: Attributes) -> Context:
        services = self._services
        return Context(request, attributes, self._objects, services.admission, services.clock, services.ids)

    async def _resource(self, request: Request, attributes: Attributes) -> Response:
        endpoint = self._routes.endpoints.get((attributes.group, attributes.version, attributes.resource))
        special = self._routes.resource(attributes)
        if attributes.namespace and _is_in_no_namespace(attributes, endpoint):
            # What a role in one namespace allows must not reach what is in none.
            raise errors.UnknownPath
        if special is not None:
            return await self._special(request, attributes, endpoint, special)
        if endpoint is None:
            return await self._alias(request, attributes)
        row = endpoint.row
        attributes.kind = row.kind
        if row.deprecation:
            attributes.warnings.append(row.deprecation)
        if attributes.dry_run:
            _check_dry_run(request)
        call = Call(request, attributes, endpoint, negotiation.form_of(request, endpoint.row))
        if call.form.shape:
            _check_form(call)
        if row.namespaced and not attributes.namespace and attributes.verb not in ("list", "watch"):
            # Across all namespaces there is only reading.
            raise errors.UnknownPath if attributes.name else _not_allowed()
        if not attributes.subresource:
            if attributes.verb not in row.verbs or not _fits_path(attributes):
                raise _not_allowed()
            if endpoint.allocator is not None and attributes.verb in OPERATIONS:
                return await self._to_the_end(VERBS[attributes.verb](call))
            return await VERBS[attributes.verb](call)
        return await self._subresource(call)

    async def _alias(self, request: Request, attributes: Attributes) -> Response:
        """A resource that is another path to a subresource: ``bindings``."""
        found = self._routes.aliases.get((attributes.group, attributes.version, attributes.resource))
        if found is None:
            return self._routes.nothing(attributes)
        endpoint, serve = found
        if attributes.verb != "create" or attributes.name:
            raise _not_allowed()
        return await serve(Call(request, attributes, endpoint, negotiation.form_of(request, endpoint.row)))

    async def _special(
        self, request: Request, attributes: Attributes, endpoint: Endpoint | None, route: ResourceRoute
    ) -> Response:
        if request.method not in route.methods:
            raise _not_allowed()
        if endpoint is not None:
            sub = _find_subresource(endpoint.row, attributes.subresource)
            attributes.kind = (sub and sub.kind) or endpoint.row.kind
        attributes.operation = "CREATE" if attributes.verb == "create" else "CONNECT"
        return await route.handler(self._context(request, attributes))

    async def _subresource(self, call: Call) -> Response:
        attributes = call.attributes
        row = call.endpoint.row
        found = _find_subresource(row, attributes.subresource)
        if found is None:
            raise errors.UnknownPath
        if attributes.verb not in found.verbs:
            raise _not_allowed()
        attributes.kind = found.kind or row.kind
        key = (row.group, row.plural, found.name, attributes.verb)
        serve = self._routes.subresources.get(key) or self._routes.subresources.get(("", "", *key[2:]))
        if serve is None and found.strategy is not None:
            serve = VERBS[attributes.verb]
        if serve is None:
            raise _not_allowed()
        return await serve(call)

    async def _to_the_end(self, work: Coroutine[None, None, Response]) -> Response:
        """Serve, and go on if the client leaves: what is reserved must stay so until the write is known."""
        task = asyncio.create_task(work, name="detached-write")
        self._detached.add(task)
        task.add_done_callback(self._detached.discard)
        return await asyncio.shield(task)

    def _refusal(self, problem: errors.StatusError) -> Response:
        headers = JSON_HEADERS
        if problem.retry_after_seconds:
            headers = {**JSON_HEADERS, "Retry-After": str(problem.retry_after_seconds)}
        return Response(problem.code, headers, codec.encode(problem.status()))

    def _unexpected(self, request: Request, problem: Exception) -> errors.StatusError:
        cause = self._services.ids.uid()
        log.error(
            "request failed", extra={"cause": cause, "method": request.method, "path": request.path}, exc_info=problem
        )
        return errors.InternalError(f"the server met a problem of its own; its log holds cause {cause}")

    async def _finished(self, request: Request, attributes: Attributes, response: Response) -> Response:
        """The response with warnings, in YAML, indented or compressed, as the client likes it."""
        # A route may answer with one Response many times, which therefore is never changed.
        headers = response.headers
        if attributes.warnings:
            texts = dict.fromkeys(attributes.warnings)
            headers = {**headers, "Warning": ", ".join(map(_warning, texts))}
        body = response.body
        if response.stream is not None:
            return Response(response.status, headers, stream=response.stream)
        if not body:
            return response
        if headers.get("Content-Type") == negotiation.JSON:
            form = negotiation.accepted(request.headers.get("accept", ""))
            if form is not None and form.media_type == negotiation.YAML:
                body = negotiation.yaml_from_json(body)
                headers = {**headers, "Content-Type": negotiation.YAML}
            elif form is not None and form.media_type == negotiation.PROTOBUF:
                # What is not an entry: a Status, a Scale, a review. Kinds without a message stay as they are.
                document = protobuf.document_of(body)
                if document is not None:
                    body = document
                    headers = {**headers, "Content-Type": negotiation.PROTOBUF}
            elif negotiation.wants_pretty(request):
                body = negotiation.indented(body)
        if negotiation.wants_gzip(request, len(body)):
            body = await asyncio.to_thread(negotiation.compressed, body)
            headers = {**headers, "Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
        return (
            response
            if body is response.body and headers is response.headers
            else Response(response.status, headers, body)
        )


def _store_refusal(problem: StoreError) -> errors.StatusError:
    """What the medium says goes out as it is, as from kube-apiserver: ``etcdserver: request timed out``."""
    if isinstance(problem, Unavailable):
        return errors.StatusError(str(problem))
    return errors.InternalError(str(problem))


def _is_long_running(attributes: Attributes) -> bool:
    return attributes.verb == "watch" or attributes.subresource in LONG_RUNNING_SUBRESOURCES


def _is_in_no_namespace(asked: Attributes, endpoint: Endpoint | None) -> bool:
    """Whether the resource has no namespaces, although the path names one; a Namespace's own path does."""
    row = endpoint.row if endpoint is not None else VIRTUAL.get((asked.group, asked.version, asked.resource))
    if row is None or row.namespaced:
        return False
    return row.group_resource != "namespaces" or asked.namespace != asked.name


def _fits_path(attributes: Attributes) -> bool:
    """Whether this verb exists with (or without) a name in the path."""
    if attributes.verb == "create":
        return not attributes.name
    return bool(attributes.name) or attributes.verb not in ("update", "patch", "delete")


def _not_allowed() -> errors.StatusError:
    """The path is known, with other methods."""
    return errors.from_status(
        meta_v1.Status(
            code=405,
            reason="MethodNotAllowed",
            message="the server does not allow this method on the requested resource",
            details=meta_v1.StatusDetails(),
        )
    )


def _find_subresource(row: Resource, name: str) -> Subresource | None:
    return next((sub for sub in row.subresources if sub.name == name), None)


def _check_form(call: Call) -> None:
    """Refuse what cannot be given before anything is written; raises NotAcceptable and BadRequest."""
    many = call.attributes.verb in ("list", "deletecollection")
    if call.form.shape == ("PartialObjectMetadata" if many else "PartialObjectMetadataList"):
        what = "is a list" if many else "is not a list"
        raise errors.NotAcceptable(f"you requested {call.form.shape}, but the requested object {what}")
    include_of(call.query("includeObject"))


def _check_dry_run(request: Request) -> None:
    values = list(request.query.get("dryRun", ()))
    if any(value != "All" for value in values):
        kind = {"POST": "CreateOptions", "PUT": "UpdateOptions", "PATCH": "PatchOptions"}.get(
            request.method, "DeleteOptions"
        )
        raise errors.Invalid(kind, "meta.k8s.io", "", [fields.not_supported("dryRun", values, ["All"])])


def _warning(text: str) -> str:
    return f"299 - {quote(text)}"
