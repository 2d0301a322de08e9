"""The name server on real sockets, fed by a real API server in memory."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import cast

import dnslib
import pytest

from tests.network.kernel import eventually
from tiphys.api import core_v1, discovery_v1, meta_v1
from tiphys.base.clock import RealClock
from tiphys.client import Client, Informers
from tiphys.dns import Dns, DnsConfig


def free_port() -> int:
    """One that is free for datagrams and for connections: asking for port 0 twice would give two."""
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams, socket.socket() as connections:
            datagrams.bind(("127.0.0.1", 0))
            with suppress(OSError):
                connections.bind(datagrams.getsockname())
                return int(datagrams.getsockname()[1])


def config_for(tmp_path: Path, **changes: object) -> DnsConfig:
    resolv_conf = tmp_path / "resolv.conf"
    if not resolv_conf.exists():
        resolv_conf.write_text("nameserver 127.0.0.1\n")
    return DnsConfig(
        listen=(("127.0.0.1", free_port()),),
        resolv_conf=resolv_conf,
        forward_timeout_seconds=0.3,
        forward_attempts=1,
        **changes,
    )  # type: ignore[arg-type]


@pytest.fixture
async def server(tmp_path: Path, client: Client, informers: Informers) -> AsyncIterator[Dns]:
    await create_namespace(client, "default")
    async with Dns(config_for(tmp_path), informers, RealClock()) as made, informers:
        await informers.wait_synced()
        yield made


async def create_namespace(client: Client, name: str) -> None:
    await client.of(core_v1.Namespace).create(core_v1.Namespace(metadata=meta_v1.ObjectMeta(name=name)))


async def ask(server: Dns, name: str, kind: str = "A", udp_bytes: int = 0) -> dnslib.DNSRecord:
    query = dnslib.DNSRecord.question(name, kind)
    if udp_bytes:
        query.add_ar(dnslib.EDNS0(udp_len=udp_bytes))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.setblocking(False)
        client.connect(server.addresses[0])
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(client, query.pack())
        async with asyncio.timeout(3):
            reply = dnslib.DNSRecord.parse(await loop.sock_recv(client, 4096))
    assert reply.header.id == query.header.id
    return reply


async def ask_tcp(server: Dns, *names: str) -> list[dnslib.DNSRecord]:
    reader, writer = await asyncio.open_connection(*server.addresses[0])
    for name in names:
        data = dnslib.DNSRecord.question(name).pack()
        writer.write(len(data).to_bytes(2, "big") + data)
    found = []
    async with asyncio.timeout(3):
        for _ in names:
            length = int.from_bytes(await reader.readexactly(2), "big")
            found.append(dnslib.DNSRecord.parse(await reader.readexactly(length)))
    writer.close()
    return found


def service(name: str, **spec: object) -> core_v1.Service:
    return core_v1.Service(
        metadata=meta_v1.ObjectMeta(name=name, namespace="default"),
        spec=core_v1.ServiceSpec(ports=[core_v1.ServicePort(port=80)], **spec),  # type: ignore[arg-type]
    )


async def until(server: Dns, name: str, addresses: list[str]) -> None:
    async def answered() -> bool:
        return sorted(str(rr.rdata) for rr in (await ask(server, name)).rr) == addresses

    await eventually(answered)


async def test_servfail_until_synced(tmp_path: Path, client: Client, informers: Informers) -> None:
    async with Dns(config_for(tmp_path), informers, RealClock()) as server:
        reply = await ask(server, "web.default.svc.cluster.local")
        assert reply.header.rcode == dnslib.RCODE.SERVFAIL
        async with informers:
            await informers.wait_synced()
            reply = await ask(server, "web.default.svc.cluster.local")
            assert reply.header.rcode == dnslib.RCODE.NXDOMAIN


async def test_follows_services(server: Dns, client: Client) -> None:
    services = client.of(core_v1.Service)
    made = await services.create(service("web"))
    await until(server, "web.default.svc.cluster.local", [made.spec.clusterIP or ""])
    await services.delete("web", "default")
    await until(server, "web.default.svc.cluster.local", [])


async def test_follows_endpoint_slices(server: Dns, client: Client) -> None:
    await client.of(core_v1.Service).create(service("db", clusterIP="None"))
    slices = client.of(discovery_v1.EndpointSlice)
    made = discovery_v1.EndpointSlice(
        metadata=meta_v1.ObjectMeta(name="db-1", namespace="default", labels={"kubernetes.io/service-name": "db"}),
        addressType="IPv4",
        endpoints=[discovery_v1.Endpoint(addresses=["10.244.0.9"])],
    )
    made = await slices.create(made)
    await until(server, "db.default.svc.cluster.local", ["10.244.0.9"])
    assert made.endpoints is not None
    made.endpoints.append(discovery_v1.Endpoint(addresses=["10.244.0.10"]))
    await slices.update(made)
    await until(server, "db.default.svc.cluster.local", ["10.244.0.10", "10.244.0.9"])


async def test_truncated_over_udp_and_whole_over_tcp(server: Dns, client: Client) -> None:
    await client.of(core_v1.Service).create(service("many", clusterIP="None"))
    made = discovery_v1.EndpointSlice(
        metadata=meta_v1.ObjectMeta(name="many-1", namespace="default", labels={"kubernetes.io/service-name": "many"}),
        addressType="IPv4",
        endpoints=[discovery_v1.Endpoint(addresses=[f"10.244.1.{number}"]) for number in range(1, 100)],
    )
    await client.of(discovery_v1.EndpointSlice).create(made)
    name = "many.default.svc.cluster.local"

    async def truncated() -> bool:
        return bool((await ask(server, name)).header.tc)

    await eventually(truncated)
    reply = await ask(server, name)
    assert 0 < len(reply.rr) < 99
    assert len((await ask(server, name, udp_bytes=1232)).rr) > len(reply.rr)
    whole, unknown = await ask_tcp(server, name, "nowhere.default.svc.cluster.local")
    assert len(whole.rr) == 99
    assert unknown.header.rcode == dnslib.RCODE.NXDOMAIN


async def test_malformed_input_harms_nobody(server: Dns) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        for junk in (
            b"",
            b"x",
            b"\0" * 11,
            b"\0" * 12,
            b"\xff" * 600,
            bytes(dnslib.DNSRecord.question("a.b").pack())[:-1],
        ):
            client.sendto(junk, server.addresses[0])
    _, writer = await asyncio.open_connection(*server.addresses[0])
    writer.write(b"\xff\xffjunk")
    await writer.drain()
    writer.close()
    assert (await ask(server, "cluster.local", "SOA")).header.rcode == dnslib.RCODE.NOERROR


class Upstream(asyncio.DatagramProtocol):
    """Another name server: knows two names, is silent for one, and counts what it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, peer: tuple[str, int]) -> None:
        query = dnslib.DNSRecord.parse(data)
        name = str(query.q.qname)
        self.asked.append(name)
        reply = query.reply()
        if name.lower() == "example.com.":
            reply.add_answer(*dnslib.RR.fromZone("example.com. 300 A 192.0.2.1"))
        elif name.lower().endswith("silent.com."):
            return
        else:
            reply.header.rcode = dnslib.RCODE.NXDOMAIN
            reply.add_auth(*dnslib.RR.fromZone("com. 300 SOA a.com. b.com. 1 2 3 4 5"))
        forged = dnslib.DNSRecord.parse(bytes(reply.pack()))
        forged.header.id ^= 1
        self.transport.sendto(bytes(forged.pack()), peer)
        self.transport.sendto(bytes(reply.pack()), peer)


@pytest.fixture
async def upstream(server: Dns, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Upstream]:
    transport, protocol = await asyncio.get_running_loop().create_datagram_endpoint(
        Upstream, local_addr=("127.0.0.1", 0)
    )
    port = transport.get_extra_info("sockname")[1]
    # resolv.conf cannot name a port.
    monkeypatch.setattr(server._forwarder, "_servers", lambda: [("127.0.0.1", port)])
    yield protocol
    transport.close()


async def test_other_names_are_forwarded_and_remembered(server: Dns, upstream: Upstream) -> None:
    for _ in range(3):
        reply = await ask(server, "eXample.com")
        assert [str(rr.rdata) for rr in reply.rr] == ["192.0.2.1"]
        assert str(reply.q.qname) == "eXample.com."
        assert not reply.header.aa
        assert reply.header.ra
    for _ in range(3):
        assert (await ask(server, "unknown.com")).header.rcode == dnslib.RCODE.NXDOMAIN
    assert upstream.asked == ["eXample.com.", "unknown.com."]


async def test_equal_questions_are_asked_once(server: Dns, upstream: Upstream) -> None:
    replies = await asyncio.gather(*(ask(server, "silent.com") for _ in range(5)))
    assert {reply.header.rcode for reply in replies} == {dnslib.RCODE.SERVFAIL}
    assert upstream.asked == ["silent.com."]


async def test_a_dead_name_server_keeps_nobody_waiting(server: Dns, upstream: Upstream) -> None:
    for name in ("silent.com", "sub.silent.com"):
        assert (await ask(server, name)).header.rcode == dnslib.RCODE.SERVFAIL
    asked = len(upstream.asked)
    assert asked == 2
    assert (await ask(server, "example.com")).header.rcode == dnslib.RCODE.SERVFAIL
    assert len(upstream.asked) == asked, "it is left alone for a while"


async def test_an_external_name_comes_with_its_addresses(server: Dns, upstream: Upstream, client: Client) -> None:
    await client.of(core_v1.Service).create(service("out", type="ExternalName", externalName="example.com"))
    await until(server, "out.default.svc.cluster.local", ["192.0.2.1", "example.com."])


async def test_nobody_to_ask(server: Dns) -> None:
    assert (await ask(server, "example.com")).header.rcode == dnslib.RCODE.SERVFAIL


async def test_a_taken_port_is_named(tmp_path: Path, informers: Informers) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        config = DnsConfig(listen=(("127.0.0.1", port),), resolv_conf=tmp_path / "resolv.conf")
        with pytest.raises(OSError, match=rf"DNS cannot listen on 127\.0\.0\.1:{port}/UDP"):
            await Dns(config, informers, RealClock()).__aenter__()


@pytest.mark.root
async def test_an_address_may_come_later(tmp_path: Path, informers: Informers) -> None:
    config = DnsConfig(listen=(("192.0.2.77", 5353),), resolv_conf=tmp_path / "resolv.conf")
    async with Dns(config, informers, RealClock()) as server:
        assert server.addresses == [("192.0.2.77", 5353)]


async def test_answers_are_quick(server: Dns, client: Client) -> None:
    made = await client.of(core_v1.Service).create(service("web"))
    await until(server, "web.default.svc.cluster.local", [made.spec.clusterIP or ""])
    query = bytes(dnslib.DNSRecord.question("web.default.svc.cluster.local").pack())
    begin = time.perf_counter()
    for _ in range(2000):
        server.respond(query, False)
    each = (time.perf_counter() - begin) / 2000
    print(f"{each * 1e6:.0f} us an answer")
    assert each < 0.001
