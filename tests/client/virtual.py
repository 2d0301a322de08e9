"""A clock whose time passes only when somebody sleeps, or when a test says so."""

import asyncio
from datetime import UTC, datetime, timedelta


class VirtualClock:
    """``sleep`` returns at once and moves time; with ``manual`` it waits for ``advance``."""

    def __init__(self, manual: bool = False) -> None:
        self.elapsed = 0.0
        self.slept: list[float] = []
        self._manual = manual
        self._sleepers: list[tuple[float, asyncio.Event]] = []

    def now(self) -> datetime:
        return datetime(2026, 1, 31, 8, tzinfo=UTC) + timedelta(seconds=self.elapsed)

    def monotonic(self) -> float:
        return self.elapsed

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if not self._manual:
            self.elapsed += max(0.0, seconds)
            await asyncio.sleep(0)
            return
        event = asyncio.Event()
        self._sleepers.append((self.elapsed + seconds, event))
        await event.wait()

    async def advance(self, seconds: float) -> None:
        """Pass time, wake who is due, and let everybody run until nothing more happens at once."""
        self.elapsed += seconds
        due = [entry for entry in self._sleepers if entry[0] <= self.elapsed]
        self._sleepers = [entry for entry in self._sleepers if entry[0] > self.elapsed]
        for _, event in due:
            event.set()
        for _ in range(20):
            await asyncio.sleep(0)
