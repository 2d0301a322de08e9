from collections.abc import AsyncIterator

import pytest

from tests.apiserver.server import Api, serving


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with serving() as running:
        yield running
