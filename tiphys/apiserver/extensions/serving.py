"""Endpoints of custom resources: made of a definition, replaced when it changes, gone when it goes."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from tiphys.apiserver.aggregation.catalog import Catalog, Published
from tiphys.apiserver.extensions import kinds, naming
from tiphys.apiserver.extensions.conversion import Conversion, Webhook
from tiphys.apiserver.extensions.hubs import ConvertingHub
from tiphys.apiserver.extensions.kinds import Crd, RulesOf
from tiphys.apiserver.extensions.views import CustomCache, CustomView
from tiphys.apiserver.objects import CachedObjects
from tiphys.apiserver.registry.endpoint import Endpoint, Services
from tiphys.apiserver.routes import Routes
from tiphys.apiserver.watch import Hub
from tiphys.apiserver.webhooks.client import Caller, ClientConfig
from tiphys.machinery import codec
from tiphys.machinery.custom import CustomObject
from tiphys.resources import table
from tiphys.resources.rules import Resource

#: What discovery says that one can still do with objects of a definition that goes. Objects can be changed too,
#: or nobody could take their finalizers away.
TERMINATING_VERBS = ("delete", "deletecollection", "get", "list", "watch")
TERMINATING = "create not allowed while custom resource definition is terminating"


@dataclass(slots=True)
class Served:
    """What stands for one definition while it is served."""

    #: What the endpoints depend on; equal: nothing to do.
    made_of: bytes
    cache: CustomCache
    hub: Hub
    rows: Mapping[str, Resource]
    storage: Endpoint
    endpoints: list[Endpoint]


class Serving:
    """All custom resources that are served, by the names of their definitions."""

    def __init__(
        self, services: Services, routes: Routes, objects: CachedObjects, catalog: Catalog, rules_of: RulesOf
    ) -> None:
        self._services = services
        self._routes = routes
        self._objects = objects
        self._catalog = catalog
        self._rules_of = rules_of
        self._served: dict[str, Served] = {}
        self._caller: Caller | None = None

    def find(self, name: str) -> Served | None:
        return self._served.get(name)

    async def close(self) -> None:
        """End all watches."""
        for served in self._served.values():
            served.hub.close()
        if self._caller is not None:
            await self._caller.close()

    def restore(self, crd: Crd) -> None:
        """Serve a definition that was there when the server started; before the cache follows the store."""
        cache, rows, storage = self._made(crd)
        self._services.cache.claim(cache)
        self._install(crd, cache, rows, storage)

    async def serve(self, crd: Crd) -> None:
        """Serve a definition as it is now; nothing happens if it is served so already."""
        if crd.metadata.name in self._served:
            self.refresh(crd)
            return
        cache, rows, storage = self._made(crd)
        await self._services.cache.add(cache)
        self._install(crd, cache, rows, storage)

    def refresh(self, crd: Crd) -> None:
        """Serve a definition that is served already as it is now, if it has changed."""
        there = self._served[crd.metadata.name]
        if there.made_of == _made_of(crd):
            self._restrict(crd, there)
            return
        cache, rows, storage = self._made(crd)
        self._services.cache.replace(cache)
        self._take_away(there)
        self._install(crd, cache, rows, storage)

    def withdraw(self, name: str) -> None:
        """Serve a definition no longer; its watches end."""
        there = self._served.pop(name, None)
        if there is not None:
            self._catalog.withdraw(name)
            self._take_away(there)
            self._services.cache.remove(there.cache.prefix)

    def _made(self, crd: Crd) -> tuple[CustomCache, dict[str, Resource], Resource]:
        if any(row.storage_resource == (crd.spec.group, crd.spec.names.plural) for row in table.ALL):
            raise ValueError(f"{crd.metadata.name} is built in")
        rows = {version.name: kinds.row_of(crd, version, self._rules_of) for version in crd.spec.versions}
        stored = next(version.name for version in crd.spec.versions if version.storage)
        storage = rows[stored]
        for name, row in rows.items():
            if row is not storage:
                rows[name] = replace(row, to_storage=_to(storage), from_storage=_to(row))
        return CustomCache(storage, rows), rows, storage

    def _install(self, crd: Crd, cache: CustomCache, rows: dict[str, Resource], storage: Resource) -> None:
        services = self._services
        webhook = self._webhook(crd)
        buffer = services.config.watch_buffer_bytes_max
        hub = ConvertingHub(cache, buffer) if webhook is not None else Hub(cache, buffer)
        since = services.cache.revision if cache.entries else 0
        siblings = tuple(rows.values())
        made = {}
        for name, row in rows.items():
            view = CustomView(row, storage, since, by_webhook=webhook is not None)
            conversion = Conversion(webhook, view, storage) if webhook is not None else None
            if isinstance(hub, ConvertingHub) and conversion is not None:
                hub.conversions[view] = conversion
            made[name] = Endpoint(row, storage, services, hub, view=view, siblings=siblings, conversion=conversion)
        shown = [made[version.name] for version in crd.spec.versions if version.served]
        name = crd.metadata.name
        served = Served(_made_of(crd), cache, hub, rows, made[storage.version], shown)
        self._served[name] = served
        self._routes.add(shown)
        self._objects.add_custom(made[storage.version])
        self._restrict(crd, served)
        self._publish(crd, served)

    def _webhook(self, crd: Crd) -> Webhook | None:
        """What converts a definition's versions; None where they differ in name only."""
        conversion = crd.spec.conversion
        if conversion is None or conversion.strategy != "Webhook" or conversion.webhook is None:
            return None
        return Webhook(conversion.webhook, crd.spec.names.kind, self._post, self._services.ids.uid)

    async def _post(self, config: ClientConfig, body: bytes, timeout_seconds: float) -> bytes:
        if self._caller is None:
            self._caller = Caller(self._objects, random.Random(), here=self._services.config.webhooks)
        return await self._caller.post(config, body, timeout_seconds)

    def _restrict(self, crd: Crd, served: Served) -> None:
        """Allow no new objects while the definition goes."""
        if not naming.is_true(crd, naming.TERMINATING) or served.storage.closed:
            return
        for endpoint in (served.storage, *served.endpoints):
            endpoint.closed = TERMINATING
        self._publish(crd, served)

    def _publish(self, crd: Crd, served: Served) -> None:
        storage = served.storage.row
        shown = [self._published(crd, served, endpoint.row, storage) for endpoint in served.endpoints]
        self._catalog.publish(crd.metadata.name, shown)

    def _published(self, crd: Crd, served: Served, row: Resource, storage: Resource) -> Published:
        version = next(version for version in crd.spec.versions if version.name == row.version)
        if served.storage.closed:
            row = replace(row, verbs=TERMINATING_VERBS)
        return Published(row, kinds.props_of(crd, version), row.list_kind, storage.version)

    def _take_away(self, there: Served) -> None:
        self._routes.remove(there.endpoints)
        self._objects.remove_custom(there.storage)
        there.hub.close()
        for row in there.rows.values():
            codec.forget(row.cls)


def _made_of(crd: Crd) -> bytes:
    """Everything that endpoints are made of."""
    return codec.encode([crd.spec, crd.status.acceptedNames])


def _to(row: Resource) -> Callable[[Any], Any]:
    """What makes an object of another version one of ``row``'s, where versions differ in name only."""

    schema = kinds.schema_of(row)

    def convert(obj: CustomObject) -> CustomObject:
        found = kinds.custom_class(row)(obj)
        found.apiVersion = row.api_version
        if not schema.is_clean(found):
            # Pruned in place, and what is below is the caller's.
            found = codec.copy(found)
            schema.prune(found)
        return found

    return convert
