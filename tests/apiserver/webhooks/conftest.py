from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.apiserver.webhooks.server import Admitting, Hooks, admitting, hooks


@pytest.fixture
async def api() -> AsyncIterator[Admitting]:
    async with admitting() as running:
        yield running


@pytest.fixture
async def remote(tmp_path: Path) -> AsyncIterator[Hooks]:
    async with hooks(tmp_path, "hook.default.svc") as running:
        yield running
