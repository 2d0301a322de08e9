"""Cluster IPs and node ports of Services: no two Services hold the same one.

Nothing of this is stored apart: what is taken is what the Services in the
cache hold, plus what is reserved for writes under way. A crash therefore loses
and leaks nothing; at the start the state is rebuilt from the Services.

The lower part of each range is left to those who ask for an address by name;
addresses are given out of the upper part first.
Source: KEP-3070 Reserve Service IP Ranges For Dynamic and Static IP Allocation, KEP-3668 for node ports.
"""

import ipaddress
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tiphys.api import core_v1
from tiphys.apiserver.cache import Change, ResourceCache
from tiphys.apiserver.config import ApiServerConfig
from tiphys.base.ids import Ids
from tiphys.machinery import errors, fields
from tiphys.resources.core.service_facts import is_headless, needs_cluster_ip, needs_health_check, needs_node_port

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
# A larger range is not used beyond this: enough for any cluster, and cheap to count.
RANGE_MAX = 2**20


class Refused(Exception):
    """A number cannot be had; the text says why."""


class Numbers:
    """A range of numbers, each of which one holder has. ``static`` of them, the lowest, are given out last."""

    def __init__(self, low: int, high: int, static: int, draw: Callable[[], int], words: tuple[str, str]) -> None:
        self.low = low
        self.high = high
        self._static = static
        self._draw = draw
        self._words = words
        self.taken: Counter[int] = Counter()

    def claim(self, number: int) -> int:
        """Take ``number``; raises Refused."""
        what, valid = self._words
        if not self.low <= number <= self.high:
            raise Refused(f"provided {what} is not in the valid range. The range of valid {what}s is {valid}")
        if self.taken[number]:
            raise Refused(f"provided {what} is already allocated")
        self.taken[number] += 1
        return number

    def next(self) -> int:
        """Take a free number; raises Refused if there is none."""
        dynamic = range(self.low + self._static, self.high + 1)
        for numbers in (dynamic, range(self.low, self.low + self._static)):
            start = self._draw() % len(numbers) if numbers else 0
            for step in range(len(numbers)):
                number = numbers[(start + step) % len(numbers)]
                if not self.taken[number]:
                    self.taken[number] += 1
                    return number
        raise Refused("range is full")

    def release(self, number: int) -> None:
        self.taken[number] -= 1
        if self.taken[number] <= 0:
            del self.taken[number]


def addresses(network: Network, draw: Callable[[], int]) -> Numbers:
    """The usable addresses of a range of cluster IPs."""
    first = int(network.network_address) + 1
    last = int(network.broadcast_address) - (network.version == 4)
    last = min(last, first + RANGE_MAX)
    size = last - first + 1
    static = min(max(16, size // 16), 256) if size > 16 else 0
    return Numbers(first, last, static, draw, ("IP", str(network)))


def node_ports(low: int, high: int, draw: Callable[[], int]) -> Numbers:
    """The node ports between ``low`` and ``high``, both included."""
    size = high - low + 1
    static = min(max(16, size // 32), 128) if size > 16 else 0
    return Numbers(low, high, static, draw, ("port", f"{low}-{high}"))


@dataclass(slots=True)
class Reservation:
    """What one write under way has taken."""

    addresses: list[tuple[Numbers, int]] = field(default_factory=list)


class ServiceAllocator:
    """``registry.endpoint.Allocator`` for Services."""

    def __init__(self, config: ApiServerConfig, ids: Ids) -> None:
        def draw() -> int:
            return int(ids.uid()[:8], 16)

        networks = [ipaddress.ip_network(text.strip()) for text in config.service_cidr.split(",")]
        self._families = {f"IPv{network.version}": addresses(network, draw) for network in networks}
        self._ports = node_ports(*config.node_ports, draw)

    def follow(self, cache: ResourceCache) -> None:
        """Count what Services hold, now and after each change. Called once the cache is filled."""
        for entry in cache.entries.values():
            self._count(entry.fresh().spec, 1)
        cache.listeners.append(self._changed)

    def _changed(self, changes: Sequence[Change]) -> None:
        for change in changes:
            if change.new is not None:
                self._count(change.new.fresh().spec, 1)
            if change.old is not None:
                self._count(change.old.fresh().spec, -1)

    def _count(self, spec: core_v1.ServiceSpec, step: int) -> None:
        for numbers, number in self._held(spec):
            if step > 0:
                numbers.taken[number] += 1
            else:
                numbers.release(number)

    def _held(self, spec: core_v1.ServiceSpec) -> Iterable[tuple[Numbers, int]]:
        """All numbers of a Service, each once."""
        found: dict[tuple[int, int], tuple[Numbers, int]] = {}
        for text in spec.clusterIPs or ():
            numbers = self._family_of(text)
            if numbers is not None:
                number = int(ipaddress.ip_address(text))
                found[id(numbers), number] = (numbers, number)
        for port in (*(port.nodePort for port in spec.ports or ()), spec.healthCheckNodePort):
            if port:
                found[id(self._ports), port] = (self._ports, port)
        return found.values()

    def _family_of(self, text: str) -> Numbers | None:
        try:
            return self._families.get(f"IPv{ipaddress.ip_address(text).version}")
        except ValueError:
            return None

    def reserve(self, obj: Any, old: Any) -> Reservation:
        """Fill addresses and ports in. Raises Invalid; nothing is then taken."""
        reservation = Reservation()
        service: core_v1.Service = obj
        # What the Service holds already is its own to keep.
        own = {(id(numbers), number) for numbers, number in (self._held(old.spec) if old is not None else ())}
        taking = _Taking(reservation, own)
        try:
            self._addresses(service, taking)
            self._node_ports(service, taking)
        except errors.Invalid:
            self.release(reservation)
            raise
        return reservation

    def release(self, reservation: Reservation) -> None:
        for numbers, number in reservation.addresses:
            numbers.release(number)

    def _addresses(self, service: core_v1.Service, taking: "_Taking") -> None:
        spec = service.spec
        if not needs_cluster_ip(spec):
            return
        if is_headless(spec):
            spec.clusterIP, spec.clusterIPs = "None", ["None"]
            return
        self._check_families(service)
        given = list(spec.clusterIPs or ([spec.clusterIP] if spec.clusterIP else []))
        for index, family in enumerate(spec.ipFamilies or ["IPv4"]):
            numbers = self._families[family]
            try:
                if index < len(given) and given[index]:
                    taking.claim(numbers, _number_of(given[index]))
                    continue
                number = taking.next(numbers)
            except Refused as problem:
                asked = given[index] if index < len(given) else ""
                detail = (
                    f"failed to allocate IP {asked}: {problem}"
                    if asked
                    else f"failed to allocate a serviceIP: {problem}"
                )
                raise _invalid(service, "spec.clusterIPs", given, detail) from problem
            given[index:] = [str(ipaddress.ip_address(number))]
        spec.clusterIPs = given
        spec.clusterIP = given[0]

    def _check_families(self, service: core_v1.Service) -> None:
        """Raises Invalid for what this cluster does not have."""
        spec = service.spec
        if spec.ipFamilyPolicy == "RequireDualStack" and len(self._families) < 2:
            detail = "this cluster is not configured for dual-stack services"
            raise _invalid(service, "spec.ipFamilyPolicy", spec.ipFamilyPolicy, detail)
        for index, family in enumerate(spec.ipFamilies or ()):
            if family not in self._families:
                raise _invalid(service, f"spec.ipFamilies[{index}]", family, "not configured on this cluster")

    def _node_ports(self, service: core_v1.Service, taking: "_Taking") -> None:
        spec = service.spec
        allocate = needs_node_port(spec)
        by_port: dict[int, int] = {}
        for index, port in enumerate(spec.ports or ()):
            wanted = port.nodePort or 0
            if not wanted and not allocate:
                continue
            if not wanted:
                # Two protocols of one port share their node port.
                wanted = by_port.get(port.port, 0) or next(
                    (p.nodePort for p in spec.ports or () if p.port == port.port and p.nodePort), 0
                )
            port.nodePort = self._port(service, taking, f"spec.ports[{index}].nodePort", wanted)
            by_port.setdefault(port.port, port.nodePort)
        if needs_health_check(spec):
            spec.healthCheckNodePort = self._port(
                service, taking, "spec.healthCheckNodePort", spec.healthCheckNodePort or 0
            )

    def _port(self, service: core_v1.Service, taking: "_Taking", path: str, wanted: int) -> int:
        try:
            return taking.claim(self._ports, wanted) if wanted else taking.next(self._ports)
        except Refused as problem:
            raise _invalid(service, path, wanted, str(problem)) from problem


class _Taking:
    """Takes numbers for one Service; what it holds or has just taken may be named again."""

    def __init__(self, reservation: Reservation, own: set[tuple[int, int]]) -> None:
        self._reservation = reservation
        self._own = own

    def claim(self, numbers: Numbers, number: int) -> int:
        if (id(numbers), number) not in self._own:
            numbers.claim(number)
            self._note(numbers, number)
        return number

    def next(self, numbers: Numbers) -> int:
        number = numbers.next()
        self._note(numbers, number)
        return number

    def _note(self, numbers: Numbers, number: int) -> None:
        self._reservation.addresses.append((numbers, number))
        self._own.add((id(numbers), number))


def _number_of(text: str) -> int:
    try:
        return int(ipaddress.ip_address(text))
    except ValueError as problem:
        raise Refused("must be a valid IP address") from problem


def _invalid(service: core_v1.Service, path: str, value: Any, detail: str) -> errors.StatusError:
    return errors.Invalid("Service", "", service.metadata.name, [fields.invalid(path, value, detail)])
