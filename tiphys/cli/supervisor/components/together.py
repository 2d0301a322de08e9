"""Several components in one process."""

import asyncio
from typing import Protocol


class Waits(Protocol):
    async def wait(self) -> None: ...


class Together:
    """Fails as soon as one of its parts fails."""

    def __init__(self, *parts: Waits) -> None:
        self._parts = parts

    async def wait(self) -> None:
        async with asyncio.TaskGroup() as group:
            for part in self._parts:
                group.create_task(part.wait())
