"""Typed calls on the API's resources.

``Client.of(cls)`` speaks in Structs and knows path and scope from the resource
table; ``Client.resource(...)`` speaks in dicts, for anything else. Whatever the
server refuses is raised as the ``machinery.errors`` class it names.

Retries: an answer with Retry-After (429, or 5xx) was not processed and is sent
again after that time; a read whose connection was lost is sent again after a
short wait; a write that may have arrived is never repeated, the caller's next
reconcile will see what became of it.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Generic, Literal, TypeVar

import msgspec

from tiphys.api import meta_v1
from tiphys.base.clock import Clock, RealClock
from tiphys.client.transport import Stream, Transport, TransportError
from tiphys.machinery import codec, errors
from tiphys.resources import table
from tiphys.wire.exchange import Request

T = TypeVar("T")
U = TypeVar("U")

PatchType = Literal["strategic", "merge", "json", "apply"]
Propagation = Literal["Background", "Foreground", "Orphan"]

PATCH_CONTENT_TYPES: Mapping[PatchType, str] = {
    "strategic": "application/strategic-merge-patch+json",
    "merge": "application/merge-patch+json",
    "json": "application/json-patch+json",
    "apply": "application/apply-patch+yaml",
}

#: How often one call is sent at most; client-go stops after ten retries as well.
ATTEMPTS = 10
#: Waits between attempts of a read whose connection was lost.
RECONNECT_SECONDS = (0.02, 0.1, 0.5, 1.0)


class _ListHead(msgspec.Struct):
    resourceVersion: str = ""
    continue_: str = msgspec.field(default="", name="continue")
    remainingItemCount: int | None = None


class _RawList(msgspec.Struct):
    metadata: _ListHead = msgspec.field(default_factory=_ListHead)
    items: list[msgspec.Raw] | None = None


_raw_list = msgspec.json.Decoder(_RawList)


class Page(msgspec.Struct, Generic[T], kw_only=True):
    """One page of a list; ``continue_token`` is empty on the last."""

    items: list[T]
    resource_version: str
    continue_token: str = ""
    remaining: int | None = None


class Client:
    """One connection to one API server; shared by all that a component does."""

    def __init__(self, transport: Transport, user_agent: str = "tiphys", clock: Clock | None = None) -> None:
        self.transport = transport
        self.user_agent = user_agent
        self._clock = clock or RealClock()
        self._typed: dict[type[Any], ResourceClient[Any]] = {}

    def of(self, cls: type[U]) -> "ResourceClient[U]":
        """The resource whose objects are of ``cls``; LookupError if none is served."""
        found = self._typed.get(cls)
        if found is None:
            row = table.by_class(cls)  # type: ignore[arg-type]  # a Struct class, or LookupError
            found = ResourceClient(self, row.group, row.version, row.plural, row.namespaced, _decode_as(cls))
            self._typed[cls] = found
        return found

    def resource(self, group: str, version: str, plural: str, namespaced: bool) -> "ResourceClient[dict[str, Any]]":
        """Any resource, spoken in dicts."""
        return ResourceClient(self, group, version, plural, namespaced, codec.decode_builtins)

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Sequence[str]] | None = None,
        body: bytes = b"",
        content_type: str = "application/json",
        accept: str = "application/json",
    ) -> bytes:
        """The answer's body. Raises StatusError subclasses, or TransportError."""
        headers = {"user-agent": self.user_agent, "accept": accept}
        if body:
            headers["content-type"] = content_type
        request = Request(method, path, query or {}, headers, body)
        for attempt in range(ATTEMPTS):
            last = attempt == ATTEMPTS - 1
            try:
                response = await self.transport.send(request)
            except TransportError:
                if method != "GET" or attempt >= len(RECONNECT_SECONDS):
                    raise
                await self._clock.sleep(RECONNECT_SECONDS[attempt])
                continue
            if response.status < 400:
                return response.body
            wait = _retry_after(response.status, response.headers)
            if wait is None or last:
                raise status_error(response.status, response.body)
            await self._clock.sleep(wait)
        raise AssertionError("unreachable: the last attempt returns or raises")

    def open(
        self, method: str, path: str, query: Mapping[str, Sequence[str]] | None = None
    ) -> AbstractAsyncContextManager[Stream]:
        """The answer as a stream of bytes, whatever its status; tried once."""
        headers = {"user-agent": self.user_agent, "accept": "application/json"}
        return self.transport.stream(Request(method, path, query or {}, headers))

    async def close(self) -> None:
        await self.transport.close()

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class ResourceClient(Generic[T]):
    """The verbs of one resource."""

    def __init__(
        self,
        client: Client,
        group: str,
        version: str,
        plural: str,
        namespaced: bool,
        decode: Callable[[bytes], T],
    ) -> None:
        self.client = client
        self.group = group
        self.version = version
        self.plural = plural
        self.namespaced = namespaced
        self.decode = decode
        self._root = f"/apis/{group}/{version}" if group else f"/api/{version}"

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The URL path; an empty namespace means all of them."""
        middle = f"/namespaces/{namespace}" if namespace and self.namespaced else ""
        tail = f"/{name}" if name else ""
        below = f"/{subresource}" if subresource else ""
        return f"{self._root}{middle}/{self.plural}{tail}{below}"

    async def get(self, name: str, namespace: str = "", *, subresource: str = "") -> T:
        return self.decode(await self.client.request("GET", self.path(namespace, name, subresource)))

    async def list(
        self,
        namespace: str = "",
        *,
        labels: str = "",
        fields: str = "",
        limit: int = 0,
        continue_token: str = "",
        resource_version: str = "",
    ) -> Page[T]:
        """One page; all of it if ``limit`` is 0."""
        query = _query(
            labelSelector=labels,
            fieldSelector=fields,
            limit=str(limit) if limit else "",
            resourceVersion=resource_version,
        ) | _query(**{"continue": continue_token})
        raw = _raw_list.decode(await self.client.request("GET", self.path(namespace), query=query))
        decode = self.decode
        return Page(
            items=[decode(item) for item in raw.items or ()],
            resource_version=raw.metadata.resourceVersion,
            continue_token=raw.metadata.continue_,
            remaining=raw.metadata.remainingItemCount,
        )

    async def list_all(self, namespace: str = "", *, labels: str = "", fields: str = "", limit: int = 500) -> Page[T]:
        """Every page, joined; consistent, as the pages are of one revision."""
        page = await self.list(namespace, labels=labels, fields=fields, limit=limit)
        items = page.items
        while page.continue_token:
            page = await self.list(
                namespace, labels=labels, fields=fields, limit=limit, continue_token=page.continue_token
            )
            items.extend(page.items)
        return Page(items=items, resource_version=page.resource_version)

    async def create(self, obj: T, namespace: str = "", *, dry_run: bool = False) -> T:
        """Create ``obj`` in its own namespace (or in ``namespace``)."""
        path = self.path(namespace or namespace_of(obj))
        body = codec.encode(obj)
        return self.decode(await self.client.request("POST", path, query=_dry(dry_run), body=body))

    async def update(self, obj: T, *, subresource: str = "") -> T:
        """Replace; Conflict if the object's resourceVersion is not the newest."""
        path = self.path(namespace_of(obj), name_of(obj), subresource)
        return self.decode(await self.client.request("PUT", path, body=codec.encode(obj)))

    async def update_status(self, obj: T) -> T:
        return await self.update(obj, subresource="status")

    async def patch(
        self,
        name: str,
        namespace: str,
        body: Any,
        patch_type: PatchType = "strategic",
        *,
        subresource: str = "",
        field_manager: str = "",
        force: bool = False,
    ) -> T:
        """``body`` is bytes, or builtins (or Structs) to encode."""
        data = body if isinstance(body, bytes) else codec.encode(body)
        query = _query(fieldManager=field_manager, force="true" if force else "")
        answer = await self.client.request(
            "PATCH",
            self.path(namespace, name, subresource),
            query=query,
            body=data,
            content_type=PATCH_CONTENT_TYPES[patch_type],
        )
        return self.decode(answer)

    async def delete(
        self,
        name: str,
        namespace: str = "",
        *,
        uid: str = "",
        resource_version: str = "",
        grace_period_seconds: int | None = None,
        propagation: Propagation | None = None,
    ) -> None:
        """Delete; Conflict if ``uid`` or ``resource_version`` is given and another object stands there."""
        options = _delete_options(uid, resource_version, grace_period_seconds, propagation)
        await self.client.request("DELETE", self.path(namespace, name), body=options)

    async def delete_collection(
        self,
        namespace: str = "",
        *,
        labels: str = "",
        fields: str = "",
        grace_period_seconds: int | None = None,
        propagation: Propagation | None = None,
    ) -> None:
        options = _delete_options("", "", grace_period_seconds, propagation)
        query = _query(labelSelector=labels, fieldSelector=fields)
        await self.client.request("DELETE", self.path(namespace), query=query, body=options)

    async def create_subresource(self, name: str, namespace: str, subresource: str, obj: Any) -> bytes:
        """POST below an object (binding, eviction, token); returns the answer's body."""
        path = self.path(namespace, name, subresource)
        return await self.client.request("POST", path, body=codec.encode(obj))

    def watch(
        self,
        namespace: str = "",
        *,
        labels: str = "",
        fields: str = "",
        resource_version: str = "",
        timeout_seconds: int = 0,
        bookmarks: bool = True,
    ) -> AbstractAsyncContextManager[Stream]:
        """The raw watch stream: lines of JSON. Informers read it; few others should."""
        query = _query(
            watch="true",
            labelSelector=labels,
            fieldSelector=fields,
            resourceVersion=resource_version,
            allowWatchBookmarks="true" if bookmarks else "",
            timeoutSeconds=str(timeout_seconds) if timeout_seconds else "",
        )
        return self.client.open("GET", self.path(namespace), query)


def _decode_as(cls: type[U]) -> Callable[[bytes], U]:
    """Decodes what a server sent: canonical already, so the plain decoder will do.

    Only what a newer server added, and we do not know, takes the slow way, and is dropped.
    """
    fast = codec.decoder(cls).decode

    def decode(data: bytes) -> U:
        try:
            return fast(data)
        except msgspec.DecodeError:
            return codec.decode(cls, bytes(data))

    return decode


def status_error(code: int, body: bytes) -> errors.StatusError:
    """The error that an answer's body describes; one made up from the code if it describes none."""
    try:
        status = codec.decode(meta_v1.Status, body)
    except (codec.DecodeError, msgspec.DecodeError):
        status = meta_v1.Status()
    if status.kind != "Status" or not status.code:
        text = body[:2048].decode(errors="replace").strip()
        status = meta_v1.Status(status="Failure", code=code, message=text or f"the server answered {code}")
    return errors.from_status(status)


def namespace_of(obj: Any) -> str:
    if isinstance(obj, dict):
        return str((obj.get("metadata") or {}).get("namespace", ""))
    return str(obj.metadata.namespace)


def name_of(obj: Any) -> str:
    if isinstance(obj, dict):
        return str((obj.get("metadata") or {}).get("name", ""))
    return str(obj.metadata.name)


def _retry_after(status: int, headers: Mapping[str, str]) -> float | None:
    """Seconds to wait before the same request may be sent again; None if it may not."""
    if status != 429 and status < 500:
        return None
    text = headers.get("retry-after") or headers.get("Retry-After") or ""
    return float(text) if text.isdigit() else None


def _query(**parameters: str) -> dict[str, Sequence[str]]:
    return {name: (text,) for name, text in parameters.items() if text}


def _dry(dry_run: bool) -> dict[str, Sequence[str]]:
    return {"dryRun": ("All",)} if dry_run else {}


def _delete_options(
    uid: str, resource_version: str, grace_period_seconds: int | None, propagation: Propagation | None
) -> bytes:
    preconditions = None
    if uid or resource_version:
        preconditions = meta_v1.Preconditions(uid=uid or None, resourceVersion=resource_version or None)
    if preconditions is None and grace_period_seconds is None and propagation is None:
        return b""
    return codec.encode(
        meta_v1.DeleteOptions(
            apiVersion="v1",
            kind="DeleteOptions",
            preconditions=preconditions,
            gracePeriodSeconds=grace_period_seconds,
            propagationPolicy=propagation,
        )
    )
