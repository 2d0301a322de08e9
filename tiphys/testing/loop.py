"""An asyncio event loop whose time passes only when nothing else can happen.

Where the stock loop would wait for its next timer, this one jumps there. A run
therefore takes as long as its callbacks, whatever time they believe to pass,
and it is the same every time: callbacks run first in, first out, timers in the
order of their instants, and neither the machine's clock nor threads have a say.

``idle`` returns at the last moment of an instant: all that could happen
without time passing has happened.

A loop to which sockets are attached still jumps, but never over bytes that are
there to be read. ``paced`` makes its time follow the machine's instead, for
clients in other processes.
"""

import asyncio
import selectors
import time
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TypeVar, TypeVarTuple, Unpack

from tiphys.testing.heartbeats import Heartbeats

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Deadlock(RuntimeError):
    """Every task waits for another one, and no timer is pending: nothing will ever happen again."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """See the module. Time begins at 0."""

    def __init__(self) -> None:
        self.elapsed = 0.0
        #: While set, time passes as the machine's does.
        self.paced = False
        self.heartbeats = Heartbeats()
        self.idlers: list[asyncio.Future[None]] = []
        self._waiter = _JumpingSelector(self)
        super().__init__(self._waiter)
        # What is registered by now is the loop's own, for waking it from other threads.
        self._waiter.own = self._waiter.count()

    def time(self) -> float:
        return self.elapsed

    async def idle(self) -> None:
        """Return when nothing more can happen at this instant."""
        future = self.create_future()
        self.idlers.append(future)
        await future

    async def advance(self, seconds: float) -> None:
        """Return when ``seconds`` have passed and all that was due by then has happened."""
        paced, self.paced = self.paced, False
        try:
            await self.idle()
            await asyncio.sleep(seconds)
            await self.idle()
        finally:
            self.paced = paced

    async def step(self) -> None:
        """Let time jump to the next timer, and return when all has happened that this brings.

        A Deadlock if there is no timer.
        """
        await self.idle()
        self._waiter.jump_once = True
        await self.idle()

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[Ts]], T], *args: *Ts
    ) -> "asyncio.Future[T]":
        """Here and not in a thread, which would end when the machine likes."""

        async def call() -> T:
            return func(*args)

        return self.create_task(call(), name=f"executor {getattr(func, '__name__', '')}")


class _JumpingSelector(selectors.DefaultSelector):
    """What the loop waits with, which is where time passes."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop
        self.own = 0
        #: The next wait is a jump, though somebody waits for the loop to be idle.
        self.jump_once = False

    def count(self) -> int:
        return len(self.get_map())

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        loop = self._loop
        attached = self.count() > self.own
        # Looking costs a system call for each turn of the loop, so only where something may be seen.
        events = super().select(0) if attached or loop.paced else []
        if events or (timeout is not None and timeout <= 0):
            return events
        if loop.idlers and not self.jump_once:
            idlers, loop.idlers = loop.idlers, []
            for future in idlers:
                if not future.done():
                    future.set_result(None)
            return []
        jump, self.jump_once = self.jump_once, False
        beat = loop.heartbeats.due()
        wait = timeout if beat is None else min(beat - loop.elapsed, timeout if timeout is not None else beat)
        if (loop.paced and not (jump and wait)) or (wait is None and attached):
            before = time.monotonic()
            events = super().select(wait)
            loop.elapsed += time.monotonic() - before
        elif wait is None:
            raise Deadlock(_story(loop))
        else:
            self._jump(timeout, beat)
        loop.heartbeats.wake(loop.elapsed)
        return events

    def _jump(self, timeout: float | None, beat: float | None) -> None:
        """To the next timer, which is due in ``timeout``, or to the heartbeat that is due at ``beat``."""
        loop = self._loop
        if timeout is not None and (beat is None or loop.elapsed + timeout <= beat):
            loop.elapsed += timeout
            loop.heartbeats.stir(loop.elapsed)
            return
        assert beat is not None
        gap = loop.heartbeats.gap(loop.elapsed, loop.elapsed + timeout) if timeout is not None else 0.0
        loop.elapsed += gap
        if not gap:
            loop.elapsed = max(beat, loop.elapsed)


def _story(loop: VirtualLoop) -> str:
    """Who waits, by name; the error is of little use without."""
    names = sorted(task.get_name() for task in asyncio.all_tasks(loop))
    shown = ", ".join(names[:20]) + (", …" if len(names) > 20 else "")
    return f"every task is blocked and no timer is pending, {loop.elapsed:.3f} s into the run; waiting: {shown}"
