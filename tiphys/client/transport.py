"""Carries one request and its response, over HTTPS or within the process.

Both transports speak ``tiphys.wire.exchange``: bytes and text cross, never
objects, so that what holds in memory holds on the wire. What the world refuses
is a ``TransportError``; whatever status the server answers is the client's to judge.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import aiohttp
from yarl import URL

from tiphys.wire.exchange import Handler, Request, Response, UserInfo

#: Connections for short calls. More would only queue inside the server and pay a TLS handshake each;
#: further calls wait their turn on these. Watches have connections of their own, without limit.
CONNECTIONS = 64


#: A stream that is silent for longer than any watch is asked to last has lost its server unnoticed.
STREAM_SILENCE_SECONDS = 660.0


class TransportError(ConnectionError):
    """The request or its answer was lost; ``sent`` is False if the server cannot have seen the request."""

    def __init__(self, text: str, *, sent: bool) -> None:
        super().__init__(text)
        self.sent = sent


@dataclass(slots=True)
class Stream:
    """An answer whose body arrives piece by piece; pieces end anywhere."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    chunks: AsyncIterator[bytes] = field(default_factory=lambda: _nothing())


async def _nothing() -> AsyncIterator[bytes]:
    return
    yield b""


class Transport(Protocol):
    """Raises TransportError where the connection fails."""

    async def send(self, request: Request) -> Response:
        """The complete answer; ``stream`` is None."""

    def stream(self, request: Request) -> AbstractAsyncContextManager[Stream]:
        """The answer as it arrives; leaving the context ends it."""

    async def close(self) -> None:
        """Free connections."""


class InProcessTransport:
    """Straight into a handler, as ``user``: authentication is skipped, authorization is not."""

    def __init__(self, handler: Handler, user: UserInfo | None = None) -> None:
        self._handler = handler
        # As many calls at once as over HTTPS, so that the server's bound on them is met in neither way.
        self._slots = asyncio.Semaphore(CONNECTIONS)
        self._user = user or UserInfo("system:admin", groups=("system:masters", "system:authenticated"))

    async def send(self, request: Request) -> Response:
        async with self._slots:
            response = await self._handler(replace(request, user=self._user))
            if response.stream is None:
                return response
            sink = _MemorySink()
            await response.stream(sink)
            sink.close()
        return Response(response.status, response.headers, b"".join([chunk async for chunk in sink.chunks()]))

    @asynccontextmanager
    async def stream(self, request: Request) -> AsyncIterator[Stream]:
        response = await self._handler(replace(request, user=self._user))
        sink = _MemorySink()
        if response.stream is None:
            sink.write(response.body)
            sink.close()
            yield Stream(response.status, response.headers, sink.chunks())
            return
        task = asyncio.ensure_future(response.stream(sink))
        task.set_name(f"stream {request.path}")
        task.add_done_callback(lambda _: sink.close())
        try:
            yield Stream(response.status, response.headers, sink.chunks())
        finally:
            sink.hang_up()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def close(self) -> None:
        return


class _MemorySink:
    """A pipe within the process: ``write`` on one end, ``chunks`` on the other."""

    #: ``drain`` waits above this, as a socket's buffer would.
    HIGH_WATER_BYTES = 1 << 20

    def __init__(self) -> None:
        self._pieces: deque[bytes] = deque()
        self._buffered = 0
        self._ended = False
        self._gone = False
        self._readable = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._closed = asyncio.Event()

    def write(self, data: bytes) -> None:
        if self._gone or not data:
            return
        self._pieces.append(data)
        self._buffered += len(data)
        self._readable.set()
        if self._buffered > self.HIGH_WATER_BYTES:
            self._writable.clear()

    def buffered_bytes(self) -> int:
        return self._buffered

    async def drain(self) -> None:
        await self._writable.wait()
        if self._gone:
            raise ConnectionResetError("the reader has gone")

    async def wait_closed(self) -> None:
        await self._closed.wait()

    def close(self) -> None:
        """The writer is done."""
        self._ended = True
        self._readable.set()

    def hang_up(self) -> None:
        """The reader is gone."""
        self._gone = True
        self._pieces.clear()
        self._writable.set()
        self._closed.set()
        self.close()

    async def chunks(self) -> AsyncIterator[bytes]:
        while True:
            await self._readable.wait()
            if self._pieces:
                data = b"".join(self._pieces)
                self._pieces.clear()
                self._buffered = 0
                self._writable.set()
            elif self._ended:
                return
            else:
                data = b""
            if not self._ended:
                self._readable.clear()
            if data:
                yield data


class HttpTransport:
    """HTTPS with keep-alive; ``ca``, ``cert`` and ``key`` are PEM files, ``token`` a bearer token."""

    def __init__(
        self,
        url: str,
        *,
        ca: str | Path | None = None,
        cert: str | Path | None = None,
        key: str | Path | None = None,
        token: str = "",
        insecure_skip_tls_verify: bool = False,
        connections: int = CONNECTIONS,
        connect_timeout_seconds: float = 10.0,
    ) -> None:
        self._url = url.rstrip("/")
        self._headers = {"authorization": f"Bearer {token}"} if token else {}
        self._ssl: ssl.SSLContext | bool = True
        if self._url.startswith("https:"):
            self._ssl = _tls(ca, cert, key, insecure_skip_tls_verify)
        self._connections = connections
        self._connect_timeout_seconds = connect_timeout_seconds
        self._calls: aiohttp.ClientSession | None = None
        self._streams: aiohttp.ClientSession | None = None

    async def send(self, request: Request) -> Response:
        if self._calls is None:
            self._calls = self._session(self._connections, silence_seconds=None)
        try:
            async with self._calls.request(
                request.method,
                self._target(request),
                data=request.body or None,
                headers={**self._headers, **request.headers},
                allow_redirects=False,
            ) as answer:
                body = await answer.read()
                return Response(answer.status, {name.lower(): text for name, text in answer.headers.items()}, body)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _lost(request, error) from error

    @asynccontextmanager
    async def stream(self, request: Request) -> AsyncIterator[Stream]:
        if self._streams is None:
            self._streams = self._session(0, STREAM_SILENCE_SECONDS)
        try:
            async with self._streams.request(
                request.method,
                self._target(request),
                data=request.body or None,
                headers={**self._headers, **request.headers},
                allow_redirects=False,
            ) as answer:
                headers = {name.lower(): text for name, text in answer.headers.items()}
                yield Stream(answer.status, headers, answer.content.iter_any())
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _lost(request, error) from error

    async def close(self) -> None:
        for session in (self._calls, self._streams):
            if session is not None:
                await session.close()
        self._calls = self._streams = None

    def _session(self, connections: int, silence_seconds: float | None) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                ssl=self._ssl, limit=connections, limit_per_host=0, keepalive_timeout=90, use_dns_cache=True
            ),
            # No total time-out: a watch lasts, and the server bounds every other call by itself.
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=self._connect_timeout_seconds, sock_read=silence_seconds
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=True,
            skip_auto_headers=("User-Agent", "Accept-Encoding", "Content-Type"),
            read_bufsize=1 << 18,
        )

    def _target(self, request: Request) -> URL:
        target = URL(self._url + quote_path(request.path), encoded=True)
        if not request.query:
            return target
        return target.with_query([(name, text) for name, texts in request.query.items() for text in texts])


def quote_path(path: str) -> str:
    """``path``, percent-decoded in a Request, as it is written on the wire."""
    if path.isascii() and all(char.isalnum() or char in "/-._~:@!$&'()*+,;=" for char in path):
        return path
    return URL.build(path=path).raw_path


def _lost(request: Request, error: Exception) -> TransportError:
    refused = isinstance(error, aiohttp.ClientConnectorError)
    return TransportError(f"{request.method} {request.path}: {error or type(error).__name__}", sent=not refused)


def _tls(
    ca: str | Path | None, cert: str | Path | None, key: str | Path | None, insecure_skip_tls_verify: bool
) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(ca) if ca else None)
    # Kubernetes' own authorities predate the strict profile of newer Pythons (no key usage extension).
    context.verify_flags &= ~getattr(ssl, "VERIFY_X509_STRICT", 0)
    if insecure_skip_tls_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if cert:
        context.load_cert_chain(str(cert), str(key) if key else None)
    return context
