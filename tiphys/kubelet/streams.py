"""Copies bytes both ways between a client of the kubelet and the runtime's streaming server."""

import asyncio
import contextlib
from urllib.parse import urlsplit

from tiphys.wire import http1

BLOCK_BYTES = 64 * 1024
#: Headers of the hop between the client and us.
_OWN = frozenset({"host", "authorization"})


async def relay(
    head: http1.Head, rest: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, url: str
) -> None:
    """Send the client's request on to ``url`` and pass on whatever either side says, until both have ended.

    Raises OSError if the runtime cannot be reached.
    """
    target = urlsplit(url)
    far_reader, far_writer = await asyncio.open_connection(target.hostname, target.port)
    try:
        headers = [("Host", target.netloc), *((name, text) for name, text in head.lines if name not in _OWN)]
        path = f"{target.path}?{target.query}" if target.query else target.path
        far_writer.write(http1.encode_request(head.method, path, headers) + rest)
        await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer, last=far_writer))
    finally:
        for side in (far_writer, writer):
            side.close()


async def _copy(
    source: asyncio.StreamReader, sink: asyncio.StreamWriter, last: asyncio.StreamWriter | None = None
) -> None:
    """Until the source ends. When the runtime's side (``last``) has ended, the client's is over as well."""
    with contextlib.suppress(ConnectionError):
        while data := await source.read(BLOCK_BYTES):
            sink.write(data)
            await sink.drain()
    if last is not None:
        last.close()
        sink.close()
    elif not sink.is_closing() and sink.can_write_eof():
        with contextlib.suppress(OSError):
            sink.write_eof()
