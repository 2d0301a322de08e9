"""Port-forward: a client's streams to ports inside a sandbox's network namespace.

Source: the protocols ``portforward.k8s.io`` (SPDY, also tunnelled) and ``v4.channel.k8s.io``.
"""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from tiphys.runtime.linux import syscalls
from tiphys.runtime.records import Sandbox
from tiphys.runtime.streams.transport import Transport, WebSocket
from tiphys.wire import channels, spdy

READ_BYTES = 64 * 1024
#: Pieces that wait for a port that does not read; then the client is held back.
PIECES_MAX = 16
#: How long a lone half of a stream pair waits for the other.
PAIR_SECONDS = 30.0
LOOPBACK = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))


class ForwardError(Exception):
    """The port cannot be reached; the text is for users."""


def _socket_in(namespace: str, family: int) -> socket.socket:
    """A socket that stays in the namespace it was made in, whoever uses it. The thread is of no more use."""
    if namespace:
        descriptor = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
        try:
            syscalls.setns(descriptor, syscalls.CLONE_NEWNET)
        finally:
            os.close(descriptor)
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setblocking(False)
    return made


async def _connect(namespace: str, family: int, address: str, port: int) -> socket.socket:
    # A thread of its own, which ends with the call: none is left in the wrong namespace.
    executor = ThreadPoolExecutor(1, thread_name_prefix="netns")
    loop = asyncio.get_running_loop()
    try:
        made = await loop.run_in_executor(executor, partial(_socket_in, namespace, family))
    finally:
        executor.shutdown(wait=False)
    try:
        await loop.sock_connect(made, (address, port))
    except BaseException:
        made.close()
        raise
    return made


async def connect(sandbox: Sandbox, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection to a port of the sandbox's loopback. Raises ForwardError."""
    namespace = sandbox.pins.get("net", "")
    refusals: list[str] = []
    for (family, address), network in zip(LOOPBACK, ("tcp4", "tcp6"), strict=True):
        try:
            made = await _connect(namespace, family, address, port)
        except OSError as error:
            where = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
            refusals.append(f"dial {network} {where}: connect: {os.strerror(error.errno or 0).lower()}")
        else:
            return await asyncio.open_connection(sock=made)
    raise ForwardError(
        f'failed to execute portforward in network namespace "{namespace or "host"}": failed to connect to '
        f'localhost:{port} inside namespace "{sandbox.id}", IPv4: {refusals[0]} IPv6: {refusals[1]}'
    )


def refusal(sandbox: Sandbox, port: int, error: ForwardError) -> str:
    return f"error forwarding port {port} to pod {sandbox.id}, uid : {error}"


@dataclass(eq=False)
class Link:
    """One connection to one port: what the client sends, queued, and where answers go."""

    port: int
    answer: Callable[[bytes], Awaitable[None]]
    _pieces: "asyncio.Queue[bytes | None]" = field(default_factory=lambda: asyncio.Queue(PIECES_MAX))
    _over: bool = False

    async def put(self, data: bytes | None) -> None:
        """Data for the port, None for their end; dropped once the port has hung up."""
        if not self._over:
            await self._pieces.put(data)

    async def run(self, sandbox: Sandbox) -> None:
        """Until the port hangs up or the client has gone. Raises ForwardError, if it cannot be reached."""
        try:
            reader, writer = await connect(sandbox, self.port)
            sending = asyncio.ensure_future(self._send(writer))
            try:
                with suppress(ConnectionError):
                    while data := await reader.read(READ_BYTES):
                        await self.answer(data)
            finally:
                sending.cancel()
                await asyncio.wait([sending])
                writer.close()
        finally:
            self._over = True
            while not self._pieces.empty():
                # Whoever waits for room is let go.
                self._pieces.get_nowait()

    async def _send(self, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while (data := await self._pieces.get()) is not None:
                writer.write(data)
                await writer.drain()
            writer.write_eof()


@dataclass(eq=False)
class _Pair:
    """The two streams of one forwarded connection."""

    port: int = 0
    error: int = 0
    data: int = 0
    link: Link | None = None
    task: asyncio.Task[None] | None = None


class SpdyForward:
    """Stream pairs that the client opens: one for data, one for an error text."""

    def __init__(self, below: Transport, sandbox: Sandbox) -> None:
        self._below = below
        self._sandbox = sandbox
        self._machine = spdy.Connection(client=False)
        self._pairs: dict[str, _Pair] = {}
        self._of_stream: dict[int, _Pair] = {}

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            with suppress(ConnectionError):
                while data := await self._below.read():
                    try:
                        events = self._machine.receive(data)
                    except spdy.SpdyError:
                        await self._below.write(self._machine.goaway(spdy.PROTOCOL_ERROR))
                        break
                    for event in events:
                        await self._take(event, group)
            for pair in set(self._of_stream.values()):
                if pair.task is not None:
                    pair.task.cancel()
        await self._below.finish()

    async def _take(self, event: spdy.Event, group: asyncio.TaskGroup) -> None:
        if isinstance(event, spdy.DataReceived):
            pair = self._of_stream.get(event.stream)
            if pair is not None and pair.link is not None and event.stream == pair.data:
                if event.data:
                    await pair.link.put(event.data)
                if event.fin:
                    await pair.link.put(None)
        elif isinstance(event, spdy.StreamOpened):
            await self._open(event, group)
        elif isinstance(event, spdy.StreamReset):
            pair = self._of_stream.get(event.stream)
            if pair is not None and pair.task is not None:
                pair.task.cancel()
        elif isinstance(event, spdy.PingReceived) and event.answer:
            await self._below.write(event.answer)

    async def _open(self, event: spdy.StreamOpened, group: asyncio.TaskGroup) -> None:
        kind, port = event.headers.get("streamtype", ""), event.headers.get("port", "")
        # The oldest clients number no requests: there each error stream is followed by its data stream.
        request = event.headers.get("requestid", "") or str(event.stream - (event.stream - 1) % 4)
        valid = kind in ("error", "data") and port.isascii() and port.isdecimal() and 0 < int(port) < 65536
        pair = self._pairs.setdefault(request, _Pair()) if valid else None
        if pair is None or (pair.data if kind == "data" else pair.error):
            await self._below.write(self._machine.reset(event.stream, spdy.REFUSED_STREAM))
            return
        self._of_stream[event.stream] = pair
        if kind == "data":
            pair.data, pair.port = event.stream, int(port)
        else:
            pair.error = event.stream
        await self._below.write(self._machine.reply(event.stream))
        if pair.data and pair.error:
            del self._pairs[request]
            pair.link = Link(pair.port, partial(self._answer, pair))
            pair.task = group.create_task(self._forward(pair, pair.link), name=f"forward {pair.port}")

    async def _answer(self, pair: _Pair, data: bytes) -> None:
        await self._below.write(self._machine.data(pair.data, data))

    async def _forward(self, pair: _Pair, link: Link) -> None:
        text = b""
        try:
            await link.run(self._sandbox)
        except ForwardError as error:
            text = refusal(self._sandbox, pair.port, error).encode()
        finally:
            self._of_stream.pop(pair.data, None)
            self._of_stream.pop(pair.error, None)
        last = self._machine.data(pair.error, text, fin=True) + self._machine.data(pair.data, b"", fin=True)
        with suppress(ConnectionError):
            await self._below.write(last)


class ChannelForward:
    """Two channels for each port that was asked for; over when all ports have hung up."""

    def __init__(self, below: WebSocket, protocol: str, sandbox: Sandbox, ports: Sequence[int]) -> None:
        self._below = below
        self._sandbox = sandbox
        self._machine = channels.PortForward(protocol, ports)
        self._links = [Link(port, partial(self._answer, index)) for index, port in enumerate(ports)]

    async def run(self) -> None:
        with suppress(ConnectionError):
            for greeting in self._machine.greetings():
                await self._send(greeting)
            async with asyncio.TaskGroup() as group:
                forwards = [group.create_task(self._forward(i, link)) for i, link in enumerate(self._links)]
                hearing = group.create_task(self._hear())
                everything = group.create_task(_all(forwards))
                await asyncio.wait({hearing, everything}, return_when=asyncio.FIRST_COMPLETED)
                for task in (hearing, everything, *forwards):
                    task.cancel()
        await self._below.finish()

    async def _hear(self) -> None:
        while (messages := await self._below.receive()) is not None:
            for message in messages:
                try:
                    said = self._machine.decode(message.data)
                except channels.ChannelError:
                    return
                if said is not None and not said.error and said.data:
                    await self._links[said.index].put(said.data)

    async def _forward(self, index: int, link: Link) -> None:
        with suppress(ConnectionError):
            try:
                await link.run(self._sandbox)
            except ForwardError as error:
                await self._send(self._machine.encode_error(index, refusal(self._sandbox, link.port, error)))

    async def _answer(self, index: int, data: bytes) -> None:
        await self._send(self._machine.encode(index, data))

    async def _send(self, message: bytes) -> None:
        await self._below.send(message, text=self._machine.channels.text)


async def _all(tasks: Sequence[asyncio.Task[None]]) -> None:
    await asyncio.wait(tasks)
