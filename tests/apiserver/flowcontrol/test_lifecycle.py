"""Time-outs and the end of a server, over real connections."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from tests.apiserver.server import config_map, serving
from tiphys.apiserver import ApiServer, ApiServerConfig
from tiphys.apiserver.seams import Context, RawRoute, Seams
from tiphys.store.memory import MemoryStore
from tiphys.wire.exchange import Response

MAPS = "/api/v1/namespaces/d/configmaps"


class Slow:
    """A route that answers when it is told to."""

    def __init__(self) -> None:
        self.arrived = asyncio.Event()
        self.opened = asyncio.Event()

    async def serve(self, context: Context) -> Response:
        self.arrived.set()
        await self.opened.wait()
        return Response(200, {}, b"served")

    def seams(self) -> Seams:
        return Seams(routes=(RawRoute("/slow", self.serve),))


@asynccontextmanager
async def ending(seams: Seams, **config: object) -> AsyncIterator[tuple[str, ApiServer]]:
    """A listening server that the test ends itself."""
    settings = ApiServerConfig(port=0, **config)  # type: ignore[arg-type]
    server = ApiServer(settings, MemoryStore(), seams=seams)
    await server.__aenter__()
    await server.serve()
    yield f"http://127.0.0.1:{server.port}", server


@pytest.mark.parametrize(
    ("asked", "status", "message"),
    [
        ("10ms", 504, "Timeout: request did not complete within the allotted timeout"),
        ("soon", 400, 'invalid timeout specified in the request URL - time: invalid duration "soon"'),
    ],
)
async def test_clients_may_ask_for_less_time(asked: str, status: int, message: str) -> None:
    async with serving(Slow().seams()) as api:
        code, body = await api.call("GET", "/slow", query={"timeout": asked})
    assert (code, body["message"]) == (status, message)


async def test_more_time_than_the_server_gives_is_not_to_be_had() -> None:
    async with serving(Slow().seams(), request_timeout_seconds=0.01) as api:
        for asked in ("1h", "0s", "-5s"):
            assert (await api.call("GET", "/slow", query={"timeout": asked}))[0] == 504


async def test_requests_under_way_end_and_their_connections_with_them() -> None:
    slow = Slow()
    async with ending(slow.seams()) as (url, server), aiohttp.ClientSession() as session:
        request = asyncio.create_task(session.get(f"{url}/slow"))
        await slow.arrived.wait()
        stopping = asyncio.create_task(server.__aexit__(None, None, None))
        await asyncio.sleep(0.01)
        with pytest.raises(aiohttp.ClientConnectionError):
            await session.get(f"{url}/version", headers={"Connection": "close"})
        assert not stopping.done()
        slow.opened.set()
        answer = await request
        assert (await answer.text(), answer.headers["Connection"]) == ("served", "close")
        await stopping


async def test_late_requests_are_told_to_come_back() -> None:
    slow = Slow()
    async with (
        ending(slow.seams(), shutdown_send_retry_after=True) as (url, server),
        aiohttp.ClientSession() as session,
    ):
        request = asyncio.create_task(session.get(f"{url}/slow"))
        await slow.arrived.wait()
        stopping = asyncio.create_task(server.__aexit__(None, None, None))
        await asyncio.sleep(0.01)
        async with session.get(f"{url}{MAPS}") as late:
            assert (late.status, late.headers["Retry-After"], late.headers["Connection"]) == (429, "5", "close")
            assert await late.text() == "The apiserver is shutting down, please try again later.\n"
        slow.opened.set()
        assert (await request).status == 200
        await stopping


async def test_a_server_that_leaves_is_not_ready_and_still_serves() -> None:
    seams = Seams()
    async with ending(seams, shutdown_delay_seconds=0.2) as (url, server), aiohttp.ClientSession() as session:
        stopping = asyncio.create_task(server.__aexit__(None, None, None))
        await asyncio.sleep(0)
        assert seams.lifecycle.leaving and not seams.lifecycle.closing
        async with session.get(f"{url}{MAPS}") as answer:
            assert answer.status == 200
        await stopping


async def test_watches_end_with_whole_events_and_a_last_chunk() -> None:
    async with ending(Seams(), shutdown_watch_grace_seconds=1.0) as (url, server), aiohttp.ClientSession() as session:
        async with session.get(f"{url}{MAPS}?watch=1") as watch:
            for number in range(20):
                await session.post(f"{url}{MAPS}", json=config_map(f"m{number}"))
            stopping = asyncio.create_task(server.__aexit__(None, None, None))
            # A stream without its last chunk would raise here.
            lines = (await watch.read()).splitlines()
        assert [json.loads(line)["type"] for line in lines] == ["ADDED"] * 20
        await stopping


async def test_connections_that_send_no_request_are_closed() -> None:
    async with ending(Seams(), head_timeout_seconds=0.05) as (url, server):
        port = int(url.rpartition(":")[2])
        silent, writer = await asyncio.open_connection("127.0.0.1", port)
        slow, other = await asyncio.open_connection("127.0.0.1", port)
        other.write(b"GET /version HTTP/1.1\r\nX: ")
        async with asyncio.timeout(5):
            assert await silent.read() == await slow.read() == b""
        writer.close()
        other.close()
        await server.__aexit__(None, None, None)
