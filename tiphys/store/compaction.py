"""Forgets history that is older than the window that paged lists and resumed watches may rely on."""

import asyncio
import contextlib
import logging
from collections import deque
from types import TracebackType

from tiphys.base.clock import Clock
from tiphys.store.interface import Store, StoreError

logger = logging.getLogger(__name__)
WINDOW_SECONDS = 300.0
PERIOD_SECONDS = 60.0


class Compactor:
    """Notes the revision once a period and compacts to the one that has left the window."""

    def __init__(self, store: Store, clock: Clock, window_seconds: float = WINDOW_SECONDS) -> None:
        self._store = store
        self._clock = clock
        self._window = window_seconds
        self._marks: deque[tuple[float, int]] = deque()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Compactor":
        self._task = asyncio.create_task(self._run(), name="store-compactor")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        compacted = 0
        while True:
            now = self._clock.monotonic()
            self._marks.append((now, self._store.revision))
            leaving = 0
            while self._marks and self._marks[0][0] <= now - self._window:
                leaving = self._marks.popleft()[1]
            if leaving > compacted:
                try:
                    await self._store.compact(leaving)
                    compacted = leaving
                except StoreError as error:
                    logger.warning("compaction to revision %d failed: %s", leaving, error)
            await self._clock.sleep(min(PERIOD_SECONDS, self._window))
