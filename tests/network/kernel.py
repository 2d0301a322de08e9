"""Network namespaces for tests: each lives as long as its process, and everything in it dies with it."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
from collections.abc import Iterator

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


@contextlib.contextmanager
def host() -> Iterator[Namespace]:
    """A namespace that plays the node, entered by this thread until the end."""
    with Namespace() as namespace, namespace.entered():
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        yield namespace
