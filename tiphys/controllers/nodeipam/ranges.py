"""A cluster range cut into equal node ranges, and which of them are taken. No I/O.

Nothing is kept but what the Nodes say, so a crash forgets nothing: whoever
starts again occupies what is written and goes on. Ranges are handed out in a
circle, so that a range just given back rests as long as possible.
"""

import ipaddress
from typing import TypeAlias

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


class Exhausted(Exception):
    """Every range is taken."""


class Ranges:
    def __init__(self, cluster: str, mask_size: int) -> None:
        self._cluster: Network = ipaddress.ip_network(cluster)
        self._mask_size = max(mask_size, self._cluster.prefixlen)
        self._count = 1 << (self._mask_size - self._cluster.prefixlen)
        self._step = 1 << (self._cluster.max_prefixlen - self._mask_size)
        self._taken: set[int] = set()
        self._next = 0

    @property
    def version(self) -> int:
        return self._cluster.version

    def take(self) -> str:
        """A free range, now taken. Raises Exhausted."""
        for offset in range(self._count):
            index = (self._next + offset) % self._count
            if index not in self._taken:
                self._taken.add(index)
                self._next = (index + 1) % self._count
                return self._text(index)
            if len(self._taken) >= self._count:
                break
        raise Exhausted(f"no range of {self._cluster} is free")

    def occupy(self, text: str) -> bool:
        """Mark what a Node says as taken; False if it lies outside."""
        indexes = self._indexes(text)
        self._taken.update(indexes)
        return bool(indexes)

    def release(self, text: str) -> None:
        self._taken.difference_update(self._indexes(text))

    def _indexes(self, text: str) -> range:
        """The node ranges that ``text`` touches: several if it was cut with another mask."""
        try:
            network = ipaddress.ip_network(text, strict=False)
        except ValueError:
            return range(0)
        if network.version != self._cluster.version or not network.overlaps(self._cluster):
            return range(0)
        base = int(self._cluster.network_address)
        first = max(0, (int(network.network_address) - base) // self._step)
        last = min(self._count - 1, (int(network.broadcast_address) - base) // self._step)
        return range(first, last + 1)

    def _text(self, index: int) -> str:
        return f"{self._cluster.network_address + index * self._step}/{self._mask_size}"
