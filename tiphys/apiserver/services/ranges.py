"""Ranges of numbers: addresses of a network, node ports. The lower part is given out last.

The lower part is left to those who ask by name, so that a static choice seldom
meets an address that was given out before.
Source: KEP-3070 and KEP-3668 Reserve ranges for dynamic and static allocation.
"""

import ipaddress
from collections.abc import Callable, Iterator
from dataclasses import dataclass

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Numbers:
    """``low`` to ``high``, both included; the first ``static`` of them are given out last."""

    low: int
    high: int
    static: int

    def __contains__(self, number: int) -> bool:
        return self.low <= number <= self.high

    def candidates(self, draw: Callable[[], int]) -> Iterator[int]:
        """Every number once, the dynamic part first, each part from a drawn place on."""
        middle = self.low + self.static
        for low, high in ((middle, self.high), (self.low, middle - 1)):
            size = high - low + 1
            if size > 0:
                start = draw() % size
                yield from range(low + start, high + 1)
                yield from range(low, low + start)


def addresses(network: Network) -> Numbers:
    """The addresses that Services may have: neither the network's own nor, in IPv4, its broadcast address."""
    first = int(network.network_address) + 1
    last = int(network.broadcast_address) - (network.version == 4)
    size = last - first + 1
    return Numbers(first, last, min(max(16, size // 16), 256) if size > 16 else 0)


def node_ports(low: int, high: int) -> Numbers:
    size = high - low + 1
    return Numbers(low, high, min(max(16, size // 32), 128) if size > 16 else 0)


def networks(text: str) -> list[Network]:
    """``10.96.0.0/16,fd00::/108``; raises ValueError."""
    return [ipaddress.ip_network(part.strip()) for part in text.split(",") if part.strip()]
