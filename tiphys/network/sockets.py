"""A netlink socket that waits for the kernel's answer.

Blocking: who runs an event loop calls this from a thread. A request of several
messages costs one system call to send and is answered message by message.
"""

import errno
import os
import socket
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Self

from tiphys.wire import netlink
from tiphys.wire.netlink import NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, Message

NETLINK_ROUTE = 0
NETLINK_NETFILTER = 12
NFNLGRP_NFTABLES = 7

_SO_SNDBUFFORCE = 32
_SO_RCVBUFFORCE = 33
_BUFFER_BYTES = 16 << 20
_RECEIVE_BYTES = 1 << 18
_SOL_NETLINK = 270
_NETLINK_ADD_MEMBERSHIP = 1
_NETLINK_CAP_ACK = 10


class NetlinkError(OSError):
    """The kernel refused a request; ``index`` says which message of it, see the methods that raise."""

    def __init__(self, code: int, step: str, index: int = 0) -> None:
        super().__init__(code, f"{step}: {errno.errorcode.get(code, code)} ({os.strerror(code)})")
        self.index = index


class NetlinkSocket:
    """One socket of one netlink family in the network namespace of the thread that makes it."""

    def __init__(self, family: int) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, family)
        self._socket.bind((0, 0))
        # Answers repeat the request unless told not to; a large batch that fails would overflow the socket.
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_CAP_ACK, 1)
        for option in (_SO_SNDBUFFORCE, _SO_RCVBUFFORCE):
            self._socket.setsockopt(socket.SOL_SOCKET, option, _BUFFER_BYTES)
        self._sequence = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def run(self, step: str, requests: Sequence[tuple[int, int, bytes]], ignore: Iterable[int] = ()) -> list[int]:
        """Send requests together and wait for all answers; returns the errno of each.

        Raises NetlinkError for the first errno that is neither 0 nor in ``ignore``.
        """
        first = self._sequence + 1
        self._sequence += len(requests)
        self._socket.send(
            netlink.join(
                netlink.message(kind, flags | NLM_F_REQUEST | NLM_F_ACK, first + index, body)
                for index, (kind, flags, body) in enumerate(requests)
            )
        )
        codes = self._acknowledgements(first, len(requests))
        accepted = {0, *ignore}
        for index, code in enumerate(codes):
            if code not in accepted:
                raise NetlinkError(code, step, index)
        return codes

    def _acknowledgements(self, first: int, count: int) -> list[int]:
        codes: dict[int, int] = {}
        while len(codes) < count:
            for item in netlink.parse(self._socket.recv(_RECEIVE_BYTES)):
                code = netlink.error_of(item)
                if code is not None and first <= item.sequence < first + count:
                    codes[item.sequence - first] = code
        return [codes[index] for index in range(count)]

    def get(self, step: str, request: tuple[int, int, bytes]) -> list[bytes]:
        """The bodies of all messages that answer a request, a dump or a single question.

        A dump that a change interrupted is asked for again. Raises NetlinkError.
        """
        kind, flags, body = request
        while True:
            self._sequence += 1
            wanted = flags | NLM_F_REQUEST | (0 if flags & NLM_F_DUMP == NLM_F_DUMP else NLM_F_ACK)
            self._socket.send(netlink.message(kind, wanted, self._sequence, body))
            found, interrupted = self._answers(step)
            if not interrupted:
                return found

    def _answers(self, step: str) -> tuple[list[bytes], bool]:
        found: list[bytes] = []
        interrupted = False
        while True:
            for item in netlink.parse(self._socket.recv(_RECEIVE_BYTES)):
                if item.sequence != self._sequence:
                    continue
                interrupted |= bool(item.flags & netlink.NLM_F_DUMP_INTR)
                code = netlink.error_of(item)
                if code is None:
                    found.append(item.body)
                elif code:
                    raise NetlinkError(code, step)
                else:
                    return found, interrupted

    def transact(self, step: str, datagram: bytes, last_sequence: int) -> None:
        """Send one nf_tables batch whose message ``last_sequence`` asks for an acknowledgement.

        All of it has happened when this returns, none of it when this raises NetlinkError, whose ``index``
        is the sequence number of the first message that the kernel refused. The kernel works while we send,
        so every answer is there afterwards.
        """
        self._socket.send(datagram)
        acknowledged = False
        refused: dict[int, int] = {}
        for item in self._pending():
            code = netlink.error_of(item)
            if code:
                refused.setdefault(item.sequence, code)
            elif item.sequence == last_sequence:
                acknowledged = True
        if refused:
            first = min(refused)
            raise NetlinkError(refused[first], step, first)
        if not acknowledged:
            raise NetlinkError(errno.EPROTO, step)

    def _pending(self) -> list[Message]:
        found: list[Message] = []
        while True:
            try:
                found.extend(netlink.parse(self._socket.recv(_RECEIVE_BYTES, socket.MSG_DONTWAIT)))
            except BlockingIOError:
                return found


class NotificationSocket:
    """Hears what anybody changes, where the kernel tells of it. Never blocks; ``fileno`` is for an event loop."""

    def __init__(self, family: int, group: int) -> None:
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, family
        )
        self._socket.bind((0, 0))
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_ADD_MEMBERSHIP, group)

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def take(self) -> list[Message] | None:
        """What has come since the last call; None if some was lost because nobody took it in time."""
        found: list[Message] = []
        while True:
            try:
                found.extend(netlink.parse(self._socket.recv(_RECEIVE_BYTES)))
            except BlockingIOError:
                return found
            except OSError as error:
                if error.errno == errno.ENOBUFS:
                    return None
                raise
