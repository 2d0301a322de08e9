"""What is wrong between Services and what they are said to hold, and what to do about it. Pure.

Source: Kubernetes' controllers of repair for cluster IPs and node ports, by behaviour and messages.
"""

import ipaddress
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from tiphys.api import core_v1, networking_v1
from tiphys.apiserver.services.allocator import held_addresses, held_ports
from tiphys.apiserver.services.families import family_of
from tiphys.apiserver.services.holdings import MANAGER, reference
from tiphys.apiserver.services.ranges import Numbers
from tiphys.machinery import times
from tiphys.resources.networking.ip_address import FAMILY_LABEL, MANAGED_BY_LABEL

# A Service that is being created has its address before it is there itself.
GRACE: Final = timedelta(seconds=60)
# So often must a port be found without a Service before it is given back.
LEAKS_BEFORE_RELEASE: Final = 3


@dataclass(frozen=True, slots=True)
class Note:
    """An event to write about an object."""

    about: Any
    reason: str
    action: str
    text: str


@dataclass(slots=True)
class AddressRepairs:
    """Addresses to hold for a Service (after giving them back, if somebody has them) and those to give back."""

    hold: list[tuple[str, core_v1.Service]] = field(default_factory=list)
    release: list[str] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)


@dataclass(slots=True)
class PortRepairs:
    """Ports to mark and to unmark, and how often each of the others was found without a Service."""

    mark: set[int] = field(default_factory=set)
    release: set[int] = field(default_factory=set)
    leaks: dict[int, int] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)


def addresses(
    services: Sequence[core_v1.Service],
    held: Mapping[str, networking_v1.IPAddress],
    in_range: Callable[[str], bool],
    now: datetime,
) -> AddressRepairs:
    """``held`` are the IPAddress objects by name."""
    found = AddressRepairs()
    by_name = {(each.metadata.namespace, each.metadata.name): each for each in services}
    for service in services:
        for text in held_addresses(service.spec):
            _service_address(found, service, text, held, by_name, in_range)
    wanted = {text for text, _ in found.hold}
    for name, address in held.items():
        if name not in wanted and address.metadata.labels.get(MANAGED_BY_LABEL) == MANAGER:
            _address(found, name, address, by_name, now)
    return found


def _service_address(
    found: AddressRepairs,
    service: core_v1.Service,
    text: str,
    held: Mapping[str, networking_v1.IPAddress],
    by_name: Mapping[tuple[str, str], core_v1.Service],
    in_range: Callable[[str], bool],
) -> None:
    def note(reason: str, words: str) -> None:
        found.notes.append(Note(service, reason, "ClusterIPAllocation", words))

    try:
        family = family_of(text)
    except ValueError:
        note("ClusterIPNotValid", f"Cluster IP {text} is not a valid IP; please recreate service")
        return
    shown = f"[{family}]: {text}"
    name = str(ipaddress.ip_address(text))
    namespaced = f"{service.metadata.namespace}/{service.metadata.name}"
    wrong = f"the ClusterIP {shown} for Service {namespaced} has a wrong reference; repairing"
    if not in_range(text):
        words = f"Cluster IP {shown} is not within any configured Service CIDR; please recreate service"
        note("ClusterIPOutOfRange", words)
        return
    address = held.get(name)
    if address is None:
        note("ClusterIPNotAllocated", f"Cluster IP {shown} is not allocated; repairing")
        found.hold.append((name, service))
        return
    parent = address.spec.parentRef
    if parent.group or parent.resource != "services":
        note("ClusterIPNotAllocated", wrong)
        found.hold.append((name, service))
    elif parent != reference(service):
        other = by_name.get((parent.namespace or "", parent.name))
        if other is None or text not in held_addresses(other.spec):
            note("ClusterIPNotAllocated", wrong)
            found.hold.append((name, service))
        else:
            words = f"Cluster IP [{family}]:{text} was assigned to multiple services; please recreate service"
            note("ClusterIPAlreadyAllocated", words)
    elif not _is_labelled(address, family):
        found.hold.append((name, service))


def _is_labelled(address: networking_v1.IPAddress, family: str) -> bool:
    labels = address.metadata.labels
    return labels.get(FAMILY_LABEL) == family and labels.get(MANAGED_BY_LABEL) == MANAGER


def _address(
    found: AddressRepairs,
    name: str,
    address: networking_v1.IPAddress,
    by_name: Mapping[tuple[str, str], core_v1.Service],
    now: datetime,
) -> None:
    """An address that this server's allocator has made must be that of a Service."""

    def release(reason: str, words: str) -> None:
        found.notes.append(Note(address, reason, "IPAddressAllocation", words))
        found.release.append(name)

    parent = address.spec.parentRef
    if parent.group or parent.resource != "services":
        words = f"IPAddress {name} appears to have been modified, not referencing a Service {parent}: cleaning up"
        release("IPAddressNotAllocated", words)
        return
    namespaced = f"{parent.namespace}/{parent.name}"
    service = by_name.get((parent.namespace or "", parent.name))
    if service is None:
        made = address.metadata.creationTimestamp
        if made is None or now - times.parse(made) > GRACE:
            words = f"IPAddress: {name} for Service {namespaced} appears to have leaked: cleaning up"
            release("IPAddressNotAllocated", words)
    elif name not in {str(ipaddress.ip_address(text)) for text in held_addresses(service.spec) if _is_address(text)}:
        words = f"IPAddress: {name} for Service {namespaced} has a wrong reference; cleaning up"
        release("IPAddressWrongReference", words)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def ports(
    services: Iterable[core_v1.Service], marked: Sequence[int], leaks: Mapping[int, int], numbers: Numbers
) -> PortRepairs:
    """``leaks`` is what the last look returned: how often a marked port had no Service."""
    found = PortRepairs()
    owners: dict[int, core_v1.Service] = {}
    there = set(marked)
    for service in services:
        for port in sorted(held_ports(service.spec)):
            _service_port(found, service, port, there, owners, numbers)
    for port in there - set(owners):
        count = leaks.get(port, 0) + 1
        if count >= LEAKS_BEFORE_RELEASE:
            found.release.add(port)
        else:
            found.leaks[port] = count
    return found


def _service_port(
    found: PortRepairs,
    service: core_v1.Service,
    port: int,
    there: set[int],
    owners: dict[int, core_v1.Service],
    numbers: Numbers,
) -> None:
    def note(reason: str, words: str) -> None:
        found.notes.append(Note(service, reason, "PortAllocation", words))

    if port not in numbers:
        words = f"Port {port} is not within the port range {numbers.low}-{numbers.high}; please recreate service"
        note("PortOutOfRange", words)
    elif port in owners:
        note("PortAlreadyAllocated", f"Port {port} was assigned to multiple services; please recreate service")
    else:
        owners[port] = service
        if port not in there:
            note("PortNotAllocated", f"Port {port} is not allocated; repairing")
            found.mark.add(port)
