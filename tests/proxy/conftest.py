"""A real API server in memory, and objects for it."""

from collections.abc import AsyncIterator

import pytest

from tiphys.apiserver.config import ApiServerConfig
from tiphys.apiserver.loop import ApiServer
from tiphys.base.clock import RealClock
from tiphys.client import Client, Informers, InProcessTransport
from tiphys.store.memory import MemoryStore


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    clock = RealClock()
    async with ApiServer(ApiServerConfig(), MemoryStore(clock), clock) as api:
        yield Client(InProcessTransport(api.handle), user_agent="test")


@pytest.fixture
def informers(client: Client) -> Informers:
    return Informers(client, RealClock())
