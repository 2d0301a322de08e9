"""An API server on its store, put together from settings: what a process that serves the API runs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tiphys.apiserver import security, storage
from tiphys.apiserver.flags import Settings
from tiphys.apiserver.loop import ApiServer
from tiphys.apiserver.metered import MeteredStore
from tiphys.base.clock import RealClock
from tiphys.base.ids import Ids


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[ApiServer]:
    """The API server, listening. Raises OSError and StoreError, naming what cannot be had."""
    clock, ids = RealClock(), Ids()
    async with storage.opened(settings.storage, clock, ids) as stored:
        store = MeteredStore(stored.store, clock)
        made = security.seams(settings.security, stored.checks, stored.ready, [store.lines])
        async with ApiServer(settings.server, store, clock, ids, made) as api:
            await api.serve()
            yield api
