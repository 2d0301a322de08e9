"""Follows Services, EndpointSlices and Namespaces and answers for them."""

import asyncio
import random
from collections.abc import Awaitable

from tiphys.api import core_v1, discovery_v1
from tiphys.base.clock import Clock
from tiphys.client import Informers
from tiphys.dns import metrics
from tiphys.dns.config import DnsConfig
from tiphys.dns.forward import Forwarder
from tiphys.dns.records import service_records
from tiphys.dns.server import Server
from tiphys.dns.upstream import ResolvConf
from tiphys.dns.zone import Zone
from tiphys.wire import dns
from tiphys.wire.dns import Answer, Query

_BY_SERVICE = "dns service"
_SERVICE_NAME_LABEL = "kubernetes.io/service-name"
_TCP_BYTES = 65535


class Dns:
    """The cluster's name server on one node. Entry returns once its sockets are bound."""

    def __init__(
        self, config: DnsConfig, informers: Informers, clock: Clock, source: random.Random | None = None
    ) -> None:
        self._config = config
        self._services = informers.of(core_v1.Service)
        self._slices = informers.of(discovery_v1.EndpointSlice)
        self._namespaces = informers.of(core_v1.Namespace)
        self._slices.add_index(_BY_SERVICE, _service_keys)
        # Ids of forwarded questions must not be guessed.
        source = source or random.SystemRandom()
        self._zone = Zone(config.cluster_domain, config.ttl_seconds, random.Random(source.getrandbits(64)))
        own = [address for address, _ in config.listen]
        self._zone.serve_addresses(own)
        resolv_conf = ResolvConf(config.resolv_conf, own)
        self._forwarder = Forwarder(config, resolv_conf.servers, clock, source)
        self._server = Server(config, self.respond)
        self._dirty: set[str] = set()
        self._names: set[str] = set()
        self._failed = asyncio.Event()

    async def __aenter__(self) -> "Dns":
        await self._server.start()
        self._follow()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._server.close()
        await self._forwarder.close()

    async def wait(self) -> None:
        """Return only by raising; a name server that is bound does not fail."""
        await self._failed.wait()

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Where it listens."""
        return self._server.addresses

    @property
    def synced(self) -> bool:
        """Whether an unknown name is known to be unknown."""
        return self._services.synced and self._slices.synced and self._namespaces.synced

    # What changes

    def _follow(self) -> None:
        self._services.add_handler(
            added=self._service_changed,
            updated=lambda _, new: self._service_changed(new),
            deleted=self._service_changed,
        )
        self._slices.add_handler(
            added=self._slice_changed,
            updated=lambda _, new: self._slice_changed(new),
            deleted=self._slice_changed,
        )
        self._namespaces.add_handler(
            added=lambda obj: self._names.add(obj.metadata.name),
            deleted=lambda obj: self._names.discard(obj.metadata.name),
        )

    def _service_changed(self, service: core_v1.Service) -> None:
        self._mark(f"{service.metadata.namespace}/{service.metadata.name}")

    def _slice_changed(self, slice_: discovery_v1.EndpointSlice) -> None:
        for key in _service_keys(slice_):
            self._mark(key)

    def _mark(self, key: str) -> None:
        """Rebuild soon, once for all changes that arrive together."""
        if not self._dirty:
            asyncio.get_running_loop().call_soon(self._rebuild)
        self._dirty.add(key)

    def _rebuild(self) -> None:
        dirty, self._dirty = self._dirty, set()
        for key in sorted(dirty):
            service = self._services.get(key)
            if service is None:
                self._zone.remove(key)
                continue
            slices = self._slices.by_index(_BY_SERVICE, key)
            self._zone.put(key, service_records(service, slices, self._config.cluster_domain))
        metrics.SERVICES.set(len(self._services))

    # Questions

    def respond(self, data: bytes, tcp: bool) -> bytes | Awaitable[bytes]:
        """The answer to one message, at once if it is known; empty for none."""
        try:
            query = dns.parse(data)
        except dns.Malformed as error:
            metrics.MALFORMED.inc()
            return error.answer
        limit = _TCP_BYTES if tcp else min(query.limit, dns.UDP_BYTES)
        if self._dirty:
            # A client that has seen a change in the API may ask before the loop comes round.
            self._rebuild()
        if not self._zone.covers(query.name):
            return self._from_elsewhere(query, tcp, limit)
        if not self.synced:
            return _encode(query, Answer(dns.SERVFAIL), limit)
        alias = self._zone.find_alias(query.name)
        if alias and query.type in (dns.A, dns.AAAA) and not self._zone.covers(alias):
            return self._through_alias(query, alias, limit)
        return _encode(query, self._zone.answer(query, self._names), limit)

    def _from_elsewhere(self, query: Query, tcp: bool, limit: int) -> bytes | Awaitable[bytes]:
        cached = self._forwarder.find_cached(query)
        if cached is not None and len(cached) <= limit:
            metrics.CACHE_HITS.inc()
            return cached
        metrics.FORWARDED.inc()
        return self._forwarder.resolve(query, tcp)

    async def _through_alias(self, query: Query, alias: bytes, limit: int) -> bytes:
        """Alias and addresses together: resolvers in containers do not ask again for what is behind it."""
        answer = self._zone.answer(query, self._names)
        behind = await self._forwarder.addresses(alias, query.type)
        records = (*answer.records, *(alias + each[2:] for each in behind))
        return _encode(query, Answer(records=records), limit)


def _encode(query: Query, answer: Answer, limit: int) -> bytes:
    metrics.RESPONSES_BY_CODE[answer.code].inc()
    return dns.encode(query, answer, limit)


def _service_keys(slice_: discovery_v1.EndpointSlice) -> list[str]:
    name = slice_.metadata.labels.get(_SERVICE_NAME_LABEL)
    return [f"{slice_.metadata.namespace}/{name}"] if name else []
