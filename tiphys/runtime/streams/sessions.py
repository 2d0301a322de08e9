"""The channels of exec and attach between us and a client, whichever protocol carries them.

Source: KEP-4006 "Transition from SPDY to WebSockets"; the remote command protocols v1 to v5.
"""

import asyncio
from contextlib import suppress
from typing import NamedTuple, Protocol

from tiphys.runtime.streams.transport import Transport, WebSocket
from tiphys.wire import channels, spdy
from tiphys.wire.channels import Frame

#: How long a client may take to open its streams.
CREATION_SECONDS = 30.0
_RESIZING = frozenset({channels.V5, channels.V4, channels.V4_BASE64, channels.V3})


class Wanted(NamedTuple):
    """Which streams a command has."""

    stdin: bool
    stdout: bool
    stderr: bool
    tty: bool


class Session(Protocol):
    """One client."""

    async def open(self, wanted: Wanted) -> None:
        """Make ready. Raises ConnectionError, TimeoutError."""

    async def receive(self) -> list[Frame] | None:
        """What the client says, possibly nothing yet; None when it has gone."""

    async def send(self, channel: int, data: bytes) -> None:
        """Waits while the client is slow. Raises ConnectionError."""

    async def finish(self, status: bytes) -> None:
        """The last word: how the command has ended. The connection can be closed afterwards."""


def _told(status: bytes, has_status: bool) -> bytes:
    """What the error channel says: older protocols have a text, and nothing for success."""
    return status if has_status else channels.parse_exit(status)[1].encode()


class WebSocketSession:
    """Channels as messages."""

    def __init__(self, socket: WebSocket, protocol: str) -> None:
        self._socket = socket
        self._channels = channels.Channels(protocol)

    async def open(self, wanted: Wanted) -> None:
        """An empty message tells the client that its streams are there."""
        first = channels.STDOUT if wanted.stdout else channels.STDERR if wanted.stderr else channels.ERROR
        await self.send(first, b"")

    async def receive(self) -> list[Frame] | None:
        messages = await self._socket.receive()
        if messages is None:
            return None
        try:
            return [self._channels.decode(message.data) for message in messages if message.data]
        except channels.ChannelError:
            return None

    async def send(self, channel: int, data: bytes) -> None:
        await self._socket.send(self._channels.encode(channel, data), text=self._channels.text)

    async def finish(self, status: bytes) -> None:
        with suppress(ConnectionError):
            if told := _told(status, self._channels.has_status):
                await self.send(channels.ERROR, told)
        await self._socket.finish()


class SpdySession:
    """Channels as SPDY streams, which the client opens and names."""

    def __init__(self, below: Transport, protocol: str) -> None:
        self._below = below
        self._protocol = protocol
        self._machine = spdy.Connection(client=False)
        self._channel_of: dict[int, int] = {}
        self._stream_of: dict[int, int] = {}
        #: What came before all streams were there.
        self._early: list[Frame] = []

    async def open(self, wanted: Wanted) -> None:
        expected = {channels.ERROR}
        expected |= {channels.STDIN} if wanted.stdin else set()
        expected |= {channels.STDOUT} if wanted.stdout else set()
        expected |= {channels.STDERR} if wanted.stderr and not wanted.tty else set()
        expected |= {channels.RESIZE} if wanted.tty and self._protocol in _RESIZING else set()
        try:
            async with asyncio.timeout(CREATION_SECONDS):
                while not expected <= self._stream_of.keys():
                    frames = await self._next()
                    if frames is None:
                        raise ConnectionError("the client has gone")
                    self._early += frames
        except TimeoutError:
            with suppress(ConnectionError):
                await self._below.write(self._machine.goaway())
            raise

    async def receive(self) -> list[Frame] | None:
        if self._early:
            frames, self._early = self._early, []
            return frames
        return await self._next()

    async def _next(self) -> list[Frame] | None:
        data = await self._below.read()
        if not data:
            return None
        try:
            events = self._machine.receive(data)
        except spdy.SpdyError:
            with suppress(ConnectionError):
                await self._below.write(self._machine.goaway(spdy.PROTOCOL_ERROR))
            return None
        frames: list[Frame] = []
        answers: list[bytes] = []
        for event in events:
            if isinstance(event, spdy.DataReceived):
                channel = self._channel_of.get(event.stream)
                if channel is not None:
                    frames += [Frame(channel, event.data)] if event.data else []
                    frames += [Frame(channel, b"", close=True)] if event.fin else []
            elif isinstance(event, spdy.StreamOpened):
                answers.append(self._opened(event))
            elif isinstance(event, spdy.StreamReset):
                channel = self._channel_of.pop(event.stream, None)
                if channel is not None:
                    self._stream_of.pop(channel, None)
                    frames.append(Frame(channel, b"", close=True))
            elif isinstance(event, spdy.PingReceived) and event.answer:
                answers.append(event.answer)
        if answers:
            with suppress(ConnectionError):
                await self._below.write(b"".join(answers))
        return frames

    def _opened(self, event: spdy.StreamOpened) -> bytes:
        channel = channels.STREAM_TYPES.get(event.headers.get("streamtype", ""))
        if channel is None or channel in self._stream_of:
            return self._machine.reset(event.stream, spdy.REFUSED_STREAM)
        self._channel_of[event.stream] = channel
        self._stream_of[channel] = event.stream
        return self._machine.reply(event.stream)

    async def send(self, channel: int, data: bytes) -> None:
        stream = self._stream_of.get(channel)
        if stream is not None:
            await self._below.write(self._machine.data(stream, data))

    async def finish(self, status: bytes) -> None:
        told = _told(status, self._protocol == channels.V4)
        last = b""
        for channel, stream in self._stream_of.items():
            if channel in (channels.STDOUT, channels.STDERR):
                last += self._machine.data(stream, b"", fin=True)
        if (error := self._stream_of.get(channels.ERROR)) is not None:
            last += self._machine.data(error, told, fin=True)
        with suppress(ConnectionError):
            await self._below.write(last + self._machine.goaway())
        await self._below.finish()
