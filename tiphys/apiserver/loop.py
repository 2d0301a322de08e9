"""The API server as a component: cache, endpoints and chain put together over one store."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

from tiphys.apiserver.cache import Cache
from tiphys.apiserver.config import ApiServerConfig
from tiphys.apiserver.extensions.controller import Definitions
from tiphys.apiserver.extensions.rules import rules_of
from tiphys.apiserver.extensions.serving import Serving
from tiphys.apiserver.handler import Handler
from tiphys.apiserver.objects import CachedObjects
from tiphys.apiserver.registry import eviction, pods, scale
from tiphys.apiserver.registry.endpoint import Endpoint, Services
from tiphys.apiserver.routes import Routes, Verb
from tiphys.apiserver.seams import Objects, Seams
from tiphys.apiserver.server import Listener
from tiphys.apiserver.services import ServiceAllocator, Upkeep
from tiphys.apiserver.watch import Hub
from tiphys.base.clock import Clock, RealClock
from tiphys.base.ids import Ids
from tiphys.resources import table
from tiphys.store.interface import Store
from tiphys.wire.exchange import Request, Response

#: Subresources that are not a strategy over the object itself, by group, plural (empty: any), name and verb.
SUBRESOURCES: Mapping[tuple[str, str, str, str], Verb] = {
    ("", "", "scale", "get"): scale.get,
    ("", "", "scale", "update"): scale.update,
    ("", "", "scale", "patch"): scale.patch,
    ("", "pods", "binding", "create"): pods.bind,
    ("", "pods", "eviction", "create"): eviction.evict,
}

#: Makes the security and publication side once there are objects to read.
SeamsFactory = Callable[[ApiServerConfig, Objects, Clock, Ids], Seams]


class ApiServer:
    """``async with``; inside it ``handle`` answers and ``serve`` listens.

    ``seams`` are what authenticates, authorizes and admits, or a function that
    makes them; without them everything is allowed, which only tests may have.
    """

    def __init__(
        self,
        config: ApiServerConfig,
        store: Store,
        clock: Clock | None = None,
        ids: Ids | None = None,
        seams: Seams | SeamsFactory | None = None,
    ) -> None:
        if seams is None and config.certificate:
            raise ValueError("an API server with a certificate is for others to reach and must be given its seams")
        self.config = config
        self._clock = clock or RealClock()
        self._ids = ids or Ids()
        self._cache = Cache(store, table.ALL)
        self._objects = CachedObjects()
        self._hubs: list[Hub] = []
        self._feeder: asyncio.Task[None] | None = None
        self._allocator = ServiceAllocator(config, store, self._cache, self._clock, self._ids)
        endpoints_hubs: dict[int, Hub] = {}
        services = Services(store, self._cache, self._clock, self._ids, config, objects=self._objects)
        self._endpoints: list[Endpoint] = []
        for row in table.served(config.runtime_config, config.feature_gates):
            if row.virtual:
                continue
            cache = self._cache.of(row)
            hub = endpoints_hubs.get(id(cache))
            if hub is None:
                hub = endpoints_hubs[id(cache)] = Hub(cache, config.watch_buffer_bytes_max)
                self._hubs.append(hub)
            services_row = (row.group, row.plural) == ("", "services")
            self._endpoints.append(Endpoint(row, cache.row, services, hub, self._allocator if services_row else None))
        self._objects.add(self._endpoints)
        made = seams(config, self._objects, self._clock, self._ids) if callable(seams) else seams or Seams()
        services.admission = made.admission
        self._running = made.running
        self._upkeep = Upkeep(
            self._allocator, self._cache, self._objects, self._clock, self._ids, bootstraps=made.running is not None
        )
        self._parts = contextlib.AsyncExitStack()
        routes = Routes(self._endpoints, SUBRESOURCES, made.routes, made.resource_routes, made.foreign)
        self._serving = Serving(services, routes, self._objects, made.catalog, rules_of)
        self._definitions = Definitions(self._objects, self._serving, self._clock)
        self._handler = Handler(made, routes, services, self._objects)
        self._lifecycle = made.lifecycle
        self._listener = Listener(self.handle, config, self._clock, made.lifecycle)

    @property
    def objects(self) -> Objects:
        """What the server's own parts read and write."""
        return self._objects

    async def __aenter__(self) -> Self:
        await self._cache.start()
        self._definitions.restore()
        self._feeder = asyncio.create_task(self._cache.run(), name="apiserver-cache")
        self._definitions.start()
        try:
            await self._parts.enter_async_context(self._upkeep)
            if self._running is not None:
                await self._parts.enter_async_context(self._running())
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stop()

    async def _stop(self) -> None:
        """End watches and requests first, so that nothing is served by what is already gone."""
        if self._listener.port:
            await self._leave()
        for hub in self._hubs:
            hub.close()
        if self._listener.port:
            await self._lifecycle.drained(self.config.shutdown_watch_grace_seconds, streams=True)
        await self._definitions.stop()
        await self._listener.close()
        await self._parts.aclose()
        await self._handler.close()
        self._cache.stop()
        if self._feeder is not None:
            self._feeder.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._feeder

    async def _leave(self) -> None:
        """Be seen to leave, then let no more requests in and those under way end; see ``lifecycle``."""
        config, lifecycle = self.config, self._lifecycle
        lifecycle.leaving = True
        if config.shutdown_delay_seconds > 0:
            await self._clock.sleep(config.shutdown_delay_seconds)
        lifecycle.closing = True
        lifecycle.refusing = config.shutdown_send_retry_after
        if not config.shutdown_send_retry_after:
            self._listener.refuse()
        await lifecycle.drained(config.request_timeout_seconds)

    async def handle(self, request: Request) -> Response:
        """Answer one request, whatever carried it."""
        return await self._handler.handle(request)

    async def serve(self) -> None:
        """Listen as the configuration says, until the server ends; raises OSError."""
        await self._listener.start()

    @property
    def port(self) -> int:
        """Where it listens; 0 before ``serve``."""
        return self._listener.port

    async def wait(self) -> None:
        """Return only by raising, when the server has failed."""
        assert self._feeder is not None
        await asyncio.shield(self._feeder)
        raise RuntimeError("the store has closed")
