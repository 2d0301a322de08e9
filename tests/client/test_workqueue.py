"""The workqueue's guarantees, one test each, and what workers make of a reconcile's outcome."""

import asyncio
import random

import pytest

from tests.client.virtual import VirtualClock
from tiphys.client import Done, Expectations, RateLimiter, RequeueAfter, TerminalError, Workers, Workqueue
from tiphys.client.workqueue import ShutDown
from tiphys.machinery import errors


def queue(manual: bool = True) -> tuple[Workqueue, VirtualClock]:
    clock = VirtualClock(manual)
    return Workqueue(clock), clock


async def test_fair_and_stingy() -> None:
    q, _ = queue()
    for key in "abacb":
        q.add(key)
    assert [await q.get() for _ in range(len(q))] == ["a", "b", "c"]


async def test_never_twice_at_the_same_time_and_again_afterwards() -> None:
    q, _ = queue()
    q.add("a")
    assert await q.get() == "a"
    q.add("a")
    q.add("b")
    assert len(q) == 1 and await q.get() == "b"
    q.done("a")
    assert await q.get() == "a"


async def test_of_several_delays_the_earliest_counts() -> None:
    q, clock = queue()
    q.add_after("a", 10)
    q.add_after("a", 2)
    q.add_after("a", 5)
    await clock.advance(1)
    assert len(q) == 0
    await clock.advance(1)
    assert len(q) == 1
    q.done(await q.get())
    await clock.advance(20)
    assert len(q) == 0


async def test_shut_down_gives_out_what_is_queued() -> None:
    q, _ = queue()
    waiting = asyncio.ensure_future(q.get())
    await asyncio.sleep(0)
    q.add("a")
    q.add("b")
    assert await waiting == "a"
    q.shut_down()
    q.add("c")
    assert await q.get() == "b"
    with pytest.raises(ShutDown):
        await q.get()


async def test_a_cancelled_getter_loses_no_key() -> None:
    q, _ = queue()
    first, second = asyncio.ensure_future(q.get()), asyncio.ensure_future(q.get())
    await asyncio.sleep(0)
    q.add("a")
    first.cancel()
    assert await asyncio.wait_for(second, 1) == "a"


def test_back_off_doubles_to_its_maximum_and_is_forgotten() -> None:
    limiter = RateLimiter(VirtualClock(), burst=10**9)
    waits = [limiter.when("a") for _ in range(20)]
    assert waits[:4] == [0.005, 0.01, 0.02, 0.04]
    assert waits[17:] == [655.36, 1000.0, 1000.0]
    assert limiter.when("b") == 0.005
    limiter.forget("a")
    assert limiter.when("a") == 0.005


def test_all_retries_together_are_bounded() -> None:
    limiter = RateLimiter(VirtualClock())
    waits = [limiter.when(str(number)) for number in range(150)]
    assert waits[99] == 0.005
    assert waits[149] == pytest.approx(5.0)


@pytest.mark.parametrize(
    ("outcome", "again_after"),
    [
        (Done(), None),
        (RequeueAfter(7), 7),
        (TerminalError("no"), None),
        (errors.NotFound("pods", "a"), 0.005),
        (ValueError("a bad object"), 0.005),
    ],
    ids=["done", "requeue", "terminal", "refused", "broken"],
)
async def test_outcomes(outcome: object, again_after: float | None) -> None:
    q, clock = queue()
    seen: list[str] = []

    async def reconcile(key: str) -> Done | RequeueAfter:
        seen.append(key)
        if isinstance(outcome, Exception):
            raise outcome
        assert isinstance(outcome, Done | RequeueAfter)
        return outcome

    async with Workers("test", q, reconcile, drain_seconds=0):
        q.add("a")
        await clock.advance(0)
        assert seen == ["a"]
        if again_after is None:
            await clock.advance(10_000)
            assert seen == ["a"]
        else:
            await clock.advance(again_after)
            assert seen == ["a", "a"]


async def test_concurrency_is_bounded_and_one_per_key() -> None:
    q = Workqueue(VirtualClock(), random.Random(1))
    running: list[str] = []
    most = 0

    async def reconcile(key: str) -> Done:
        nonlocal most
        assert key not in running
        running.append(key)
        most = max(most, len(running))
        await asyncio.sleep(0)
        running.remove(key)
        return Done()

    async with Workers("test", q, reconcile, count=3):
        for round_number in range(5):
            for key in "abcdefg":
                q.add(key)
            if round_number % 2:
                await asyncio.sleep(0)
        await q.wait_idle()
    assert most == 3


def test_expectations() -> None:
    clock = VirtualClock()
    expectations = Expectations(clock)
    assert expectations.satisfied("a")
    expectations.expect("a", creations=2)
    expectations.creation_seen("a")
    assert not expectations.satisfied("a")
    expectations.creation_seen("a")
    assert expectations.satisfied("a")
    expectations.expect("a", deletions=["x", "y"])
    expectations.deletion_seen("a", "x")
    expectations.deletion_seen("a", "x")
    assert not expectations.satisfied("a")
    clock.elapsed += 301
    assert expectations.satisfied("a")
