"""The runtime's end of the spawner's socket."""

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

PACKET_BYTES_MAX = 4 * 1024 * 1024
SO_SNDBUFFORCE = 32
Message = dict[str, Any]


class SpawnError(Exception):
    """A step in the child failed; the text is for users, ``step`` and ``number`` (errno) for decisions."""

    def __init__(self, step: str, message: str, number: int) -> None:
        super().__init__(message)
        self.step = step
        self.number = number


class Spawner:
    """One connection. ``on_exit`` hears of every process that ends."""

    def __init__(self, path: Path, on_exit: Callable[[Message], None]) -> None:
        self._path = path
        self._on_exit = on_exit
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
        self._waiting: dict[int, asyncio.Future[tuple[Message, list[int]]]] = {}
        self._number = 0
        self._sending = asyncio.Lock()
        self._lost: asyncio.Future[None] | None = None

    async def __aenter__(self) -> "Spawner":
        loop = asyncio.get_running_loop()
        self._lost = loop.create_future()
        with contextlib.suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, PACKET_BYTES_MAX)
        await loop.sock_connect(self._socket, str(self._path))
        loop.add_reader(self._socket, self._read)
        return self

    async def __aexit__(self, *_: object) -> None:
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()
        self._fail(ConnectionError("the connection to the spawner is closed"))

    async def wait(self) -> None:
        """Return only by raising, when the spawner is gone."""
        assert self._lost is not None
        await asyncio.shield(self._lost)

    async def call(self, op: str, descriptors: list[int] | None = None, **fields: Any) -> Message:
        """Ask and get the answer; descriptors that come with it are closed. Raises SpawnError, ConnectionError."""
        answer, received = await self.call_with_descriptors(op, descriptors, **fields)
        for descriptor in received:
            os.close(descriptor)
        return answer

    async def call_with_descriptors(
        self, op: str, descriptors: list[int] | None = None, **fields: Any
    ) -> tuple[Message, list[int]]:
        """As ``call``; descriptors in the answer are the caller's to close."""
        self._number += 1
        number = self._number
        answer: asyncio.Future[tuple[Message, list[int]]] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        packet = json.dumps({"n": number, "op": op, **fields}).encode()
        if len(packet) > PACKET_BYTES_MAX:
            del self._waiting[number]
            raise SpawnError("request", "the container's configuration is too large", 7)
        try:
            async with self._sending:
                await self._send(packet, descriptors or [])
        except OSError as error:
            raise ConnectionError(f"the spawner does not answer: {error}") from error
        else:
            return await answer
        finally:
            self._waiting.pop(number, None)

    async def _send(self, packet: bytes, descriptors: list[int]) -> None:
        """Many requests at once may be more than the socket holds."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                socket.send_fds(self._socket, [packet], descriptors)
                return
            except BlockingIOError:
                room: asyncio.Future[None] = loop.create_future()
                loop.add_writer(self._socket, _settle, room)
                try:
                    await room
                finally:
                    loop.remove_writer(self._socket)

    def _read(self) -> None:
        while True:
            try:
                data, descriptors, _, _ = socket.recv_fds(self._socket, PACKET_BYTES_MAX, 4)
            except BlockingIOError:
                return
            except OSError:
                data, descriptors = b"", []
            if not data:
                asyncio.get_running_loop().remove_reader(self._socket)
                self._fail(ConnectionError("the spawner is gone"))
                return
            self._take(json.loads(data), list(descriptors))

    def _take(self, message: Message, descriptors: list[int]) -> None:
        if "event" in message:
            self._on_exit(message)
            return
        waiting = self._waiting.pop(message["n"], None)
        if waiting is None or waiting.done():
            for descriptor in descriptors:
                os.close(descriptor)
        elif (error := message.get("error")) is not None:
            waiting.set_exception(SpawnError(error["step"], error["message"], error["errno"]))
        else:
            waiting.set_result((message["ok"], descriptors))

    def _fail(self, error: ConnectionError) -> None:
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(error)
        self._waiting.clear()
        if self._lost is not None and not self._lost.done():
            self._lost.set_exception(error)
            # Whoever waits is told; when nobody does, there is nothing to say at exit either.
            self._lost.exception()


def _settle(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)
