"""Asks the host's name servers for names outside the cluster.

Each question goes out from a port of its own with a random id, so that answers
are hard to forge. Equal questions that are under way are asked once; that also
keeps a loop between name servers from growing.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import cast

from tiphys.base.clock import Clock
from tiphys.dns.cache import Cache, Key
from tiphys.dns.config import DnsConfig
from tiphys.dns.upstream import Server
from tiphys.wire import dns
from tiphys.wire.dns import Answer, Query

#: One lost packet is no reason to leave a name server alone.
_FAILURES_MAX = 2


class _Exchange(asyncio.DatagramProtocol):
    """One question by UDP; ``answer`` is the first datagram that answers it."""

    def __init__(self, message: bytes, number: int, question: bytes) -> None:
        self._message = message
        self._number = number
        self._question = question.lower()
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.DatagramTransport, transport).sendto(self._message)

    def datagram_received(self, data: bytes, _: tuple[str, int]) -> None:
        if not self.answer.done() and _answers(data, self._number, self._question):
            self.answer.set_result(data)

    def error_received(self, error: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


def _answers(data: bytes, number: int, question: bytes) -> bool:
    try:
        reply = dns.parse_reply(data)
    except dns.Malformed:
        return False
    return reply.id == number and reply.question.lower() == question


class Forwarder:
    """``servers`` tells where to ask, in order of preference."""

    def __init__(
        self, config: DnsConfig, servers: Callable[[], list[Server]], clock: Clock, source: random.Random
    ) -> None:
        self._config = config
        self._servers = servers
        self._clock = clock
        self._random = source
        self._cache = Cache(config.cache_entries, config.cache_seconds)
        #: Timeouts in a row, and when the last one was, of name servers that do not answer.
        self._silent: dict[Server, tuple[int, float]] = {}
        self._under_way: dict[tuple[Key, bool], asyncio.Task[bytes | None]] = {}

    def find_cached(self, query: Query) -> bytes | None:
        """An answer that need not be asked for."""
        now = self._clock.monotonic()
        entry = self._cache.find((query.name, query.type, query.dnssec), now)
        if entry is None:
            return None
        return dns.readdress(entry.data, query, entry.reply, int(now - entry.stored))

    async def resolve(self, query: Query, tcp: bool) -> bytes:
        """The answer of a name server, or SERVFAIL."""
        data = await self._ask_once(query, tcp)
        if data is None:
            return dns.encode(query, Answer(dns.SERVFAIL), query.limit, authoritative=False)
        return dns.readdress(data, query, dns.parse_reply(data), 0)

    async def addresses(self, name: bytes, kind: int) -> list[bytes]:
        """The address records behind a name, owned by SAME_NAME; empty if nobody knows."""
        question = dns.question_of(name, kind)
        query = Query(0, dns.RD, name, kind, question, edns=True, limit=dns.UDP_BYTES, dnssec=False)
        data = self.find_cached(query) or await self._ask_once(query, tcp=False)
        return dns.records_of(data) if data else []

    async def _ask_once(self, query: Query, tcp: bool) -> bytes | None:
        identity = (query.name, query.type, query.dnssec), tcp
        task = self._under_way.get(identity)
        if task is None:
            if len(self._under_way) >= self._config.forward_concurrent:
                return None
            task = asyncio.create_task(self._ask(query, tcp), name="forward")
            self._under_way[identity] = task
            task.add_done_callback(lambda _: self._under_way.pop(identity, None))
        # Who stops waiting does not stop the others.
        return await asyncio.shield(task)

    async def _ask(self, query: Query, tcp: bool) -> bytes | None:
        ask = self._by_tcp if tcp else self._by_udp
        for _ in range(self._config.forward_attempts):
            for server in self._servers():
                if self._is_down(server):
                    continue
                data = await self._attempt(ask, server, query)
                if data is not None:
                    return data
        return None

    def _is_down(self, server: Server) -> bool:
        """Whether waiting for it again would only keep the client waiting: its resolver has other names to try."""
        count, last = self._silent.get(server, (0, 0.0))
        return count >= _FAILURES_MAX and self._clock.monotonic() < last + self._config.forward_down_seconds

    async def _attempt(
        self, ask: Callable[[Server, bytes, int, bytes], Awaitable[bytes]], server: Server, query: Query
    ) -> bytes | None:
        number = self._random.getrandbits(16)
        message = dns.build_query(number, query.question, query.dnssec, query.edns)
        try:
            async with asyncio.timeout(self._config.forward_timeout_seconds):
                data = await ask(server, message, number, query.question)
        except (OSError, TimeoutError, EOFError):
            count, _ = self._silent.get(server, (0, 0.0))
            self._silent[server] = count + 1, self._clock.monotonic()
            return None
        self._silent.pop(server, None)
        reply = dns.parse_reply(data)
        if reply.code in (dns.SERVFAIL, dns.REFUSED, dns.NOTIMP):
            return None
        self._cache.put((query.name, query.type, query.dnssec), data, reply, self._clock.monotonic())
        return data

    async def _by_udp(self, server: Server, message: bytes, number: int, question: bytes) -> bytes:
        loop = asyncio.get_running_loop()
        transport, exchange = await loop.create_datagram_endpoint(
            lambda: _Exchange(message, number, question), remote_addr=server
        )
        try:
            return await exchange.answer
        finally:
            transport.close()

    async def _by_tcp(self, server: Server, message: bytes, number: int, question: bytes) -> bytes:
        reader, writer = await asyncio.open_connection(*server)
        try:
            writer.write(len(message).to_bytes(2, "big") + message)
            length = int.from_bytes(await reader.readexactly(2), "big")
            data = await reader.readexactly(length)
            if not _answers(data, number, question.lower()):
                raise ConnectionError("answer to another question")
            return data
        finally:
            writer.close()

    async def close(self) -> None:
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
