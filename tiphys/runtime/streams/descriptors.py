"""Pipes and terminals of containers, read and written on the event loop without blocking it."""

import asyncio
import fcntl
import os
import struct
import termios
from contextlib import suppress

from tiphys.wire.channels import Size

BLOCK_BYTES = 64 * 1024
#: Pieces of input that wait for a program that does not read; then the client is held back.
INPUT_PIECES_MAX = 16
_SIZE_MAX = 0xFFFF


async def read(descriptor: int) -> bytes:
    """What is there, waiting for some; empty at the end."""
    while True:
        try:
            return os.read(descriptor, BLOCK_BYTES)
        except BlockingIOError:
            await _ready(descriptor, write=False)
        except OSError:
            # A terminal whose last user has gone reports EIO instead of an end.
            return b""


async def write(descriptor: int, data: bytes) -> None:
    """All of it. Raises OSError (EPIPE, EIO) when nobody reads any more."""
    left = memoryview(data)
    while left:
        try:
            left = left[os.write(descriptor, left) :]
        except BlockingIOError:
            await _ready(descriptor, write=True)


async def _ready(descriptor: int, *, write: bool) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        if not ready.done():
            ready.set_result(None)

    if write:
        loop.add_writer(descriptor, wake)
    else:
        loop.add_reader(descriptor, wake)
    try:
        await ready
    finally:
        if write:
            loop.remove_writer(descriptor)
        else:
            loop.remove_reader(descriptor)


def close(descriptor: int) -> None:
    with suppress(OSError):
        os.close(descriptor)


def resize(terminal: int, size: Size) -> None:
    """Sizes of nothing are ignored, as kubelets do."""
    if size.width < 1 or size.height < 1:
        return
    rows, columns = min(size.height, _SIZE_MAX), min(size.width, _SIZE_MAX)
    with suppress(OSError):
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


class Input:
    """What a client types, on its way to a program: a bounded queue in front of a descriptor.

    ``run`` empties it and is a task of its own, so that a program that does not read
    holds up neither sizes nor the news that the client has gone.
    """

    def __init__(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        self._descriptor = descriptor
        self._pieces: asyncio.Queue[bytes | None] = asyncio.Queue(INPUT_PIECES_MAX)
        self._ended = False

    async def put(self, data: bytes) -> None:
        if data and not self._ended:
            await self._pieces.put(data)

    async def end(self) -> None:
        """Nothing follows."""
        if not self._ended:
            self._ended = True
            await self._pieces.put(None)

    async def run(self) -> None:
        """Until the end that the client gave; what a program no longer wants is dropped."""
        broken = False
        while (data := await self._pieces.get()) is not None:
            if not broken:
                try:
                    await write(self._descriptor, data)
                except OSError:
                    broken = True
