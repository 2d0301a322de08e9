"""A server with aggregation, and the words to talk about it."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.apiserver.aggregation.server import GROUP, VERSION, HandClock
from tests.apiserver.server import Api
from tiphys.apiserver import ApiServer, ApiServerConfig, pki
from tiphys.apiserver.aggregation.aggregator import Aggregator
from tiphys.apiserver.aggregation.catalog import Catalog
from tiphys.apiserver.aggregation.upstream import Credentials
from tiphys.apiserver.discovery import Discovery, Index
from tiphys.apiserver.openapi import OpenApi
from tiphys.apiserver.seams import Objects, Seams
from tiphys.base.clock import Clock
from tiphys.base.ids import Ids
from tiphys.store.interface import Store
from tiphys.store.memory import MemoryStore

SERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"


@dataclass
class Aggregating:
    api: Api
    catalog: Catalog
    clock: HandClock
    files: pki.Pki

    async def available(self, reason: str, name: str = f"{VERSION}.{GROUP}") -> Any:
        """The condition, once it has this reason."""

        def has(found: Any) -> Any:
            conditions = found.get("status", {}).get("conditions") or [{}]
            return conditions[0] if conditions[0].get("reason") == reason else None

        return await self.until(f"{SERVICES}/{name}", has)

    async def until(self, path: str, wanted: Callable[[Any], Any], **headers: Any) -> Any:
        """What ``wanted`` makes of a path's answer, once it is something."""
        async with asyncio.timeout(5):
            while True:
                response = await self.api.raw("GET", path, **headers)
                if response.status < 300 and (found := wanted(json.loads(response.body))):
                    return found
                await asyncio.sleep(0.005)


@asynccontextmanager
async def aggregating(files: pki.Pki, store: Store | None = None) -> AsyncIterator[Aggregating]:
    catalog, clock = Catalog(), HandClock()
    used = store or MemoryStore()
    async with ApiServer(ApiServerConfig(), used, clock=clock, seams=aggregation_of(catalog, files)) as server:
        yield Aggregating(Api(server, used), catalog, clock, files)


def aggregation_of(catalog: Catalog, files: pki.Pki) -> Callable[[ApiServerConfig, Objects, Clock, Ids], Seams]:
    """What makes a server that aggregates and allows everything."""

    def seams(config: ApiServerConfig, objects: Objects, clock: Clock, ids: Ids) -> Seams:
        pair = files.front_proxy_client
        ours = Credentials(str(pair.cert), str(pair.key))
        aggregator = Aggregator(objects, catalog, clock, ours, random.Random(1))
        discovery = Discovery(catalog, "192.0.2.1:6443", aggregator.discover)
        routes = [*discovery.routes(), *OpenApi(catalog, aggregator).routes()]
        routes.append(Index(routes, discovery).route())
        return Seams(routes=routes, catalog=catalog, foreign=aggregator.routes, running=aggregator.running)

    return seams


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> pki.Pki:
    return pki.ensure(tmp_path_factory.mktemp("pki"), pki.PkiOptions("n1"))


@pytest.fixture
async def aggregated(files: pki.Pki, tmp_path: Path) -> AsyncIterator[Aggregating]:
    async with aggregating(files) as running:
        yield running
