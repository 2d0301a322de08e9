"""An API server on its store, put together from settings: what a process that serves the API runs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tiphys.apiserver import security
from tiphys.apiserver.config import StorageConfig
from tiphys.apiserver.flags import Settings
from tiphys.apiserver.loop import ApiServer
from tiphys.base.clock import Clock, RealClock
from tiphys.base.ids import Ids
from tiphys.store.compaction import Compactor
from tiphys.store.interface import Store
from tiphys.store.memory import MemoryStore
from tiphys.store.sqlite import SqliteStore


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[ApiServer]:
    """The API server, listening. Raises OSError and StoreError, naming what cannot be had."""
    clock = RealClock()
    made = security.seams(settings.security)
    store = await open_store(settings.storage, clock)
    try:
        async with Compactor(store, clock), ApiServer(settings.server, store, clock, Ids(), made) as api:
            await api.serve()
            yield api
    finally:
        await store.close()


async def open_store(config: StorageConfig, clock: Clock) -> Store:
    """The store that the configuration names; raises StoreError."""
    if config.file == ":memory:":
        return MemoryStore(clock)
    return await SqliteStore.open(Path(config.file), clock)
