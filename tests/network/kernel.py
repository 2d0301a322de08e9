"""Network namespaces for tests: each lives as long as its process, and everything in it dies with it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from tiphys.network.namespaces import inside


class Namespace:
    """A fresh network namespace."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            ["unshare", "--net", "sh", "-c", "echo; exec sleep 600"], stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self._process.stdout.readline()
        self._process.stdout.close()
        self.path = f"/proc/{self._process.pid}/ns/net"
        self.fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)

    def close(self) -> None:
        os.close(self.fd)
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> Namespace:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        with inside(self.fd):
            yield

    def socket(self, kind: int = socket.SOCK_STREAM) -> socket.socket:
        """A socket that belongs to this namespace wherever it is used."""
        with self.entered():
            made = socket.socket(socket.AF_INET, kind)
        made.settimeout(3)
        return made

    def listener(self, address: str, port: int) -> socket.socket:
        made = self.socket()
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((address, port))
        made.listen(64)
        return made

    def run(self, *command: str) -> str:
        return subprocess.run(
            ["nsenter", f"--net={self.path}", *command], check=True, capture_output=True, text=True
        ).stdout


def talk(client: socket.socket, target: tuple[str, int], server: socket.socket) -> str:
    """Connect, and return the address that the server sees; both ends are closed."""
    with client:
        client.connect(target)
        accepted, peer = server.accept()
        with accepted:
            accepted.sendall(b"x")
            assert client.recv(1) == b"x"
            return str(peer[0])


async def eventually(condition: Callable[[], bool | Awaitable[bool]]) -> None:
    """Wait for what the kernel or another thread brings about; fails after five seconds."""
    async with asyncio.timeout(5):
        while True:
            found = condition()
            if found if isinstance(found, bool) else await found:
                return
            # Nobody tells when a packet has arrived, so this asks again.
            await asyncio.sleep(0.005)


def set_bridge_filter(value: str) -> None:
    """Switch br_netfilter off ("0") or on ("1") in this namespace; skips the test where the kernel has none."""
    path = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")
    if path.exists():
        path.write_text(value)
    elif value == "1":
        pytest.skip("this kernel has no br_netfilter")


@contextlib.contextmanager
def host() -> Iterator[Namespace]:
    """A namespace that plays the node, entered by this thread until the end."""
    with Namespace() as namespace, namespace.entered():
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        yield namespace
