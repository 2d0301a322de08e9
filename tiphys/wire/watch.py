"""The stream of a watch: one JSON object per line, ``{"type": …, "object": …}``."""

from typing import Final, NamedTuple

import msgspec

MAX_EVENT_BYTES: Final = 64 * 1024 * 1024


class WatchFrameError(ValueError):
    """The peer sent something that is not a watch event."""


class Frame(NamedTuple):
    """One event: its type (``ADDED``, ``BOOKMARK``, ``ERROR``, …) and the object's JSON."""

    type: str
    object: bytes


class _Event(msgspec.Struct):
    type: str
    object: msgspec.Raw


_decode: Final = msgspec.json.Decoder(_Event).decode


def encode(type: str, data: bytes) -> bytes:
    """The line of one event; ``data`` is the object's JSON, without line breaks."""
    return b'{"type":"%b","object":%b}\n' % (type.encode(), data)


class Parser:
    """Splits a stream into events, however it is cut."""

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._pieces: list[bytes] = []
        self._held = 0
        self._max = max_event_bytes

    def receive(self, data: bytes) -> list[Frame]:
        """The events that ``data`` completes, in order. Raises WatchFrameError."""
        first, newline, rest = data.partition(b"\n")
        if not newline:
            self._hold(data)
            return []
        self._pieces.append(first)
        lines = [b"".join(self._pieces), *rest.split(b"\n")]
        self._pieces.clear()
        self._held = 0
        self._hold(lines.pop())
        return [_frame(line) for line in lines if line and not line.isspace()]

    def finish(self) -> list[Frame]:
        """What stands unterminated at the end of the stream, if it is a whole event."""
        line = b"".join(self._pieces)
        self._pieces.clear()
        self._held = 0
        return [_frame(line)] if line and not line.isspace() else []

    def _hold(self, data: bytes) -> None:
        if data:
            self._held += len(data)
            if self._held > self._max:
                raise WatchFrameError(f"watch event is larger than {self._max} bytes")
            self._pieces.append(data)


def _frame(line: bytes) -> Frame:
    try:
        event = _decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WatchFrameError(f"unable to decode watch event: {error}") from error
    return Frame(event.type, bytes(event.object))
