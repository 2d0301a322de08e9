"""The machine's clock: UTC, monotonic, and sleeping that yields even for nothing."""

import asyncio
from datetime import UTC

from tiphys.base.clock import RealClock


async def test_now_is_utc_and_monotonic_never_goes_back() -> None:
    clock = RealClock()
    assert clock.now().tzinfo is UTC
    assert clock.monotonic() <= clock.monotonic()


async def test_a_negative_sleep_only_yields() -> None:
    order: list[str] = []

    async def other() -> None:
        order.append("other")

    task = asyncio.ensure_future(other())
    await RealClock().sleep(-1)
    order.append("slept")
    await task
    assert order == ["other", "slept"]
