"""A bound on how much is under way at once."""

import asyncio


class Slots:
    """Like a semaphore, but a group that belongs together may take more than are free; later ones then wait longer."""

    def __init__(self, number: int) -> None:
        self._free = number
        self._freed = asyncio.Event()

    async def acquire(self) -> None:
        while self._free <= 0:
            self._freed.clear()
            await self._freed.wait()
        self._free -= 1

    def take(self, number: int) -> None:
        """Take that many at once, free or not."""
        self._free -= number

    def release(self) -> None:
        self._free += 1
        self._freed.set()
