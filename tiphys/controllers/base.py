"""What every controller is made of: a workqueue, a reconcile, and what it was given.

A controller's constructor says what it watches and which keys an event
concerns; it starts nothing. ``Controllers`` (``loop.py``) waits until all caches
have synced and then runs the workers, so a reconcile may trust its caches.
"""

import random as random_module
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from tiphys.base.clock import Clock
from tiphys.base.ids import Ids
from tiphys.client import Client, Done, Informers, Recorder, Result, Workers, Workqueue
from tiphys.client.tasks import Tasks
from tiphys.controllers.config import Config
from tiphys.machinery import meta

#: Reconciling a set costs time in proportion to its size, so a burst of events on a large set waits this
#: long per member before it is looked at, and is looked at once. Sets below twenty are looked at at once.
SECONDS_PER_MEMBER = 50e-6
LONGEST_BATCH_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Context:
    """What controllers share. Time, chance and ids come from here alone."""

    config: Config
    client: Client
    informers: Informers
    clock: Clock
    ids: Ids
    random: random_module.Random

    def recorder(self, component: str) -> Recorder:
        return Recorder(self.client, self.clock, self.ids, component=component)


class Controller:
    """One loop. Subclasses set ``name``, wire handlers in ``__init__`` and write ``reconcile``."""

    name = ""
    #: Reconciles at a time.
    concurrency = 5
    #: The ``source.component`` of its Events; empty for controllers that emit none.
    component = ""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.config = context.config
        self.client = context.client
        self.informers = context.informers
        self.clock = context.clock
        self.queue = Workqueue(context.clock, context.random)
        self.recorder = context.recorder(self.component or self.name)
        self._stack = AsyncExitStack()
        self._workers: Workers | None = None
        self.tasks = Tasks()

    async def reconcile(self, key: str) -> Result:
        """Bring the world to what the object ``key`` asks for."""
        return Done()

    async def background(self) -> None:
        """What has to be done without being asked by an event; most controllers have none."""

    async def __aenter__(self) -> "Controller":
        await self._stack.enter_async_context(self.recorder)
        self._workers = Workers(self.name, self.queue, self.reconcile, self.concurrency)
        await self._stack.enter_async_context(self._workers)
        if type(self).background is not Controller.background:
            self.tasks.start(self.background(), name=f"{self.name} background")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.tasks.close()
        await self._stack.aclose()

    async def wait(self) -> None:
        """Return only by raising, when the background task has failed; workers survive whatever they meet."""
        await self.tasks.wait()

    def enqueue(self, obj: Any) -> None:
        self.queue.add(meta.key_of(obj))

    def enqueue_batched(self, key: str, members: int) -> None:
        """Reconcile soon, together with what else happens to the set's ``members`` meanwhile."""
        seconds = min(members * SECONDS_PER_MEMBER, LONGEST_BATCH_SECONDS)
        if seconds < 20 * SECONDS_PER_MEMBER:
            self.queue.add(key)
        else:
            self.queue.add_after(key, seconds)


def either(function: Callable[[Any], None]) -> Callable[[Any, Any], None]:
    """An update handler that looks at the new object only."""
    return lambda _, new: function(new)
