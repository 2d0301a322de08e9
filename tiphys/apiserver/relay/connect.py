"""One request to another HTTP server, and its answer: whole, streamed, or the connection itself.

Every relayed request has a connection of its own, closed at its end: upgrades
cannot share one, and everything else is rare.
"""

import asyncio
import contextlib
import errno
import os
import ssl
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final

from tiphys.apiserver.seams import RawConnection, Upgrade
from tiphys.wire import http1
from tiphys.wire.exchange import Request, Response, Sink

CONNECT_SECONDS: Final = 10.0
PIECE_BYTES: Final = 64 * 1024
LINE_BYTES_MAX: Final = 8 * 1024
HEAD_BYTES_MAX: Final = 64 * 1024
# RFC 9110 §7.6.1: these speak of one connection only. Credentials are for us and nobody behind us.
HOP_BY_HOP: Final = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "content-length",
        "host",
        "authorization",
        "expect",
    }
)
# Go's servers read several values of this header as several lines.
LISTED: Final = frozenset({"x-stream-protocol-version"})
WEBSOCKET_TOKEN: Final = "base64url.bearer.authorization.k8s.io."


class Unreachable(Exception):
    """The other side cannot be reached or does not speak HTTP; the text says so in Go's words."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Where a server is. ``tls`` and ``server_name`` are set for HTTPS."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    #: The name that its certificate must have.
    server_name: str = ""

    @property
    def address(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def outgoing_headers(request: Request, peer: Peer, extra: Sequence[tuple[str, str]] = ()) -> list[tuple[str, str]]:
    """The request's headers as the other side should see them."""
    lines = [("Host", peer.address)]
    for name, value in request.headers.items():
        if name in HOP_BY_HOP or name.startswith("impersonate-"):
            continue
        if name in LISTED:
            lines += [(name, part.strip()) for part in value.split(",") if part.strip()]
        elif name == "sec-websocket-protocol":
            kept = [part.strip() for part in value.split(",") if not part.strip().startswith(WEBSOCKET_TOKEN)]
            lines.append((name, ", ".join(kept)))
        else:
            lines.append((name, value))
    if wants_upgrade(request):
        lines += [("Connection", "Upgrade"), ("Upgrade", request.headers.get("upgrade", ""))]
    else:
        lines.append(("Connection", "close"))
    if request.body or request.method in ("POST", "PUT", "PATCH"):
        lines.append(("Content-Length", str(len(request.body))))
    return [*lines, *extra]


def wants_upgrade(request: Request) -> bool:
    words = request.headers.get("connection", "").lower().replace(" ", "").split(",")
    return "upgrade" in words and bool(request.headers.get("upgrade"))


async def relay(peer: Peer, request: Request, target: str, extra: Sequence[tuple[str, str]] = ()) -> Response:
    """Send ``request`` on, with ``target`` for its path and query. Raises Unreachable."""
    reader, writer = await _dial(peer)
    try:
        try:
            writer.write(http1.encode_request(request.method, target, outgoing_headers(request, peer, extra)))
            writer.write(request.body)
            await writer.drain()
            head, rest = await _read_head(reader)
        except (OSError, http1.HttpError, EOFError, ssl.SSLError) as problem:
            raise Unreachable(f"{problem or 'EOF'}") from problem
        if head.status == 101:
            return Upgrade(101, takeover=_Takeover(head, rest, reader, writer).run)
        if request.method == "HEAD" or head.status in (204, 304):
            writer.close()
            return Response(head.status, _answer_headers(head))
        body = _Body(head, rest, reader, writer)
        return Response(head.status, _answer_headers(head), stream=body.write)
    except BaseException:
        writer.close()
        raise


async def _dial(peer: Peer) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    name = (peer.server_name or peer.host) if peer.tls else None
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            return await asyncio.open_connection(
                peer.host, peer.port, ssl=peer.tls, server_hostname=name, limit=PIECE_BYTES
            )
    except TimeoutError as problem:
        raise Unreachable(f"dial tcp {peer.address}: i/o timeout") from problem
    except ssl.SSLError as problem:
        raise Unreachable(f"tls: {problem.reason or problem}") from problem
    except OSError as problem:
        raise Unreachable(f"dial tcp {peer.address}: connect: {_reason(problem)}") from problem


def _reason(problem: OSError) -> str:
    code = problem.errno or next((one.errno for one in getattr(problem, "exceptions", ())), None)
    return os.strerror(code).lower() if code is not None and code in errno.errorcode else str(problem)


async def _read_head(reader: asyncio.StreamReader) -> tuple[http1.Head, bytes]:
    parser = http1.HeadParser("response", HEAD_BYTES_MAX)
    while True:
        data = await reader.read(PIECE_BYTES)
        if not data:
            raise EOFError("EOF")
        head = parser.receive(data)
        if head is None:
            continue
        if 100 <= head.status < 200 and head.status != 101:
            # RFC 9110 §15.2: interim answers come before the real one.
            rest, parser = parser.rest, http1.HeadParser("response", HEAD_BYTES_MAX)
            head = parser.receive(rest) if rest else None
            if head is None:
                continue
        return head, parser.rest


def _answer_headers(head: http1.Head) -> dict[str, str]:
    return {name: value for name, value in head.headers.items() if name not in HOP_BY_HOP}


class _Body:
    """The body of an answer, handed on as it arrives."""

    def __init__(
        self,
        head: http1.Head,
        rest: bytes,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._head = head
        self._rest = rest
        self._reader = reader
        self._writer = writer

    async def write(self, sink: Sink) -> None:
        try:
            # Whatever breaks here breaks the client's connection too, which is how it learns of a cut body.
            async for data in self._pieces():
                sink.write(data)
                await sink.drain()
        finally:
            self._writer.close()

    def _pieces(self) -> AsyncIterator[bytes]:
        if "chunked" in self._head.headers.get("transfer-encoding", "").lower():
            return self._chunked()
        length = self._head.headers.get("content-length", "")
        return self._plain(int(length) if length.isdecimal() else None)

    async def _some(self, most: int) -> bytes:
        if self._rest:
            data, self._rest = self._rest[:most], self._rest[most:]
            return data
        return await self._reader.read(min(most, PIECE_BYTES))

    async def _plain(self, length: int | None) -> AsyncIterator[bytes]:
        left = length
        while left is None or left > 0:
            data = await self._some(PIECE_BYTES if left is None else min(left, PIECE_BYTES))
            if not data:
                if left:
                    raise ConnectionError("the answer ended early")
                return
            left = None if left is None else left - len(data)
            yield data

    async def _line(self) -> bytes:
        held = bytearray()
        while not held.endswith(b"\r\n"):
            data = await self._some(1) if self._rest else await self._read_line(LINE_BYTES_MAX - len(held))
            held += data
            if not data or len(held) > LINE_BYTES_MAX:
                raise ConnectionError("the answer's chunks are malformed")
        return bytes(held[:-2])

    async def _read_line(self, most: int) -> bytes:
        try:
            line = await self._reader.readuntil(b"\n")
        except asyncio.IncompleteReadError as problem:
            raise ConnectionError("the answer ended early") from problem
        except asyncio.LimitOverrunError as problem:
            raise ConnectionError("the answer's chunks are malformed") from problem
        return line[: most + 1]

    async def _chunked(self) -> AsyncIterator[bytes]:
        while True:
            size_text = (await self._line()).partition(b";")[0].strip()
            try:
                left = int(size_text, 16)
            except ValueError as problem:
                raise ConnectionError("the answer's chunks are malformed") from problem
            if left == 0:
                while await self._line():
                    continue
                return
            while left:
                data = await self._some(min(left, PIECE_BYTES))
                if not data:
                    raise ConnectionError("the answer ended early")
                left -= len(data)
                yield data
            if await self._line():
                raise ConnectionError("the answer's chunks are malformed")


class _Takeover:
    """Copies bytes between a client and the other side, both ways, until one of them ends."""

    def __init__(
        self, head: http1.Head, rest: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._head = head
        self._rest = rest
        self._reader = reader
        self._writer = writer

    async def run(self, client: RawConnection) -> None:
        lines = [(_header_name(name), value) for name, value in self._head.lines]
        client.write(http1.encode_response(101, self._head.reason or "Switching Protocols", lines) + self._rest)
        up = asyncio.create_task(self._to_peer(client), name="relay-up")
        down = asyncio.create_task(self._to_client(client), name="relay-down")
        try:
            await asyncio.wait((up, down), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (up, down):
                task.cancel()
            await asyncio.gather(up, down, return_exceptions=True)
            self._writer.close()
            client.close()

    async def _to_peer(self, client: RawConnection) -> None:
        with contextlib.suppress(OSError):
            while data := await client.read():
                self._writer.write(data)
                await self._writer.drain()

    async def _to_client(self, client: RawConnection) -> None:
        with contextlib.suppress(OSError):
            while data := await self._reader.read(PIECE_BYTES):
                client.write(data)
                await client.drain()


def _header_name(name: str) -> str:
    """Old clients compare header names as they are usually written."""
    return "-".join(part.capitalize() for part in name.split("-"))
