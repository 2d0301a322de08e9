"""Heads of HTTP/1.1 messages, for connections that are upgraded to something else.

Bodies are left to whoever holds the connection: what follows the head is
handed over untouched.
Source: RFC 9112 §2 to §5, RFC 9110 §7.8.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

MAX_HEAD_BYTES: Final = 1024 * 1024
_TOKEN: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9]{2})(?: ([^\r\n]*))?")
_REQUEST_LINE: Final = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([!-~\x80-\xff]+) HTTP/1\.([01])")


class HttpError(ValueError):
    """The peer's head is malformed or too long."""


@dataclass(slots=True)
class Head:
    """A request's or a response's head. Header names are lower-case; repeated ones are joined by a comma."""

    method: str = ""
    target: str = ""
    status: int = 0
    reason: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    #: Each header line in order, where joining would lose something (Set-Cookie, X-Stream-Protocol-Version).
    lines: list[tuple[str, str]] = field(default_factory=list)

    def all(self, name: str) -> list[str]:
        """Every value of a header that is a list, split at commas."""
        return [value.strip() for key, line in self.lines if key == name for value in line.split(",") if value.strip()]

    def upgrades_to(self, protocol: str) -> bool:
        """Whether the head asks for, or grants, a switch to ``protocol``."""
        connection = [value.lower() for value in self.all("connection")]
        return "upgrade" in connection and protocol.lower() in [value.lower() for value in self.all("upgrade")]


class HeadParser:
    """Reads one head; ``rest`` then holds what came behind it."""

    def __init__(self, kind: Literal["request", "response"], max_bytes: int = MAX_HEAD_BYTES) -> None:
        self._kind = kind
        self._max = max_bytes
        self._held = bytearray()
        self.rest = b""

    def receive(self, data: bytes) -> Head | None:
        """The head once it is complete. Raises HttpError."""
        begin = max(0, len(self._held) - 3)
        self._held += data
        end = self._held.find(b"\r\n\r\n", begin)
        if end < 0 or end > self._max:
            if len(self._held) > self._max:
                raise HttpError(f"head is larger than {self._max} bytes")
            return None
        self.rest = bytes(self._held[end + 4 :])
        first, *lines = bytes(self._held[:end]).split(b"\r\n")
        self._held.clear()
        head = _request_line(first) if self._kind == "request" else _status_line(first)
        for line in lines:
            _add_header(head, line)
        return head


def _request_line(line: bytes) -> Head:
    match = _REQUEST_LINE.fullmatch(line)
    if match is None:
        raise HttpError(f"malformed request line {line[:80]!r}")
    return Head(method=match[1].decode(), target=match[2].decode("latin-1"))


def _status_line(line: bytes) -> Head:
    match = _STATUS_LINE.fullmatch(line)
    if match is None:
        raise HttpError(f"malformed status line {line[:80]!r}")
    return Head(status=int(match[2]), reason=(match[3] or b"").decode("latin-1"))


def _add_header(head: Head, line: bytes) -> None:
    name, colon, value = line.partition(b":")
    if not colon or not _TOKEN.fullmatch(name) or any(byte in value for byte in b"\r\n\0"):
        raise HttpError(f"malformed header line {line[:80]!r}")
    key, text = name.decode().lower(), value.strip(b" \t").decode("latin-1")
    head.lines.append((key, text))
    head.headers[key] = f"{head.headers[key]}, {text}" if key in head.headers else text


def encode_request(method: str, target: str, headers: Mapping[str, str] | Iterable[tuple[str, str]]) -> bytes:
    return _encoded(f"{method} {target} HTTP/1.1", headers)


def encode_response(status: int, reason: str, headers: Mapping[str, str] | Iterable[tuple[str, str]]) -> bytes:
    return _encoded(f"HTTP/1.1 {status} {reason}", headers)


def _encoded(first: str, headers: Mapping[str, str] | Iterable[tuple[str, str]]) -> bytes:
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    lines = [first, *(f"{name}: {value}" for name, value in pairs)]
    if any("\r" in line or "\n" in line or "\0" in line for line in lines):
        raise HttpError("line break in a head")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
