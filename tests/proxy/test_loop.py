"""The whole proxy: a real API server in memory, a real kernel in a namespace that plays the node."""

import asyncio
import errno
import json
import socket
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.network.kernel import Namespace, eventually, host, talk
from tiphys.api import core_v1, discovery_v1, meta_v1
from tiphys.base.clock import RealClock
from tiphys.client import Client, Informers
from tiphys.network.sockets import NetlinkError
from tiphys.proxy import Proxy, ProxyConfig
from tiphys.proxy.kernel import Kernel

pytestmark = pytest.mark.root
CONFIG = ProxyConfig("test0", "n1", retry_seconds=0.05)
SERVERS = ("10.9.9.1", "10.9.9.2")


@pytest.fixture
def node() -> Iterator[Namespace]:
    """Endpoints are addresses of the node itself: how Pods are reached is not the matter here."""
    with host() as namespace:
        namespace.run("ip", "route", "add", "10.96.0.0/16", "dev", "lo")
        for address in SERVERS:
            namespace.run("ip", "address", "add", address, "dev", "lo")
        yield namespace


@pytest.fixture
async def proxy(node: Namespace, client: Client, informers: Informers) -> AsyncIterator[Proxy]:
    await client.of(core_v1.Namespace).create(core_v1.Namespace(metadata=meta_v1.ObjectMeta(name="default")))
    async with informers, Proxy(CONFIG, informers, RealClock()) as made:
        yield made


def service(name: str, **spec: object) -> core_v1.Service:
    return core_v1.Service(
        metadata=meta_v1.ObjectMeta(name=name, namespace="default"),
        spec=core_v1.ServiceSpec(ports=[core_v1.ServicePort(port=80, targetPort=8080)], **spec),  # type: ignore[arg-type]
    )


def slice_of(name: str, *addresses: str) -> discovery_v1.EndpointSlice:
    return discovery_v1.EndpointSlice(
        metadata=meta_v1.ObjectMeta(name=f"{name}-1", namespace="default", labels={"kubernetes.io/service-name": name}),
        addressType="IPv4",
        endpoints=[discovery_v1.Endpoint(addresses=[address], nodeName="n1") for address in addresses],
        ports=[discovery_v1.EndpointPort(name="", port=8080, protocol="TCP")],
    )


def connects(node: Namespace, address: str, port: int) -> bool:
    with node.socket() as client:
        client.settimeout(0.3)
        try:
            client.connect((address, port))
        except OSError:
            return False
        return True


async def test_follows_services_and_slices(proxy: Proxy, node: Namespace, client: Client) -> None:
    slices = client.of(discovery_v1.EndpointSlice)
    with node.listener(SERVERS[0], 8080):
        made = await client.of(core_v1.Service).create(service("web", type="NodePort"))
        address = made.spec.clusterIP or ""
        assert made.spec.ports is not None
        node_port = made.spec.ports[0].nodePort or 0
        assert not connects(node, address, 80)
        await slices.create(slice_of("web", SERVERS[0]))
        await eventually(lambda: connects(node, address, 80) and connects(node, "127.0.0.1", node_port))
        await slices.delete("web-1", "default")
        await eventually(lambda: not connects(node, address, 80))
        await slices.create(slice_of("web", SERVERS[0]))
        await eventually(lambda: connects(node, address, 80))
        await client.of(core_v1.Service).delete("web", "default")
        await eventually(lambda: not connects(node, "127.0.0.1", node_port))
    table = node.run("nft", "list", "table", "ip", CONFIG.table)
    assert "web" not in table


async def test_rules_outlive_the_process_and_are_taken_over(
    node: Namespace, client: Client, informers: Informers
) -> None:
    await client.of(core_v1.Namespace).create(core_v1.Namespace(metadata=meta_v1.ObjectMeta(name="default")))
    made = await client.of(core_v1.Service).create(service("web"))
    await client.of(discovery_v1.EndpointSlice).create(slice_of("web", SERVERS[0]))
    gone = await client.of(core_v1.Service).create(service("gone", sessionAffinity="ClientIP"))
    await client.of(discovery_v1.EndpointSlice).create(slice_of("gone", SERVERS[0]))
    with node.listener(SERVERS[0], 8080) as server:
        async with informers, Proxy(CONFIG, informers, RealClock()):
            talk(node.socket(), (made.spec.clusterIP or "", 80), server)
            talk(node.socket(), (gone.spec.clusterIP or "", 80), server)
        talk(node.socket(), (made.spec.clusterIP or "", 80), server)
        await client.of(core_v1.Service).delete("gone", "default")
        later = Informers(client, RealClock())
        async with later, Proxy(CONFIG, later, RealClock()):
            talk(node.socket(), (made.spec.clusterIP or "", 80), server)
            assert "gone" not in node.run("nft", "list", "table", "ip", CONFIG.table)


async def test_flushed_rules_come_back(proxy: Proxy, node: Namespace, client: Client) -> None:
    made = await client.of(core_v1.Service).create(service("web"))
    await client.of(discovery_v1.EndpointSlice).create(slice_of("web", SERVERS[0]))
    with node.listener(SERVERS[0], 8080):
        await eventually(lambda: connects(node, made.spec.clusterIP or "", 80))
        node.run("nft", "flush", "ruleset")
        await eventually(lambda: connects(node, made.spec.clusterIP or "", 80))


async def test_health_check_node_port(proxy: Proxy, node: Namespace, client: Client) -> None:
    made = await client.of(core_v1.Service).create(
        service("web", type="LoadBalancer", externalTrafficPolicy="Local", healthCheckNodePort=30999)
    )
    port = made.spec.healthCheckNodePort
    assert port
    url = f"http://127.0.0.1:{port}/healthz"

    def answer() -> tuple[int, dict[str, object], str]:
        try:
            with urllib.request.urlopen(url, timeout=2) as reply:
                return reply.status, json.load(reply), reply.headers["X-Load-Balancing-Endpoint-Weight"]
        except urllib.error.HTTPError as error:
            return error.code, json.load(error), error.headers["X-Load-Balancing-Endpoint-Weight"]
        except OSError:
            return 0, {}, ""

    async def until_answer(code: int, weight: int) -> None:
        body = {
            "service": {"namespace": "default", "name": "web"},
            "localEndpoints": weight,
            "serviceProxyHealthy": True,
        }

        async def answered() -> bool:
            return await asyncio.to_thread(answer) == (code, body, str(weight))

        await eventually(answered)

    await until_answer(503, 0)
    await client.of(discovery_v1.EndpointSlice).create(slice_of("web", *SERVERS))
    await until_answer(200, 2)


class NoFlows(Kernel):
    """A kernel that does not tell of its connections."""

    def delete_flows(self, choose: object) -> int:
        raise NetlinkError(errno.EOPNOTSUPP, "list connections")


async def test_rules_do_not_depend_on_flows(node: Namespace, client: Client, informers: Informers) -> None:
    await client.of(core_v1.Namespace).create(core_v1.Namespace(metadata=meta_v1.ObjectMeta(name="default")))
    wanted = service("dns")
    wanted.spec.ports = [core_v1.ServicePort(port=53, protocol="UDP")]
    await client.of(core_v1.Service).create(wanted)
    backing = slice_of("dns", SERVERS[0])
    backing.ports = [discovery_v1.EndpointPort(name="", port=5353, protocol="UDP")]
    await client.of(discovery_v1.EndpointSlice).create(backing)
    async with asyncio.timeout(5), informers, Proxy(CONFIG, informers, RealClock(), open_kernel=NoFlows):
        assert "default/dns" in node.run("nft", "list", "table", "ip", CONFIG.table)


def no_nftables(table: str) -> Kernel:
    raise OSError(errno.EPROTONOSUPPORT, "Protocol not supported")


async def test_without_nftables(node: Namespace, client: Client, informers: Informers) -> None:
    await client.of(core_v1.Namespace).create(core_v1.Namespace(metadata=meta_v1.ObjectMeta(name="default")))
    made = await client.of(core_v1.Service).create(service("web", type="NodePort"))
    assert made.spec.ports is not None
    places = [(made.spec.clusterIP or "", 80), ("127.0.0.1", made.spec.ports[0].nodePort or 0)]
    slices = client.of(discovery_v1.EndpointSlice)
    await slices.create(slice_of("web", SERVERS[0]))
    async with informers, Proxy(CONFIG, informers, RealClock(), open_kernel=no_nftables):
        with node.listener(SERVERS[0], 8080) as server:
            for place in places:
                await asyncio.to_thread(talk, node.socket(), place, server)
        await slices.delete("web-1", "default")
        await eventually(lambda: not connects(node, *places[0]) and not connects(node, *places[1]))
        assert CONFIG.table not in node.run("nft", "list", "tables")


async def test_udp_without_nftables(node: Namespace, client: Client, informers: Informers) -> None:
    await client.of(core_v1.Namespace).create(core_v1.Namespace(metadata=meta_v1.ObjectMeta(name="default")))
    wanted = service("dns")
    wanted.spec.ports = [core_v1.ServicePort(port=53, protocol="UDP")]
    made = await client.of(core_v1.Service).create(wanted)
    backing = slice_of("dns", SERVERS[0])
    backing.ports = [discovery_v1.EndpointPort(name="", port=5353, protocol="UDP")]
    await client.of(discovery_v1.EndpointSlice).create(backing)

    def exchange() -> bytes:
        with node.socket(socket.SOCK_DGRAM) as server, node.socket(socket.SOCK_DGRAM) as asker:
            server.bind((SERVERS[0], 5353))
            asker.sendto(b"question", (made.spec.clusterIP or "", 53))
            data, peer = server.recvfrom(99)
            server.sendto(data[::-1], peer)
            return asker.recv(99)

    async with informers, Proxy(CONFIG, informers, RealClock(), open_kernel=no_nftables):
        assert await asyncio.to_thread(exchange) == b"noitseuq"
