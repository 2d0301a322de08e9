"""Clients of the streaming server: plain upgrades by our own machines, and what a stock kubectl needs around it."""

import asyncio
import base64
import contextlib
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from tiphys.wire import channels, http1, spdy, websocket

Relay = Callable[[str, dict[str, list[str]]], Awaitable[str]]


async def read_head(reader: asyncio.StreamReader, kind: str) -> tuple[http1.Head, bytes]:
    parser = http1.HeadParser(kind)  # type: ignore[arg-type]
    while data := await reader.read(65536):
        if (head := parser.receive(data)) is not None:
            return head, parser.rest
    raise ConnectionError("no answer")


async def request(
    url: str, headers: list[tuple[str, str]], method: str = "GET"
) -> tuple[http1.Head, bytes, asyncio.StreamReader, asyncio.StreamWriter]:
    target = urlsplit(url)
    reader, writer = await asyncio.open_connection(target.hostname, target.port)
    path = target.path + (f"?{target.query}" if target.query else "")
    writer.write(http1.encode_request(method, path, [("Host", target.netloc), *headers]))
    head, rest = await read_head(reader, "response")
    return head, rest, reader, writer


def websocket_headers(*protocols: str) -> list[tuple[str, str]]:
    key = base64.b64encode(os.urandom(16)).decode()
    offered = [("Sec-WebSocket-Protocol", ", ".join(protocols))] if protocols else []
    return [
        ("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", key), *offered,
    ]  # fmt: skip


@dataclass
class WebSocketClient:
    """One exec or attach. ``said`` collects what came, by channel."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    rest: bytes
    channels: channels.Channels
    machine: websocket.Connection = field(default_factory=lambda: websocket.Connection(os.urandom))
    said: dict[int, bytes] = field(default_factory=dict)
    closed: int = 0

    def send(self, channel: int, data: bytes) -> None:
        self.writer.write(self.machine.send(self.channels.encode(channel, data), self.channels.text))

    def close_channel(self, channel: int) -> None:
        self.writer.write(self.machine.send(self.channels.encode_close(channel)))

    async def step(self) -> bool:
        data, self.rest = self.rest or await self.reader.read(1 << 20), b""
        for event in self.machine.receive(data):
            if isinstance(event, websocket.Message):
                frame = self.channels.decode(event.data)
                self.said[frame.channel] = self.said.get(frame.channel, b"") + frame.data
            elif isinstance(event, websocket.Close):
                self.closed = event.code
        return bool(data) and not self.closed

    async def until(self, channel: int, text: bytes) -> None:
        async with asyncio.timeout(10):
            while text not in self.said.get(channel, b""):
                assert await self.step(), self.said

    async def finish(self) -> tuple[int, str]:
        """Exit code and message, once the server has closed."""
        async with asyncio.timeout(20):
            while await self.step():
                pass
        self.writer.close()
        return channels.parse_exit(self.said[channels.ERROR])


async def open_websocket(url: str, *protocols: str) -> WebSocketClient:
    head, rest, reader, writer = await request(url, websocket_headers(*protocols))
    assert head.status == 101, (head.status, rest)
    protocol = head.headers.get("sec-websocket-protocol", "")
    return WebSocketClient(reader, writer, rest, channels.Channels(protocol))


class FakeApi:
    """One Pod that a stock kubectl can exec into, attach and forward to: upgrades are relayed to ``relay``'s URL."""

    def __init__(self, relay: Relay, **container: object) -> None:
        self._relay = relay
        self._container = {"name": "main", **container}

    def _object(self, path: str) -> dict[str, object] | None:
        pods = {"name": "pods", "singularName": "pod", "namespaced": True, "kind": "Pod", "verbs": ["get", "create"]}
        return {
            "/api": {"kind": "APIVersions", "versions": ["v1"]},
            "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": []},
            "/api/v1": {"kind": "APIResourceList", "groupVersion": "v1", "resources": [pods]},
            "/api/v1/namespaces/default/pods/p": {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": "p", "namespace": "default"},
                "spec": {"containers": [self._container]},
                "status": {"phase": "Running"},
            },
        }.get(path)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                head, rest = await read_head(reader, "request")
                target = urlsplit(head.target)
                if "upgrade" in head.headers:
                    url = await self._relay(target.path.rpartition("/")[2], parse_qs(target.query))
                    await self._copy(head, rest, reader, writer, url)
                    break
                found = self._object(target.path)
                body = json.dumps(found or {"kind": "Status", "status": "Failure", "code": 404}).encode()
                headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
                writer.write(http1.encode_response(200 if found else 404, "OK", headers) + body)
        writer.close()

    async def _copy(
        self,
        head: http1.Head,
        rest: bytes,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        url: str,
    ) -> None:
        target = urlsplit(url)
        far_reader, far_writer = await asyncio.open_connection(target.hostname, target.port)
        far_writer.write(http1.encode_request(head.method, target.path, head.lines) + rest)

        async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            with contextlib.suppress(ConnectionError):
                while data := await source.read(1 << 16):
                    sink.write(data)
                    await sink.drain()
            sink.close()

        await asyncio.gather(copy(reader, far_writer), copy(far_reader, writer))

    @contextlib.asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        try:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            server.close()


@dataclass
class SpdyClient:
    """Streams of one exec over SPDY."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    rest: bytes
    machine: spdy.Connection = field(default_factory=lambda: spdy.Connection(client=True))
    streams: dict[int, str] = field(default_factory=dict)
    said: dict[str, bytes] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)

    def open(self, name: str, **headers: str) -> int:
        number, data = self.machine.open_stream({"streamType": name, **headers})
        self.streams[number] = name
        self.writer.write(data)
        return number

    async def step(self) -> bool:
        data, self.rest = self.rest or await self.reader.read(1 << 20), b""
        for event in self.machine.receive(data):
            if isinstance(event, spdy.DataReceived):
                name = self.streams[event.stream]
                self.said[name] = self.said.get(name, b"") + event.data
                if event.fin:
                    self.ended.add(name)
            elif isinstance(event, spdy.StreamReset):
                self.ended.add(self.streams[event.stream])
        return bool(data)

    async def until_ended(self, *names: str) -> None:
        async with asyncio.timeout(20):
            while not self.ended.issuperset(names):
                assert await self.step(), (self.said, self.ended)


async def open_spdy(url: str, *versions: str) -> SpdyClient:
    headers = [("Connection", "Upgrade"), ("Upgrade", "SPDY/3.1")]
    headers += [("X-Stream-Protocol-Version", version) for version in versions]
    head, rest, reader, writer = await request(url, headers, "POST")
    assert head.status == 101, (head.status, rest)
    assert head.headers["x-stream-protocol-version"] == versions[0]
    return SpdyClient(reader, writer, rest)
