"""Address ranges for a new cluster that collide with nothing on this host."""

import contextlib
import itertools
from collections.abc import Iterable, Iterator
from ipaddress import AddressValueError, IPv4Network, NetmaskValueError
from pathlib import Path
from typing import NamedTuple

from tiphys.network.sockets import NETLINK_ROUTE, NetlinkSocket
from tiphys.wire import rtnetlink

#: What kubeadm's documentation and kubeadm itself use; everybody's examples show these.
DEFAULT_PODS = IPv4Network("10.244.0.0/16")
DEFAULT_SERVICES = IPv4Network("10.96.0.0/16")
_RESOLV_CONF = Path("/etc/resolv.conf")
_PRIVATE = (IPv4Network("10.0.0.0/8"), IPv4Network("172.16.0.0/12"))


class Ranges(NamedTuple):
    pods: IPv4Network
    services: IPv4Network


def choose(used: Iterable[IPv4Network]) -> Ranges:
    """The default ranges, or for each that overlaps with ``used`` the next free private /16.

    Raises LookupError when every private range is taken.
    """
    taken = [network for network in used if network.prefixlen > 0]
    pods = _first_free(_candidates(DEFAULT_PODS, backwards=True), taken)
    services = _first_free(_candidates(DEFAULT_SERVICES, backwards=False), [*taken, pods])
    return Ranges(pods, services)


def _candidates(default: IPv4Network, backwards: bool) -> Iterator[IPv4Network]:
    """The default first, then its neighbours in one direction, round the block, then the other blocks."""
    home, *others = _PRIVATE
    block = list(home.subnets(new_prefix=default.prefixlen))
    step = -1 if backwards else 1
    start = block.index(default)
    for distance in range(len(block)):
        yield block[(start + step * distance) % len(block)]
    yield from itertools.chain.from_iterable(other.subnets(new_prefix=default.prefixlen) for other in others)


def _first_free(candidates: Iterable[IPv4Network], taken: list[IPv4Network]) -> IPv4Network:
    for candidate in candidates:
        if not any(candidate.overlaps(network) for network in taken):
            return candidate
    raise LookupError("no private address range is free: every /16 of 10.0.0.0/8 and 172.16.0.0/12 overlaps a route")


def name_servers(text: str) -> list[IPv4Network]:
    """The IPv4 name servers of a resolv.conf: Pods must be able to reach them."""
    found = []
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver" and ":" not in words[1]:
            with contextlib.suppress(AddressValueError, NetmaskValueError):
                found.append(IPv4Network(words[1]))
    return found


def used_networks(resolv_conf: Path = _RESOLV_CONF) -> list[IPv4Network]:
    """The IPv4 destinations of all routes, addresses and name servers of this host. Raises OSError."""
    found: set[IPv4Network] = set()
    if resolv_conf.exists():
        found.update(name_servers(resolv_conf.read_text(errors="replace")))
    with NetlinkSocket(NETLINK_ROUTE) as kernel:
        for body in kernel.get("list routes", rtnetlink.get_routes()):
            destination = rtnetlink.route(body).destination
            if isinstance(destination, IPv4Network):
                found.add(destination)
        for body in kernel.get("list addresses", rtnetlink.get_addresses()):
            network = rtnetlink.address(body)[1].network
            if isinstance(network, IPv4Network):
                found.add(network)
    return sorted(network for network in found if network.prefixlen > 0)
