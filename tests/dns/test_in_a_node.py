"""Bridge, proxy and name server together, as on a node: a Pod resolves names through the kube-dns Service."""

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import dnslib
import pytest

from tests.network.kernel import Namespace, eventually, host
from tiphys.api import core_v1, discovery_v1, meta_v1
from tiphys.base.clock import RealClock
from tiphys.client import Client, Informers
from tiphys.dns import Dns, DnsConfig
from tiphys.network import Bridge, NetworkConfig
from tiphys.proxy import Proxy, ProxyConfig

ADDRESS = "10.96.0.10"


@pytest.fixture
def node() -> Iterator[Namespace]:
    with host() as namespace:
        yield namespace


async def create_kube_dns(client: Client) -> None:
    for name in ("default", "kube-system"):
        await client.of(core_v1.Namespace).create(core_v1.Namespace(metadata=meta_v1.ObjectMeta(name=name)))
    metadata = meta_v1.ObjectMeta(name="kube-dns", namespace="kube-system")
    ports = [core_v1.ServicePort(name="dns", port=53, protocol="UDP")]
    await client.of(core_v1.Service).create(
        core_v1.Service(metadata=metadata, spec=core_v1.ServiceSpec(clusterIP=ADDRESS, ports=ports))
    )
    labels = {"kubernetes.io/service-name": "kube-dns"}
    await client.of(discovery_v1.EndpointSlice).create(
        discovery_v1.EndpointSlice(
            metadata=meta_v1.ObjectMeta(name="kube-dns-1", namespace="kube-system", labels=labels),
            addressType="IPv4",
            endpoints=[discovery_v1.Endpoint(addresses=["10.244.0.1"], nodeName="n1")],
            ports=[discovery_v1.EndpointPort(name="dns", port=53, protocol="UDP")],
        )
    )


def answers(place: Namespace, name: str) -> list[str]:
    with place.socket(socket.SOCK_DGRAM) as client:
        client.settimeout(0.5)
        client.connect((ADDRESS, 53))
        client.send(dnslib.DNSRecord.question(name).pack())
        try:
            return [str(rr.rdata) for rr in dnslib.DNSRecord.parse(client.recv(2000)).rr]
        except OSError:
            return []


@pytest.mark.root
async def test_pods_and_the_node_resolve(node: Namespace, client: Client, informers: Informers, tmp_path: Path) -> None:
    await create_kube_dns(client)
    bridge = Bridge(NetworkConfig("test0", tmp_path / "network"))
    dns = DnsConfig(listen=(("10.244.0.1", 53),), resolv_conf=tmp_path / "resolv.conf")
    name = "kube-dns.kube-system.svc.cluster.local"
    with Namespace() as pod:
        # In the order of a real start: sockets before the address, the range from the API server last.
        async with informers, Dns(dns, informers, RealClock()):
            async with Proxy(ProxyConfig("test0", "n1"), informers, RealClock()):
                await bridge.configure("10.244.0.0/24")
                await bridge.add("pod", pod.path, "pod", [])

                async def resolved(place: Namespace) -> bool:
                    return await asyncio.to_thread(answers, place, name) == [ADDRESS]

                await eventually(lambda: resolved(pod))
                await eventually(lambda: resolved(node))
            # Rules outlive the proxy.
            assert await resolved(pod)
        await bridge.purge()
    assert node.run("nft", "list", "tables") == ""
    await bridge.close()
