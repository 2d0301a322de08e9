"""Time as an argument: nothing outside this module reads the system's clock.

``RealClock`` is the machine's; tests and simulations pass one whose time they
control (``tiphys.testing``).
"""

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Wall time for API timestamps, a monotonic one for durations, and waiting."""

    def now(self) -> datetime:
        """The current instant, in UTC."""

    def monotonic(self) -> float:
        """Seconds since an arbitrary start; never goes back."""

    async def sleep(self, seconds: float) -> None:
        """Return after ``seconds``; at once (after yielding) if not positive."""


class RealClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))
