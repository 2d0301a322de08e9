"""The listener, over real sockets on loopback: TLS, keep-alive, streams, bounds, upgrades."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from tests.apiserver.server import config_map
from tiphys.apiserver import ApiServer, ApiServerConfig, pki
from tiphys.apiserver.seams import AllowAll, Context, RawConnection, RawRoute, Seams, Upgrade
from tiphys.store.memory import MemoryStore
from tiphys.wire.exchange import Request, Response, UserInfo

MAPS = "/api/v1/namespaces/d/configmaps"


class Recorder(AllowAll):
    """Keeps the certificates that requests came with."""

    def __init__(self) -> None:
        self.certificates: list[bytes | None] = []

    async def authenticate(self, request: Request) -> UserInfo | None:
        self.certificates.append(request.peer_certificate)
        return None


@asynccontextmanager
async def listening(seams: Seams | None = None, **config: object) -> AsyncIterator[tuple[ApiServer, str]]:
    settings = ApiServerConfig(port=0, **config)  # type: ignore[arg-type]
    async with ApiServer(settings, MemoryStore(), seams=seams) as server:
        await server.serve()
        yield server, f"http://127.0.0.1:{server.port}"


async def test_tls_with_and_without_a_client_certificate(tmp_path: Path) -> None:
    files = pki.ensure(tmp_path, pki.PkiOptions("n1"))
    recorder = Recorder()
    tls = {
        "certificate": str(files.apiserver.cert),
        "private_key": str(files.apiserver.key),
        "client_ca": str(files.ca),
    }
    async with listening(Seams(authenticator=recorder), **tls) as (server, _):
        url = f"https://127.0.0.1:{server.port}{MAPS}"
        context = ssl.create_default_context(cafile=str(files.ca))
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session:
            assert (await session.get(url)).status == 200
        context.load_cert_chain(files.admin.cert, files.admin.key)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session:
            assert (await session.get(url)).status == 200
    assert recorder.certificates[0] is None
    assert recorder.certificates[1] == ssl.PEM_cert_to_DER_cert(files.admin.cert.read_text())


async def test_one_connection_serves_many_requests() -> None:
    async with listening() as (server, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        for _ in range(3):
            writer.write(b"GET /api/v1/pods HTTP/1.1\r\nHost: x\r\n\r\n")
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            assert head.startswith("HTTP/1.1 200 OK\r\n") and "\r\nDate: " in head
            length = int(head.partition("Content-Length: ")[2].partition("\r\n")[0])
            assert json.loads(await reader.readexactly(length))["kind"] == "PodList"
        writer.write(b"GET /api/v1/pods HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert b"Connection: close\r\n" in await reader.read()
        writer.close()


async def test_pipelined_requests_are_answered_in_order() -> None:
    async with listening() as (server, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        paths = ("pods", "secrets", "nodes")
        writer.write(b"".join(b"GET /api/v1/%b HTTP/1.1\r\nHost: x\r\n\r\n" % path.encode() for path in paths))
        for kind in ("PodList", "SecretList", "NodeList"):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = int(head.partition("Content-Length: ")[2].partition("\r\n")[0])
            assert json.loads(await reader.readexactly(length))["kind"] == kind
        writer.close()


async def test_heads_paths_and_queries() -> None:
    async with listening() as (_, url), aiohttp.ClientSession() as session:
        async with session.head(f"{url}{MAPS}") as answer:
            assert (answer.status, await answer.read()) == (200, b"")
            assert int(answer.headers["Content-Length"]) > 0
        await session.post(f"{url}{MAPS}", json=config_map("a", x="y"))
        async with session.get(f"{url}{MAPS}?labelSelector=x%3Dy&limit=5") as answer:
            assert len((await answer.json())["items"]) == 1
        async with session.get(f"{url}/api/v1/namespaces/d/configmaps/%61") as answer:
            assert (await answer.json())["metadata"]["name"] == "a"


@pytest.mark.parametrize("chunked", [False, True])
async def test_bodies_beyond_the_bound_are_refused(chunked: bool) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(5):
            yield b" " * 1000

    async with listening(body_bytes_max=3000) as (_, url), aiohttp.ClientSession() as session:
        async with session.post(f"{url}{MAPS}", data=pieces() if chunked else b" " * 5000) as answer:
            assert (answer.status, (await answer.json())["reason"]) == (413, "RequestEntityTooLarge")
        body = json.dumps(config_map("a")).encode()
        async with session.post(f"{url}{MAPS}", data=body, headers={"Content-Type": "application/json"}) as answer:
            assert answer.status == 201


async def test_a_watch_is_a_chunked_stream_and_ends_with_its_client() -> None:
    async with listening() as (server, url), aiohttp.ClientSession() as session:
        async with session.get(f"{url}{MAPS}?watch=1") as answer:
            assert answer.headers["Transfer-Encoding"] == "chunked"
            for name in ("a", "b"):
                await session.post(f"{url}{MAPS}", json=config_map(name))
                event = json.loads(await answer.content.readline())
                assert (event["type"], event["object"]["metadata"]["name"]) == ("ADDED", name)
            watchers = [hub for hub in server._hubs if hub._places]
            assert len(watchers) == 1
            answer.close()
        for _ in range(500):
            if not watchers[0]._places:
                break
            await asyncio.sleep(0.01)
        assert not watchers[0]._places


async def test_a_watch_that_times_out_ends_properly() -> None:
    async with listening() as (_, url), aiohttp.ClientSession() as session:
        await session.post(f"{url}{MAPS}", json=config_map("a"))
        async with session.get(f"{url}{MAPS}?watch=1&timeoutSeconds=1") as answer:
            assert len((await answer.read()).splitlines()) == 1


async def test_large_answers_reach_slow_readers() -> None:
    async with listening() as (_, url), aiohttp.ClientSession() as session:
        for number in range(4):
            await session.post(f"{url}{MAPS}", json=config_map(f"m{number}", {"k": "x" * 900_000}))
        async with session.get(f"{url}{MAPS}", headers={"Accept-Encoding": "identity"}) as answer:
            size = 0
            async for piece in answer.content.iter_chunked(65536):
                size += len(piece)
                await asyncio.sleep(0)
            assert size == int(answer.headers["Content-Length"]) > 3_600_000


async def test_garbage_is_refused() -> None:
    async with listening() as (server, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"\x00\x01\x02 nonsense\r\n\r\n")
        assert (await reader.read()).startswith((b"HTTP/1.1 400", b"HTTP/1.0 400"))
        writer.close()


@pytest.mark.parametrize("protocol", ["SPDY/3.1", "websocket"])
async def test_upgraded_requests_get_the_connection(protocol: str) -> None:
    received: list[bytes] = []
    ended = asyncio.Event()

    async def echo(connection: RawConnection) -> None:
        connection.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n")
        while data := await connection.read():
            received.append(data)
            connection.write(data.upper())
            await connection.drain()
        ended.set()

    async def route(context: Context) -> Response:
        assert context.request.headers["upgrade"] == protocol
        return Upgrade(101, takeover=echo)

    seams = Seams(routes=[RawRoute("/echo", route, ("POST",))])
    async with listening(seams) as (server, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(
            b"POST /echo HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: %b\r\n\r\n" % protocol.encode()
        )
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        for word in (b"hello", b"\x80\x03\x00\x01", b"x" * 300_000):
            writer.write(word)
            assert await reader.readexactly(len(word)) == word.upper()
        writer.write_eof()
        async with asyncio.timeout(5):
            await ended.wait()
            assert await reader.read() == b""
        writer.close()
    assert b"".join(received)[:5] == b"hello"


async def test_a_fault_of_ours_is_a_500_that_the_log_explains(caplog: pytest.LogCaptureFixture) -> None:
    async def broken(context: Context) -> Response:
        raise ZeroDivisionError("oops")

    async with listening(Seams(routes=[RawRoute("/broken", broken)])) as (_, url), aiohttp.ClientSession() as session:
        async with session.get(f"{url}/broken") as answer:
            status = await answer.json()
        assert (answer.status, status["reason"]) == (500, "InternalError")
        (record,) = [record for record in caplog.records if record.exc_info]
        assert record.__dict__["cause"] in status["message"]
        assert "oops" not in status["message"]
        async with session.get(f"{url}{MAPS}") as answer:
            assert answer.status == 200


async def test_a_server_for_others_needs_its_seams() -> None:
    with pytest.raises(ValueError, match="must be given its seams"):
        ApiServer(ApiServerConfig(certificate="a.crt"), MemoryStore())


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /version?x=" + b"y" * 1_100_000 + b" HTTP/1.1\r\n\r\n", b"431"),
        (b"GET /version HTTP/1.1\r\nX: " + b"y" * 1_100_000 + b"\r\n\r\n", b"431"),
        (b"NO HTTP AT ALL\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n", b"400"),
        (b"\x16\x03\x01\x00\x00", b"400"),
    ],
)
async def test_what_is_no_http_is_answered_and_not_logged_as_ours(
    sent: bytes, status: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with listening() as (server, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(sent)
        answer = await asyncio.wait_for(reader.read(), 5)
        writer.close()
    assert answer.split(b" ")[1] == status
    assert b"bytearray" not in answer
    assert not [record for record in caplog.records if record.exc_info]


async def test_long_selectors_are_understood() -> None:
    async with listening() as (_, url), aiohttp.ClientSession() as session:
        names = ",".join(f"n{index}" for index in range(50_000))
        async with session.get(f"{url}{MAPS}?labelSelector=a+in+({names})") as answer:
            assert answer.status == 200


async def test_bytes_that_are_no_text_are_replaced() -> None:
    seen: list[Request] = []

    class Seeing(AllowAll):
        async def authenticate(self, request: Request) -> UserInfo | None:
            seen.append(request)
            return None

    async with listening(Seams(authenticator=Seeing())) as (server, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET /api/v1/namespaces/a HTTP/1.1\r\nHost: x\r\nUser-Agent: b\xfe\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 404")
        writer.close()
    assert seen[0].headers["user-agent"] == "b\ufffd"
