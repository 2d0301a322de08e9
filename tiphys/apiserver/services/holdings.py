"""Who has which address and which node port: written down in the store, where every API server sees it.

An address is held by an IPAddress object of its name: that a key can be created
once only is the lock. Node ports are bits of one object, changed by comparing
its revision. What writes under way have chosen is kept in memory besides, so
that they do not choose the same.
"""

import asyncio
import base64
import ipaddress
from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from tiphys.api import core_v1, meta_v1, networking_v1
from tiphys.apiserver.cache import ROOT, ResourceCache
from tiphys.apiserver.services.families import family_of
from tiphys.apiserver.services.ranges import Numbers
from tiphys.base.clock import Clock
from tiphys.base.ids import Ids
from tiphys.machinery import codec, times
from tiphys.resources.networking.ip_address import FAMILY_LABEL, MANAGED_BY_LABEL
from tiphys.store.interface import Conflict, KeyValue, Store

MANAGER: Final = "ipallocator.k8s.io"
PORTS_KEY: Final = f"{ROOT}ranges/servicenodeports"


class Taken(Exception):
    """Somebody else has the number."""


def reference(service: core_v1.Service) -> networking_v1.ParentReference:
    metadata = service.metadata
    return networking_v1.ParentReference(resource="services", namespace=metadata.namespace, name=metadata.name)


class Addresses:
    """IPAddress objects."""

    def __init__(self, store: Store, cache: ResourceCache, clock: Clock, ids: Ids) -> None:
        self.cache = cache
        self._store = store
        self._clock = clock
        self._ids = ids
        #: Chosen by writes under way.
        self.chosen: set[str] = set()

    def is_free(self, address: str) -> bool:
        return address not in self.chosen and self.cache.find("", address) is None

    async def hold(self, address: str, service: core_v1.Service) -> int:
        """Write down that the Service has it; the revision. Raises Taken."""
        labels = {FAMILY_LABEL: family_of(address), MANAGED_BY_LABEL: MANAGER}
        metadata = meta_v1.ObjectMeta(
            name=address,
            uid=self._ids.uid(),
            creationTimestamp=times.format_time(self._clock.now()),
            labels=labels,
        )
        spec = networking_v1.IPAddressSpec(parentRef=reference(service))
        value = codec.encode(networking_v1.IPAddress(metadata=metadata, spec=spec))
        try:
            return await self._store.put(self.cache.key("", address), value, expected=0)
        except Conflict as lost:
            raise Taken(address) from lost

    async def release(self, address: str, service: core_v1.Service | None) -> int:
        """Give it back, if the Service (None: whoever) has it; the revision, 0 if there was nothing to do."""
        entry = self.cache.find("", address)
        if entry is None or (service is not None and entry.object.spec.parentRef != reference(service)):
            return 0
        try:
            return await self._store.delete(entry.key, expected=entry.revision)
        except Conflict:
            # Another server was quicker, or somebody has changed it: then it is not ours to delete.
            return 0


class Ports:
    """The node ports in use, as bits of a RangeAllocation."""

    def __init__(self, store: Store, numbers: Numbers) -> None:
        self.numbers = numbers
        self._store = store
        self._text = f"{numbers.low}-{numbers.high}"
        self._bits = 0
        self._revision = 0
        self._lock = asyncio.Lock()
        self.chosen: set[int] = set()

    async def load(self) -> None:
        """Read what is in use. A range that has changed begins anew: the repair fills it from the Services."""
        self._take(await self._store.get(PORTS_KEY))

    def _take(self, item: KeyValue | None) -> None:
        self._revision = item.mod_revision if item else 0
        self._bits = 0
        if item is None:
            return
        found = msgspec.json.decode(item.value)
        if found.get("range") == self._text:
            self._bits = int.from_bytes(base64.b64decode(found.get("data", "")), "little")

    def _bit(self, port: int) -> int:
        return 1 << (port - self.numbers.low)

    def is_free(self, port: int) -> bool:
        return port not in self.chosen and not self._bits & self._bit(port)

    def taken(self) -> list[int]:
        """All ports in use, as far as is known here."""
        return [port for port in range(self.numbers.low, self.numbers.high + 1) if self._bits & self._bit(port)]

    async def hold(self, ports: Iterable[int]) -> None:
        """Mark all of them; raises Taken, and none is then."""
        wanted = self._mask(ports)

        def mark(bits: int) -> int:
            if bits & wanted:
                raise Taken
            return bits | wanted

        if wanted:
            await self._change(mark)

    async def release(self, ports: Iterable[int]) -> None:
        """Unmark them, whether they were marked or not."""
        wanted = self._mask(ports)
        if wanted:
            await self._change(lambda bits: bits & ~wanted)

    async def mark(self, ports: Iterable[int]) -> None:
        """Mark them, whether they were marked or not: what Services turn out to have."""
        wanted = self._mask(ports)
        if wanted:
            await self._change(lambda bits: bits | wanted)

    def _mask(self, ports: Iterable[int]) -> int:
        mask = 0
        for port in ports:
            if port in self.numbers:
                mask |= self._bit(port)
        return mask

    async def _change(self, change: Callable[[int], int]) -> None:
        async with self._lock:
            while True:
                bits = change(self._bits)
                if bits == self._bits and self._revision:
                    return
                try:
                    self._revision = await self._store.put(PORTS_KEY, self._encode(bits), expected=self._revision)
                except Conflict as lost:
                    # Another server has changed it: the change is made again on what that left.
                    self._take(lost.current)
                else:
                    self._bits = bits
                    return

    def _encode(self, bits: int) -> bytes:
        size = (self.numbers.high - self.numbers.low) // 8 + 1
        data = base64.b64encode(bits.to_bytes(size, "little")).decode()
        found = {"apiVersion": "v1", "kind": "RangeAllocation", "metadata": {}, "range": self._text, "data": data}
        return msgspec.json.encode(found)


def text_of(number: int, family: str) -> str:
    """An address as Kubernetes writes it."""
    return str(ipaddress.IPv4Address(number) if family == "IPv4" else ipaddress.IPv6Address(number))
