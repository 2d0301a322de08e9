"""The streaming server: what CRI's Exec, Attach and PortForward answer with leads here.

Each call leaves a request behind a one-time token; whoever comes with the token
within a minute gets the stream, over WebSocket or SPDY/3.1. It listens on the
loopback alone: the kubelet, which authorizes clients, relays to it.
"""

import asyncio
import hashlib
import logging
import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal
from urllib.parse import parse_qs, urlsplit

from tiphys.base.clock import Clock, RealClock
from tiphys.runtime.containers import Containers
from tiphys.runtime.cri import api_pb2
from tiphys.runtime.errors import InvalidArgument, ResourceExhausted, RuntimeFault
from tiphys.runtime.sandboxes import Sandboxes
from tiphys.runtime.streams import commands, ports
from tiphys.runtime.streams.sessions import Session, SpdySession, Wanted, WebSocketSession
from tiphys.runtime.streams.transport import READ_BYTES, Socket, Tunnel, WebSocket
from tiphys.wire import channels, http1
from tiphys.wire.websocket import accept_key

logger = logging.getLogger(__name__)
TOKEN_SECONDS = 60.0
TOKENS_MAX = 1000
HEAD_SECONDS = 30.0
HEAD_BYTES_MAX = 64 * 1024
SPDY = "SPDY/3.1"
Verb = Literal["exec", "attach", "portforward"]
Request = api_pb2.ExecRequest | api_pb2.AttachRequest | api_pb2.PortForwardRequest


@dataclass(frozen=True, slots=True)
class _Promise:
    verb: Verb
    request: Request
    until: float


class Tokens:
    """Requests behind tokens, each for one use and for a short time.

    They are kept by the token's hash, so that how long a look-up takes tells nothing of any token.
    """

    def __init__(self, clock: Clock, draw: Callable[[], str]) -> None:
        self._clock = clock
        self._draw = draw
        self._promises: dict[bytes, _Promise] = {}

    def put(self, verb: Verb, request: Request) -> str:
        """Raises ResourceExhausted."""
        now = self._clock.monotonic()
        # In the order of expiry, since all live equally long.
        for key, promise in list(self._promises.items()):
            if promise.until > now:
                break
            del self._promises[key]
        if len(self._promises) >= TOKENS_MAX:
            raise ResourceExhausted("maximum number of in-flight requests exceeded")
        token = self._draw()
        self._promises[_hashed(token)] = _Promise(verb, request, now + TOKEN_SECONDS)
        return token

    def take(self, verb: str, token: str) -> Request | None:
        promise = self._promises.pop(_hashed(token), None)
        if promise is None or promise.verb != verb or promise.until <= self._clock.monotonic():
            return None
        return promise.request


def _hashed(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


class _Refused(Exception):
    """The request is answered in plain HTTP."""

    def __init__(self, status: int, reason: str, text: str, headers: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(text)
        self.status = status
        self.reason = reason
        self.headers = headers


class StreamingServer:
    """``async with``: listens inside it; leaving it ends all streams and what was run for them."""

    def __init__(
        self,
        containers: Containers,
        sandboxes: Sandboxes,
        clock: Clock | None = None,
        draw: Callable[[], str] = secrets.token_urlsafe,
    ) -> None:
        self._containers = containers
        self._sandboxes = sandboxes
        self._tokens = Tokens(clock or RealClock(), draw)
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.port = 0

    async def __aenter__(self) -> "StreamingServer":
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=READ_BYTES)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def exec_url(self, request: api_pb2.ExecRequest) -> str:
        """Raises RuntimeFault."""
        _check(request)
        return self._url("exec", request)

    def attach_url(self, request: api_pb2.AttachRequest) -> str:
        """Raises RuntimeFault."""
        _check(request)
        return self._url("attach", request)

    def port_forward_url(self, request: api_pb2.PortForwardRequest) -> str:
        """Raises RuntimeFault."""
        return self._url("portforward", request)

    def _url(self, verb: Verb, request: Request) -> str:
        return f"http://127.0.0.1:{self.port}/{verb}/{self._tokens.put(verb, request)}"

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer), name="stream")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            found = await _read_head(reader)
            if found is not None:
                await self._answer(*found, reader, writer)
        except _Refused as refused:
            with suppress(ConnectionError):
                await _refuse(writer, refused)
        except (OSError, TimeoutError):
            # The client has gone, or never said what it wants.
            pass
        except Exception:
            logger.exception("a stream broke")
        finally:
            writer.close()

    async def _answer(
        self, head: http1.Head, rest: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        target = urlsplit(head.target)
        verb, _, token = target.path.removeprefix("/").partition("/")
        if head.method not in ("GET", "POST"):
            raise _Refused(405, "Method Not Allowed", "405: Method Not Allowed")
        request = self._tokens.take(verb, token)
        if request is None:
            raise _Refused(404, "Not Found", "404: Page Not Found")
        socket = Socket(reader, writer, rest)
        if isinstance(request, api_pb2.PortForwardRequest):
            await self._forward(request, head, parse_qs(target.query), socket, writer)
        else:
            await self._command(request, head, socket, writer)

    async def _command(
        self,
        request: api_pb2.ExecRequest | api_pb2.AttachRequest,
        head: http1.Head,
        socket: Socket,
        writer: asyncio.StreamWriter,
    ) -> None:
        session: Session
        if head.upgrades_to("websocket"):
            session = WebSocketSession(WebSocket(socket), _open_websocket(head, writer, channels.REMOTE_COMMAND))
        elif head.upgrades_to(SPDY):
            session = SpdySession(socket, _open_spdy(head, writer, channels.SPDY_REMOTE_COMMAND))
        else:
            raise _not_upgraded(head)
        wanted = Wanted(request.stdin, request.stdout, request.stderr and not request.tty, request.tty)
        await session.open(wanted)
        try:
            container = self._containers.get_running(request.container_id)
        except RuntimeFault as fault:
            await session.finish(channels.internal_error(str(fault)))
            return
        if isinstance(request, api_pb2.ExecRequest):
            await commands.execute(session, self._containers, container, list(request.cmd), wanted)
        else:
            await commands.attach(session, self._containers, container, wanted)

    async def _forward(
        self,
        request: api_pb2.PortForwardRequest,
        head: http1.Head,
        query: dict[str, list[str]],
        socket: Socket,
        writer: asyncio.StreamWriter,
    ) -> None:
        sandbox = self._sandboxes.records.match(request.pod_sandbox_id)
        if sandbox is None or not sandbox.ready:
            raise _Refused(500, "Internal Server Error", f'sandbox container "{request.pod_sandbox_id}" is not running')
        if head.upgrades_to(SPDY):
            _open_spdy(head, writer, (channels.SPDY_PORT_FORWARD,))
            await ports.SpdyForward(socket, sandbox).run()
        elif head.upgrades_to("websocket"):
            wanted = [] if channels.PORT_FORWARD_TUNNEL in _offered(head) else _ports(request, query)
            supported = (channels.PORT_FORWARD_TUNNEL, *channels.PORT_FORWARD)
            protocol = _open_websocket(head, writer, supported)
            websocket = WebSocket(socket)
            if protocol == channels.PORT_FORWARD_TUNNEL:
                await ports.SpdyForward(Tunnel(websocket), sandbox).run()
            else:
                await ports.ChannelForward(websocket, protocol, sandbox, wanted or _ports(request, query)).run()
        else:
            raise _not_upgraded(head)


def _check(request: api_pb2.ExecRequest | api_pb2.AttachRequest) -> None:
    if not request.container_id:
        raise InvalidArgument("missing required container_id")
    if request.tty and request.stderr:
        raise InvalidArgument("tty and stderr cannot both be true")
    if not (request.stdin or request.stdout or request.stderr):
        raise InvalidArgument("one of stdin, stdout, or stderr must be set")


async def _read_head(reader: asyncio.StreamReader) -> tuple[http1.Head, bytes] | None:
    parser = http1.HeadParser("request", HEAD_BYTES_MAX)
    async with asyncio.timeout(HEAD_SECONDS):
        while data := await reader.read(READ_BYTES):
            try:
                head = parser.receive(data)
            except http1.HttpError as error:
                raise _Refused(400, "Bad Request", str(error)) from error
            if head is not None:
                return head, parser.rest
    return None


async def _refuse(writer: asyncio.StreamWriter, refused: _Refused) -> None:
    body = f"{refused}\n".encode()
    headers = [
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Content-Length", str(len(body))),
        ("Connection", "close"),
        *refused.headers,
    ]
    writer.write(http1.encode_response(refused.status, refused.reason, headers) + body)
    await writer.drain()


def _not_upgraded(head: http1.Head) -> _Refused:
    if not head.all("upgrade"):
        return _Refused(400, "Bad Request", "unable to upgrade: missing upgrade headers in request")
    return _Refused(400, "Bad Request", f'unable to upgrade: "{head.headers["upgrade"]}" is not {SPDY} or websocket')


def _offered(head: http1.Head) -> list[str]:
    return head.all("sec-websocket-protocol")


def _open_websocket(head: http1.Head, writer: asyncio.StreamWriter, supported: Sequence[str]) -> str:
    """Answer the handshake; the protocol that was agreed on. Source: RFC 6455 §4.2."""
    key = head.headers.get("sec-websocket-key")
    if head.headers.get("sec-websocket-version") != "13":
        raise _Refused(400, "Bad Request", "missing or bad WebSocket Version", [("Sec-WebSocket-Version", "13")])
    if not key:
        raise _Refused(400, "Bad Request", "missing Sec-WebSocket-Key")
    protocol = channels.negotiate(_offered(head), supported)
    if protocol is None:
        raise _Refused(403, "Forbidden", f"bad websocket protocol: {', '.join(_offered(head))}")
    headers = [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", accept_key(key))]
    if protocol:
        headers.append(("Sec-WebSocket-Protocol", protocol))
    writer.write(http1.encode_response(101, "Switching Protocols", headers))
    return protocol


def _open_spdy(head: http1.Head, writer: asyncio.StreamWriter, supported: Sequence[str]) -> str:
    """Switch to SPDY; the protocol that was agreed on."""
    offered = head.all("x-stream-protocol-version")
    if not offered:
        raise _Refused(400, "Bad Request", "unable to upgrade: X-Stream-Protocol-Version is required")
    protocol = channels.negotiate(offered, supported)
    if protocol is None:
        text = f"client supports [{' '.join(offered)}], server accepts [{' '.join(supported)}]"
        accepted = [("X-Accepted-Stream-Protocol-Versions", name) for name in supported]
        raise _Refused(403, "Forbidden", f"unable to upgrade: unable to negotiate protocol: {text}", accepted)
    headers = [("Connection", "Upgrade"), ("Upgrade", SPDY), ("X-Stream-Protocol-Version", protocol)]
    writer.write(http1.encode_response(101, "Switching Protocols", headers))
    return protocol


def _ports(request: api_pb2.PortForwardRequest, query: dict[str, list[str]]) -> list[int]:
    """The ports that channels are for: those of the call, else those of the URL."""
    texts = [part for name in ("ports", "port") for value in query.get(name, ()) for part in value.split(",")]
    wanted = list(request.port)
    for text in texts if not wanted else ():
        if not (text.isascii() and text.isdecimal() and 0 < int(text) < 65536):
            raise _Refused(400, "Bad Request", f'unable to parse "{text}" as a port')
        wanted.append(int(text))
    if not wanted:
        raise _Refused(400, "Bad Request", 'query parameter "ports" is required')
    return wanted
