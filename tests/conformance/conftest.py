"""A server with all of its admission, a server of webhooks, and a whole cluster in virtual time."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.apiserver.policies.written import Policies
from tests.apiserver.webhooks.server import Hooks, admitting, hooks
from tests.testing.conftest import pytest_configure
from tiphys.testing.plugin import cluster

__all__ = ["cluster", "pytest_configure"]


@pytest.fixture
async def api() -> AsyncIterator[Policies]:
    async with admitting() as running:
        yield Policies(running.server, running.store)


@pytest.fixture
async def remote(tmp_path: Path) -> AsyncIterator[Hooks]:
    async with hooks(tmp_path, "hook.default.svc") as running:
        yield running
