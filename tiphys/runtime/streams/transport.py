"""A client's bytes: as its socket carries them, or inside the messages of a WebSocket."""

import asyncio
from contextlib import suppress
from typing import Protocol

from tiphys.wire import websocket

READ_BYTES = 256 * 1024
#: How long a client may take to hang up after the last word.
LINGER_SECONDS = 2.0


class Transport(Protocol):
    """Bytes both ways."""

    async def read(self) -> bytes:
        """What is there, waiting for some; empty when the client has gone."""

    async def write(self, data: bytes) -> None:
        """Waits while the client is slow. Raises ConnectionError when it has gone."""

    async def finish(self) -> None:
        """Say that nothing follows, and give the client time to take what is under way."""


class Socket:
    """The connection itself; ``rest`` is what came behind the request's head."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, rest: bytes) -> None:
        self._reader = reader
        self._writer = writer
        self._rest = rest

    async def read(self) -> bytes:
        if self._rest:
            data, self._rest = self._rest, b""
            return data
        try:
            return await self._reader.read(READ_BYTES)
        except OSError:
            return b""

    async def write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def finish(self) -> None:
        """Closing with something unread resets the connection, and takes what the client has not read yet with it."""
        with suppress(OSError, RuntimeError, TimeoutError):
            async with asyncio.timeout(LINGER_SECONDS):
                await self._writer.drain()
                self._writer.write_eof()
                while await self._reader.read(READ_BYTES):
                    pass


class WebSocket:
    """Messages over a transport."""

    def __init__(self, below: Transport) -> None:
        self._below = below
        self._machine = websocket.Connection()
        self._said_close = False

    async def receive(self) -> list[websocket.Message] | None:
        """Messages, possibly none yet; None when the client has gone or broken the protocol."""
        if self._said_close:
            return None
        data = await self._below.read()
        if not data:
            return None
        try:
            events = self._machine.receive(data)
        except websocket.WebSocketError as error:
            await self._close(error.code, str(error))
            return None
        messages: list[websocket.Message] = []
        for event in events:
            if isinstance(event, websocket.Message):
                messages.append(event)
            elif isinstance(event, websocket.Ping):
                with suppress(ConnectionError):
                    await self._below.write(event.answer)
            elif isinstance(event, websocket.Close):
                # What came before it still counts.
                await self._close(1000 if event.code == 1005 else event.code, "")
                return messages or None
        return messages

    async def send(self, data: bytes, *, text: bool = False) -> None:
        await self._below.write(self._machine.send(data, text))

    async def _close(self, code: int, reason: str) -> None:
        if self._said_close:
            return
        self._said_close = True
        with suppress(ConnectionError):
            await self._below.write(self._machine.close(code, reason))

    async def finish(self) -> None:
        await self._close(1000, "")
        await self._below.finish()


class Tunnel:
    """A stream of bytes that is cut into binary WebSocket messages, however it falls."""

    def __init__(self, below: WebSocket) -> None:
        self._below = below

    async def read(self) -> bytes:
        while (messages := await self._below.receive()) is not None:
            if data := b"".join(message.data for message in messages):
                return data
        return b""

    async def write(self, data: bytes) -> None:
        await self._below.send(data)

    async def finish(self) -> None:
        await self._below.finish()
