"""Calls to etcd's members: one channel each, the next member when one fails.

A read is tried again, on another member, until its time is over. A write is
tried again only if it cannot have been sent: whether an answer that was lost
had a write behind it is for the caller to find out by reading.
Source: etcd docs, "API reference", "etcd client architecture".
"""

import logging
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import grpc
from google.protobuf.message import Message

from tiphys.base.clock import Clock
from tiphys.store.etcd import messages_pb2 as messages
from tiphys.store.etcd.config import EtcdConfig
from tiphys.store.interface import Compacted, FutureRevision, StoreError, Unavailable

log = logging.getLogger(__name__)

TIMED_OUT: Final = "etcdserver: request timed out"
LEASE_GONE: Final = "etcdserver: requested lease not found"
COMPACTED: Final = "etcdserver: mvcc: required revision has been compacted"
FUTURE: Final = "etcdserver: mvcc: required revision is a future revision"
# gRPC's words for a call that never left: there is no connection.
UNSENT: Final = "failed to connect to all addresses"
#: What another attempt or another member may mend.
PASSING: Final = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
RETRY_SECONDS_MIN: Final = 0.05
RETRY_SECONDS_MAX: Final = 1.0
OPTIONS: Final = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # As kube-apiserver does it: a member that stops answering is found out within 40 s, watches included.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 2_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    # Stores of one process do not share connections, and so not their faults either.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
)
#: Service and method, what is sent and what comes back.
METHODS: Final[dict[str, tuple[str, type[Message], type[Message]]]] = {
    "range": ("KV/Range", messages.RangeRequest, messages.RangeResponse),
    "put": ("KV/Put", messages.PutRequest, messages.PutResponse),
    "txn": ("KV/Txn", messages.TxnRequest, messages.TxnResponse),
    "compact": ("KV/Compact", messages.CompactionRequest, messages.CompactionResponse),
    "grant": ("Lease/LeaseGrant", messages.LeaseGrantRequest, messages.LeaseGrantResponse),
    "status": ("Maintenance/Status", messages.StatusRequest, messages.StatusResponse),
}


class _Member:
    """One member of the cluster."""

    def __init__(self, server: str, config: EtcdConfig) -> None:
        address = urlsplit(server)
        if address.scheme not in ("http", "https") or not address.hostname:
            raise Unavailable(f"etcd server {server!r}: http://host:port or https://host:port is expected")
        self.server = server
        target = f"{address.netloc if address.port else f'{address.netloc}:2379'}"
        if address.scheme == "https":
            self._channel = grpc.aio.secure_channel(target, _credentials(config), OPTIONS)
        else:
            self._channel = grpc.aio.insecure_channel(target, OPTIONS)
        self.methods: dict[str, Callable[..., Awaitable[Any]]] = {
            name: self._channel.unary_unary(f"/etcdserverpb.{path}", asked.SerializeToString, answered.FromString)
            for name, (path, asked, answered) in METHODS.items()
        }
        self.watch = self._channel.stream_stream(
            "/etcdserverpb.Watch/Watch", messages.WatchRequest.SerializeToString, messages.WatchResponse.FromString
        )

    async def close(self) -> None:
        await self._channel.close(None)


def _credentials(config: EtcdConfig) -> grpc.ChannelCredentials:
    def content(path: str) -> bytes | None:
        if not path:
            return None
        try:
            return Path(path).read_bytes()
        except OSError as problem:
            raise Unavailable(f"etcd certificates: {path}: {problem.strerror}") from problem

    return grpc.ssl_channel_credentials(content(config.ca_file), content(config.key_file), content(config.cert_file))


class Client:
    """What a store asks of an etcd cluster. Raises Unavailable, Compacted, FutureRevision and LeaseGone."""

    def __init__(self, config: EtcdConfig, clock: Clock) -> None:
        self._config = config
        self._clock = clock
        self._members = [_Member(server, config) for server in config.servers]
        self._current = 0
        self._closed = False

    async def read(self, method: str, request: Message, seconds: float | None = None) -> Any:
        """The answer to something that may be asked twice."""
        return await self._call(method, request, seconds or self._config.request_seconds, again=True)

    async def write(self, method: str, request: Message) -> Any:
        return await self._call(method, request, self._config.request_seconds, again=False)

    async def _call(self, method: str, request: Message, seconds: float, *, again: bool) -> Any:
        end = self._clock.monotonic() + seconds
        pause = RETRY_SECONDS_MIN
        failed = 0
        while True:
            member = self._members[self._current]
            left = end - self._clock.monotonic()
            # One silent member must not use up all the time there is for a read.
            patience = left / 2 if again and len(self._members) > 1 else left
            try:
                return await member.methods[method](request, timeout=max(patience, 0.001))
            except grpc.aio.AioRpcError as problem:
                error = _error(member.server, problem)
                if problem.code() not in PASSING or self._closed:
                    raise error from problem
                self.leave(member)
                failed += 1
                if not (again or UNSENT in (problem.details() or "")):
                    raise error from problem
                # All members are tried before the first pause.
                wait = pause if failed % len(self._members) == 0 else 0.0
                if self._clock.monotonic() + wait >= end:
                    raise error from problem
            if wait:
                await self._clock.sleep(wait)
                pause = min(pause * 2, RETRY_SECONDS_MAX)

    def leave(self, member: _Member) -> None:
        """Ask the next member from now on, unless that has been decided already."""
        if self._members[self._current] is member:
            self._current = (self._current + 1) % len(self._members)

    def ask(self, server: str) -> None:
        """Ask this member first."""
        self._current = self._config.servers.index(server)

    @property
    def member(self) -> _Member:
        """Who is asked at present."""
        return self._members[self._current]

    async def close(self) -> None:
        self._closed = True
        for member in self._members:
            await member.close()


class LeaseGone(StoreError):
    """The lease that a write named has ended."""


def _error(server: str, problem: grpc.aio.AioRpcError) -> StoreError:
    details = problem.details() or ""
    if details == COMPACTED:
        return Compacted(0)
    if details == FUTURE:
        return FutureRevision(0)
    if details == LEASE_GONE:
        return LeaseGone(details)
    if problem.code() == grpc.StatusCode.DEADLINE_EXCEEDED:
        return Unavailable(TIMED_OUT)
    if details.startswith("etcdserver: "):
        return Unavailable(details)
    return Unavailable(f"etcd {server}: {plain(problem)}")


def plain(problem: grpc.aio.AioRpcError) -> str:
    """The last part of gRPC's story, which is the reason."""
    details = problem.details() or problem.code().name
    found = re.search(r"last error: (?:\w+: )?(?:ipv[46]:\S+: )?(.*)", details)
    return found.group(1) if found else details
