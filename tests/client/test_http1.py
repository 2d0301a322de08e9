"""The answer parser: whole, byte by byte, and with bytes behind; and connections that break."""

import asyncio
import sys

import pytest

from tiphys.client.http1 import NotConnected, Pool, ResponseParser
from tiphys.wire.exchange import Response
from tiphys.wire.http1 import HttpError

ANSWERS = {
    "length": (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: b\r\n\r\nhello", 200, b"hello", True),
    "chunked": (
        b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
        201,
        b"hello",
        True,
    ),
    "trailers": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX: y\r\n\r\n",
        200,
        b"a",
        True,
    ),
    "empty": (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", True),
    "interim": (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", 200, b"x", True),
    "closing": (b"HTTP/1.1 429 Slow\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", 429, b"", False),
}


@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize("step", [0, 1, 3])
def test_answers(name: str, step: int) -> None:
    data, status, body, reusable = ANSWERS[name]
    parser = ResponseParser("GET")
    pieces = [data] if not step else [data[at : at + step] for at in range(0, len(data), step)]
    answers = [parser.receive(piece) for piece in pieces]
    assert answers[:-1] == [None] * (len(pieces) - 1)
    last = answers[-1]
    assert last is not None and (last.status, last.body, parser.reusable) == (status, body, reusable)


@pytest.mark.parametrize("name", ["length", "chunked", "empty"])
def test_bytes_behind_an_answer_end_the_connection(name: str) -> None:
    parser = ResponseParser("GET")
    answer = parser.receive(ANSWERS[name][0] + b"x")
    assert answer is not None and answer.body == ANSWERS[name][2] and not parser.reusable


def test_a_body_without_length_ends_with_the_connection() -> None:
    parser = ResponseParser("GET")
    assert parser.receive(b"HTTP/1.1 200 OK\r\n\r\nhel") is None
    assert parser.receive(b"lo") is None
    assert parser.end() == Response(200, {}, b"hello") and not parser.reusable


@pytest.mark.parametrize(
    "data",
    [
        b"garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_malformed(data: bytes) -> None:
    with pytest.raises(HttpError):
        ResponseParser("GET").receive(data)


async def _serve(answer: bytes, close: bool) -> tuple[asyncio.Server, int, list[int]]:
    connections: list[int] = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(1)
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(answer)
            await writer.drain()
            if close:
                writer.close()
                return

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    return server, server.sockets[0].getsockname()[1], connections


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"
ASK = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"


async def test_connections_are_kept_and_bounded() -> None:
    server, port, connections = await _serve(OK, close=False)
    pool = Pool("127.0.0.1", port, None, 3, 5)
    async with server, asyncio.timeout(5):
        answers = await asyncio.gather(*(pool.call("GET", ASK) for _ in range(50)))
        pool.close()
    assert [answer.body for answer in answers] == [b"x"] * 50 and len(connections) == 3


async def test_a_closed_connection_is_replaced() -> None:
    server, port, connections = await _serve(OK, close=True)
    pool = Pool("127.0.0.1", port, None, 1, 5)
    async with server, asyncio.timeout(5):
        await pool.call("GET", ASK)
        # Until the end of the connection is known here, the next call may be lost with it.
        for _ in range(1000):
            await asyncio.sleep(0)
            if pool._idle[0].lost:
                break
        assert (await pool.call("GET", ASK)).status == 200
        pool.close()
    assert len(connections) == 2


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx", b"SSH-2.0\r\n\r\n"])
async def test_a_broken_answer_is_a_connection_error(answer: bytes) -> None:
    server, port, _ = await _serve(answer, close=True)
    pool = Pool("127.0.0.1", port, None, 1, 5)
    async with server, asyncio.timeout(5):
        with pytest.raises(ConnectionError) as caught:
            await pool.call("GET", ASK)
        assert not isinstance(caught.value, NotConnected)
        pool.close()


@pytest.mark.skipif(sys.platform == "win32", reason="uvloop is not for Windows")
def test_tls_on_the_loop_that_components_run_on(tmp_path) -> None:
    import uvloop

    from tests.client.server import https
    from tiphys.client import HttpTransport
    from tiphys.wire.exchange import Request

    async def main() -> None:
        async def echo(request: Request) -> Response:
            return Response(200, body=request.body)

        async with https(echo, tmp_path) as (url, ca), asyncio.timeout(5):
            transport = HttpTransport(url, ca=ca)
            assert (await transport.send(Request("POST", "/", body=b"x"))).body == b"x"
            await transport.close()

    uvloop.run(main())
