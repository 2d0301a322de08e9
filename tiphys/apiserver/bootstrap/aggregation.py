"""Writes down what aggregated ClusterRoles come to, so that people can read it.

Decisions do not wait for this: ``rbac`` evaluates the selectors itself.
Source: Kubernetes docs, "Using RBAC Authorization", "Aggregated ClusterRoles".
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

from tiphys.apiserver.rbac import GROUP, Rbac
from tiphys.apiserver.seams import Objects
from tiphys.machinery import codec, errors

log = logging.getLogger(__name__)

#: Changes that come together are worked on together.
GATHER_SECONDS: Final = 0.05


@asynccontextmanager
async def keeping(objects: Objects, rbac: Rbac) -> AsyncIterator[None]:
    """Up to date on entry, and kept so inside."""
    changed = asyncio.Event()

    def seen(new: Any | None, old: Any | None) -> None:
        changed.set()

    objects.subscribe(GROUP, "clusterroles", seen)
    await write(objects, rbac)
    task = asyncio.create_task(_follow(objects, rbac, changed), name="clusterrole-aggregation")
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _follow(objects: Objects, rbac: Rbac, changed: asyncio.Event) -> None:
    while True:
        await changed.wait()
        await asyncio.sleep(GATHER_SECONDS)
        changed.clear()
        await write(objects, rbac)


async def write(objects: Objects, rbac: Rbac) -> None:
    """Bring every aggregated role up to date; those that somebody else writes meanwhile are looked at again."""
    for role in objects.all(GROUP, "clusterroles"):
        if role.aggregationRule is None:
            continue
        rules = list(rbac.aggregated(role))
        if rules == (role.rules or []):
            continue
        mine = codec.copy(role)
        mine.rules = rules
        try:
            await objects.update(mine)
        except (errors.Conflict, errors.NotFound):
            continue
        except errors.StatusError as problem:
            log.warning("aggregated role cannot be written", extra={"role": role.metadata.name}, exc_info=problem)
