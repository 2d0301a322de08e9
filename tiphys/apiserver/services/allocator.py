"""What the registry asks when a Service is written: choose, hold, and give back what is no longer had.

``reserve`` chooses in memory alone, so that a refused or tried write touches
nothing; ``hold`` writes the choice down before the Service itself is written,
so that no two servers give one number twice; ``settle`` gives back what an
update has dropped, ``undo`` what was held for nothing. A crash in between leaves
a number held by nobody, which the repair finds.
"""

import asyncio
import ipaddress
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from tiphys.api import core_v1
from tiphys.apiserver.cache import Cache
from tiphys.apiserver.config import ApiServerConfig
from tiphys.apiserver.services import families
from tiphys.apiserver.services.holdings import Addresses, Ports, Taken, text_of
from tiphys.apiserver.services.ranges import Network, Numbers, addresses, networks, node_ports
from tiphys.base.clock import Clock
from tiphys.base.ids import Ids
from tiphys.machinery import conditions, errors, fields
from tiphys.resources import table
from tiphys.resources.core.service_facts import is_headless, needs_cluster_ip, needs_health_check, needs_node_port
from tiphys.resources.networking.service_cidr import READY
from tiphys.store.interface import Store

ALLOCATED_ADDRESS: Final = "provided IP is already allocated"
OTHER_NETWORK: Final = "the provided network does not match the current range"
ALLOCATED_PORT: Final = "provided port is already allocated"
FULL: Final = "range is full"
# Every lost race means that another server has taken what was chosen.
ATTEMPTS_MAX: Final = 1000


@dataclass(slots=True)
class Address:
    """A chosen cluster IP and its place in ``clusterIPs``. ``asked`` ones cannot be exchanged for another."""

    text: str
    family: str
    index: int
    asked: bool


@dataclass(slots=True)
class Port:
    """A chosen node port, where it stands, and how to write another there."""

    number: int
    path: str
    asked: bool
    places: list[Callable[[int], None]] = field(default_factory=list)


@dataclass(slots=True)
class Reservation:
    """What one write under way has chosen, and which of it is held."""

    service: core_v1.Service
    old: core_v1.Service | None
    addresses: list[Address] = field(default_factory=list)
    ports: list[Port] = field(default_factory=list)
    held_addresses: list[str] = field(default_factory=list)
    held_ports: list[int] = field(default_factory=list)
    revision: int = 0


def held_addresses(spec: core_v1.ServiceSpec) -> list[str]:
    """The cluster IPs of a Service, as it names them."""
    return [text for text in spec.clusterIPs or () if text and text != "None"]


def held_ports(spec: core_v1.ServiceSpec) -> set[int]:
    """The node ports of a Service, its health check's among them."""
    return {port for port in (*(each.nodePort for each in spec.ports or ()), spec.healthCheckNodePort) if port}


class ServiceAllocator:
    """``registry.endpoint.Allocator`` for Services."""

    def __init__(self, config: ApiServerConfig, store: Store, cache: Cache, clock: Clock, ids: Ids) -> None:
        self._ids = ids
        self._cache = cache
        self.networks = networks(config.service_cidr)
        #: The families of the cluster, the default one first.
        self.families = list(dict.fromkeys(f"IPv{network.version}" for network in self.networks))
        self._cidrs = cache.of(table.by_path("networking.k8s.io", "v1", "servicecidrs"))
        self.addresses = Addresses(store, cache.of(table.by_path("networking.k8s.io", "v1", "ipaddresses")), clock, ids)
        self.ports = Ports(store, node_ports(*config.node_ports))
        self._known: tuple[int, dict[str, list[Numbers]]] = (-1, {})

    def _draw(self) -> int:
        return int(self._ids.uid().replace("-", ""), 16)

    def ready_networks(self) -> Iterator[Network]:
        """What addresses may be given out of; the configured ranges until somebody has made objects of them."""
        if not self._cidrs.entries:
            yield from self.networks
        for entry in self._cidrs.entries.values():
            found = entry.object
            ready = conditions.find_condition(found.status.conditions or [], READY)
            if found.metadata.deletionTimestamp is None and (ready is None or ready.status == "True"):
                for cidr in found.spec.cidrs or ():
                    yield ipaddress.ip_network(cidr, strict=False)

    def _ranges(self, family: str) -> list[Numbers]:
        revision, found = self._known
        if revision != self._cidrs.changed or not found:
            found = {name: [] for name in self.families}
            for network in dict.fromkeys(self.ready_networks()):
                found.setdefault(f"IPv{network.version}", []).append(addresses(network))
            self._known = (self._cidrs.changed, found)
        return found.get(family, [])

    def reserve(self, obj: Any, old: Any) -> Reservation:
        """Fill addresses and ports in, and keep others of this server from them. Raises Invalid, InternalError."""
        reservation = Reservation(obj, old)
        try:
            families.settle(obj, old, self.families)
            self._choose_addresses(reservation)
            self._choose_ports(reservation)
        except errors.StatusError:
            self.forget(reservation)
            raise
        return reservation

    def forget(self, reservation: Reservation) -> None:
        """What was chosen is now held, or no longer wanted."""
        self.addresses.chosen.difference_update(each.text for each in reservation.addresses)
        self.ports.chosen.difference_update(each.number for each in reservation.ports)

    def _choose_addresses(self, reservation: Reservation) -> None:
        service, old = reservation.service, reservation.old
        spec = service.spec
        if not needs_cluster_ip(spec):
            return
        if is_headless(spec):
            spec.clusterIP, spec.clusterIPs = "None", ["None"]
            return
        own = set(held_addresses(old.spec)) if old is not None else set()
        given = list(spec.clusterIPs or ([spec.clusterIP] if spec.clusterIP else []))
        for index, family in enumerate(spec.ipFamilies or ()):
            asked = given[index] if index < len(given) else ""
            if asked in own:
                continue
            text = self._asked(service, given, asked, family) if asked else self._next(family)
            self.addresses.chosen.add(text)
            reservation.addresses.append(Address(text, family, index, bool(asked)))
            given[index:] = [text, *given[index + 1 :]]
        spec.clusterIPs = given or None
        spec.clusterIP = given[0] if given else None

    def _asked(self, service: core_v1.Service, given: list[str], text: str, family: str) -> str:
        address = ipaddress.ip_address(text)
        if not any(int(address) in numbers for numbers in self._ranges(family)):
            raise _invalid(service, "spec.clusterIPs", given, f"failed to allocate IP {text}: {OTHER_NETWORK}")
        if not self.addresses.is_free(str(address)):
            raise _invalid(service, "spec.clusterIPs", given, f"failed to allocate IP {text}: {ALLOCATED_ADDRESS}")
        return str(address)

    def _next(self, family: str) -> str:
        for numbers in self._ranges(family):
            for number in numbers.candidates(self._draw):
                text = text_of(number, family)
                if self.addresses.is_free(text):
                    return text
        raise errors.InternalError(f"failed to allocate a serviceIP: {FULL}")

    def _choose_ports(self, reservation: Reservation) -> None:
        service, old = reservation.service, reservation.old
        spec = service.spec
        own = held_ports(old.spec) if old is not None else set()
        allocate = needs_node_port(spec)
        by_port: dict[int, Port | None] = {}
        for index, port in enumerate(spec.ports or ()):
            if not port.nodePort and not allocate:
                continue
            wanted = port.nodePort or 0
            if not wanted:
                # Two protocols of one port share their node port.
                wanted = next((p.nodePort for p in spec.ports or () if p.port == port.port and p.nodePort), 0)

            def place(number: int, port: core_v1.ServicePort = port) -> None:
                port.nodePort = number

            path = f"spec.ports[{index}].nodePort"
            chosen = self._port(reservation, own, path, wanted, f"failed to allocate a nodePort: {FULL}", by_port)
            by_port.setdefault(port.port, chosen)
            if chosen is not None:
                chosen.places.append(place)
                place(chosen.number)
            else:
                place(wanted)
        if needs_health_check(spec):
            self._choose_health_check(reservation, own)

    def _choose_health_check(self, reservation: Reservation, own: set[int]) -> None:
        spec = reservation.service.spec

        def place(number: int) -> None:
            spec.healthCheckNodePort = number

        wanted = spec.healthCheckNodePort or 0
        full = f"failed to allocate a HealthCheck NodePort 0: {FULL}"
        try:
            chosen = self._port(reservation, own, "spec.healthCheckNodePort", wanted, full, {})
        except errors.Invalid as problem:
            why = problem.details.causes[0].message if problem.details and problem.details.causes else ""
            detail = (why or "").rpartition(": ")[2]
            raise errors.InternalError(
                f"failed to allocate requested HealthCheck NodePort {wanted}: {detail}"
            ) from problem
        if chosen is not None:
            chosen.places.append(place)
            place(chosen.number)

    def _port(
        self,
        reservation: Reservation,
        own: set[int],
        path: str,
        wanted: int,
        full: str,
        chosen: dict[int, Port | None],
    ) -> Port | None:
        """The port to take for ``wanted`` (0: any); None if the Service has it already."""
        if wanted:
            if wanted in own:
                return None
            again = next((each for each in reservation.ports if each.number == wanted), None)
            if again is not None:
                return again
            self._check_port(reservation.service, path, wanted)
            port = Port(wanted, path, asked=True)
        else:
            number = next((n for n in self.ports.numbers.candidates(self._draw) if self.ports.is_free(n)), 0)
            if not number:
                raise errors.InternalError(full)
            port = Port(number, path, asked=False)
        self.ports.chosen.add(port.number)
        reservation.ports.append(port)
        return port

    def _check_port(self, service: core_v1.Service, path: str, port: int) -> None:
        numbers = self.ports.numbers
        if port not in numbers:
            detail = (
                f"provided port is not in the valid range. The range of valid ports is {numbers.low}-{numbers.high}"
            )
            raise _invalid(service, path, port, detail)
        if not self.ports.is_free(port):
            raise _invalid(service, path, port, ALLOCATED_PORT)

    async def hold(self, reservation: Reservation) -> None:
        """Write down what was chosen; what another server has meanwhile is exchanged. Raises Invalid."""
        if reservation.addresses:
            await asyncio.gather(*(self._hold_address(reservation, each) for each in reservation.addresses))
        if reservation.ports:
            await self._hold_ports(reservation)

    async def _hold_address(self, reservation: Reservation, chosen: Address) -> None:
        service = reservation.service
        spec = service.spec
        for _ in range(ATTEMPTS_MAX):
            try:
                revision = await self.addresses.hold(chosen.text, service)
            except Taken as lost:
                given = list(spec.clusterIPs or ())
                if chosen.asked:
                    detail = f"failed to allocate IP {chosen.text}: {ALLOCATED_ADDRESS}"
                    raise _invalid(service, "spec.clusterIPs", given, detail) from lost
                # It stays among the chosen until the cache knows of it, so that it is not drawn again.
                text = self._next(chosen.family)
                self.addresses.chosen.add(text)
                self.addresses.chosen.discard(chosen.text)
                chosen.text = given[chosen.index] = text
                spec.clusterIPs, spec.clusterIP = given, given[0]
                continue
            reservation.held_addresses.append(chosen.text)
            reservation.revision = max(reservation.revision, revision)
            return
        raise errors.InternalError(f"failed to allocate a serviceIP: {FULL}")

    async def _hold_ports(self, reservation: Reservation) -> None:
        for _ in range(ATTEMPTS_MAX):
            numbers = [each.number for each in reservation.ports]
            try:
                await self.ports.hold(numbers)
            except Taken:
                self.ports.chosen.difference_update(numbers)
                self._exchange_ports(reservation)
                continue
            reservation.held_ports = numbers
            return
        raise errors.InternalError(f"failed to allocate a nodePort: {FULL}")

    def _exchange_ports(self, reservation: Reservation) -> None:
        """Other numbers in place of those that are taken now."""
        for each in reservation.ports:
            if not self.ports.is_free(each.number):
                if each.asked:
                    raise _invalid(reservation.service, each.path, each.number, ALLOCATED_PORT)
                free = (n for n in self.ports.numbers.candidates(self._draw) if self.ports.is_free(n))
                each.number = next(free, 0)
                if not each.number:
                    raise errors.InternalError(f"failed to allocate a nodePort: {FULL}")
                for place in each.places:
                    place(each.number)
            self.ports.chosen.add(each.number)

    async def undo(self, reservation: Reservation) -> None:
        """The Service was not written: what was held for it is free again."""
        try:
            if reservation.revision:
                # The cache must know of the addresses for them to be found.
                await self._cache.wait(reservation.revision)
            for text in reservation.held_addresses:
                await self.addresses.release(text, reservation.service)
            await self.ports.release(reservation.held_ports)
        finally:
            self.forget(reservation)

    async def settle(self, reservation: Reservation) -> None:
        """The Service was written: what only its old form had is free."""
        if reservation.revision:
            await self._cache.wait(reservation.revision)
        self.forget(reservation)
        if reservation.old is not None:
            await self._release(reservation.old, reservation.service.spec)

    async def gone(self, service: core_v1.Service) -> None:
        """The Service was deleted."""
        await self._release(service, core_v1.ServiceSpec())

    async def _release(self, service: core_v1.Service, kept: core_v1.ServiceSpec) -> None:
        dropped = [text for text in held_addresses(service.spec) if text not in held_addresses(kept)]
        revision = 0
        for text in dropped:
            revision = max(revision, await self.addresses.release(text, service))
        ports = held_ports(service.spec) - held_ports(kept)
        if ports:
            await self.ports.release(ports)
        if revision:
            await self._cache.wait(revision)


def _invalid(service: core_v1.Service, path: str, value: Any, detail: str) -> errors.StatusError:
    return errors.Invalid("Service", "", service.metadata.name, [fields.invalid(path, value, detail)])
