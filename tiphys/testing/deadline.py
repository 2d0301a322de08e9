"""How long a test waits: in virtual time, and where programs outside take part, some of the machine's own too."""

import asyncio
import time

from tiphys.testing.loop import VirtualLoop
from tiphys.testing.serving import Serving

#: Programs outside have at least so long, or as long as the test waits, if that is less.
PATIENCE_SECONDS = 10.0


class Deadline:
    """``within`` seconds from now. ``step`` lets time pass; ``close`` at the end."""

    def __init__(self, loop: VirtualLoop, within: float, serving: Serving | None) -> None:
        self._loop = loop
        self._serving = serving
        self._end = loop.elapsed + within
        self._patience = time.monotonic() + min(within, PATIENCE_SECONDS)
        # Time must not jump past it.
        self._timer = loop.call_at(self._end, lambda: None) if serving is None else serving.run(self._set_timer())

    async def _set_timer(self) -> asyncio.TimerHandle:
        return self._loop.call_at(self._end, lambda: None)

    @property
    def is_over(self) -> bool:
        late = self._loop.elapsed >= self._end
        return late and (self._serving is None or time.monotonic() >= self._patience)

    async def step(self) -> None:
        """Until something may have changed."""
        if self._serving is not None:
            await self._serving.lull()
        if self._loop.elapsed < self._end:
            await self._loop.step()

    def close(self) -> None:
        self._timer.cancel()
