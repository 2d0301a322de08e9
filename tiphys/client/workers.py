"""Who takes keys off a workqueue and reconciles them; the only retry loop of the components.

A reconcile is given a key and no event, reads caches, acts, and returns ``Done``
or ``RequeueAfter``. Raising means: again, with back-off. Raising TerminalError
means: not again before the object changes.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from tiphys.client.tasks import Tasks
from tiphys.client.workqueue import ShutDown, Workqueue
from tiphys.machinery import errors

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Done:
    """Nothing more to do until something changes."""


@dataclass(frozen=True, slots=True)
class RequeueAfter:
    """Look again after this time."""

    seconds: float


Result: TypeAlias = Done | RequeueAfter


class TerminalError(Exception):
    """Trying again would not help; the text says what must change."""


class Workers:
    """``count`` reconciles at a time, at most one per key; ``async with`` runs them.

    Leaving stops intake, lets running reconciles finish for ``drain_seconds`` and cancels the rest.
    """

    def __init__(
        self,
        name: str,
        queue: Workqueue,
        reconcile: Callable[[str], Awaitable[Result]],
        count: int = 1,
        drain_seconds: float = 1.0,
    ) -> None:
        self.name = name
        self.queue = queue
        self._reconcile = reconcile
        self._count = count
        self._drain_seconds = drain_seconds
        self._tasks = Tasks()
        self._causes = 0

    async def __aenter__(self) -> "Workers":
        for number in range(self._count):
            self._tasks.start(self._work(), name=f"{self.name} worker {number}")
        return self

    async def __aexit__(self, *_: object) -> None:
        self.queue.shut_down()
        await self._tasks.close(self._drain_seconds)

    async def wait(self) -> None:
        """Return only by raising, when a worker has failed."""
        await self._tasks.wait()

    async def _work(self) -> None:
        while True:
            try:
                key = await self.queue.get()
            except ShutDown:
                return
            try:
                await self._process(key)
            finally:
                self.queue.done(key)

    async def _process(self, key: str) -> None:
        self._causes += 1
        cause = f"{self.name}/{self._causes}"
        try:
            result = await self._reconcile(key)
        except asyncio.CancelledError:
            raise
        except TerminalError as error:
            logger.error("%s: %s: will not be tried again: %s", cause, key, error)
            self.queue.forget(key)
        except (errors.Conflict, errors.AlreadyExists, ConnectionError) as error:
            # Everyday: the cache was behind, or the server is restarting.
            logger.debug("%s: %s: will be tried again: %s", cause, key, error)
            self.queue.add_rate_limited(key)
        except errors.StatusError as error:
            logger.warning("%s: %s: will be tried again: %s", cause, key, error)
            self.queue.add_rate_limited(key)
        except Exception:
            logger.exception("%s: %s: reconcile failed, will be tried again", cause, key)
            self.queue.add_rate_limited(key)
        else:
            self.queue.forget(key)
            if isinstance(result, RequeueAfter):
                self.queue.add_after(key, result.seconds)
