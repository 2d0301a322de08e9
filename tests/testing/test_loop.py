import asyncio
import time

import pytest

from tiphys.testing import Deadlock, VirtualLoop
from tiphys.testing.clock import EPOCH, LoopClock


@pytest.fixture
def loop():
    made = VirtualLoop()
    yield made
    made.close()


def test_a_day_takes_no_time(loop):
    before = time.monotonic()
    loop.run_until_complete(asyncio.sleep(86400))
    assert loop.time() == 86400
    assert time.monotonic() - before < 1


def test_timers_fire_in_their_order_and_time_stands_still_meanwhile(loop):
    seen = []

    async def wait(seconds):
        await asyncio.sleep(seconds)
        seen.append((seconds, loop.time()))

    async def main():
        await asyncio.gather(wait(3), wait(1), wait(2))

    loop.run_until_complete(main())
    assert seen == [(1, 1.0), (2, 2.0), (3, 3.0)]


def test_waiting_for_nothing_is_an_error_that_names_who_waits(loop):
    async def main():
        await asyncio.Event().wait()

    task = loop.create_task(main(), name="the forgetful one")
    with pytest.raises(Deadlock, match="the forgetful one"):
        loop.run_until_complete(task)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(task)


def test_idle_returns_when_all_that_is_due_has_happened(loop):
    seen = []

    async def chain(length):
        for number in range(length):
            await asyncio.sleep(0)
            seen.append(number)

    async def main():
        task = asyncio.ensure_future(chain(50))
        later = asyncio.ensure_future(asyncio.sleep(1))
        await loop.idle()
        assert loop.time() == 0
        assert len(seen) == 50
        await loop.step()
        assert loop.time() == 1
        await asyncio.gather(task, later)

    loop.run_until_complete(main())


def test_bytes_on_a_socket_come_before_time(loop):
    async def main():
        async def answer(reader, writer):
            writer.write(await reader.readline())
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()
        # Until they are connected nothing is there to be read, and time would jump to this time-out.
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(b"hello\n")
        assert await reader.readline() == b"hello\n"
        writer.close()
        server.close()

    loop.run_until_complete(main())
    assert loop.time() == 0


def test_what_would_run_in_a_thread_runs_here(loop):
    async def main():
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(lambda: 1 // 0)
        return await asyncio.to_thread(lambda: 7)

    assert loop.run_until_complete(main()) == 7


def test_the_clock_follows_the_loop_and_never_stands_still(loop):
    clock = LoopClock(loop)
    first, second = clock.now(), clock.now()
    assert EPOCH < first < second
    loop.run_until_complete(clock.sleep(3600))
    assert (clock.now() - EPOCH).total_seconds() == pytest.approx(3600, abs=1e-3)
    assert clock.monotonic() == 3600
    clock.skew(-7200)
    assert clock.now() < EPOCH
    assert clock.monotonic() == 3600
