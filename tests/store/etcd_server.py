"""Real etcd members on loopback, with data directories and ports of their own, ended by their process ids."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from tiphys.base.clock import RealClock
from tiphys.store.etcd import messages_pb2 as messages
from tiphys.store.etcd.client import Client
from tiphys.store.etcd.config import EtcdConfig
from tiphys.store.etcd.store import EtcdStore

START_SECONDS = 20.0


def program() -> str:
    """etcd's program; skips the test where it is not installed."""
    found = shutil.which("etcd")
    if found is None:
        pytest.skip("etcd is not installed; `make test` installs Debian's etcd-server")
    return found


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _timing(heartbeat_ms: int) -> list[str]:
    return [f"--heartbeat-interval={heartbeat_ms}", f"--election-timeout={heartbeat_ms * 10}"]


class Member:
    """One etcd process, which can be killed and started again on the same data."""

    def __init__(self, directory: Path, name: str, client: int, peer: int, cluster: str, tls: tuple[str, ...]) -> None:
        # A member alone elects itself as soon as it may; three share two cores and must not take load for loss.
        timing = _timing(10) if "," not in cluster else _timing(25)
        scheme = "https" if tls else "http"
        self.url = f"{scheme}://127.0.0.1:{client}"
        peer_url = f"http://127.0.0.1:{peer}"
        self._command = [
            program(),
            *("--name", name, "--data-dir", str(directory / name)),
            *("--listen-client-urls", self.url, "--advertise-client-urls", self.url),
            *("--listen-peer-urls", peer_url, "--initial-advertise-peer-urls", peer_url),
            *("--initial-cluster", cluster, *timing),
            *("--logger", "zap", "--log-level", "error"),
            *tls,
        ]
        self._log = directory / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)

    @property
    def running(self) -> bool:
        return self._process is not None

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(10)
            self._process = None

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)
        if number == signal.SIGSTOP:
            os.waitid(os.P_PID, self._process.pid, os.WSTOPPED)

    def output(self) -> str:
        return self._log.read_text()


class Cluster:
    """Some members. ``start`` returns at once; opening a store waits for them."""

    def __init__(self, directory: Path, members: int = 1, tls: tuple[str, ...] = ()) -> None:
        ports = free_ports(2 * members)
        names = [f"m{number}" for number in range(members)]
        cluster = ",".join(f"{name}=http://127.0.0.1:{port}" for name, port in zip(names, ports[members:], strict=True))
        self.members = [
            Member(directory, name, client, peer, cluster, tls)
            for name, client, peer in zip(names, ports[:members], ports[members:], strict=True)
        ]

    @property
    def urls(self) -> tuple[str, ...]:
        return tuple(member.url for member in self.members)

    def start(self) -> None:
        for member in self.members:
            member.start()

    def stop(self) -> None:
        for member in self.members:
            member.kill()

    async def ready(self) -> None:
        """Return once every member answers."""
        for url in self.urls:
            store = await EtcdStore.open(EtcdConfig((url,), connect_seconds=START_SECONDS))
            await store.close()

    async def leader(self) -> Member:
        """Who leads, as it says itself, once somebody does."""
        async with asyncio.timeout(START_SECONDS):
            while True:
                for member in self.members:
                    if member.running and await _leads(member):
                        return member


async def _leads(member: Member) -> bool:
    client = Client(EtcdConfig((member.url,)), RealClock())
    status = await client.read("status", messages.StatusRequest())
    await client.close()
    return bool(status.leader == status.header.member_id)
