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
from urllib.parse import quote, urlencode, urlsplit

import aiohttp
from yarl import URL

from tiphys.client.http1 import NotConnected, Pool
from tiphys.wire.exchange import Handler, Request, Response, UserInfo
from tiphys.wire.http1 import encode_request

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
        parts = urlsplit(self._url)
        self._prefix = parts.path
        self._headers = {"authorization": f"Bearer {token}"} if token else {}
        self._tls = _tls(ca, cert, key, insecure_skip_tls_verify) if parts.scheme == "https" else None
        self._host = parts.netloc
        port = parts.port or (443 if self._tls else 80)
        self._calls = Pool(parts.hostname or "", port, self._tls, connections, connect_timeout_seconds)
        self._connect_timeout_seconds = connect_timeout_seconds
        self._streams: aiohttp.ClientSession | None = None

    async def send(self, request: Request) -> Response:
        try:
            return await self._calls.call(request.method, self._encoded(request))
        except NotConnected as error:
            raise _lost(request, error, sent=False) from error
        except OSError as error:
            raise _lost(request, error, sent=True) from error

    @asynccontextmanager
    async def stream(self, request: Request) -> AsyncIterator[Stream]:
        if self._streams is None:
            self._streams = self._session()
        try:
            async with self._streams.request(
                request.method,
                URL(self._url.removesuffix(self._prefix) + self._target(request), encoded=True),
                data=request.body or None,
                headers={**self._headers, **request.headers},
                allow_redirects=False,
            ) as answer:
                headers = {name.lower(): text for name, text in answer.headers.items()}
                yield Stream(answer.status, headers, answer.content.iter_any())
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _lost(request, error, sent=True) from error

    async def close(self) -> None:
        self._calls.close()
        if self._streams is not None:
            await self._streams.close()
        self._streams = None

    def _session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self._tls or True, limit=0, keepalive_timeout=90),
            # No total time-out: a watch lasts. The server bounds every other call by itself.
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=self._connect_timeout_seconds, sock_read=STREAM_SILENCE_SECONDS
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("User-Agent", "Accept-Encoding", "Content-Type"),
            read_bufsize=1 << 18,
        )

    def _target(self, request: Request) -> str:
        path = self._prefix + quote(request.path, safe=_PATH_SAFE)
        return f"{path}?{urlencode(request.query, doseq=True)}" if request.query else path

    def _encoded(self, request: Request) -> bytes:
        headers = {"host": self._host, **self._headers, **request.headers}
        if request.body or request.method not in ("GET", "HEAD", "DELETE"):
            headers["content-length"] = str(len(request.body))
        return encode_request(request.method, self._target(request), headers) + request.body


#: What stands for itself in a path. Source: RFC 3986 §3.3, pchar.
_PATH_SAFE = "/-._~:@!$&'()*+,;="


def _lost(request: Request, error: Exception, sent: bool) -> TransportError:
    return TransportError(f"{request.method} {request.path}: {error or type(error).__name__}", sent=sent)


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
