from collections.abc import AsyncIterator

import pytest

from tests.apiserver.policies.written import Policies
from tests.apiserver.webhooks.server import admitting


@pytest.fixture
async def api() -> AsyncIterator[Policies]:
    async with admitting() as running:
        yield Policies(running.server, running.store)
