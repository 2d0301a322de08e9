"""A command that runs in a container, its streams carried over one WebSocket.

Source: KEP-4006 "Transition from SPDY to WebSockets"; ``tiphys.wire`` holds the protocol.
"""

import base64
import os
import select
import socket
import ssl
import sys
from contextlib import ExitStack
from typing import Final

from tiphys.cli import terminal
from tiphys.cli.errors import ExitCode, UserError
from tiphys.cli.server import Query, Server, refusal
from tiphys.wire import channels, http1, websocket

PIECE: Final = 1 << 16
#: Input is not read while this much of it waits to be sent.
HIGH_WATER_BYTES: Final = 1 << 20


class Session:
    """One remote command; ``run`` returns when it has ended well."""

    def __init__(self, server: Server, path: str, query: Query) -> None:
        self._socket, self._socket_rest = _open(server, path, query)
        self._wire = websocket.Connection(os.urandom)
        self._channels = channels.Channels(channels.V5)
        self._outcome: tuple[int, str] | None = None
        self._ended = False
        self._outgoing = bytearray()

    def run(self, stdin: bool, tty: bool) -> None:
        """Raises ExitCode with the command's exit code if that is not 0; UserError if it did not run."""
        keyboard = sys.stdin.fileno() if stdin else None
        with ExitStack() as stack:
            stack.callback(self._socket.close)
            winch = None
            if tty:
                if keyboard is not None:
                    stack.enter_context(terminal.raw(keyboard))
                winch = stack.enter_context(terminal.resized())
                self._send_size()
            try:
                self._carry(keyboard, winch)
            except (OSError, websocket.WebSocketError, channels.ChannelError) as error:
                raise UserError(f"the connection to the command was lost: {error}") from error
        self._judge()

    def _judge(self) -> None:
        if self._outcome is None:
            raise UserError("the connection to the command ended before the command did")
        code, message = self._outcome
        if code > 0:
            raise ExitCode(code, f"command terminated with exit code {code}")
        if code < 0:
            raise UserError(message)

    def _carry(self, keyboard: int | None, winch: socket.socket | None) -> None:
        """Both ways at once: neither side may wait for the other to read first."""
        self._socket.setblocking(False)
        self._receive(self._socket_rest)
        while not self._ended:
            full = len(self._outgoing) > HIGH_WATER_BYTES
            sources = [winch] if full else [keyboard, winch]
            watched: list[int | socket.socket] = [self._socket, *(found for found in sources if found is not None)]
            # A TLS connection may hold bytes that the kernel no longer has.
            pending = isinstance(self._socket, ssl.SSLSocket) and self._socket.pending()
            ready = select.select(watched, [self._socket] if self._outgoing else [], [], 0 if pending else None)
            if (pending or self._socket in ready[0]) and not self._read_socket():
                return
            if winch is not None and winch in ready[0]:
                winch.recv(PIECE)
                self._send_size()
            if keyboard is not None and keyboard in ready[0]:
                typed = os.read(keyboard, PIECE)
                if typed:
                    self._send(self._channels.encode(channels.STDIN, typed))
                else:
                    self._send(self._channels.encode_close(channels.STDIN))
                    keyboard = None
            self._flush()

    def _read_socket(self) -> bool:
        """False once the other side has hung up."""
        try:
            data = self._socket.recv(PIECE)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return True
        self._receive(data)
        return bool(data)

    def _flush(self) -> None:
        """Send what the connection takes now."""
        try:
            while self._outgoing:
                del self._outgoing[: self._socket.send(self._outgoing)]
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return

    def _receive(self, data: bytes) -> None:
        for event in self._wire.receive(data):
            match event:
                case websocket.Message():
                    self._show(self._channels.decode(event.data))
                case websocket.Ping():
                    self._outgoing += event.answer
                case websocket.Close():
                    self._ended = True

    def _show(self, frame: channels.Frame) -> None:
        if frame.close:
            return
        match frame.channel:
            case channels.STDOUT:
                _write(sys.stdout.fileno(), frame.data)
            case channels.STDERR:
                _write(sys.stderr.fileno(), frame.data)
            case channels.ERROR if frame.data:
                self._outcome = channels.parse_exit(frame.data)
                self._ended = True

    def _send(self, message: bytes) -> None:
        self._outgoing += self._wire.send(message, self._channels.text)

    def _send_size(self) -> None:
        width, height = terminal.size(sys.stdout.fileno())
        if width:
            self._send(self._channels.encode(channels.RESIZE, channels.encode_size(width, height)))


def _open(server: Server, path: str, query: Query) -> tuple[socket.socket, bytes]:
    """The connection after the handshake, and bytes that came with its answer."""
    key = base64.b64encode(os.urandom(16)).decode()
    headers = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": key,
        "Sec-WebSocket-Protocol": channels.V5,
    }
    connection = server.upgrade(path, query, headers)
    parser = http1.HeadParser("response")
    head = None
    while head is None:
        data = connection.recv(PIECE)
        if not data:
            raise UserError("the server hung up instead of opening a stream")
        head = parser.receive(data)
    if head.status != 101:
        refused = refusal(head.status, _body(connection, head, parser.rest))
        # A node answers in plain text; it is the API server that sends a Status.
        raise refused if refused.reason else UserError(f"unable to upgrade connection: {refused}")
    if head.headers.get("sec-websocket-accept") != websocket.accept_key(key):
        raise UserError("the server's answer is no WebSocket handshake")
    return connection, parser.rest


def _body(connection: socket.socket, head: http1.Head, rest: bytes) -> bytes:
    """What a server that refuses says; it may hang up at any time."""
    wanted = int(head.headers.get("content-length") or 0)
    while len(rest) < wanted and (data := connection.recv(PIECE)):
        rest += data
    return rest


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
