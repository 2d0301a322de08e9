"""Tasks that belong to an object with an ``async with`` of its own.

``asyncio.TaskGroup`` cancels the task that entered it when a child fails, which
suits a function; a component must instead report its failure through ``wait``
and leave whoever uses it alone.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any


class Tasks:
    """Owns tasks from ``start`` to ``close``; none outlives it and no failure is lost."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()
        self._failure: BaseException | None = None
        self._failed = asyncio.Event()

    def start(self, coroutine: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(coroutine, name=name)
        self._running.add(task)
        task.add_done_callback(self._ended)
        return task

    async def wait(self) -> None:
        """Return only by raising, when a task has failed."""
        await self._failed.wait()
        assert self._failure is not None
        raise self._failure

    async def close(self, drain_seconds: float = 0.0) -> None:
        """Let tasks finish for ``drain_seconds``, then cancel them, and wait until they have ended."""
        if self._running and drain_seconds > 0:
            await asyncio.wait(list(self._running), timeout=drain_seconds)
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if task.cancelled() or task.exception() is None or self._failure is not None:
            return
        self._failure = task.exception()
        self._failed.set()
