"""Requests for versions that other servers serve, and the keepers of those servers.

An APIService that names a Service takes its group and version over from
whatever else serves it, from the moment it exists and until it is deleted,
whether the server behind it answers or not.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from tiphys.apiserver.aggregation.catalog import Catalog, Changed
from tiphys.apiserver.aggregation.keeper import Keeper
from tiphys.apiserver.aggregation.registration import PLURAL, APIService, Registration
from tiphys.apiserver.aggregation.services import SLICE_LABEL
from tiphys.apiserver.aggregation.upstream import Credentials, Upstream, unavailable
from tiphys.apiserver.seams import Context, Objects, ResourceRoute
from tiphys.base.clock import Clock
from tiphys.machinery.conditions import is_true
from tiphys.resources.apiregistration.api_service import AVAILABLE, GROUP
from tiphys.wire.exchange import Response

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


class Aggregator:
    """``routes`` is read by the request path at each request and changes while the server runs."""

    def __init__(
        self, objects: Objects, catalog: Catalog, clock: Clock, credentials: Credentials, chance: random.Random
    ) -> None:
        self._objects = objects
        self._catalog = catalog
        self._clock = clock
        self._credentials = credentials
        self._chance = chance
        self._registration = Registration(objects, catalog, clock)
        self._keepers: dict[str, Keeper] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._subscribers: list[Changed] = []
        self._follows = False
        #: What serves a group and version that is another server's.
        self.routes: dict[tuple[str, str], ResourceRoute] = {}

    async def discover(self, context: Context, group: str, version: str) -> Response:
        """The resource list of a version, from its own server."""
        return await self._forward(f"{version}.{group}", context)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """APIServices are made and watched inside."""
        self._objects.subscribe(GROUP, PLURAL, self._service_changed)
        try:
            for one in self._objects.all(GROUP, PLURAL):
                self._service_changed(one, None)
            async with self._registration.keeping():
                yield
        finally:
            await asyncio.gather(*(keeper.close() for keeper in self._keepers.values()), *self._closing)

    def _service_changed(self, new: Any | None, old: Any | None) -> None:
        name = _metadata(new, old).name
        keeper = self._keepers.get(name)
        if new is None or new.spec.service is None:
            if keeper is not None:
                self._drop(name)
            return
        before = None
        if keeper is not None and keeper.upstream.spec != new.spec:
            # Group and version are the name, hence the same.
            before = keeper if keeper.upstream.spec.service == new.spec.service else None
            self._drop(name, linked=False)
            keeper = None
        if keeper is None:
            keeper = self._keep(name, new, before)
        elif old is None or new.status == old.status:
            # Other changes of the status are the keeper's own.
            keeper.look()
        keeper.upstream.available = is_true(new.status.conditions, AVAILABLE)

    def _keep(self, name: str, service: APIService, before: Keeper | None) -> Keeper:
        self._follow()
        upstream = Upstream(service.spec, self._credentials, self._chance)
        keeper = Keeper(name, upstream, self._objects, self._catalog, self._clock, self._told, before)
        self._keepers[name] = keeper

        async def serve(context: Context) -> Response:
            return await self._forward(name, context)

        group, version = keeper.group, keeper.version
        self.routes[group, version] = ResourceRoute(group, version, "", "", serve, METHODS)
        return keeper

    def _follow(self) -> None:
        """Hear of Services and their endpoints, which costs decoding them: only once somebody is behind one."""
        if not self._follows:
            self._follows = True
            self._objects.subscribe("", "services", self._target_changed)
            self._objects.subscribe("discovery.k8s.io", "endpointslices", self._slice_changed)

    def _drop(self, name: str, *, linked: bool = True) -> None:
        keeper = self._keepers.pop(name)
        closing = asyncio.create_task(keeper.close(), name=f"apiservice-{name}-end")
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)
        self.routes.pop((keeper.group, keeper.version), None)
        if linked:
            self._catalog.unlink(keeper.group, keeper.version)
        self._told(keeper.group)

    def _target_changed(self, new: Any | None, old: Any | None) -> None:
        metadata = _metadata(new, old)
        self._look(metadata.namespace, metadata.name)

    def _slice_changed(self, new: Any | None, old: Any | None) -> None:
        metadata = _metadata(new, old)
        self._look(metadata.namespace, metadata.labels.get(SLICE_LABEL, ""))

    def _look(self, namespace: str, name: str) -> None:
        for keeper in self._keepers.values():
            target = keeper.upstream.spec.service
            if target is not None and (target.namespace, target.name) == (namespace, name):
                keeper.look()

    async def _forward(self, name: str, context: Context) -> Response:
        keeper = self._keepers.get(name)
        return unavailable() if keeper is None else await keeper.upstream.forward(context.request, context.user)

    # What OpenAPI asks (``openapi.serve.RemoteDocuments``).

    def subscribe(self, changed: Changed) -> None:
        self._subscribers.append(changed)

    def _told(self, group: str) -> None:
        for changed in self._subscribers:
            changed(group)

    def index(self) -> Mapping[str, str]:
        return {f"apis/{one.group}/{one.version}": one.openapi_v3 for one in self._keepers.values() if one.openapi_v3}

    def serves(self, path: str) -> bool:
        return self._by_path(path) is not None

    async def serve(self, context: Context, path: str) -> Response:
        keeper = self._by_path(path)
        assert keeper is not None
        return await keeper.upstream.forward(context.request, context.user)

    def _by_path(self, path: str) -> Keeper | None:
        return next((one for one in self._keepers.values() if f"apis/{one.group}/{one.version}" == path), None)

    def documents(self) -> Iterable[Mapping[str, Any]]:
        return [one.openapi_v2 for one in self._keepers.values() if one.openapi_v2]


def _metadata(new: Any | None, old: Any | None) -> Any:
    """Of the object that a change is about."""
    one: Any = new if new is not None else old
    return one.metadata
