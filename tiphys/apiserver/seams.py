"""Where the request path meets what decides about it: authentication, authorization, admission, special routes.

The chain (``handler``) knows these shapes only. Everything here is data or a
``Protocol``. ``AllowAll`` lets everything through and serves tests of the
request path alone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from tiphys.apiserver.aggregation.catalog import Catalog
from tiphys.apiserver.gate import Gate, Ticket
from tiphys.apiserver.lifecycle import Lifecycle
from tiphys.base.clock import Clock
from tiphys.base.ids import Ids
from tiphys.wire.exchange import Request, Response, UserInfo

ANONYMOUS = UserInfo("system:anonymous", groups=("system:unauthenticated",))

#: What admission calls the verbs that change something.
OPERATIONS: Mapping[str, str] = {
    "create": "CREATE",
    "update": "UPDATE",
    "patch": "UPDATE",
    "delete": "DELETE",
    "deletecollection": "DELETE",
    "connect": "CONNECT",
}


@dataclass(slots=True)
class Attributes:
    """What a request asks for, as authorization and admission see it.

    ``verb`` is Kubernetes' (``deletecollection``, ``watch``, ...) for resource
    requests and the lower-case HTTP method for others. ``name`` is empty on
    lists and on creates whose name is not yet known; the registry fills it in
    (and ``operation``) before it calls admission, where a PUT or an apply that
    creates is a ``CREATE``.
    Source: apiserver's ``authorizer.Attributes`` and ``admission.Attributes``, by behaviour.
    """

    verb: str
    path: str
    user: UserInfo = ANONYMOUS
    is_resource_request: bool = False
    group: str = ""
    version: str = ""
    #: The plural, without group.
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    kind: str = ""
    #: ``CREATE``, ``UPDATE``, ``DELETE``, ``CONNECT``, or empty for reads.
    operation: str = ""
    dry_run: bool = False
    field_selector: str = ""
    label_selector: str = ""
    #: Texts of ``Warning`` headers; admission may append.
    warnings: list[str] = field(default_factory=list)
    #: What the audit event is to say beside the rest, by key (``authorization.k8s.io/decision``,
    #: ``pod-security.kubernetes.io/audit-violations``, ...); whoever decides something adds what he decided and why.
    audit_annotations: dict[str, str] = field(default_factory=dict)
    #: The request's query, of which writes take their options; None without one.
    query: Mapping[str, Sequence[str]] | None = None
    #: A deletion's options, which may come in the body; None elsewhere.
    options: Any = None
    #: What flow control gave the request; None where there is none.
    ticket: Ticket | None = None
    #: Where the request is written down; None if it is not.
    record: Record | None = None


class Decision(NamedTuple):
    """Yes, no, or no opinion (neither ``allowed`` nor ``denied``), which leaves it to the next authorizer.

    ``reason`` is shown to the caller when it is refused; empty for "no rule said yes". ``error`` says what kept an
    authorizer from deciding: a request that nobody allows is then a 500, and reviews show it.
    """

    allowed: bool
    reason: str = ""
    denied: bool = False
    error: str = ""


class Authenticator(Protocol):
    """Who asks."""

    async def authenticate(self, request: Request) -> UserInfo | None:
        """The user; None if the request carries no credentials (it is then anonymous).

        Raises ``errors.Unauthorized`` if credentials are there and wrong.
        """


class Authorizer(Protocol):
    """May they."""

    async def authorize(self, user: UserInfo, attributes: Attributes) -> Decision:
        """Whether ``user`` may do this."""


class Admission(Protocol):
    """Last changes and last refusals before a write; both raise a ``StatusError`` to refuse.

    ``obj`` is the typed object that is about to be written (None for deletions),
    ``old`` the stored one (None for creations), never changed. For subresources
    with a kind of their own (``pods/binding``, ``pods/eviction``) ``obj`` is of that kind.
    """

    async def admit(self, attributes: Attributes, obj: Any, old: Any) -> None:
        """Mutating; runs before validation of the object."""

    async def validate(self, attributes: Attributes, obj: Any, old: Any) -> None:
        """Refuses only; runs after validation of the object."""


class Objects(Protocol):
    """What the server's own parts (RBAC, admission, bootstrap, tokens) read and write, without a request.

    Reads come from the cache, synchronously, and give shared objects that nobody may change.
    """

    def find(self, group: str, plural: str, namespace: str, name: str) -> Any | None:
        """The object or None. ``namespace`` is empty for cluster-scoped resources."""

    def all(self, group: str, plural: str, namespace: str = "") -> Sequence[Any]:
        """All objects of a resource, or of one of its namespaces, in the order of their keys."""

    def count(self, group: str, plural: str) -> int:
        """How many objects of a resource there are."""

    def told(self) -> Mapping[tuple[str, str, str], int]:
        """How many events watchers of a resource were told, by group, version and plural."""

    def subscribe(self, group: str, plural: str, changed: Callable[[Any | None, Any | None], None]) -> None:
        """Call ``changed(new, old)`` after each change the cache has seen; new is None for a deletion."""

    async def create(self, obj: Any) -> Any:
        """Write a new object through strategy, admission and validation, as ``system:apiserver``."""

    async def update(self, obj: Any, subresource: str = "") -> Any:
        """Replace an object, in the same way."""

    async def delete(self, group: str, plural: str, namespace: str, name: str) -> None:
        """Delete an object, in the same way."""


@dataclass(slots=True, frozen=True)
class Context:
    """What a special route is given, after authentication and authorization."""

    request: Request
    attributes: Attributes
    objects: Objects
    admission: Admission
    clock: Clock
    ids: Ids

    @property
    def user(self) -> UserInfo:
        return self.attributes.user


RawHandler = Callable[[Context], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class RawRoute:
    """A path that no resource row serves: discovery, OpenAPI, health, metrics.

    ``path`` matches exactly, or as a prefix where it ends in ``*``; exact ones
    win, then the longest prefix. Authorization has run unless ``public``.
    """

    path: str
    handler: RawHandler
    methods: tuple[str, ...] = ("GET", "HEAD")
    public: bool = False


@dataclass(frozen=True, slots=True)
class ResourceRoute:
    """A resource or subresource with a handler of its own, instead of the generic registry's.

    Reviews, ``serviceaccounts/token``, ``pods/exec``, ``pods/log``, ``nodes/proxy``.
    ``attributes.kind`` and ``operation`` are filled in; admission is the handler's to call.
    """

    group: str
    version: str
    plural: str
    subresource: str
    handler: RawHandler
    methods: tuple[str, ...] = ("POST",)


class RawConnection(Protocol):
    """The connection behind an upgraded request: bytes, both ways, already decrypted."""

    async def read(self) -> bytes:
        """The next bytes from the client, beginning with those that followed the request's head; b"" at the end."""

    def write(self, data: bytes) -> None:
        """Queue bytes to the client."""

    async def drain(self) -> None:
        """Return once the queue is short; raises ConnectionError if the client is gone."""

    def close(self) -> None:
        """Close after what is queued; idempotent."""


UpgradeHandler = Callable[[RawConnection], Awaitable[None]]


@dataclass(slots=True)
class Upgrade(Response):
    """An answer that takes the connection over (exec, attach, port-forward, proxied upgrades).

    The server writes nothing itself: ``takeover`` writes the whole head
    (``HTTP/1.1 101 ...``) as it came from the node and then copies. The
    connection is closed when it returns. Without a socket (in process) such an
    answer cannot be used; ``status`` and ``body`` should then say so.
    """

    takeover: UpgradeHandler | None = None


class Record(Protocol):
    """One request's way through the audit log. No call waits."""

    def answered(self, response: Response) -> None:
        """What the answer holds, before it is indented or compressed."""

    def failed(self, problem: BaseException) -> None:
        """The server itself has failed."""

    def finished(self, response: Response) -> Response:
        """The answer is given; a stream's, wrapped so that its end is noted too."""


class Auditor(Protocol):
    """Writes down who asked what."""

    def begin(self, request: Request, attributes: Attributes, audit_id: str, received: datetime) -> Record | None:
        """Note that a request has come; None if the policy does not want it."""

    def rejected(self, request: Request, attributes: Attributes, audit_id: str, received: datetime) -> None:
        """Note a request whose credentials are wrong."""


class Observer(Protocol):
    """Counts requests. All calls must be cheap; streams are finished once they begin."""

    def begun(self, attributes: Attributes) -> Any:
        """What ``finished`` is to be given: attributes change on their way."""

    def finished(self, begun: Any, response: Response, seconds: float) -> None: ...

    def stream_ended(self, begun: Any) -> None:
        """The stream that was ``begun`` is over."""


class AllowAll:
    """Authenticates nobody, allows everything, admits everything: for tests of the request path alone."""

    async def authenticate(self, request: Request) -> UserInfo | None:
        return None

    async def authorize(self, user: UserInfo, attributes: Attributes) -> Decision:
        return Decision(True)

    async def admit(self, attributes: Attributes, obj: Any, old: Any) -> None:
        return None

    async def validate(self, attributes: Attributes, obj: Any, old: Any) -> None:
        return None


@dataclass(slots=True)
class Seams:
    """All that the chain is given; ``routes`` and ``resource_routes`` are fixed once the server runs."""

    authenticator: Authenticator = field(default_factory=AllowAll)
    authorizer: Authorizer = field(default_factory=AllowAll)
    admission: Admission = field(default_factory=AllowAll)
    routes: Sequence[RawRoute] = ()
    resource_routes: Sequence[ResourceRoute] = ()
    observer: Observer | None = None
    #: Entered once objects can be read and written, before the server is ready, and left at its end: writes what
    #: must exist (bootstrap roles, the ``kubernetes`` Service), keeps it, and holds connections to nodes.
    running: Callable[[], AbstractAsyncContextManager[None]] | None = None
    #: What discovery and OpenAPI are made from; custom resources are published here.
    catalog: Catalog = field(default_factory=Catalog)
    #: What serves the groups and versions that are another server's; changes while the server runs.
    foreign: Mapping[tuple[str, str], ResourceRoute] = field(default_factory=dict)
    #: What lets requests in: priority and fairness, or plain bounds. None: everything at once.
    gate: Gate | None = None
    auditor: Auditor | None = None
    lifecycle: Lifecycle = field(default_factory=Lifecycle)
