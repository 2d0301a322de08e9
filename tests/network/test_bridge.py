"""Sandboxes on a bridge: real namespaces and real traffic, in a namespace that plays the node."""

import asyncio
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.network.kernel import Namespace, eventually, host, set_bridge_filter, talk
from tiphys.network import Bridge, NetworkConfig
from tiphys.network.rules import PortMapping

pytestmark = pytest.mark.root


@pytest.fixture
def node() -> Iterator[Namespace]:
    with host() as namespace:
        yield namespace


@pytest.fixture
def config(tmp_path: Path) -> NetworkConfig:
    return NetworkConfig(tag="test0", state_dir=tmp_path / "network")


@pytest.fixture
async def bridge(node: Namespace, config: NetworkConfig) -> AsyncIterator[Bridge]:
    made = Bridge(config)
    await made.configure("10.244.0.0/24")
    yield made
    await made.close()


@pytest.fixture(params=["0", "1"], ids=["without br_netfilter", "with br_netfilter"])
def bridge_filter(node: Namespace, request: pytest.FixtureRequest) -> None:
    set_bridge_filter(request.param)


async def test_says_why_it_is_not_ready(node: Namespace, config: NetworkConfig) -> None:
    made = Bridge(config)
    assert made.status() == (
        False,
        "NetworkPluginNotReady",
        "Network plugin returns error: the Pod address range of this node is not known yet",
    )
    with Namespace() as pod, pytest.raises(OSError, match="not known yet"):
        await made.add("a", pod.path, "a", [])
    await made.configure("10.244.0.0/24")
    assert made.status() == (True, "", "")
    await made.close()


async def test_pods_reach_each_other_and_the_host(bridge: Bridge, node: Namespace, bridge_filter: None) -> None:
    with Namespace() as one, Namespace() as two:
        assert await bridge.add("one", one.path, "one", []) == ["10.244.0.2"]
        assert await bridge.add("two", two.path, "two", []) == ["10.244.0.3"]
        with two.listener("0.0.0.0", 80) as server:
            assert talk(one.socket(), ("10.244.0.3", 80), server) == "10.244.0.2"
            assert talk(node.socket(), ("10.244.0.3", 80), server) == "10.244.0.1"
        with node.listener("0.0.0.0", 81) as server:
            assert talk(one.socket(), ("10.244.0.1", 81), server) == "10.244.0.2"


async def test_every_packet_between_pods_passes_the_host(bridge: Bridge, node: Namespace, bridge_filter: None) -> None:
    with Namespace() as one, Namespace() as two:
        await bridge.add("one", one.path, "one", [])
        await bridge.add("two", two.path, "two", [])
        nft("add table ip seen; add chain ip seen f { type filter hook forward priority 0; }; "
            "add rule ip seen f ip saddr 10.244.0.3 ip daddr 10.244.0.2 counter")  # fmt: skip
        with two.listener("0.0.0.0", 80) as server:
            for _ in range(5):
                talk(one.socket(), ("10.244.0.3", 80), server)
        sent = node.run("nstat", "-asz", "IcmpOutRedirects").split("IcmpOutRedirects")[1].split()[0]
        assert sent == "0", "Pods are advised to talk past the host"
        answers = int(nft("list chain ip seen f").split("packets ")[1].split()[0])
        assert answers >= 10, "answers went from port to port"


def nft(command: str) -> str:
    return subprocess.run(["nft", command], check=True, capture_output=True, text=True).stdout


async def test_host_ports(bridge: Bridge, node: Namespace, bridge_filter: None) -> None:
    node.run("ip", "addr", "add", "192.0.2.7/32", "dev", "lo")
    ports = [PortMapping("TCP", 8080, 80), PortMapping("TCP", 8081, 80, "192.0.2.7")]
    with Namespace() as one, Namespace() as two:
        await bridge.add("one", one.path, "one", ports)
        await bridge.add("two", two.path, "two", [])
        with one.listener("0.0.0.0", 80) as server:
            assert talk(two.socket(), ("10.244.0.1", 8080), server) == "10.244.0.3"
            assert talk(one.socket(), ("10.244.0.1", 8080), server) == "10.244.0.1", "hairpin is masqueraded"
            talk(node.socket(), ("127.0.0.1", 8080), server)
            talk(node.socket(), ("192.0.2.7", 8081), server)
            with pytest.raises(ConnectionRefusedError):
                node.socket().connect(("10.244.0.1", 8081))
            await bridge.remove("one", one.path)
            with pytest.raises(ConnectionRefusedError):
                node.socket().connect(("127.0.0.1", 8080))


async def test_a_taken_host_port_is_refused_and_leaves_nothing(bridge: Bridge, node: Namespace) -> None:
    with Namespace() as one, Namespace() as two:
        await bridge.add("one", one.path, "one", [PortMapping("TCP", 8080, 80)])
        with pytest.raises(OSError, match=r"host port 0\.0\.0\.0:8080/TCP is taken by another Pod"):
            await bridge.add("two", two.path, "two", [PortMapping("TCP", 8080, 80)])
        assert "eth0" not in two.run("ip", "link")
        assert await bridge.add("two", two.path, "two", [PortMapping("UDP", 8080, 80)]) == ["10.244.0.4"]


async def test_udp_host_port(bridge: Bridge, node: Namespace) -> None:
    with Namespace() as one:
        await bridge.add("one", one.path, "one", [PortMapping("UDP", 5353, 53)])
        with one.socket(socket.SOCK_DGRAM) as server, node.socket(socket.SOCK_DGRAM) as client:
            server.bind(("0.0.0.0", 53))
            client.sendto(b"question", ("10.244.0.1", 5353))
            data, peer = server.recvfrom(100)
            server.sendto(data[::-1], peer)
            assert client.recvfrom(100) == (b"noitseuq", ("10.244.0.1", 5353))


async def test_pods_leave_the_cluster_as_the_host(bridge: Bridge, node: Namespace) -> None:
    with Namespace() as outside, Namespace() as pod:
        node.run(
            "ip", "link", "add", "up0", "type", "veth", "peer", "name", "eth0", "netns", outside.path.split("/")[2]
        )
        node.run("ip", "addr", "add", "192.0.2.2/24", "dev", "up0")
        node.run("ip", "link", "set", "up0", "up")
        outside.run("ip", "addr", "add", "192.0.2.1/24", "dev", "eth0")
        outside.run("ip", "link", "set", "eth0", "up")
        await bridge.add("pod", pod.path, "pod", [])
        with outside.listener("0.0.0.0", 80) as server:
            assert talk(pod.socket(), ("192.0.2.1", 80), server) == "192.0.2.2"


async def test_a_restarted_process_finds_everything_as_it_was(
    bridge: Bridge, config: NetworkConfig, node: Namespace
) -> None:
    ports = [PortMapping("TCP", 8080, 80)]
    with Namespace() as one, Namespace() as three:
        await bridge.add("one", one.path, "one", ports)
        with Namespace() as gone:
            await bridge.add("gone", gone.path, "gone", [PortMapping("TCP", 8081, 80)])
            # As if its namespace had died; the kernel would take its time for that.
            node.run("ip", "link", "delete", config.port("gone"))
        again = Bridge(config)
        await again.configure("10.244.0.0/24")
        with one.listener("0.0.0.0", 80) as server:
            talk(node.socket(), ("127.0.0.1", 8080), server)
            assert await again.add("one", one.path, "one", ports) == ["10.244.0.2"]
            talk(node.socket(), ("127.0.0.1", 8080), server)
        assert await again.add("three", three.path, "three", [PortMapping("TCP", 8081, 80)]) == ["10.244.0.4"]
        await again.close()


async def test_a_restarted_process_is_ready_by_itself(bridge: Bridge, config: NetworkConfig, node: Namespace) -> None:
    with Namespace() as one, Namespace() as two:
        await bridge.add("one", one.path, "one", [])
        asked = Bridge(config)
        await eventually(lambda: asked.status()[0])
        await asked.close()
        again = Bridge(config)
        assert await again.add("two", two.path, "two", []) == ["10.244.0.3"]
        await again.close()
        with one.listener("0.0.0.0", 80) as server:
            assert talk(two.socket(), ("10.244.0.2", 80), server) == "10.244.0.3"


async def test_another_range(bridge: Bridge, node: Namespace) -> None:
    await bridge.configure("10.245.3.0/24")
    shown = node.run("ip", "-4", "address", "show", "dev", "tptest0")
    assert "10.245.3.1/24" in shown
    assert "10.244" not in shown
    assert "10.96.0.0/16 dev tptest0 scope link src 10.245.3.1" in node.run("ip", "route")
    with Namespace() as one:
        assert await bridge.add("one", one.path, "one", []) == ["10.245.3.2"]


async def test_a_sandbox_may_come_back_in_a_new_namespace(bridge: Bridge, node: Namespace) -> None:
    with Namespace() as old, Namespace() as new:
        first = await bridge.add("one", old.path, "one", [])
        assert await bridge.add("one", new.path, "one", []) == first
        with new.listener("0.0.0.0", 80) as server:
            talk(node.socket(), (first[0], 80), server)


async def test_no_namespace(bridge: Bridge) -> None:
    with pytest.raises(FileNotFoundError):
        await bridge.add("one", "/proc/self/ns/nothing", "one", [])
    with Namespace() as pod:
        assert await bridge.add("two", pod.path, "two", []) == ["10.244.0.3"]


async def test_purge_removes_all(bridge: Bridge, config: NetworkConfig, node: Namespace) -> None:
    with Namespace() as pod:
        await bridge.add("one", pod.path, "one", [PortMapping("TCP", 8080, 80)])
        node.run("ip", "route", "add", "local", "10.96.0.0/16", "dev", "lo")
        nft("add table ip tiphys-test0-proxy; add table ip tiphys-other-proxy")
        await bridge.purge()
        assert "tptest0" not in node.run("ip", "link")
        assert node.run("ip", "route").strip() == ""
        assert "10.96" not in node.run("ip", "route", "show", "table", "local")
        assert node.run("nft", "list", "tables").strip() == "table ip tiphys-other-proxy"
        assert not config.state_dir.exists()
        await bridge.purge()
        await bridge.configure("10.244.0.0/24")
        assert bridge.status()[0]


async def test_sixty_at_once_are_quick(bridge: Bridge, node: Namespace) -> None:
    pods = [Namespace() for _ in range(60)]
    try:
        begin = time.monotonic()
        added = await asyncio.gather(*(bridge.add(f"pod{n}", pod.path, "x", []) for n, pod in enumerate(pods)))
        elapsed = time.monotonic() - begin
        assert len({address for [address] in added}) == 60
        print(f"60 adds in {elapsed * 1000:.0f} ms")
        assert elapsed < 1.0
    finally:
        for pod in pods:
            pod.close()
