"""Both transports carry the same things."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.client.server import Script, https
from tiphys.client.transport import HttpTransport, InProcessTransport, Transport, TransportError
from tiphys.wire.exchange import Handler, Request, Response, Sink


@asynccontextmanager
async def over(kind: str, handler: Handler, folder: Path) -> AsyncIterator[Transport]:
    if kind == "memory":
        yield InProcessTransport(handler)
        return
    async with https(handler, folder) as (url, ca):
        transport = HttpTransport(url, ca=ca)
        try:
            yield transport
        finally:
            await transport.close()


both = pytest.mark.parametrize("kind", ["memory", "https"])


@both
async def test_everything_of_a_request_arrives(kind: str, tmp_path: Path) -> None:
    script = Script(Response(201, {"content-type": "application/json"}, b'{"a":1}'))
    async with over(kind, script, tmp_path) as transport:
        query = {"labelSelector": ("a in (b,c),d=e&f",), "limit": ("5",)}
        answer = await transport.send(Request("POST", "/api/v1/x:y/ä", query, {"content-type": "text/x"}, b"body"))
    (asked,) = script.asked
    assert (asked.method, asked.path, asked.body) == ("POST", "/api/v1/x:y/ä", b"body")
    assert {name: list(texts) for name, texts in asked.query.items()} == {k: list(v) for k, v in query.items()}
    assert asked.headers["content-type"] == "text/x"
    assert (answer.status, answer.body, answer.headers["content-type"]) == (201, b'{"a":1}', "application/json")


@both
async def test_a_stream_arrives_as_it_is_written(kind: str, tmp_path: Path) -> None:
    go = asyncio.Event()

    async def write(sink: Sink) -> None:
        sink.write(b"one\n")
        await sink.drain()
        await go.wait()
        sink.write(b"two\n")
        await sink.drain()

    async def stream(_: Request) -> Response:
        return Response(200, stream=write)

    async with over(kind, Script(stream), tmp_path) as transport, transport.stream(Request("GET", "/")) as answer:
        chunks = answer.chunks
        assert await anext(chunks) == b"one\n"
        go.set()
        assert await anext(chunks) == b"two\n"
        with pytest.raises(StopAsyncIteration):
            await anext(chunks)


async def test_leaving_a_stream_ends_its_writer() -> None:
    ended = asyncio.Event()

    async def write(sink: Sink) -> None:
        try:
            sink.write(b"x")
            await sink.wait_closed()
        finally:
            ended.set()

    async def stream(_: Request) -> Response:
        return Response(200, stream=write)

    async with InProcessTransport(stream).stream(Request("GET", "/")) as answer:
        assert await anext(answer.chunks) == b"x"
    assert ended.is_set()


@both
async def test_a_thousand_calls_at_once(kind: str, tmp_path: Path) -> None:
    async def echo(request: Request) -> Response:
        return Response(200, body=request.body)

    async with over(kind, echo, tmp_path) as transport:
        bodies = [str(number).encode() for number in range(1000)]
        answers = await asyncio.gather(*(transport.send(Request("POST", "/", body=body)) for body in bodies))
    assert [answer.body for answer in answers] == bodies


async def test_a_refused_connection_was_not_sent(unused_tcp_port: int) -> None:
    transport = HttpTransport(f"https://127.0.0.1:{unused_tcp_port}")
    with pytest.raises(TransportError) as caught:
        await transport.send(Request("POST", "/"))
    assert caught.value.sent is False
    await transport.close()


async def test_an_unknown_authority_is_refused(tmp_path: Path) -> None:
    async with https(Script(Response(200)), tmp_path) as (url, _):
        transport = HttpTransport(url)
        with pytest.raises(TransportError, match=r"(?i)certificate"):
            await transport.send(Request("GET", "/"))
        await transport.close()
