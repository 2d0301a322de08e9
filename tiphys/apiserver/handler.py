"""The chain: every request travels it from top to bottom, whatever carried it here.

request info → authentication → authorization → the route's handler → encoding.
A refusal anywhere is an ``errors.StatusError`` and becomes its Status; anything
else that is raised becomes 500 with an id that the log holds too.
"""

import asyncio
import logging
from collections.abc import Coroutine, Mapping
from typing import Final

from tiphys.api import meta_v1
from tiphys.apiserver import negotiation
from tiphys.apiserver.registry import creating, deleting, reading, updating, watching
from tiphys.apiserver.registry.endpoint import JSON_HEADERS, Call, Endpoint, Services
from tiphys.apiserver.requestinfo import attributes_of
from tiphys.apiserver.routes import TEXT_HEADERS, Routes, Verb
from tiphys.apiserver.seams import ANONYMOUS, OPERATIONS, Attributes, Context, Objects, RawRoute, ResourceRoute, Seams
from tiphys.apiserver.table import include_of
from tiphys.machinery import codec, errors, fields
from tiphys.machinery.goformat import quote
from tiphys.resources.rules import Resource, Subresource
from tiphys.store.interface import StoreError, Unavailable
from tiphys.wire.exchange import Request, Response

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
LONG_RUNNING_SUBRESOURCES: Final = frozenset({"attach", "exec", "log", "portforward", "proxy"})


class Handler:
    """See the module. ``handle`` never raises but for cancellation."""

    def __init__(self, seams: Seams, routes: Routes, services: Services, objects: Objects) -> None:
        self._seams = seams
        self._routes = routes
        self._services = services
        services.authorize = self._authorize
        self._objects = objects
        self._in_flight = 0
        #: Writes that go on although their client has left.
        self._detached: set[asyncio.Task[Response]] = set()

    async def close(self) -> None:
        """Return once all writes have ended."""
        await asyncio.gather(*self._detached, return_exceptions=True)

    async def handle(self, request: Request) -> Response:
        """The answer to ``request``."""
        attributes = attributes_of(request)
        observer = self._seams.observer
        if observer is None:
            return await self._safe(request, attributes)
        clock = self._services.clock
        start = clock.monotonic()
        response = ABANDONED
        begun = observer.begun(attributes)
        try:
            response = await self._safe(request, attributes)
        finally:
            observer.finished(begun, response, clock.monotonic() - start)
        return response

    async def _safe(self, request: Request, attributes: Attributes) -> Response:
        """The answer, whatever happens."""
        try:
            return await self._finished(request, attributes, await self._answered(request, attributes))
        except Exception as problem:
            return self._refusal(self._unexpected(request, problem))

    async def _answered(self, request: Request, attributes: Attributes) -> Response:
        """What was asked for, or the declared refusal."""
        try:
            if _is_long_running(attributes):
                return await self._served(request, attributes)
            return await self._bounded(request, attributes)
        except errors.StatusError as problem:
            return self._refusal(problem)
        except StoreError as problem:
            log.warning("store failed", extra={"path": request.path}, exc_info=problem)
            return self._refusal(_store_refusal(problem))

    async def _bounded(self, request: Request, attributes: Attributes) -> Response:
        """Serve within the bounds on time and on requests at once."""
        config = self._services.config
        if self._in_flight >= config.requests_in_flight_max:
            raise errors.TooManyRequests
        self._in_flight += 1
        try:
            async with asyncio.timeout(config.request_timeout_seconds):
                return await self._served(request, attributes)
        except TimeoutError as problem:
            raise errors.Timeout("request did not complete within the allotted timeout") from problem
        finally:
            self._in_flight -= 1

    async def _served(self, request: Request, attributes: Attributes) -> Response:
        if len(request.body) > self._services.config.body_bytes_max:
            raise errors.RequestEntityTooLarge(f"limit is {self._services.config.body_bytes_max}")
        user = request.user or await self._seams.authenticator.authenticate(request) or ANONYMOUS
        attributes.user = user
        route = None if attributes.is_resource_request else self._routes.raw(request.path)
        if route is None or not route.public:
            await self._authorize(attributes)
        if not attributes.is_resource_request:
            return await self._raw(request, attributes, route)
        return await self._resource(request, attributes)

    async def _authorize(self, attributes: Attributes) -> None:
        decision = await self._seams.authorizer.authorize(attributes.user, attributes)
        if decision.allowed:
            return
        if decision.error:
            raise errors.InternalError(decision.error)
        raise _forbidden(attributes, decision.reason)

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
        call = Call(request, attributes, endpoint, negotiation.form_of(request))
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
        return await serve(Call(request, attributes, endpoint, negotiation.form_of(request)))

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


def _forbidden(attributes: Attributes, reason: str) -> errors.StatusError:
    """Kubernetes' sentence about who may not do what."""
    user = quote(attributes.user.name)
    tail = f": {reason}" if reason else ""
    if not attributes.is_resource_request:
        return errors.Forbidden("", "", f"User {user} cannot {attributes.verb} path {quote(attributes.path)}{tail}")
    resource = attributes.resource
    if attributes.subresource:
        resource = f"{resource}/{attributes.subresource}"
    where = f" in the namespace {quote(attributes.namespace)}" if attributes.namespace else " at the cluster scope"
    why = (
        f"User {user} cannot {attributes.verb} resource {quote(resource)} in API group "
        f"{quote(attributes.group)}{where}{tail}"
    )
    return errors.Forbidden(attributes.resource, attributes.name, why, attributes.group)
