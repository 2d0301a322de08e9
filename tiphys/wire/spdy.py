"""SPDY/3.1 connections, for clients that exec, attach and port-forward over it.

Both sides. The peers that we meet (every kubectl before 1.31, and newer ones as
a fallback) send no window updates and heed none, so this machine keeps no
windows: whoever moves the bytes bounds what is under way.
Source: SPDY Protocol, draft 3.1.
"""

import struct
import zlib
from collections.abc import Mapping
from typing import Final, NamedTuple

from tiphys.wire.spdy_dictionary import DICTIONARY

VERSION: Final = 3
MAX_FRAME_BYTES: Final = 2**24 - 1
_MAX_HEADER_BYTES: Final = 1024 * 1024

SYN_STREAM, SYN_REPLY, RST_STREAM, SETTINGS, PING, GOAWAY, HEADERS, WINDOW_UPDATE = 1, 2, 3, 4, 6, 7, 8, 9
FLAG_FIN: Final = 1
FLAG_UNIDIRECTIONAL: Final = 2

PROTOCOL_ERROR: Final = 1
INVALID_STREAM: Final = 2
REFUSED_STREAM: Final = 3
UNSUPPORTED_VERSION: Final = 4
CANCEL: Final = 5
INTERNAL_ERROR: Final = 6
FLOW_CONTROL_ERROR: Final = 7


class SpdyError(ValueError):
    """The peer broke the protocol; send ``goaway(1)`` and hang up."""


class StreamOpened(NamedTuple):
    """The peer opens a stream; header names are lower-case."""

    stream: int
    headers: dict[str, str]
    fin: bool


class StreamReplied(NamedTuple):
    stream: int
    headers: dict[str, str]
    fin: bool


class HeadersReceived(NamedTuple):
    stream: int
    headers: dict[str, str]
    fin: bool


class DataReceived(NamedTuple):
    stream: int
    data: bytes
    fin: bool


class StreamReset(NamedTuple):
    stream: int
    status: int


class PingReceived(NamedTuple):
    """To be answered by sending ``answer``; it is empty for the answer to a ping of our own."""

    id: int
    answer: bytes


class GoAway(NamedTuple):
    last_stream: int
    status: int


class WindowUpdated(NamedTuple):
    stream: int
    delta: int


class SettingsReceived(NamedTuple):
    values: dict[int, int]


Event = (
    StreamOpened
    | StreamReplied
    | HeadersReceived
    | DataReceived
    | StreamReset
    | PingReceived
    | GoAway
    | WindowUpdated
    | SettingsReceived
)


class Connection:
    """One side of a connection."""

    def __init__(self, client: bool) -> None:
        self._client = client
        self._held = bytearray()
        #: Headers of one direction share one compression context, so they are coded in the order of sending.
        self._compressor = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS, 8, zlib.Z_DEFAULT_STRATEGY, DICTIONARY)
        self._decompressor = zlib.decompressobj(zdict=DICTIONARY)
        self._next_stream = 1 if client else 2
        self._next_ping = 1 if client else 2
        self._last_opened = 0

    def receive(self, data: bytes) -> list[Event]:
        """The events that ``data`` completes. Raises SpdyError."""
        held = self._held
        held += data
        found: list[Event] = []
        start = 0
        while len(held) - start >= 8:
            first, second = struct.unpack_from(">II", held, start)
            end = start + 8 + (second & 0xFFFFFF)
            if len(held) < end:
                break
            body = bytes(held[start + 8 : end])
            start = end
            event = self._event(first, second >> 24, body)
            if event is not None:
                found.append(event)
        del held[:start]
        return found

    def _event(self, first: int, flags: int, body: bytes) -> Event | None:
        fin = bool(flags & FLAG_FIN)
        if not first & 0x80000000:
            return DataReceived(first, body, fin)
        if first >> 16 & 0x7FFF != VERSION:
            raise SpdyError(f"unsupported version {first >> 16 & 0x7FFF}")
        try:
            return self._control(first & 0xFFFF, fin, body)
        except struct.error as error:
            raise SpdyError(f"control frame is cut off: {error}") from error

    def _control(self, kind: int, fin: bool, body: bytes) -> Event | None:
        if kind == SYN_STREAM:
            stream = struct.unpack_from(">I", body)[0] & 0x7FFFFFFF
            headers = self._decompressed(body[10:])
            if stream % 2 == int(self._client) or stream <= self._last_opened:
                raise SpdyError(f"stream {stream} may not be opened")
            self._last_opened = stream
            return StreamOpened(stream, headers, fin)
        if kind in (SYN_REPLY, HEADERS):
            stream = struct.unpack_from(">I", body)[0] & 0x7FFFFFFF
            headers = self._decompressed(body[4:])
            return (StreamReplied if kind == SYN_REPLY else HeadersReceived)(stream, headers, fin)
        if kind == PING:
            number = struct.unpack_from(">I", body)[0]
            ours = number % 2 == int(self._client)
            return PingReceived(number, b"" if ours else _control_frame(PING, 0, struct.pack(">I", number)))
        if kind == SETTINGS:
            return _settings(body)
        if kind in (RST_STREAM, GOAWAY, WINDOW_UPDATE):
            stream, number = struct.unpack_from(">II", body)
            stream &= 0x7FFFFFFF
            if kind == RST_STREAM:
                return StreamReset(stream, number)
            return GoAway(stream, number) if kind == GOAWAY else WindowUpdated(stream, number & 0x7FFFFFFF)
        # Unknown control frames are ignored (draft 3.1, §2.2.1).
        return None

    def _decompressed(self, block: bytes) -> dict[str, str]:
        try:
            data = self._decompressor.decompress(block, _MAX_HEADER_BYTES)
        except zlib.error as error:
            raise SpdyError(f"headers cannot be decompressed: {error}") from error
        if self._decompressor.unconsumed_tail:
            raise SpdyError("headers are too long")
        return _parsed_headers(data)

    def _compressed(self, headers: Mapping[str, str]) -> bytes:
        block = struct.pack(">I", len(headers)) + b"".join(
            _counted(part) for name, value in headers.items() for part in (name.lower(), value)
        )
        return self._compressor.compress(block) + self._compressor.flush(zlib.Z_SYNC_FLUSH)

    def open_stream(self, headers: Mapping[str, str], fin: bool = False, priority: int = 0) -> tuple[int, bytes]:
        """A new stream's number and the bytes that open it. Several values of a header are joined by NUL."""
        stream = self._next_stream
        self._next_stream += 2
        head = struct.pack(">IIBB", stream, 0, priority << 5, 0)
        return stream, _control_frame(SYN_STREAM, int(fin), head + self._compressed(headers))

    def reply(self, stream: int, headers: Mapping[str, str] | None = None, fin: bool = False) -> bytes:
        return _control_frame(SYN_REPLY, int(fin), struct.pack(">I", stream) + self._compressed(headers or {}))

    def headers(self, stream: int, headers: Mapping[str, str], fin: bool = False) -> bytes:
        return _control_frame(HEADERS, int(fin), struct.pack(">I", stream) + self._compressed(headers))

    def data(self, stream: int, data: bytes, fin: bool = False) -> bytes:
        """``data`` in as many frames as it takes; ``fin`` says that none follow on the stream."""
        if len(data) <= MAX_FRAME_BYTES:
            return struct.pack(">II", stream, int(fin) << 24 | len(data)) + data
        head, rest = data[:MAX_FRAME_BYTES], data[MAX_FRAME_BYTES:]
        return self.data(stream, head) + self.data(stream, rest, fin)

    def reset(self, stream: int, status: int = CANCEL) -> bytes:
        return _control_frame(RST_STREAM, 0, struct.pack(">II", stream, status))

    def ping(self) -> bytes:
        number = self._next_ping
        self._next_ping += 2
        return _control_frame(PING, 0, struct.pack(">I", number))

    def goaway(self, status: int = 0) -> bytes:
        return _control_frame(GOAWAY, 0, struct.pack(">II", self._last_opened, status))

    def window_update(self, stream: int, delta: int) -> bytes:
        return _control_frame(WINDOW_UPDATE, 0, struct.pack(">II", stream, delta))

    def settings(self, values: Mapping[int, int]) -> bytes:
        entries = b"".join(struct.pack(">II", number & 0xFFFFFF, value) for number, value in values.items())
        return _control_frame(SETTINGS, 0, struct.pack(">I", len(values)) + entries)


def _control_frame(kind: int, flags: int, body: bytes) -> bytes:
    return struct.pack(">HHI", 0x8000 | VERSION, kind, flags << 24 | len(body)) + body


def _settings(body: bytes) -> SettingsReceived:
    count = struct.unpack_from(">I", body)[0]
    if len(body) < 4 + 8 * count:
        raise SpdyError("settings are cut off")
    pairs = struct.iter_unpack(">II", body[4 : 4 + 8 * count])
    return SettingsReceived({number & 0xFFFFFF: value for number, value in pairs})


def _counted(text: str) -> bytes:
    data = text.encode()
    return struct.pack(">I", len(data)) + data


def _parsed_headers(block: bytes) -> dict[str, str]:
    if len(block) < 4:
        raise SpdyError("headers are cut off")
    count, position = struct.unpack_from(">I", block)[0], 4
    headers: dict[str, str] = {}
    for _ in range(count):
        name, position = _counted_at(block, position)
        value, position = _counted_at(block, position)
        if not name or name in headers:
            raise SpdyError(f"bad header name {name!r}")
        headers[name] = value
    return headers


def _counted_at(block: bytes, position: int) -> tuple[str, int]:
    if len(block) < position + 4:
        raise SpdyError("headers are cut off")
    start = position + 4
    end = start + int.from_bytes(block[position:start], "big")
    if len(block) < end:
        raise SpdyError("headers are cut off")
    return block[start:end].decode(errors="replace"), end
