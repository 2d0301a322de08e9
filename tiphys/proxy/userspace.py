"""Services without nftables: this process listens on their addresses and copies bytes.

Slower, and endpoints see the node instead of the client, but it needs nothing
of the kernel beyond a route that makes service addresses local. Node ports and
cluster addresses only.
"""

import asyncio
import logging
import random
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import cast

from tiphys.proxy.choice import choose
from tiphys.proxy.services import Endpoint, Endpoints, Service

logger = logging.getLogger(__name__)

_IP_FREEBIND = 15
_CHUNK_BYTES = 1 << 16
_CONNECT_SECONDS = 5.0
_UDP_IDLE_SECONDS = 60.0
_UDP_CLIENTS_MAX = 4096

#: Protocol, address, port.
Place = tuple[str, str, int]


@dataclass(slots=True)
class Target:
    """Where connections to one place go. Changed in place, so that listeners need not stop."""

    endpoints: tuple[Endpoint, ...]
    affinity: bool = False
    clients: dict[str, Endpoint] = field(default_factory=dict)

    def pick(self, client: str, source: random.Random) -> Endpoint | None:
        """The client's own endpoint if it has one, otherwise any; None if there is none."""
        known = self.clients.get(client)
        if known in self.endpoints:
            return known
        if not self.endpoints:
            return None
        chosen = source.choice(self.endpoints)
        if self.affinity:
            self.clients[client] = chosen
        return chosen


def targets(services: Mapping[str, tuple[Service, Endpoints]], node_name: str) -> dict[Place, Target]:
    """What to listen on. Pure. Places without endpoints are left out: nobody listens, so the kernel refuses."""
    found: dict[Place, Target] = {}
    for service, endpoints in services.values():
        for port in service.ports:
            if port.protocol not in ("TCP", "UDP"):
                continue
            choice = choose(endpoints.get((port.name, port.protocol), ()), node_name)
            affinity = service.affinity_seconds > 0
            inside = choice.local if service.internal_local else choice.cluster
            outside = choice.local if service.external_local else choice.cluster
            if inside:
                found[port.protocol, service.cluster_ip, port.port] = Target(inside, affinity)
            if port.node_port and outside:
                found[port.protocol, "0.0.0.0", port.node_port] = Target(outside, affinity)
    return found


class Relay:
    """Listens on all places and relays."""

    def __init__(self, source: random.Random) -> None:
        self._random = source
        self._targets: dict[Place, Target] = {}
        self._listeners: dict[Place, asyncio.Server | asyncio.BaseTransport] = {}
        self._connections: set[asyncio.Task[None]] = set()

    async def update(self, wanted: Mapping[Place, Target]) -> None:
        """Listen on exactly these places."""
        for place in [each for each in self._targets if each not in wanted]:
            del self._targets[place]
            listener = self._listeners.pop(place, None)
            if listener is not None:
                listener.close()
        for place, target in wanted.items():
            known = self._targets.setdefault(place, target)
            known.endpoints, known.affinity = target.endpoints, target.affinity
            if place not in self._listeners:
                await self._listen(place, known)

    async def _listen(self, place: Place, target: Target) -> None:
        protocol, address, port = place
        kind = socket.SOCK_STREAM if protocol == "TCP" else socket.SOCK_DGRAM
        made = socket.socket(socket.AF_INET, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
            made.bind((address, port))
        except OSError as error:
            made.close()
            logger.error("service address %s:%d/%s cannot be listened on: %s", address, port, protocol, error.strerror)
            return
        if protocol == "TCP":

            def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                task = asyncio.create_task(self._relay(target, reader, writer), name="proxied connection")
                self._connections.add(task)
                task.add_done_callback(self._connections.discard)

            self._listeners[place] = await asyncio.start_server(serve, sock=made)
        else:
            loop = asyncio.get_running_loop()
            transport, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(target, self._random), sock=made)
            self._listeners[place] = transport

    async def _relay(self, target: Target, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        endpoint = target.pick(writer.get_extra_info("peername")[0], self._random)
        try:
            if endpoint is None:
                return
            async with asyncio.timeout(_CONNECT_SECONDS):
                far_reader, far_writer = await asyncio.open_connection(endpoint.address, endpoint.port)
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(_copy(reader, far_writer), name="proxy to endpoint")
                    group.create_task(_copy(far_reader, writer), name="proxy to client")
            finally:
                far_writer.close()
        except* (OSError, TimeoutError):
            # One end is gone; closing tells the other.
            pass
        finally:
            writer.close()

    async def close(self) -> None:
        await self.update({})
        connections = list(self._connections)
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(_CHUNK_BYTES):
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()


class _Datagrams(asyncio.DatagramProtocol):
    """One UDP place; every client has a socket of its own towards its endpoint."""

    def __init__(self, target: Target, source: random.Random) -> None:
        self._target = target
        self._random = source
        self._clients: dict[tuple[str, int], _Client] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def connection_lost(self, error: Exception | None) -> None:
        for client in list(self._clients.values()):
            client.close()

    def datagram_received(self, data: bytes, peer: tuple[str, int]) -> None:
        client = self._clients.get(peer)
        if client is not None and client.endpoint not in self._target.endpoints:
            client.close()
            client = None
        if client is None:
            endpoint = self._target.pick(peer[0], self._random)
            if endpoint is None or len(self._clients) >= _UDP_CLIENTS_MAX:
                return
            client = self._clients[peer] = _Client(endpoint, peer, self)
        client.send(data)

    def answer(self, data: bytes, peer: tuple[str, int]) -> None:
        self._transport.sendto(data, peer)

    def forget(self, client: "_Client") -> None:
        if self._clients.get(client.peer) is client:
            del self._clients[client.peer]


class _Client:
    """A connected socket towards an endpoint, closed when it has been silent for long."""

    def __init__(self, endpoint: Endpoint, peer: tuple[str, int], owner: _Datagrams) -> None:
        self.endpoint = endpoint
        self.peer = peer
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        self._socket.connect((endpoint.address, endpoint.port))
        self._loop.add_reader(self._socket.fileno(), self._receive)
        self._timer = self._loop.call_later(_UDP_IDLE_SECONDS, self.close)

    def send(self, data: bytes) -> None:
        self._timer.cancel()
        self._timer = self._loop.call_later(_UDP_IDLE_SECONDS, self.close)
        try:
            self._socket.send(data)
        except OSError as error:
            # Datagrams may be lost; the client asks again.
            logger.debug("to %s: %s", self.endpoint.address, error)

    def _receive(self) -> None:
        for data in self._pending():
            self._owner.answer(data, self.peer)

    def _pending(self) -> Iterator[bytes]:
        while True:
            try:
                yield self._socket.recv(_CHUNK_BYTES)
            except OSError:
                return

    def close(self) -> None:
        self._timer.cancel()
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()
        self._owner.forget(self)
