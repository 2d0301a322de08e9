import asyncio
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.kubelet.fake_cri import FakeCri, FakeRuntime
from tiphys.api import core_v1, meta_v1
from tiphys.apiserver import ApiServer, ApiServerConfig
from tiphys.base.clock import RealClock
from tiphys.base.ids import Ids
from tiphys.client import Client, InProcessTransport
from tiphys.kubelet.config import KubeletConfig, MachineFacts
from tiphys.kubelet.loop import Kubelet
from tiphys.machinery import codec, errors
from tiphys.store.memory import MemoryStore

IMAGE = "example.test/box:1"


@dataclass
class Node:
    """One kubelet over the real API server in memory and a runtime without containers."""

    kubelet: Kubelet
    client: Client
    runtime: FakeRuntime
    config: KubeletConfig

    async def create(self, name: str = "web", **fields: Any) -> core_v1.Pod:
        return await self.client.of(core_v1.Pod).create(pod(name, **fields))

    async def get(self, name: str = "web") -> core_v1.Pod:
        return await self.client.of(core_v1.Pod).get(name, "default")

    async def until(self, check: Callable[[core_v1.Pod], Any], name: str = "web", seconds: float = 5.0) -> core_v1.Pod:
        """The Pod, once ``check`` holds of it."""
        found: core_v1.Pod | None = None
        try:
            async with asyncio.timeout(seconds):
                while True:
                    found = await self.get(name)
                    if check(found):
                        return found
                    await asyncio.sleep(0.005)
        except TimeoutError:
            events = [(e.reason, e.message) for e in await self.events(name)]
            raise AssertionError(f"{codec.to_builtins(found)['status'] if found else None}\n{events}") from None

    async def until_gone(self, name: str = "web", seconds: float = 5.0) -> None:
        async with asyncio.timeout(seconds):
            while True:
                try:
                    await self.get(name)
                except errors.NotFound:
                    return
                await asyncio.sleep(0.005)

    async def events(self, name: str = "web") -> list[core_v1.Event]:
        await asyncio.sleep(0.02)
        found = (await self.client.of(core_v1.Event).list("default")).items
        return [e for e in found if e.involvedObject.name == name]

    async def until_event(self, reason: str, message: str, name: str = "web", seconds: float = 5.0) -> core_v1.Event:
        seen: list[tuple[str | None, str | None]] = []
        try:
            async with asyncio.timeout(seconds):
                while True:
                    found = await self.events(name)
                    seen = [(e.reason, e.message) for e in found]
                    for event in found:
                        if event.reason == reason and event.message == message:
                            return event
        except TimeoutError:
            raise AssertionError(seen) from None


async def eventually(check: Callable[[], Any], seconds: float = 5.0) -> None:
    """Return once ``check`` holds."""
    async with asyncio.timeout(seconds):
        while True:
            if check():
                return
            await asyncio.sleep(0.005)


def container(name: str = "main", **fields: Any) -> dict[str, Any]:
    return {"name": name, "image": IMAGE, **fields}


def pod(name: str = "web", namespace: str = "default", **spec: Any) -> core_v1.Pod:
    spec.setdefault("containers", [container()])
    spec.setdefault("nodeName", "n1")
    return codec.convert(
        core_v1.Pod,
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": namespace},
            "spec": spec,
        },
    )


def is_ready(found: core_v1.Pod) -> bool:
    return any(c.type == "Ready" and c.status == "True" for c in found.status.conditions or ())


def config_for(directory: Path, **fields: Any) -> KubeletConfig:
    defaults: dict[str, Any] = {
        "node_name": "n1",
        "root_dir": directory / "kubelet",
        "log_dir": directory / "logs",
        "cri_socket": directory / "cri.sock",
        "node_ips": ("192.0.2.1",),
        "listen_address": "127.0.0.1",
        "port": 0,
        "cluster_dns": ("10.96.0.10",),
        "machine": MachineFacts(cpus=4, memory_bytes=8 << 30),
        "privileged": False,
    }
    return KubeletConfig(**{**defaults, **fields})


@pytest.fixture
async def api() -> AsyncIterator[ApiServer]:
    async with ApiServer(ApiServerConfig(), MemoryStore()) as server:
        client = Client(InProcessTransport(server.handle))
        for name in ("default", "kube-node-lease", "kube-system"):
            await client.of(core_v1.Namespace).create(core_v1.Namespace(metadata=meta_v1.ObjectMeta(name=name)))
        yield server


@pytest.fixture
async def runtime(tmp_path: Path) -> AsyncIterator[FakeRuntime]:
    async with FakeCri(tmp_path / "cri.sock") as running:
        yield running


@pytest.fixture
async def node(api: ApiServer, runtime: FakeRuntime, tmp_path: Path) -> AsyncIterator[Node]:
    client = Client(InProcessTransport(api.handle))
    config = config_for(tmp_path)
    async with Kubelet(config, client, RealClock(), Ids(), random.Random(1)) as kubelet:
        yield Node(kubelet, client, runtime, config)
