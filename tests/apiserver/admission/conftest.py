from collections.abc import AsyncIterator

import pytest

from tests.apiserver.webhooks.server import Admitting, admitting


@pytest.fixture
async def api() -> AsyncIterator[Admitting]:
    async with admitting() as running:
        yield running
