"""Which sandbox of this node holds which address, on disk so that a crash forgets nothing.

One symbolic link per address, named by the address and pointing to the sandbox
id: making one is atomic, says who holds it and fails if somebody does. Freed
addresses come back last, so that late packets to a Pod that is gone do not
reach a new one; the link ``last`` carries that order over a restart.

Nothing is fsynced: after a loss of power there are no sandboxes either.
"""

import os
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

_LAST = "last"


class AddressesExhausted(OSError):
    """No address of the range is free."""


class Addresses:
    """Addresses of one range, without its network, first (the bridge's) and broadcast address."""

    def __init__(self, directory: Path, cidr: str) -> None:
        self._directory = directory
        self._network = IPv4Network(cidr)
        self._first = int(self._network.network_address) + 2
        self._count = self._network.num_addresses - 3
        if self._count < 1:
            raise ValueError(f"Pod address range {cidr} has no room for a Pod")
        directory.mkdir(parents=True, exist_ok=True)
        self._holders: dict[int, str] = {}
        self._held: dict[str, int] = {}
        self._load()

    def _load(self) -> None:
        self._next = 0
        for entry in self._directory.iterdir():
            target = os.readlink(entry) if entry.is_symlink() else ""
            if entry.name == _LAST and target:
                self._next = self._index(target) + 1
            elif target and self._contains(entry.name):
                number = int(IPv4Address(entry.name))
                self._holders[number] = target
                self._held[target] = number
            elif not entry.is_dir():
                # Of another range, or left by a crash between making ``last`` and renaming it.
                entry.unlink()

    def _contains(self, name: str) -> bool:
        try:
            return 0 <= int(IPv4Address(name)) - self._first < self._count
        except ValueError:
            return False

    def _index(self, address: str) -> int:
        return int(IPv4Address(address)) - self._first if self._contains(address) else -1

    @property
    def gateway(self) -> str:
        """The bridge's address."""
        return str(self._network.network_address + 1)

    def find(self, sandbox_id: str) -> str | None:
        number = self._held.get(sandbox_id)
        return None if number is None else str(IPv4Address(number))

    def sandboxes(self) -> list[str]:
        """All holders."""
        return sorted(self._held)

    def allocate(self, sandbox_id: str) -> str:
        """The sandbox's address: the one it holds, or else the next free one.

        Raises AddressesExhausted.
        """
        held = self.find(sandbox_id)
        if held is not None:
            return held
        for step in range(self._count):
            index = (self._next + step) % self._count
            number = self._first + index
            if number not in self._holders:
                return self._take(index, number, sandbox_id)
        raise AddressesExhausted(f"all {self._count} Pod addresses of {self._network} are taken")

    def _take(self, index: int, number: int, sandbox_id: str) -> str:
        address = str(IPv4Address(number))
        os.symlink(sandbox_id, self._directory / address)
        self._remember_last(address)
        self._holders[number] = sandbox_id
        self._held[sandbox_id] = number
        self._next = index + 1
        return address

    def _remember_last(self, address: str) -> None:
        fresh = self._directory / f"{_LAST}.new"
        fresh.unlink(missing_ok=True)
        os.symlink(address, fresh)
        fresh.rename(self._directory / _LAST)

    def release(self, sandbox_id: str) -> str | None:
        """Free the sandbox's address and return it; None if it held none."""
        number = self._held.pop(sandbox_id, None)
        if number is None:
            return None
        del self._holders[number]
        address = str(IPv4Address(number))
        (self._directory / address).unlink(missing_ok=True)
        return address

    def release_all_but(self, sandbox_ids: Iterable[str]) -> list[str]:
        """Free what others hold; returns their ids."""
        keep = set(sandbox_ids)
        stale = [holder for holder in self.sandboxes() if holder not in keep]
        for holder in stale:
            self.release(holder)
        return stale
