"""What exec, attach and port-forward say over a WebSocket.

Each message begins with the number of a channel. In the ``base64`` protocols
the number is a digit and the rest is base64, in text messages; in the others
messages are binary. ``v5`` can also close one channel.
Source: KEP-4006 "Transition from SPDY to WebSockets"; kubelet's and kubectl's behaviour.
"""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import msgspec

from tiphys.api import meta_v1
from tiphys.machinery import codec

STDIN: Final = 0
STDOUT: Final = 1
STDERR: Final = 2
ERROR: Final = 3
RESIZE: Final = 4
CLOSE: Final = 255

V5: Final = "v5.channel.k8s.io"
V4: Final = "v4.channel.k8s.io"
V3: Final = "v3.channel.k8s.io"
V2: Final = "v2.channel.k8s.io"
V1: Final = "channel.k8s.io"
V4_BASE64: Final = "v4.base64.channel.k8s.io"
V1_BASE64: Final = "base64.channel.k8s.io"
#: What a server of exec and attach speaks; the empty one stands for clients that name none.
REMOTE_COMMAND: Final = (V5, V4, V4_BASE64, V3, V2, V1, V1_BASE64, "")
#: What a server of port-forward speaks.
PORT_FORWARD: Final = (V4, V4_BASE64, "")
#: SPDY frames inside WebSocket messages: what kubectl's port-forward asks for first.
PORT_FORWARD_TUNNEL: Final = "SPDY/3.1+portforward.k8s.io"

#: Names of the streams when SPDY carries them (header ``streamType``).
STREAM_TYPES: Final = {"stdin": STDIN, "stdout": STDOUT, "stderr": STDERR, "error": ERROR, "resize": RESIZE}
#: Protocol versions that SPDY clients offer in ``X-Stream-Protocol-Version``.
SPDY_REMOTE_COMMAND: Final = ("v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io")
SPDY_PORT_FORWARD: Final = "portforward.k8s.io"


class ChannelError(ValueError):
    """The peer sent something that is not a message of the protocol."""


class Frame(NamedTuple):
    """Data of one channel; ``close`` says that the channel ends instead."""

    channel: int
    data: bytes
    close: bool = False


def negotiate(offered: Sequence[str], supported: Sequence[str]) -> str | None:
    """The client's first protocol that the server speaks; None if there is none.

    A client that offers nothing gets the empty protocol, if it is supported.
    """
    if not offered:
        return "" if "" in supported else None
    return next((name for name in offered if name in supported and name), None)


class Channels:
    """Messages of one protocol, both ways."""

    def __init__(self, protocol: str) -> None:
        self.protocol = protocol
        #: Whether messages are text, for the WebSocket's opcode.
        self.text = "base64" in protocol
        #: Whether one channel can be closed while the others go on.
        self.can_close = protocol == V5
        #: Whether the error channel carries a Status rather than plain text.
        self.has_status = protocol in (V5, V4, V4_BASE64)

    def encode(self, channel: int, data: bytes = b"") -> bytes:
        if self.text:
            return b"%d" % channel + base64.b64encode(data)
        return bytes((channel,)) + data

    def encode_close(self, channel: int) -> bytes:
        """The end of a channel; nothing may be sent for protocols that cannot say so (``can_close``)."""
        if not self.can_close:
            raise ChannelError(f"protocol {self.protocol!r} cannot close a channel")
        return bytes((CLOSE, channel))

    def decode(self, message: bytes) -> Frame:
        """Raises ChannelError."""
        if not message:
            raise ChannelError("message without a channel")
        channel = message[0]
        if self.text:
            return Frame(channel - 0x30, _decoded(message))
        if channel == CLOSE and self.can_close:
            if len(message) != 2:
                raise ChannelError("close message must be two bytes long")
            return Frame(message[1], b"", close=True)
        return Frame(channel, message[1:])


def _decoded(message: bytes) -> bytes:
    if not 0x30 <= message[0] <= 0x39:
        raise ChannelError(f"invalid channel {message[:1]!r}")
    try:
        return base64.b64decode(message[1:], validate=True)
    except binascii.Error as error:
        raise ChannelError(f"invalid base64: {error}") from error


def success() -> bytes:
    """What the error channel says when a command has ended well."""
    return codec.encode(meta_v1.Status(status="Success"))


def exit_status(code: int, why: str = "") -> bytes:
    """What the error channel says when a command has ended; ``code`` 0 is success."""
    if code == 0:
        return success()
    why = why or f"exit status {code}"
    cause = meta_v1.StatusCause(reason="ExitCode", message=str(code))
    return codec.encode(
        meta_v1.Status(
            status="Failure",
            message=f"command terminated with non-zero exit code: {why}",
            reason="NonZeroExitCode",
            details=meta_v1.StatusDetails(causes=[cause]),
        )
    )


def internal_error(message: str) -> bytes:
    """What the error channel says when the command could not be run or its streams broke."""
    return codec.encode(
        meta_v1.Status(
            status="Failure",
            message=f"Internal error occurred: {message}",
            reason="InternalError",
            details=meta_v1.StatusDetails(causes=[meta_v1.StatusCause(message=message)]),
            code=500,
        )
    )


def parse_exit(data: bytes) -> tuple[int, str]:
    """Exit code and message of an error channel's Status; -1 where there is no code."""
    try:
        status = codec.decode(meta_v1.Status, data)
    except codec.DecodeError:
        return -1, data.decode(errors="replace")
    if status.status == "Success":
        return 0, ""
    causes = (status.details.causes if status.details else None) or []
    codes = [cause.message or "" for cause in causes if cause.reason == "ExitCode"]
    return (int(codes[0]) if codes and codes[0].isdecimal() else -1), status.message or ""


class Size(msgspec.Struct, frozen=True):
    """A terminal's size in characters."""

    width: int = msgspec.field(default=0, name="Width")
    height: int = msgspec.field(default=0, name="Height")


_size: Final = msgspec.json.Decoder(Size)
_encode: Final = msgspec.json.Encoder().encode
_MAX_SIZE_BYTES: Final = 4096


def encode_size(width: int, height: int) -> bytes:
    return _encode(Size(width, height))


class Sizes:
    """The resize channel: JSON objects one after the other, however they are cut."""

    def __init__(self) -> None:
        self._held = b""

    def receive(self, data: bytes) -> list[Size]:
        """The sizes that ``data`` completes. Raises ChannelError."""
        self._held += data
        found: list[Size] = []
        while (end := self._held.find(b"}")) >= 0:
            piece, self._held = self._held[: end + 1], self._held[end + 1 :]
            try:
                found.append(_size.decode(piece))
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise ChannelError(f"invalid terminal size: {error}") from error
        if len(self._held) > _MAX_SIZE_BYTES:
            raise ChannelError("terminal size is too long")
        return found


@dataclass(frozen=True, slots=True)
class Port:
    """A message of a port-forward: data of the port at ``index``, or an error text."""

    index: int
    data: bytes
    error: bool = False


class PortForward:
    """Port-forward: two channels for each port, the even one for data, the odd one for an error text.

    The server begins both with the port's number, two bytes, low one first.
    """

    def __init__(self, protocol: str, ports: Sequence[int]) -> None:
        self.channels = Channels(protocol)
        self.ports = tuple(ports)
        self._greeted: set[int] = set()

    def greetings(self) -> list[bytes]:
        """The server's first messages."""
        return [
            self.channels.encode(2 * index + odd, port.to_bytes(2, "little"))
            for index, port in enumerate(self.ports)
            for odd in (0, 1)
        ]

    def encode(self, index: int, data: bytes) -> bytes:
        return self.channels.encode(2 * index, data)

    def encode_error(self, index: int, text: str) -> bytes:
        return self.channels.encode(2 * index + 1, text.encode())

    def decode(self, message: bytes, greeted: bool = False) -> Port | None:
        """One message; a client passes ``greeted=True`` to have the port numbers taken off (None for them alone)."""
        frame = self.channels.decode(message)
        index, error = frame.channel // 2, frame.channel % 2 == 1
        if index >= len(self.ports):
            raise ChannelError(f"no port has channel {frame.channel}")
        data = frame.data
        if greeted and frame.channel not in self._greeted:
            if len(data) < 2 or int.from_bytes(data[:2], "little") != self.ports[index]:
                raise ChannelError("channel does not begin with its port")
            self._greeted.add(frame.channel)
            data = data[2:]
            if not data:
                return None
        return Port(index, data, error)
