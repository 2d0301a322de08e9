"""A local copy of one resource, kept up to date by a watch.

An informer lists, then watches from the list's resource version. It survives
what happens to watches: an end is resumed from the last seen version, 410 Gone
is answered by a new list whose difference to the cache becomes events, and a
lost server is tried again with growing waits. Handlers hear of every change
once, in order; a handler added late first hears of everything that is there.

Objects are decoded once, straight from the watch line's bytes, and shared:
nobody changes them. With ``view`` (a Struct that names a few fields) only those
are decoded and kept; ``transform`` then makes something else of each, or drops
it by returning None.
"""

import asyncio
import builtins
import logging
import random as random_module
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

import msgspec

from tiphys.base.clock import Clock, RealClock
from tiphys.client.cache import Cache
from tiphys.client.client import Client, ResourceClient, status_error
from tiphys.client.tasks import Tasks
from tiphys.machinery import codec, errors

logger = logging.getLogger(__name__)

V = TypeVar("V")

#: Waits between attempts while the server does not answer, doubling.
FIRST_RETRY_SECONDS = 0.1
LAST_RETRY_SECONDS = 5.0
#: A watch is asked to end after this, up to twice as long by chance, so that not all are renewed at once.
WATCH_SECONDS = 300


class _Event(msgspec.Struct):
    type: str
    object: msgspec.Raw


class _HeadMeta(msgspec.Struct):
    name: str = ""
    namespace: str = ""
    resourceVersion: str = ""


class _Head(msgspec.Struct):
    metadata: _HeadMeta = msgspec.field(default_factory=_HeadMeta)


_event = msgspec.json.Decoder(_Event)
_head = msgspec.json.Decoder(_Head)


@dataclass(slots=True)
class _Handler(Generic[V]):
    added: Callable[[V], None] | None = None
    updated: Callable[[V, V], None] | None = None
    deleted: Callable[[V], None] | None = None


@dataclass(slots=True, frozen=True)
class Selection:
    """What of a resource an informer holds."""

    namespace: str = ""
    labels: str = ""
    fields: str = ""


class Informer(Generic[V]):
    """Made by ``Informers.of``; see the module for what it guarantees."""

    def __init__(
        self,
        resource: ResourceClient[Any],
        selection: Selection,
        decode: Callable[[bytes], Any],
        transform: Callable[[Any], V | None] | None,
        clock: Clock,
        random: random_module.Random,
    ) -> None:
        self.resource = resource
        self.selection = selection
        self._decode = decode
        self._transform = transform
        self._clock = clock
        self._random = random
        self._cache: Cache[V] = Cache()
        self._handlers: list[_Handler[V]] = []
        #: Resource version of each object in the cache, also where a view does not hold it.
        self._versions: dict[str, str] = {}
        self._resource_version = ""
        self._synced = asyncio.Event()
        self._first = True

    # Reading

    @property
    def synced(self) -> bool:
        """Whether the first list is in the cache and every handler has heard of it; or there is nothing to list."""
        return self._synced.is_set()

    async def wait_synced(self) -> None:
        await self._synced.wait()

    @property
    def resource_version(self) -> str:
        """The newest version that is in the cache."""
        return self._resource_version

    def has_seen(self, resource_version: str) -> bool:
        """Whether the cache holds all changes up to ``resource_version``, which the server gave for this resource.

        For whoever has just written and must not decide on what was before.
        """
        return int(self._resource_version or 0) >= int(resource_version or 0)

    def get(self, key: str) -> V | None:
        """The object ``namespace/name`` (``name`` where there are no namespaces), or None."""
        return self._cache.get(key)

    def list(self) -> builtins.list[V]:
        return self._cache.list()

    def keys(self) -> builtins.list[str]:
        return [*self._cache.keys()]

    def by_index(self, name: str, value: str) -> builtins.list[V]:
        return self._cache.by_index(name, value)

    def index_keys(self, name: str, value: str) -> builtins.list[str]:
        return self._cache.index_keys(name, value)

    def __len__(self) -> int:
        return len(self._cache)

    def add_index(self, name: str, function: Callable[[V], Iterable[str]]) -> None:
        """Idempotent by name: components that share an informer share its indexes."""
        if not self._cache.has_index(name):
            self._cache.add_index(name, function)

    def add_handler(
        self,
        added: Callable[[V], None] | None = None,
        updated: Callable[[V, V], None] | None = None,
        deleted: Callable[[V], None] | None = None,
    ) -> None:
        """Plain functions that return soon: all other events wait for them."""
        handler = _Handler(added, updated, deleted)
        self._handlers.append(handler)
        for obj in self._cache.list():
            self._tell(handler.added, obj)

    # Following

    async def run(self) -> None:
        """Follow the resource until cancelled."""
        wait = FIRST_RETRY_SECONDS
        while True:
            before = self._resource_version
            try:
                if not self._resource_version:
                    await self._list()
                await self._watch()
                wait = FIRST_RETRY_SECONDS
                continue
            except errors.StatusError as error:
                if error.code == 410:
                    self._resource_version = ""
                    continue
                if error.code == 404 and self._first:
                    # Not served, by an older server say: there are none, and nobody must wait for what may never come.
                    self._synced.set()
                level = logging.DEBUG if error.code in (404, 429, 503) else logging.WARNING
                logger.log(level, "watch of %s: %s", self.resource.plural, error)
            except (ConnectionError, msgspec.DecodeError) as error:
                # Lost, or not what a server says: something stands between, or it was cut in mid-line.
                logger.debug("watch of %s: %s", self.resource.plural, error)
            if self._resource_version != before:
                wait = FIRST_RETRY_SECONDS
            await self._clock.sleep(wait * (1.0 + 0.2 * self._random.random()))
            wait = min(wait * 2, LAST_RETRY_SECONDS)

    def forget(self) -> None:
        """Empty the cache, telling of the end of each object; it begins anew when followed again."""
        for key in list(self._versions):
            self._delete(key, None)
        self._resource_version = ""

    async def _list(self) -> None:
        """Bring the cache to the state of a list, telling of the difference."""
        # The first list may be any state, which the server answers from its cache. A later one
        # must not be older than what has been seen, hence the newest.
        body = await self.resource.client.request(
            "GET", self.resource.path(self.selection.namespace), query=self._query("0" if self._first else "")
        )
        raw = _list.decode(body)
        gone = set(self._versions)
        for item in raw.items or ():
            key = self._put(item)
            gone.discard(key)
        for key in gone:
            self._delete(key, None)
        self._resource_version = raw.metadata.resourceVersion
        self._first = False
        self._synced.set()

    def _query(self, resource_version: str) -> dict[str, tuple[str, ...]]:
        parameters = {
            "labelSelector": self.selection.labels,
            "fieldSelector": self.selection.fields,
            "resourceVersion": resource_version,
        }
        return {name: (text,) for name, text in parameters.items() if text}

    async def _watch(self) -> None:
        """Follow changes until the server ends the watch."""
        query = self._query(self._resource_version) | {
            "watch": ("true",),
            "allowWatchBookmarks": ("true",),
            "timeoutSeconds": (str(WATCH_SECONDS + self._random.randrange(WATCH_SECONDS)),),
        }
        path = self.resource.path(self.selection.namespace)
        async with self.resource.client.open("GET", path, query) as stream:
            if stream.status != 200:
                raise status_error(stream.status, b"".join([chunk async for chunk in stream.chunks]))
            async for lines in _lines(stream.chunks):
                for line in lines:
                    self._take(line)

    def _take(self, line: bytes) -> None:
        event = _event.decode(line)
        if event.type in ("ADDED", "MODIFIED"):
            self._put(event.object, moving=True)
        elif event.type == "DELETED":
            head = _head.decode(event.object).metadata
            self._resource_version = head.resourceVersion
            self._delete(_key(head), event.object)
        elif event.type == "BOOKMARK":
            self._resource_version = _head.decode(event.object).metadata.resourceVersion
        elif event.type == "ERROR":
            raise status_error(500, bytes(event.object))

    def _put(self, data: msgspec.Raw, moving: bool = False) -> str:
        """Store the object and tell of it; returns its key. ``moving``: its version is the watch's."""
        decoded = self._decoded(data)
        if decoded is None:
            return ""
        meta: Any = _head.decode(data).metadata if isinstance(decoded, dict) else decoded.metadata
        key = f"{meta.namespace}/{meta.name}" if meta.namespace else str(meta.name)
        version = meta.resourceVersion
        if moving:
            self._resource_version = version
        if self._versions.get(key) == version:
            return key
        obj = self._transform(decoded) if self._transform is not None else decoded
        if obj is None:
            self._delete(key, None)
            return key
        self._versions[key] = version
        old = self._cache.put(key, obj)
        if old is None:
            for handler in self._handlers:
                self._tell(handler.added, obj)
        else:
            for handler in self._handlers:
                self._tell(handler.updated, old, obj)
        return key

    def _decoded(self, data: msgspec.Raw) -> Any:
        """The object; None, with a line in the log, for one that is beyond us: all others must go on."""
        try:
            return self._decode(data)
        except (codec.DecodeError, msgspec.DecodeError) as error:
            logger.error("an object of %s is not understood: %s: %.200s", self.resource.plural, error, bytes(data))
            return None

    def _delete(self, key: str, final: msgspec.Raw | None) -> None:
        """Forget the object and tell of it, in its final state where that is known."""
        self._versions.pop(key, None)
        old = self._cache.pop(key)
        if old is None:
            return
        obj: V | None = None
        if final is not None:
            obj = self._decoded(final)
            if obj is not None and self._transform is not None:
                obj = self._transform(obj)
        for handler in self._handlers:
            self._tell(handler.deleted, obj if obj is not None else old)

    def _tell(self, function: Callable[..., None] | None, *arguments: V) -> None:
        """One handler's fault is not the others': the cache stays right, and the fault is logged."""
        if function is None:
            return
        try:
            function(*arguments)
        except Exception:
            logger.exception("a handler of %s failed", self.resource.plural)


class _ListHead(msgspec.Struct):
    resourceVersion: str = ""


class _List(msgspec.Struct):
    metadata: _ListHead = msgspec.field(default_factory=_ListHead)
    items: list[msgspec.Raw] | None = None


_list = msgspec.json.Decoder(_List)


class Informers:
    """The informers of a process: one watch per resource and selection, however many ask for it."""

    def __init__(self, client: Client, clock: Clock | None = None, random: random_module.Random | None = None) -> None:
        self.client = client
        self._clock = clock or RealClock()
        self._random = random or random_module.Random()
        self._informers: dict[tuple[Any, ...], Informer[Any]] = {}
        self._tasks = Tasks()
        self._following: dict[Informer[Any], asyncio.Task[Any]] = {}
        self._running = False

    def of(
        self,
        cls: type[V],
        *,
        namespace: str = "",
        labels: str = "",
        fields: str = "",
        view: type[Any] | None = None,
        transform: Callable[[Any], Any] | None = None,
    ) -> "Informer[V]":
        """The informer of ``cls``.

        With ``view`` its objects are of that class, with ``transform`` whatever
        that returns; use ``view_of`` where the type should say so.
        """
        return cast("Informer[V]", self._of(self.client.of(cls), Selection(namespace, labels, fields), view, transform))

    def find(self, cls: type[Any]) -> Informer[Any] | None:
        """The informer of all objects of ``cls``, whole, if anybody has asked for it."""
        resource = self.client.of(cls)
        return self._informers.get((resource.group, resource.version, resource.plural, Selection(), None, None))

    def view_of(
        self,
        cls: type[Any],
        view: type[V],
        *,
        namespace: str = "",
        labels: str = "",
        fields: str = "",
    ) -> "Informer[V]":
        """The informer of ``cls`` that keeps only the fields which the Struct ``view`` names.

        A view has ``metadata`` with at least ``name``, ``namespace`` and ``resourceVersion``.
        """
        return cast("Informer[V]", self._of(self.client.of(cls), Selection(namespace, labels, fields), view, None))

    def of_resource(self, group: str, version: str, plural: str, namespaced: bool, view: type[V]) -> "Informer[V]":
        """The informer of any resource, as ``view``."""
        resource = self.client.resource(group, version, plural, namespaced)
        return cast("Informer[V]", self._of(resource, Selection(), view, None))

    def _of(
        self,
        resource: ResourceClient[Any],
        selection: Selection,
        view: type[Any] | None,
        transform: Callable[[Any], Any] | None,
    ) -> Informer[Any]:
        identity = (resource.group, resource.version, resource.plural, selection, view, transform)
        found = self._informers.get(identity)
        if found is None:
            decode = resource.decode if view is None else msgspec.json.Decoder(view).decode
            found = Informer(resource, selection, decode, transform, self._clock, self._random)
            self._informers[identity] = found
        if self._running and found not in self._following:
            self._start(found)
        return found

    def _start(self, informer: Informer[Any]) -> None:
        self._following[informer] = self._tasks.start(informer.run(), name=f"informer {informer.resource.plural}")

    def pause(self, informer: Informer[Any]) -> None:
        """Stop following a resource that is no longer served: all its objects are gone. Whoever asks for the
        informer again resumes it, for all who have it."""
        task = self._following.pop(informer, None)
        if task is not None:
            task.cancel()
        informer.forget()

    async def wait_synced(self) -> None:
        """Return once every informer asked for so far holds its first list; raises if one has failed."""
        waiting = asyncio.ensure_future(self._all_synced())
        failing = asyncio.ensure_future(self._tasks.wait())
        try:
            await asyncio.wait((waiting, failing), return_when=asyncio.FIRST_COMPLETED)
            if failing.done():
                await failing
        finally:
            waiting.cancel()
            failing.cancel()

    async def _all_synced(self) -> None:
        for informer in list(self._informers.values()):
            await informer.wait_synced()

    async def wait(self) -> None:
        """Return only by raising, when an informer has failed."""
        await self._tasks.wait()

    async def __aenter__(self) -> "Informers":
        self._running = True
        for informer in self._informers.values():
            self._start(informer)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._running = False
        await self._tasks.close()


async def _lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[list[bytes]]:
    """Complete lines as they arrive, several at a time."""
    rest = b""
    async for chunk in chunks:
        *lines, rest = (rest + chunk if rest else chunk).split(b"\n")
        if lines:
            yield [line for line in lines if line]


def _key(meta: _HeadMeta) -> str:
    return f"{meta.namespace}/{meta.name}" if meta.namespace else meta.name
