"""Short calls over HTTP/1.1: a pool of keep-alive connections, one call at a time on each.

A general client costs 100 µs and more for each call, which is most of what a
controller or the scheduler spends on a Pod; this one costs a third, by leaving
out all that the API's short calls never need: redirects, cookies, compression,
streaming. Streams, which are few and long, stay with aiohttp.
Source: RFC 9112 §6 (message body length), §7.1 (chunked), §9.3 (persistence).
"""

import asyncio
import ssl
from collections import deque
from typing import cast

from tiphys.wire.exchange import Response
from tiphys.wire.http1 import Head, HeadParser, HttpError

#: An idle connection is not used again after this: the server may be closing it at that moment.
IDLE_SECONDS = 60.0


class ResponseParser:
    """Reads one answer. No I/O."""

    def __init__(self, method: str) -> None:
        self._method = method
        self._heads = HeadParser("response")
        self._head: Head | None = None
        self._held = bytearray()
        #: Bytes of the body still to come; -1 for chunked, -2 for "until the connection ends".
        self._length = 0
        self._body = bytearray()
        #: Whether the connection may carry another call.
        self.reusable = False

    def receive(self, data: bytes) -> Response | None:
        """The answer once it is complete. Raises HttpError."""
        if self._head is None:
            head = self._heads.receive(data)
            if head is None:
                return None
            data = self._heads.rest
            if head.status < 200:
                # An interim answer; the real one follows.
                self._heads = HeadParser("response")
                return self.receive(data)
            self._begin(head)
        self._held += data
        if self._length == -1:
            return self._answer() if self._unchunk() else None
        if self._length >= 0 and len(self._held) >= self._length:
            self._body, self._held = self._held[: self._length], self._held[self._length :]
            return self._answer()
        return None

    def end(self) -> Response | None:
        """The connection has ended: the answer, if that is what its body's end was to be."""
        if self._head is None or self._length != -2:
            return None
        self._body = self._held
        self.reusable = False
        return self._answer()

    def _begin(self, head: Head) -> None:
        self._head = head
        self.reusable = "close" not in (value.lower() for value in head.all("connection"))
        if self._method == "HEAD" or head.status in (204, 304):
            self._length = 0
        elif "transfer-encoding" in head.headers:
            self._length = -1
        else:
            length = head.headers.get("content-length", "-2")
            if length != "-2" and not (length.isascii() and length.isdigit()):
                raise HttpError(f"malformed content-length {length[:40]!r}")
            self._length = int(length)

    def _unchunk(self) -> bool:
        """Move complete chunks to the body; whether the last one has been read."""
        while (end := self._held.find(b"\r\n")) >= 0:
            digits = bytes(self._held[:end]).partition(b";")[0].strip()
            try:
                size = int(digits, 16)
            except ValueError:
                raise HttpError(f"malformed chunk size {digits[:40]!r}") from None
            if size == 0:
                return self._skip_trailers(end + 2)
            if len(self._held) < end + 2 + size + 2:
                return False
            self._body += self._held[end + 2 : end + 2 + size]
            del self._held[: end + 2 + size + 2]
        return False

    def _skip_trailers(self, start: int) -> bool:
        if self._held[start : start + 2] == b"\r\n":
            del self._held[: start + 2]
            return True
        end = self._held.find(b"\r\n\r\n", start)
        if end < 0:
            return False
        del self._held[: end + 4]
        return True

    def _answer(self) -> Response:
        assert self._head is not None
        # What comes after an answer that nobody asked for means that the two sides are out of step.
        self.reusable = self.reusable and not self._held
        return Response(self._head.status, self._head.headers, bytes(self._body))


class _Connection(asyncio.Protocol):
    """One connection. ``call`` is not entered twice at a time."""

    def __init__(self) -> None:
        self.lost = False
        self.idle_since = 0.0
        self._transport: asyncio.Transport | None = None
        self._parser: ResponseParser | None = None
        self._answer: asyncio.Future[Response] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not asserted: uvloop's TLS transport is one in behaviour, not by class.
        self._transport = cast(asyncio.Transport, transport)

    async def call(self, method: str, data: bytes) -> Response:
        """Raises ConnectionError. Whatever ends it early closes the connection: an answer may still be coming."""
        assert self._transport is not None
        if self.lost:
            raise ConnectionResetError("the server has closed the connection")
        self._parser = ResponseParser(method)
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(data)
        try:
            return await self._answer
        except BaseException:
            self.close()
            raise
        finally:
            if not self._parser.reusable:
                self.close()
            self._parser = self._answer = None

    def data_received(self, data: bytes) -> None:
        if self._parser is None or self._answer is None or self._answer.done():
            # Not asked for.
            self.close()
            return
        try:
            response = self._parser.receive(data)
        except HttpError as error:
            self._fail(ConnectionError(f"not HTTP: {error}"))
            return
        if response is not None:
            self._answer.set_result(response)

    def connection_lost(self, error: Exception | None) -> None:
        self.lost = True
        response = self._parser.end() if self._parser is not None else None
        if response is not None and self._answer is not None and not self._answer.done():
            self._answer.set_result(response)
        else:
            self._fail(error or ConnectionResetError("the server has closed the connection"))

    def close(self) -> None:
        self.lost = True
        if self._transport is not None:
            self._transport.abort()

    def _fail(self, error: Exception) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error if isinstance(error, OSError) else ConnectionError(str(error)))


class Pool:
    """Connections to one server, ``size`` at most; further calls wait their turn, first come first served."""

    def __init__(
        self, host: str, port: int, tls: ssl.SSLContext | None, size: int, connect_timeout_seconds: float
    ) -> None:
        self._host = host
        self._port = port
        self._tls = tls
        self._connect_timeout_seconds = connect_timeout_seconds
        self._slots = asyncio.Semaphore(size)
        self._idle: deque[_Connection] = deque()
        self._all: set[_Connection] = set()

    async def call(self, method: str, data: bytes) -> Response:
        """Raises NotConnected if nothing was sent, other OSErrors if it may have been."""
        async with self._slots:
            connection = self._take() or await self._connect()
            try:
                response = await connection.call(method, data)
            finally:
                self._give_back(connection)
            return response

    def close(self) -> None:
        for connection in list(self._all):
            connection.close()
        self._all.clear()
        self._idle.clear()

    def _take(self) -> _Connection | None:
        """The connection used last, so that superfluous ones grow old and go."""
        now = asyncio.get_running_loop().time()
        while self._idle and (self._idle[0].lost or now - self._idle[0].idle_since > IDLE_SECONDS):
            self._drop(self._idle.popleft())
        while self._idle:
            connection = self._idle.pop()
            if not connection.lost:
                return connection
            self._drop(connection)
        return None

    def _give_back(self, connection: _Connection) -> None:
        if connection.lost:
            self._drop(connection)
            return
        connection.idle_since = asyncio.get_running_loop().time()
        self._idle.append(connection)

    def _drop(self, connection: _Connection) -> None:
        connection.close()
        self._all.discard(connection)

    async def _connect(self) -> _Connection:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._connect_timeout_seconds):
                _, connection = await loop.create_connection(
                    _Connection,
                    self._host,
                    self._port,
                    ssl=self._tls,
                    server_hostname=self._host if self._tls else None,
                )
        except (OSError, TimeoutError) as error:
            raise NotConnected(str(error) or type(error).__name__) from error
        self._all.add(connection)
        return connection


class NotConnected(ConnectionError):
    """There is no connection, so nothing was sent."""
