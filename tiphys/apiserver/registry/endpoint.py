"""What serving one resource needs, and one call to it."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from tiphys.api import meta_v1
from tiphys.apiserver import protobuf
from tiphys.apiserver.cache import Cache, ResourceCache, Unreadable
from tiphys.apiserver.config import ApiServerConfig
from tiphys.apiserver.entries import Entry, View, value_of
from tiphys.apiserver.negotiation import PLAIN, PROTOBUF, Form
from tiphys.apiserver.requestinfo import first
from tiphys.apiserver.seams import Admission, AllowAll, Attributes, Objects
from tiphys.apiserver.shapes import Shaper
from tiphys.apiserver.table import Include, include_of
from tiphys.apiserver.watch import Hub
from tiphys.base.clock import Clock
from tiphys.base.ids import Ids
from tiphys.machinery import apply, codec, errors
from tiphys.resources.rules import Resource
from tiphys.store.interface import Store
from tiphys.wire.exchange import Request, Response

JSON_HEADERS = {"Content-Type": "application/json", "Cache-Control": "no-cache, private"}
BINARY_HEADERS = {**JSON_HEADERS, "Content-Type": PROTOBUF}
STREAM_HEADERS = {**JSON_HEADERS, "Content-Type": protobuf.STREAM_TYPE}


def headers_of(form: Form, *, stream: bool = False) -> dict[str, str]:
    """Headers of an answer whose body is in this form already."""
    if form.media_type is not PROTOBUF:
        return JSON_HEADERS
    return STREAM_HEADERS if stream else BINARY_HEADERS


@dataclass(slots=True)
class Services:
    """What all endpoints share. ``admission`` is set while the server is put together, never later."""

    store: Store
    cache: Cache
    clock: Clock
    ids: Ids
    config: ApiServerConfig
    admission: Admission = field(default_factory=AllowAll)
    #: Other resources, for the few paths that concern more than one.
    objects: Objects | None = None
    #: Raises Forbidden unless the attributes' user may do what they say; set by the handler.
    authorize: Callable[[Attributes], Awaitable[None]] | None = None


class Allocator(Protocol):
    """Gives objects what no other may have at the same time."""

    def reserve(self, obj: Any, old: Any) -> Any:
        """Fill ``obj`` in and keep what it was given from others here. Raises Invalid."""

    def forget(self, reservation: Any) -> None:
        """What was reserved is not wanted."""

    async def hold(self, reservation: Any) -> None:
        """Keep what was reserved from other servers too; may exchange it. Raises Invalid."""

    async def settle(self, reservation: Any) -> None:
        """The object was written: give back what its old form alone had."""

    async def undo(self, reservation: Any) -> None:
        """The object was not written: give back what was held."""

    async def gone(self, obj: Any) -> None:
        """The object was deleted: give back what it had."""


class Conversion(Protocol):
    """Makes objects of one served version of what is stored, and back, where that takes asking another server."""

    def missing(self, entries: Iterable[Entry | None]) -> list[Entry]:
        """Those that the view cannot show yet."""

    async def prepare(self, entries: Iterable[Entry | None]) -> None:
        """Let the view show these; raises StatusError."""

    async def encode(self, obj: Any) -> bytes:
        """The bytes to store; raises StatusError."""


class Endpoint:
    """One served resource (a group, version and plural)."""

    def __init__(
        self,
        row: Resource,
        storage: Resource,
        services: Services,
        hub: Hub,
        allocator: Allocator | None = None,
        *,
        view: View | None = None,
        siblings: Sequence[Resource] = (),
        conversion: "Conversion | None" = None,
    ) -> None:
        self.row = row
        self.storage = storage
        self.services = services
        self.cache: ResourceCache = hub.cache
        self.hub = hub
        self.allocator = allocator
        self.view = view or View(row)
        self.view.managed_in_lists = services.config.managed_fields_in_lists
        #: Set where another server must be asked for versions.
        self.conversion = conversion
        #: Why nothing can be created here any more; empty while it can.
        self.closed = ""
        #: All versions of a custom resource, which no table knows.
        self.siblings = siblings
        self.shaper = Shaper(self.view)
        self.ttl_seconds = row.ttl_seconds or storage.ttl_seconds

    def encode(self, obj: Any) -> bytes:
        """The bytes to store: in the storage's version and without resourceVersion.

        They begin as the cache expects them, whatever a webhook or a policy has made of the object.
        """
        obj.apiVersion, obj.kind = self.row.api_version, self.row.kind
        return value_of(obj if self.row.to_storage is None else self.row.to_storage(obj))

    async def stored(self, obj: Any) -> bytes:
        """The bytes to store, whatever it takes to make them."""
        if self.conversion is None:
            return self.encode(obj)
        obj.apiVersion, obj.kind = self.row.api_version, self.row.kind
        return await self.conversion.encode(obj)

    async def prepare(self, entry: Entry | None) -> None:
        """Let the view show ``entry``."""
        if self.conversion is not None:
            await self.conversion.prepare((entry,))

    def entry(self, key: str, value: bytes, revision: int) -> Entry:
        """The entry of a value that was just written (or would have been)."""
        return self.cache.make(key, revision, value)

    def written(self, key: str, value: bytes, revision: int) -> Entry:
        """The entry of a value that was just written: the cache's own, if nobody has written since."""
        found = self.cache.entries.get(key)
        return found if found is not None and found.revision == revision else self.entry(key, value, revision)

    def same(self, entry: Entry, other: Entry) -> bool:
        """Whether writing ``other`` over ``entry`` would change nothing, or only when somebody came to own what he had.

        Both are of one revision.
        """
        if entry.head != self.cache.head:
            # Stored in another version: written anew, which is how objects are migrated.
            return False
        one, two = entry.tail, other.tail
        # Plain data has no order of its own; builtins are written in the order of their fields.
        if one != two and not (self.siblings and len(one) == len(two) and codec.same(one, two)):
            return False
        return entry.managed == other.managed or apply.differ_in_time_only(entry.owners(), other.owners())

    def not_found(self, name: str) -> errors.StatusError:
        return errors.NotFound(self.row.plural, name, self.row.group)

    def missing(self, attributes: Attributes) -> errors.StatusError:
        """Why the object cannot be had: it is not there, or what is stored cannot be read."""
        key = self.cache.key(attributes.namespace, attributes.name)
        if key in self.cache.unreadable:
            return errors.InternalError(str(Unreadable(key)))
        return self.not_found(attributes.name)

    def conflict(self, name: str, why: str = errors.MODIFIED) -> errors.StatusError:
        return errors.Conflict(self.row.plural, name, why, self.row.group)


@dataclass(slots=True)
class Call:
    """One request to one endpoint."""

    request: Request
    attributes: Attributes
    endpoint: Endpoint
    form: Form = PLAIN

    def query(self, name: str) -> str:
        """The first value of a query parameter, or an empty string."""
        return first(self.request.query, name) if self.request.query else ""

    @property
    def include(self) -> Include:
        return include_of(self.query("includeObject"))

    @property
    def dry_run(self) -> bool:
        return self.attributes.dry_run

    def answer(self, entry: Entry, status: int = 200) -> Response:
        """The object of an entry in the form that was asked for."""
        form = self.form
        if not form.shape and form.media_type is not PROTOBUF:
            return Response(status, JSON_HEADERS, self.endpoint.view.body(entry))
        now = self.endpoint.services.clock.now()
        return Response(status, headers_of(form), self.endpoint.shaper.object(entry, self.form, now, self.include))


def success(status: int = 200, details: meta_v1.StatusDetails | None = None, code: int | None = None) -> Response:
    """A Status that says Success."""
    body = codec.encode(meta_v1.Status(status="Success", details=details, code=code))
    return Response(status, JSON_HEADERS, body)
