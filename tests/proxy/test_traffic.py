"""Rules in a real kernel, with real connections, in a namespace that plays the node."""

import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.network.kernel import Namespace, host, set_bridge_filter, talk
from tiphys.network import Bridge, NetworkConfig
from tiphys.proxy.config import ProxyConfig
from tiphys.proxy.desired import Plan, plan
from tiphys.proxy.kernel import Kernel
from tiphys.proxy.ruleset import Existing, Ruleset
from tiphys.proxy.services import Endpoint, Endpoints, Port, Service
from tiphys.proxy.stale import stale

pytestmark = pytest.mark.root
CONFIG = ProxyConfig("test0", "n1")
WEB = Service("default", "web", "10.96.0.10", (Port("", "TCP", 80, 30080),))
DNS = Service("default", "dns", "10.96.0.11", (Port("", "UDP", 53, 30053),))


class Node:
    """A node with Pods behind its bridge."""

    def __init__(self, namespace: Namespace, bridge: Bridge) -> None:
        self.namespace = namespace
        self.bridge = bridge
        self.pods: list[Namespace] = []
        self.ruleset = Ruleset(CONFIG)
        self.kernel = Kernel(CONFIG.table)

    async def pod(self) -> tuple[Namespace, str]:
        pod = Namespace()
        self.pods.append(pod)
        [address] = await self.bridge.add(f"pod{len(self.pods)}", pod.path, "pod", [])
        return pod, address

    def rebuild(self, plans: dict[str, Plan]) -> None:
        self.kernel.commit(self.ruleset.rebuild(plans, self.kernel.existing()))

    def update(self, service: Service, *endpoints: Endpoint) -> None:
        self.kernel.commit(self.ruleset.update({service.key: plan_of(service, *endpoints)}))

    def close(self) -> None:
        self.kernel.close()
        for pod in self.pods:
            pod.close()


def plan_of(service: Service, *endpoints: Endpoint) -> Plan:
    return plan(service, endpoints_for(service, *endpoints), CONFIG)


def endpoints_for(service: Service, *endpoints: Endpoint) -> Endpoints:
    return {(port.name, port.protocol): endpoints for port in service.ports}


@pytest.fixture(params=["0", "1"], ids=["without br_netfilter", "with br_netfilter"])
async def node(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Node]:
    with host() as namespace:
        set_bridge_filter(request.param)
        bridge = Bridge(NetworkConfig("test0", tmp_path / "network"))
        await bridge.configure("10.244.0.0/24")
        made = Node(namespace, bridge)
        made.rebuild({})
        yield made
        made.close()
        await bridge.close()


async def test_cluster_ip_from_pod_host_and_itself(node: Node) -> None:
    server_pod, address = await node.pod()
    client_pod, client = await node.pod()
    node.update(WEB, Endpoint(address, 8080, local=True))
    with server_pod.listener("0.0.0.0", 8080) as server:
        assert talk(client_pod.socket(), ("10.96.0.10", 80), server) == client, "Pods are seen as themselves"
        assert talk(node.namespace.socket(), ("10.96.0.10", 80), server) == "10.244.0.1"
        assert talk(server_pod.socket(), ("10.96.0.10", 80), server) == "10.244.0.1", "hairpin"


async def test_node_port(node: Node) -> None:
    server_pod, address = await node.pod()
    client_pod, _ = await node.pod()
    node.update(WEB, Endpoint(address, 8080, local=True))
    with server_pod.listener("0.0.0.0", 8080) as server:
        for target in ("127.0.0.1", "10.244.0.1"):
            assert talk(node.namespace.socket(), (target, 30080), server) == "10.244.0.1"
        assert talk(client_pod.socket(), ("10.244.0.1", 30080), server) == "10.244.0.1"
        assert talk(server_pod.socket(), ("10.244.0.1", 30080), server) == "10.244.0.1"


async def test_connections_spread_over_all_endpoints(node: Node) -> None:
    pods = [await node.pod() for _ in range(3)]
    servers = [pod.listener("0.0.0.0", 8080) for pod, _ in pods]
    node.update(WEB, *(Endpoint(address, 8080) for _, address in pods))
    clients = [node.namespace.socket() for _ in range(60)]
    for client in clients:
        client.connect(("10.96.0.10", 80))
    counts = [accepted(server) for server in servers]
    assert sum(counts) == 60
    assert min(counts) >= 5, counts
    for each in (*clients, *servers):
        each.close()


def accepted(server: socket.socket) -> int:
    server.settimeout(0.05)
    count = 0
    while True:
        try:
            server.accept()[0].close()
        except TimeoutError:
            return count
        count += 1


async def test_refused_without_endpoints(node: Node) -> None:
    client_pod, _ = await node.pod()
    node.update(WEB)
    for client in (client_pod, node.namespace):
        for target in (("10.96.0.10", 80), ("10.244.0.1", 30080)):
            with pytest.raises(ConnectionRefusedError):
                client.socket().connect(target)


async def test_refused_on_other_ports_and_dropped_on_unknown_addresses(node: Node) -> None:
    client_pod, _ = await node.pod()
    _, address = await node.pod()
    node.update(WEB, Endpoint(address, 8080))
    for client in (client_pod, node.namespace):
        with pytest.raises(ConnectionRefusedError):
            client.socket().connect(("10.96.0.10", 81))
        unknown = client.socket()
        unknown.settimeout(0.2)
        with pytest.raises((TimeoutError, PermissionError)):
            unknown.connect(("10.96.9.9", 80))


async def test_no_connection_is_lost_while_endpoints_change(node: Node) -> None:
    (one, first), (two, second) = await node.pod(), await node.pod()
    with one.listener("0.0.0.0", 8080) as server_one, two.listener("0.0.0.0", 8080) as server_two:
        node.update(WEB, Endpoint(first, 8080))
        old = node.namespace.socket()
        old.connect(("10.96.0.10", 80))
        kept, _ = server_one.accept()
        for round_ in range(50):
            node.update(WEB, *([Endpoint(first, 8080)] if round_ % 2 else [Endpoint(second, 8080)]))
            talk(node.namespace.socket(), ("10.96.0.10", 80), server_one if round_ % 2 else server_two)
        node.update(WEB, Endpoint(second, 8080))
        old.sendall(b"still")
        assert kept.recv(5) == b"still", "a connection stays with its endpoint"
        kept.close()
        old.close()


async def test_session_affinity(node: Node) -> None:
    sticky = Service("default", "web", "10.96.0.10", WEB.ports, affinity_seconds=100)
    pods = [await node.pod() for _ in range(3)]
    clients = [await node.pod() for _ in range(4)]
    endpoints = [Endpoint(address, 8080) for _, address in pods]
    node.update(sticky, *endpoints)
    servers = [pod.listener("0.0.0.0", 8080) for pod, _ in pods]
    for client, _ in clients:
        connect_often(client, 6)
        assert sorted(accepted(server) for server in servers) == [0, 0, 6]
    chosen = served_by(clients[0][0], servers)
    # The others' memory must survive both a change of endpoints and a restart of the proxy.
    rest = [each for number, each in enumerate(endpoints) if number != (chosen + 1) % 3]
    node.update(sticky, *rest)
    assert served_by(clients[0][0], servers) == chosen
    node.ruleset = Ruleset(CONFIG)
    node.rebuild({sticky.key: plan_of(sticky, *rest)})
    assert served_by(clients[0][0], servers) == chosen
    node.update(sticky, endpoints[(chosen + 1) % 3])
    assert served_by(clients[0][0], servers) == (chosen + 1) % 3
    for each in servers:
        each.close()


def connect_often(client: Namespace, count: int) -> None:
    for _ in range(count):
        made = client.socket()
        made.connect(("10.96.0.10", 80))
        made.close()


def served_by(client: Namespace, servers: list[socket.socket]) -> int:
    connect_often(client, 4)
    counts = [accepted(server) for server in servers]
    assert sorted(counts) == [0, 0, 4]
    return counts.index(4)


async def test_external_policy_local(node: Node) -> None:
    local = Service(
        "default",
        "web",
        "10.96.0.10",
        (Port("", "TCP", 80, 30080),),
        external_ips=("203.0.113.5",),
        external_local=True,
    )
    pod, address = await node.pod()
    with Namespace() as outside:
        outsider(node, outside)
        node.update(local, Endpoint(address, 8080, local=True))
        with pod.listener("0.0.0.0", 8080) as server:
            for target in (("192.0.2.1", 30080), ("203.0.113.5", 80)):
                assert talk(outside.socket(), target, server) == "192.0.2.9", "the client's address is kept"
            # Not of this node any more: outsiders are dropped, the node itself still gets through.
            node.update(local, Endpoint(address, 8080, local=False))
            stranger = outside.socket()
            stranger.settimeout(0.2)
            with pytest.raises(TimeoutError):
                stranger.connect(("192.0.2.1", 30080))
            talk(node.namespace.socket(), ("192.0.2.1", 30080), server)


def outsider(node: Node, outside: Namespace) -> None:
    pid = outside.path.split("/")[2]
    node.namespace.run("ip", "link", "add", "up0", "type", "veth", "peer", "name", "eth0", "netns", pid)
    node.namespace.run("ip", "addr", "add", "192.0.2.1/24", "dev", "up0")
    node.namespace.run("ip", "link", "set", "up0", "up")
    outside.run("ip", "addr", "add", "192.0.2.9/24", "dev", "eth0")
    outside.run("ip", "link", "set", "eth0", "up")
    outside.run("ip", "route", "add", "default", "via", "192.0.2.1")


async def test_load_balancer_source_ranges(node: Node) -> None:
    def balanced(*ranges: str) -> Service:
        return Service(
            "default", "web", "10.96.0.10", (Port("", "TCP", 80, 0),),
            load_balancer_ips=("203.0.113.6",), source_ranges=ranges,
        )  # fmt: skip

    pod, address = await node.pod()
    with Namespace() as outside, pod.listener("0.0.0.0", 8080) as server:
        outsider(node, outside)
        node.update(balanced("192.0.2.0/24"), Endpoint(address, 8080))
        assert talk(outside.socket(), ("203.0.113.6", 80), server) == "10.244.0.1"
        node.update(balanced("198.51.100.0/24"), Endpoint(address, 8080))
        stranger = outside.socket()
        stranger.settimeout(0.2)
        with pytest.raises(TimeoutError):
            stranger.connect(("203.0.113.6", 80))


async def test_internal_policy_local_without_local_endpoints_drops(node: Node) -> None:
    internal = Service("default", "web", "10.96.0.10", WEB.ports, internal_local=True)
    pod, address = await node.pod()
    with pod.listener("0.0.0.0", 8080) as server:
        node.update(internal, Endpoint(address, 8080, local=True))
        talk(node.namespace.socket(), ("10.96.0.10", 80), server)
        node.update(internal, Endpoint(address, 8080, local=False))
        client = pod.socket()
        client.settimeout(0.2)
        with pytest.raises(TimeoutError):
            client.connect(("10.96.0.10", 80))
        node.update(internal)
        with pytest.raises(ConnectionRefusedError):
            pod.socket().connect(("10.96.0.10", 80))


async def test_a_udp_client_follows_its_endpoints(node: Node) -> None:
    (one, first), (two, second), (client_pod, _) = await node.pod(), await node.pod(), await node.pod()
    before = plan_of(DNS, Endpoint(first, 53))
    after = plan_of(DNS, Endpoint(second, 53))
    node.kernel.commit(node.ruleset.update({DNS.key: before}))
    with (
        one.socket(socket.SOCK_DGRAM) as server_one,
        two.socket(socket.SOCK_DGRAM) as server_two,
        client_pod.socket(socket.SOCK_DGRAM) as client,
    ):
        server_one.bind(("0.0.0.0", 53))
        server_two.bind(("0.0.0.0", 53))
        client.bind(("0.0.0.0", 5000))
        client.sendto(b"a", ("10.96.0.11", 53))
        server_one.sendto(b"A", server_one.recvfrom(9)[1])
        assert client.recvfrom(9) == (b"A", ("10.96.0.11", 53))
        node.kernel.commit(node.ruleset.update({DNS.key: after}))
        assert node.kernel.delete_flows(lambda flows: stale(flows, [(before, after)])) == 1
        client.sendto(b"b", ("10.96.0.11", 53))
        server_two.sendto(b"B", server_two.recvfrom(9)[1])
        assert client.recvfrom(9) == (b"B", ("10.96.0.11", 53))
        assert node.kernel.delete_flows(lambda flows: stale(flows, [(before, after)])) == 0


async def test_a_new_process_takes_over(node: Node) -> None:
    pod, address = await node.pod()
    gone = Service("default", "gone", "10.96.0.99", (Port("", "TCP", 80, 0),), affinity_seconds=9)
    node.update(WEB, Endpoint(address, 8080))
    node.update(gone, Endpoint(address, 8080))
    again = Ruleset(CONFIG)
    plans = {WEB.key: plan_of(WEB, Endpoint(address, 8080))}
    node.kernel.commit(again.rebuild(plans, node.kernel.existing()))
    with pod.listener("0.0.0.0", 8080) as server:
        talk(node.namespace.socket(), ("10.96.0.10", 80), server)
    table = node.namespace.run("nft", "list", "table", "ip", CONFIG.table)
    assert "default/gone" not in table


@pytest.fixture
def bare_host() -> Iterator[Namespace]:
    with host() as namespace:
        yield namespace


def test_one_change_costs_the_same_among_a_thousand_services(bare_host: Namespace) -> None:
    ruleset = Ruleset(CONFIG)
    kernel = Kernel(CONFIG.table)
    kernel.commit(ruleset.rebuild({}, Existing()))

    def change(number: int) -> int:
        endpoints = [Endpoint(f"10.244.{number}.{each}", 80) for each in range(10)]
        batch = ruleset.update({WEB.key: plan_of(WEB, *endpoints)})
        kernel.commit(batch)
        return len(batch)

    change(0)
    alone = change(1)
    many = {}
    for number in range(1000):
        service = Service("many", f"s{number}", f"10.96.{number // 250 + 1}.{number % 250}", (Port("", "TCP", 80, 0),))
        endpoints = [Endpoint(f"10.244.{each}.{number % 250}", 80) for each in range(10)]
        many[service.key] = plan_of(service, *endpoints)
    kernel.commit(ruleset.update(many))
    assert change(2) == alone
    kernel.close()


async def test_an_endpoint_on_the_node_itself(node: Node) -> None:
    """As the API server and the cluster's DNS are."""
    client_pod, address = await node.pod()
    node.update(WEB, Endpoint("10.244.0.1", 6443, local=True))
    node.update(DNS, Endpoint("10.244.0.1", 53, local=True))
    with node.namespace.listener("0.0.0.0", 6443) as server:
        assert talk(client_pod.socket(), ("10.96.0.10", 80), server) == address
        talk(node.namespace.socket(), ("10.96.0.10", 80), server)
    with node.namespace.socket(socket.SOCK_DGRAM) as server:
        server.bind(("10.244.0.1", 53))
        for place in (client_pod, node.namespace):
            with place.socket(socket.SOCK_DGRAM) as client:
                client.sendto(b"q", ("10.96.0.11", 53))
                data, peer = server.recvfrom(9)
                server.sendto(data, peer)
                assert client.recvfrom(9) == (b"q", ("10.96.0.11", 53))
