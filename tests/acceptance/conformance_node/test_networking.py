"""Services, names and host ports as Pods and the host see them. Source: test/e2e/network of the conformance list."""

import json
import subprocess
from typing import Any

import pytest

from tests.acceptance.conformance_node.pods import Object, container, create, execute, get, pod, until
from tests.acceptance.outside import Kubectl

SLEEP = "trap 'exit 0' TERM; sleep 1000 & wait"


def server(*ports: int) -> str:
    """Answers each port with the Pod's name and the port."""
    each = " ".join(str(port) for port in ports)
    return (
        f"for p in {each}; do mkdir -p /tmp/$p; echo $HOSTNAME $p > /tmp/$p/index.html; "
        "busybox httpd -p $p -h /tmp/$p; done; sleep 1000"
    )


def service(name: str, *ports: Object, selector: Object | None = None, **spec: Any) -> Object:
    given = {"selector": selector} if selector else {}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {**given, **({"ports": list(ports)} if ports else {}), **spec},
    }


def port(number: int, target: int, name: str = "", **fields: Any) -> Object:
    return {"port": number, "targetPort": target, **({"name": name} if name else {}), **fields}


def fetch(address: str, path: str = "/") -> str:
    done = subprocess.run(
        ["curl", "-s", "--max-time", "2", f"http://{address}{path}"], capture_output=True, text=True, timeout=10
    )
    return done.stdout.strip()


APP = {"app": "web"}


@pytest.fixture(scope="module")
def net(space: Kubectl) -> Kubectl:
    hosts = [
        {"name": "first", "containerPort": 8080},
        {"name": "second", "containerPort": 8081},
    ]
    create(
        space,
        [
            pod("web-1", container(server(8080, 8081), ports=hosts), labels=APP),
            pod("web-2", container(server(8080, 8081), ports=hosts), labels=APP),
            pod("client", container(SLEEP)),
            pod("named", container(SLEEP), labels={"x": "y"}, hostname="host-2", subdomain="headless"),
            service("plain", port(80, 8080), selector=APP),
            service("multi", port(80, 8080, "first"), port(81, 8081, "second"), selector=APP),
            service("protocols", port(80, 8080, "t"), port(80, 8080, "u", protocol="UDP"), selector=APP),
            service("sticky", port(80, 8080), selector=APP, sessionAffinity="ClientIP"),
            service("sticky-node", port(80, 8080), selector=APP, sessionAffinity="ClientIP", type="NodePort"),
            service("headless", port(80, 8080, "http"), selector={"x": "y"}, clusterIP="None"),
            service("elsewhere", type="ExternalName", externalName="foo.example.com"),
            service("empty", port(80, 8080), selector={"nobody": "has"}),
        ],
    )
    space("wait --for=condition=Ready pod --all --timeout=30s")
    return space


def address(net: Kubectl, name: str) -> str:
    found: str = get(net, f"service {name}")["spec"]["clusterIP"]
    return found


def pods_behind(where: str, times: int = 16) -> set[str]:
    return {fetch(where).partition(" ")[0] for _ in range(times)}


def test_a_service_reaches_all_its_pods_and_only_those(net: Kubectl) -> None:
    ip = address(net, "plain")
    until(lambda: pods_behind(ip) == {"web-1", "web-2"}, 10.0)
    net("label pod web-2 app-")
    until(lambda: pods_behind(ip) == {"web-1"}, 10.0)
    net("label pod web-2 app=web")
    until(lambda: pods_behind(ip) == {"web-1", "web-2"}, 10.0)


def test_ports_of_a_service_lead_to_their_own(net: Kubectl) -> None:
    ip = address(net, "multi")
    until(lambda: (fetch(f"{ip}:80")[-4:], fetch(f"{ip}:81")[-4:]) == ("8080", "8081"), 10.0)


def test_one_port_in_two_protocols(net: Kubectl) -> None:
    until(lambda: fetch(f"{address(net, 'protocols')}:80").endswith("8080"), 10.0)
    slices = get(net, "endpointslices -l kubernetes.io/service-name=protocols")["items"]
    assert {(p["name"], p["protocol"]) for s in slices for p in s["ports"]} == {("t", "TCP"), ("u", "UDP")}


@pytest.mark.parametrize("name", ["sticky", "sticky-node"])
def test_affinity_is_switched_on_and_off(net: Kubectl, name: str) -> None:
    found = get(net, f"service {name}")["spec"]
    node = get(net, "node -A")["items"][0]["status"]["addresses"][0]["address"]
    where = found["clusterIP"] if name == "sticky" else f"{node}:{found['ports'][0]['nodePort']}"
    until(lambda: fetch(where), 10.0)
    assert len(pods_behind(where)) == 1
    net(f'patch service {name} -p \'{{"spec":{{"sessionAffinity":"None"}}}}\'')
    until(lambda: len(pods_behind(where)) == 2, 10.0)
    net(f'patch service {name} -p \'{{"spec":{{"sessionAffinity":"ClientIP"}}}}\'')
    until(lambda: len(pods_behind(where)) == 1, 10.0)


def test_a_service_changes_its_type(net: Kubectl) -> None:
    def put(body: Object) -> None:
        net(f"patch service elsewhere --type merge -p '{json.dumps({'spec': body})}'")

    look = "busybox nslookup elsewhere.test-networking.svc.cluster.local | grep -o foo.example.com | head -1"
    assert execute(net, "client", look).strip() == "foo.example.com"
    put({"type": "ClusterIP", "externalName": None, "ports": [port(80, 8080)], "selector": APP})
    until(lambda: pods_behind(address(net, "elsewhere")) == {"web-1", "web-2"}, 10.0)
    put({"type": "NodePort"})
    assert get(net, "service elsewhere")["spec"]["ports"][0]["nodePort"]
    put({"type": "ExternalName", "externalName": "foo.example.com", "clusterIP": None, "clusterIPs": None,
         "ports": None, "selector": None})  # fmt: skip
    until(lambda: execute(net, "client", look + " || true").strip() == "foo.example.com", 10.0)
    put({"type": "NodePort", "externalName": None, "ports": [port(80, 8080)], "selector": APP})
    until(lambda: pods_behind(address(net, "elsewhere")) == {"web-1", "web-2"}, 10.0)


NAMES = [
    ("plain", "web"),
    ("plain.test-networking", "web"),
    ("plain.test-networking.svc", "web"),
    ("plain.test-networking.svc.cluster.local", "web"),
    ("kubernetes.default", ""),
]


@pytest.mark.parametrize("name", [name for name, _ in NAMES])
def test_names_of_services(net: Kubectl, name: str) -> None:
    of = "plain" if name.startswith("plain") else "kubernetes -n default"
    wanted = get(net, f"service {of}")["spec"]["clusterIP"]
    assert wanted in execute(net, "client", f"getent hosts {name}")


def test_names_of_pods(net: Kubectl) -> None:
    ip = get(net, "pod named")["status"]["podIP"]
    full = "host-2.headless.test-networking.svc.cluster.local"
    assert ip in execute(net, "client", "getent hosts host-2.headless")
    assert ip in execute(net, "client", "getent hosts headless")
    assert execute(net, "named", "hostname -f; hostname").split() == [full, "host-2"]
    assert f"{ip}\t{full}\thost-2" in execute(net, "named", "cat /etc/hosts")
    srv = execute(net, "client", f"busybox nslookup -type=srv _http._tcp.{full.partition('.')[2]}")
    assert full in srv


def test_slices_and_endpoints_of_a_service(net: Kubectl) -> None:
    slices = get(net, "endpointslices -l kubernetes.io/service-name=plain")["items"]
    targets = {e["targetRef"]["name"] for s in slices for e in s["endpoints"]}
    assert targets == {"web-1", "web-2"}
    [one] = slices
    assert one["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"] == "endpointslice-controller.k8s.io"
    subsets = get(net, "endpoints plain")["subsets"]
    assert {a["targetRef"]["name"] for s in subsets for a in s["addresses"]} == targets
    [empty] = get(net, "endpointslices -l kubernetes.io/service-name=empty")["items"]
    assert not empty.get("endpoints")
    net("delete service empty")
    until(lambda: not get(net, "endpointslices -l kubernetes.io/service-name=empty")["items"], 10.0)
    assert net.run("get endpoints empty").returncode == 1


def test_slices_that_a_user_writes(net: Kubectl) -> None:
    ips = [get(net, f"pod web-{n}")["status"]["podIP"] for n in (1, 2)]

    def written(name: str, ip: str, number: int, port_name: str) -> Object:
        return {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": name, "labels": {"kubernetes.io/service-name": "custom"}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": [ip]}],
            "ports": [{"name": port_name, "port": number, "protocol": "TCP"}],
        }

    create(
        net,
        [
            service("custom", port(80, 8080, "a"), port(81, 8081, "b")),
            written("custom-1", ips[0], 8080, "a"),
            written("custom-2", ips[1], 8081, "b"),
        ],
    )
    ip = address(net, "custom")
    until(lambda: (fetch(f"{ip}:80"), fetch(f"{ip}:81")) == ("web-1 8080", "web-2 8081"), 10.0)


def test_host_ports_differ_by_address_and_protocol(net: Kubectl) -> None:
    node = get(net, "node -A")["items"][0]["status"]["addresses"][0]["address"]

    def hosted(name: str, ip: str, protocol: str) -> Object:
        ports = [{"containerPort": 8080, "hostPort": 54323, "hostIP": ip, "protocol": protocol}]
        return pod(name, container(server(8080), ports=ports))

    create(net, [hosted("hp-1", "127.0.0.1", "TCP"), hosted("hp-2", node, "TCP"), hosted("hp-3", node, "UDP")])
    net("wait --for=condition=Ready pod/hp-1 pod/hp-2 pod/hp-3 --timeout=20s")
    assert until(lambda: fetch("127.0.0.1:54323"), 10.0) == "hp-1 8080"
    assert until(lambda: fetch(f"{node}:54323"), 10.0) == "hp-2 8080"


def test_the_api_server_relays_to_pods_and_services(net: Kubectl) -> None:
    base = f"/api/v1/namespaces/{net.namespace}"
    for path in ("pods/web-1:8080/proxy/", "pods/http:web-1:8080/proxy/index.html"):
        assert net(f"get --raw {base}/{path}").strip() == "web-1 8080"
    for path in (
        "services/multi:first/proxy/",
        "services/http:multi:first/proxy/index.html",
        "services/multi:80/proxy/",
    ):
        assert net(f"get --raw {base}/{path}").strip().endswith("8080")
    assert net(f"get --raw {base}/services/multi:second/proxy/").strip().endswith("8081")


def test_the_api_server_is_a_service(net: Kubectl) -> None:
    found = get(net, "service kubernetes -n default")["spec"]
    assert [(p["name"], p["port"]) for p in found["ports"]] == [("https", 443)]
    [one] = get(net, "endpointslices -n default -l kubernetes.io/service-name=kubernetes")["items"]
    subsets = get(net, "endpoints kubernetes -n default")["subsets"]
    assert {a["ip"] for s in subsets for a in s["addresses"]} == {a for e in one["endpoints"] for a in e["addresses"]}
    look = "test -s /var/run/secrets/kubernetes.io/serviceaccount/token && cat /var/run/secrets/kubernetes.io/serviceaccount/namespace"
    assert execute(net, "client", look) == "test-networking"
