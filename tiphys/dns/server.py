"""The sockets of the name server: UDP and TCP on the same addresses."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import cast

from tiphys.dns import metrics
from tiphys.dns.config import DnsConfig

_IP_FREEBIND = 15
_IPV6_FREEBIND = 78
_BACKLOG = 128
#: ``(message, is it TCP)`` → the answer, at once or later; empty for none.
Respond = Callable[[bytes, bool], bytes | Awaitable[bytes]]


def bind(address: tuple[str, int], kind: socket.SocketKind) -> socket.socket:
    """A socket on an address that the host may get later. Raises OSError that names it."""
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    made = socket.socket(family, kind | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1 if kind == socket.SOCK_STREAM else 0)
        if family == socket.AF_INET:
            made.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
        else:
            made.setsockopt(socket.IPPROTO_IPV6, _IPV6_FREEBIND, 1)
        made.bind(address)
    except OSError as error:
        made.close()
        name = "TCP" if kind == socket.SOCK_STREAM else "UDP"
        raise OSError(
            error.errno, f"DNS cannot listen on {address[0]}:{address[1]}/{name}: {error.strerror}"
        ) from error
    return made


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, respond: Respond, tasks: set[asyncio.Future[None]], limit: int) -> None:
        self._respond = respond
        self._tasks = tasks
        self._limit = limit
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, peer: tuple[str, int]) -> None:
        metrics.REQUESTS_UDP.inc()
        answer = self._respond(data, False)
        if isinstance(answer, bytes):
            self._send(answer, peer)
        elif len(self._tasks) < self._limit:
            task = asyncio.ensure_future(self._later(answer, peer))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        elif asyncio.iscoroutine(answer):
            # Too many are waiting: this one will ask again.
            answer.close()

    async def _later(self, answer: Awaitable[bytes], peer: tuple[str, int]) -> None:
        self._send(await answer, peer)

    def _send(self, answer: bytes, peer: tuple[str, int]) -> None:
        if answer and self._transport is not None:
            self._transport.sendto(answer, peer)


class Server:
    """Listens from ``start`` to ``close``."""

    def __init__(self, config: DnsConfig, respond: Respond) -> None:
        self._config = config
        self._respond = respond
        self._tasks: set[asyncio.Future[None]] = set()
        self._datagrams: list[asyncio.BaseTransport] = []
        self._streams: list[asyncio.Server] = []
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        """Bind everything; raises OSError and leaves nothing bound."""
        try:
            for address in self._config.listen:
                await self._listen(address)
        except OSError:
            await self.close()
            raise

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Where UDP is listened on."""
        return [transport.get_extra_info("sockname")[:2] for transport in self._datagrams]

    async def _listen(self, address: tuple[str, int]) -> None:
        loop = asyncio.get_running_loop()
        udp = bind(address, socket.SOCK_DGRAM)
        transport, _ = await loop.create_datagram_endpoint(
            lambda: _Datagrams(self._respond, self._tasks, self._config.forward_concurrent), sock=udp
        )
        self._datagrams.append(transport)
        # Port 0 is for tests: TCP then gets UDP's.
        tcp = bind((address[0], udp.getsockname()[1]), socket.SOCK_STREAM)
        self._streams.append(await asyncio.start_server(self._converse, sock=tcp, backlog=_BACKLOG))

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Queries one after another, until the client leaves or is silent for long."""
        if len(self._writers) >= self._config.tcp_connections:
            writer.close()
            return
        self._writers.add(writer)
        try:
            while True:
                async with asyncio.timeout(self._config.tcp_idle_seconds):
                    length = int.from_bytes(await reader.readexactly(2), "big")
                    data = await reader.readexactly(length)
                metrics.REQUESTS_TCP.inc()
                answer = self._respond(data, True)
                found = answer if isinstance(answer, bytes) else await answer
                if not found:
                    return
                writer.write(len(found).to_bytes(2, "big") + found)
                await writer.drain()
        except (OSError, EOFError, TimeoutError):
            return
        finally:
            self._writers.discard(writer)
            writer.close()

    async def close(self) -> None:
        for stream in self._streams:
            stream.close()
        for transport in self._datagrams:
            transport.close()
        for writer in list(self._writers):
            writer.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
