"""The HTTPS listener: bytes on sockets become ``Request``s, ``Response``s become bytes.

aiohttp parses and keeps connections alive; answers are written by ourselves, a
whole answer as one write, because its response classes cost more than all else
a read does. Streams are chunked; what is written to many streams is framed once.

Upgraded requests leave HTTP: their handler gets the ``RawConnection`` behind it.
"""

import asyncio
import http
import ssl
from collections import deque
from collections.abc import Mapping
from email.utils import formatdate
from typing import Any, Final
from urllib.parse import parse_qs, unquote

from aiohttp import web, web_protocol
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong
from aiohttp.http_parser import RawRequestMessage

from tiphys.apiserver import tls
from tiphys.apiserver.config import ApiServerConfig
from tiphys.apiserver.headers import SharedHeaders
from tiphys.apiserver.lifecycle import Lifecycle
from tiphys.apiserver.registry.endpoint import JSON_HEADERS
from tiphys.apiserver.seams import Upgrade
from tiphys.base.clock import Clock
from tiphys.machinery import codec, errors
from tiphys.wire.exchange import Handler, Repeated, Request, Response, header_values

KEEPALIVE_SECONDS: Final = 300.0
# Larger answers are handed over in pieces, so that a slow client does not hold them twice. What is encrypted at a time
# should stay below what the allocator maps and unmaps each time (128 KiB) and in the processor's cache.
PIECE_BYTES: Final = 64 * 1024
# Bytes that an upgraded connection may hold unread before its socket is paused.
UNREAD_BYTES_MAX: Final = 1024 * 1024
# What a stream may leave for its client to take after it has ended.
UNTAKEN_BYTES_MAX: Final = 1024 * 1024
# As Go's server has it, and what it answers beyond.
LINE_BYTES_MAX: Final = 1024 * 1024
TOO_LARGE: Final = "431 Request Header Fields Too Large"
_REASONS: Final = {status.value: status.phrase for status in http.HTTPStatus}


class _Connection(web_protocol.RequestHandler):
    """What is no HTTP gets a short answer; it is the client's fault and no error of ours to log."""

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if not isinstance(exc, HttpProcessingError):
            return super().handle_error(request, status, exc, message)
        too_large = isinstance(exc, LineTooLong)
        text = TOO_LARGE if too_large else f"400 Bad Request: {type(exc).__name__}"
        answer = web.Response(status=431 if too_large else 400, text=text)
        answer.force_close()
        return answer

    head_seconds = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Who has not sent his first request's head in time will not; later ones are bounded by the keep-alive."""
        super().connection_made(transport)
        if self.head_seconds:
            if self._keepalive_handle is not None:
                self._keepalive_handle.cancel()
            self._next_keepalive_close_time = self._loop.time() + self.head_seconds
            self._keepalive_handle = self._loop.call_at(self._next_keepalive_close_time, self._process_keepalive)


class _Web(web.Server):
    head_seconds = 0.0

    def __call__(self) -> web_protocol.RequestHandler:
        connection = _Connection(self, loop=self._loop, **self._kwargs)
        connection.head_seconds = self.head_seconds
        return connection


class Listener:
    """Listens from ``start`` to ``close``."""

    def __init__(self, handler: Handler, config: ApiServerConfig, clock: Clock, lifecycle: Lifecycle) -> None:
        self._handler = handler
        self._lifecycle = lifecycle
        self._config = config
        self._dates = _Dates(clock)
        self._web: web.Server | None = None
        self._server: asyncio.Server | None = None
        self.port = 0

    async def start(self) -> None:
        """Raises OSError, naming the address, if it cannot be had."""
        config = self._config
        self._web = _Web(
            self._answer,  # type: ignore[arg-type]  # our answers write themselves; see _Answer
            handler_cancellation=True,
            keepalive_timeout=KEEPALIVE_SECONDS,
            access_log=None,
            # Selectors, continue tokens and bearer tokens are long.
            max_line_size=LINE_BYTES_MAX,
            max_field_size=LINE_BYTES_MAX,
            auto_decompress=False,
        )
        self._web.head_seconds = config.head_timeout_seconds
        context = tls.reloading(config) if config.certificate else None
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            self._web, config.host, config.port, ssl=context, backlog=1024, reuse_address=True
        )
        self.port = self._server.sockets[0].getsockname()[1]

    def refuse(self) -> None:
        """Take no more connections; those there are go on."""
        if self._server is not None:
            self._server.close()

    async def close(self) -> None:
        """Stop listening, let running requests end for a moment, and close all connections."""
        if self._server is not None:
            self._server.close()
        if self._web is not None:
            await self._web.shutdown(2.0)
        if self._server is not None:
            await self._server.wait_closed()

    async def _answer(self, request: web.BaseRequest) -> "_Answer":
        try:
            ours = await self._request(request)
            response = await self._handler(ours)
        except errors.StatusError as problem:
            response = Response(problem.code, {**JSON_HEADERS, "Connection": "close"}, codec.encode(problem.status()))
        keep_alive = response.headers.get("Connection") != "close" and not self._lifecycle.closing
        return _Answer(response, self._dates, keep_alive)

    async def _request(self, request: web.BaseRequest) -> Request:
        message = request._message
        raw_path, _, raw_query = message.path.partition("?")
        body = b""
        if request.body_exists:
            body = await self._body(request)
        return Request(
            message.method,
            unquote(raw_path) if "%" in raw_path else raw_path,
            parse_qs(raw_query, keep_blank_values=True) if raw_query else {},
            _headers(message),
            body,
            _remote(request),
            _peer_certificate(request),
        )

    async def _body(self, request: web.BaseRequest) -> bytes:
        limit = self._config.body_bytes_max
        length = request.content_length
        if length is not None and length > limit:
            raise errors.RequestEntityTooLarge(f"limit is {limit}")
        content = request.content
        if content.is_eof() and length is not None:
            # All of it is here already: no need to wait, nor to bound the wait.
            return content.read_nowait()
        if request.headers.get("Expect", "").lower() == "100-continue" and request.transport is not None:
            request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self._config.request_timeout_seconds):
                while part := await content.readany():
                    size += len(part)
                    if size > limit:
                        raise errors.RequestEntityTooLarge(f"limit is {limit}")
                    parts.append(part)
        except TimeoutError as problem:
            raise errors.Timeout("request did not complete within the allotted timeout") from problem
        return parts[0] if len(parts) == 1 else b"".join(parts)


def _text(sent: str) -> str:
    """Bytes that are no UTF-8 come as half characters, which can be written nowhere: not in answers, not in logs."""
    return sent.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _headers(message: RawRequestMessage) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for name, value in message.headers.items():
        lower = name.lower()
        if not value.isascii():
            value = _text(value)
        found[lower] = Repeated([*header_values(found, lower), value]) if lower in found else value
    return found


def _remote(request: web.BaseRequest) -> str:
    peer = request.protocol.peername
    return peer[0] if isinstance(peer, tuple) else ""


def _peer_certificate(request: web.BaseRequest) -> bytes | None:
    """The same for all requests of a connection, hence kept with it."""
    kept: dict[str, Any] = request.protocol._cache
    if "peer_certificate" not in kept:
        transport = request.transport
        tls: ssl.SSLObject | None = transport.get_extra_info("ssl_object") if transport is not None else None
        kept["peer_certificate"] = tls.getpeercert(binary_form=True) if tls is not None else None
    found: bytes | None = kept["peer_certificate"]
    return found


class _Dates:
    """The ``Date`` header, made once a second."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._second = 0
        self._line = b""

    def line(self) -> bytes:
        second = int(self._clock.now().timestamp())
        if second != self._second:
            self._second = second
            self._line = f"Date: {formatdate(second, usegmt=True)}\r\n".encode()
        return self._line


def _head(status: int, headers: Mapping[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} {_REASONS.get(status, 'Unknown')}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n").encode("utf-8", "replace")


_HEADS: Final = {status: _head(status, JSON_HEADERS) for status in _REASONS}


def _head_of(response: Response) -> bytes:
    """Status line and headers; kept for headers that many answers share."""
    headers = response.headers
    if headers is JSON_HEADERS:
        return _HEADS[response.status]
    if not isinstance(headers, SharedHeaders):
        return _head(response.status, headers)
    head = headers.heads.get(response.status)
    if head is None:
        head = headers.heads[response.status] = _head(response.status, headers)
    return head


def _line_safe(text: str) -> bytes:
    """What a client has sent may not end the line it is shown in."""
    return text.encode("ascii", "replace").replace(b"\r", b"").replace(b"\n", b"")


class _Answer:
    """What aiohttp takes for a response: it asks to ``prepare`` and to ``write_eof``."""

    def __init__(self, response: Response, dates: _Dates, keep_alive: bool) -> None:
        self._response = response
        self._dates = dates
        self.keep_alive = keep_alive
        self.status = response.status
        self.body_length = 0

    async def prepare(self, request: web.BaseRequest) -> None:
        response = self._response
        transport = request.transport
        if transport is None:
            raise ConnectionResetError("the client has left")
        self.keep_alive = self.keep_alive and request.keep_alive
        if isinstance(response, Upgrade) and response.takeover is not None:
            self.keep_alive = False
            await _take_over(request, transport, response)
            return
        head = _head_of(response)
        if response.audit_id:
            head += b"Audit-Id: %b\r\n" % _line_safe(response.audit_id)
        if not self.keep_alive and "Connection" not in response.headers:
            head += b"Connection: close\r\n"
        if response.stream is not None and request.method != "HEAD":
            await self._stream(request, transport, head)
            return
        body = response.body
        head = b"%b%bContent-Length: %d\r\n\r\n" % (head, self._dates.line(), len(body))
        if request.method == "HEAD":
            transport.write(head)
        elif len(body) <= PIECE_BYTES:
            transport.write(head + body)
            if request.protocol._paused:
                await request.protocol._drain_helper()
        else:
            transport.write(head)
            view = memoryview(body)
            for start in range(0, len(body), PIECE_BYTES):
                transport.write(view[start : start + PIECE_BYTES])
                await request.protocol._drain_helper()

    async def _stream(self, request: web.BaseRequest, transport: asyncio.Transport, head: bytes) -> None:
        response = self._response
        assert response.stream is not None
        transport.write(b"%b%bTransfer-Encoding: chunked\r\n\r\n" % (head, self._dates.line()))
        await response.stream(ChunkedSink(request, transport))
        if transport.get_write_buffer_size() > UNTAKEN_BYTES_MAX:
            # A watcher that was cut off for not taking its bytes would go on holding them.
            transport.abort()
        if not transport.is_closing():
            transport.write(b"0\r\n\r\n")

    async def write_eof(self) -> None:
        """``prepare`` has written everything."""


class ChunkedSink:
    """``exchange.Sink`` over one connection. The frame of the last data is kept for the next sink that gets it."""

    _last_data = b""
    _last_frame = b""

    def __init__(self, request: web.BaseRequest, transport: asyncio.Transport) -> None:
        self._request = request
        self._transport = transport
        self._write = transport.write

    def write(self, data: bytes) -> None:
        kept = ChunkedSink
        if data is not kept._last_data:
            if not data:
                return
            kept._last_frame = b"%x\r\n%b\r\n" % (len(data), data)
            kept._last_data = data
        self._write(kept._last_frame)

    def buffered_bytes(self) -> int:
        return self._transport.get_write_buffer_size()

    async def drain(self) -> None:
        await self._request.protocol._drain_helper()

    async def wait_closed(self) -> None:
        """A client that leaves cancels the request, and with it this wait."""
        await asyncio.get_running_loop().create_future()


class Raw(asyncio.Protocol):
    """``seams.RawConnection``, and the protocol that takes the connection's bytes from then on."""

    def __init__(self, transport: asyncio.Transport, first: bytes, before: asyncio.Protocol) -> None:
        self._transport = transport
        self._before = before
        self._received: deque[bytes] = deque([first] if first else [])
        self._unread = len(first)
        self._ended = False
        self._arrived = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        self._received.append(data)
        self._unread += len(data)
        if self._unread > UNREAD_BYTES_MAX:
            self._transport.pause_reading()
        self._arrived.set()

    def eof_received(self) -> bool:
        self._end()
        # TLS connections cannot be half closed.
        return self._transport.get_extra_info("ssl_object") is None

    def connection_lost(self, exc: Exception | None) -> None:
        self._end()
        self._writable.set()
        self._before.connection_lost(exc)

    def _end(self) -> None:
        self._ended = True
        self._arrived.set()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    async def read(self) -> bytes:
        while not self._received:
            if self._ended:
                return b""
            self._arrived.clear()
            await self._arrived.wait()
        data = self._received.popleft()
        paused = self._unread > UNREAD_BYTES_MAX
        self._unread -= len(data)
        if paused and self._unread <= UNREAD_BYTES_MAX and not self._transport.is_closing():
            self._transport.resume_reading()
        return data

    def write(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)

    async def drain(self) -> None:
        await self._writable.wait()
        if self._transport.is_closing():
            raise ConnectionResetError("the client has left")

    def close(self) -> None:
        self._transport.close()


async def _take_over(request: web.BaseRequest, transport: asyncio.Transport, response: Upgrade) -> None:
    """Let the response's handler have the connection, from the byte behind the request on."""
    protocol: Any = request.protocol
    connection = Raw(transport, protocol._message_tail, protocol)
    protocol._message_tail = b""
    transport.set_protocol(connection)
    assert response.takeover is not None
    try:
        await response.takeover(connection)
    finally:
        connection.close()
