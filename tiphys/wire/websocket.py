"""WebSocket connections after the handshake, and the handshake's arithmetic.

Both sides. Messages are put together from their fragments; pings are reported
with the bytes that answer them, so that the owner of the socket decides when.
Source: RFC 6455; no extensions.
"""

import base64
import hashlib
from collections.abc import Callable
from typing import Final, NamedTuple

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG = 0, 1, 2, 8, 9, 10
MAX_MESSAGE_BYTES: Final = 32 * 1024 * 1024


class WebSocketError(ValueError):
    """The peer broke the protocol; close with ``code`` and hang up."""

    def __init__(self, message: str, code: int = 1002) -> None:
        super().__init__(message)
        self.code = code


class Message(NamedTuple):
    data: bytes
    text: bool


class Ping(NamedTuple):
    """To be answered by sending ``answer``."""

    answer: bytes


class Pong(NamedTuple):
    data: bytes


class Close(NamedTuple):
    """The peer closes; 1005 means that it gave no code."""

    code: int
    reason: str


Event = Message | Ping | Pong | Close


def accept_key(key: str) -> str:
    """``Sec-WebSocket-Accept`` for a ``Sec-WebSocket-Key``. Source: RFC 6455 §4.2.2."""
    digest = hashlib.sha1(key.encode() + _GUID, usedforsecurity=False).digest()
    return base64.b64encode(digest).decode()


def masked(data: bytes, mask: bytes) -> bytes:
    """``data`` with ``mask`` repeated over it; its own inverse. One big number is far faster than a loop."""
    size = len(data)
    if not size:
        return b""
    repeated = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(data, "little") ^ int.from_bytes(repeated, "little")).to_bytes(size, "little")


class Connection:
    """One side of a connection. A client draws its masks from ``random_bytes``; a server passes None."""

    def __init__(
        self, random_bytes: Callable[[int], bytes] | None = None, max_message_bytes: int = MAX_MESSAGE_BYTES
    ) -> None:
        self._random_bytes = random_bytes
        self._max = max_message_bytes
        self._held = bytearray()
        self._fragments: list[bytes] = []
        self._fragments_size = 0
        self._text: bool | None = None
        #: The peer has sent its close; nothing follows.
        self.closed = False

    def receive(self, data: bytes) -> list[Event]:
        """The events that ``data`` completes. Raises WebSocketError."""
        self._held += data
        found: list[Event] = []
        while not self.closed and (frame := self._next_frame()) is not None:
            event = self._event(*frame)
            if event is not None:
                found.append(event)
        return found

    def send(self, data: bytes, text: bool = False) -> bytes:
        """A whole message."""
        return self._frame(_TEXT if text else _BINARY, data)

    def ping(self, data: bytes = b"") -> bytes:
        return self._frame(_PING, data)

    def close(self, code: int = 1000, reason: str = "") -> bytes:
        """The close frame; 1005 sends none of code and reason."""
        body = b"" if code == 1005 else code.to_bytes(2, "big") + reason.encode()[:123]
        return self._frame(_CLOSE, body)

    def _frame(self, opcode: int, data: bytes) -> bytes:
        size = len(data)
        mask_bit = 0x80 if self._random_bytes else 0
        if size < 126:
            head = bytes((0x80 | opcode, mask_bit | size))
        elif size < 65536:
            head = bytes((0x80 | opcode, mask_bit | 126)) + size.to_bytes(2, "big")
        else:
            head = bytes((0x80 | opcode, mask_bit | 127)) + size.to_bytes(8, "big")
        if self._random_bytes is None:
            return head + data
        mask = self._random_bytes(4)
        return head + mask + masked(data, mask)

    def _next_frame(self) -> tuple[int, bool, bytes] | None:
        """Opcode, whether it is final, and payload of the next complete frame."""
        held = self._held
        if len(held) < 2:
            return None
        first, second = held[0], held[1]
        if first & 0x70:
            raise WebSocketError("reserved bits are set")
        if bool(second & 0x80) != (self._random_bytes is None):
            raise WebSocketError("frame is masked" if self._random_bytes else "frame is not masked")
        size, start = second & 0x7F, 2
        if size > 125:
            if first & 0x08:
                raise WebSocketError("control frame is too long")
            width = 2 if size == 126 else 8
            start += width
            if len(held) < start:
                return None
            size = int.from_bytes(held[2:start], "big")
        if size + self._fragments_size > self._max:
            raise WebSocketError(f"message is larger than {self._max} bytes", 1009)
        mask_size = 0 if self._random_bytes else 4
        end = start + mask_size + size
        if len(held) < end:
            return None
        payload = bytes(held[start + mask_size : end])
        if mask_size:
            payload = masked(payload, bytes(held[start : start + 4]))
        del held[:end]
        return first & 0x0F, bool(first & 0x80), payload

    def _event(self, opcode: int, final: bool, payload: bytes) -> Event | None:
        if opcode >= _CLOSE:
            return self._control(opcode, final, payload)
        if opcode == _CONTINUATION:
            if self._text is None:
                raise WebSocketError("continuation of nothing")
        elif opcode in (_TEXT, _BINARY):
            if self._text is not None:
                raise WebSocketError("message inside a message")
            self._text = opcode == _TEXT
        else:
            raise WebSocketError(f"unknown opcode {opcode}")
        self._fragments.append(payload)
        self._fragments_size += len(payload)
        if not final:
            return None
        message = Message(b"".join(self._fragments), bool(self._text))
        self._fragments, self._fragments_size, self._text = [], 0, None
        return message

    def _control(self, opcode: int, final: bool, payload: bytes) -> Event:
        if not final:
            raise WebSocketError("fragmented control frame")
        if opcode == _PING:
            return Ping(self._frame(_PONG, payload))
        if opcode == _PONG:
            return Pong(payload)
        if opcode != _CLOSE:
            raise WebSocketError(f"unknown opcode {opcode}")
        self.closed = True
        if len(payload) == 1:
            raise WebSocketError("close code is cut off")
        if not payload:
            return Close(1005, "")
        return Close(int.from_bytes(payload[:2], "big"), payload[2:].decode(errors="replace"))
