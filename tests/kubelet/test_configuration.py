"""What containers are given: variables, names, resources, security."""

from typing import Any

import pytest

from tests.kubelet.conftest import container, pod
from tests.kubelet.test_volumes import Objects
from tiphys.api import core_v1
from tiphys.kubelet import containers, downward, images, names, qos, security
from tiphys.kubelet.environment import ConfigError, environment, service_variables
from tiphys.kubelet.expansion import expand
from tiphys.machinery import codec


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("$(A)", "1"),
        ("$(A)$(B)", "1$(B)"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$(A", "$(A"),
        ("$", "$"),
        ("$A", "$A"),
        ("a$", "a$"),
        ("$()", "$()"),
    ],
)
def test_expansion(text: str, expected: str) -> None:
    assert expand(text, {"A": "1"}) == expected


def variables(services: dict[str, str] | None = None, **fields: Any) -> dict[str, str]:
    found = pod(containers=[container(**fields)], serviceAccountName="sa")
    itself = downward.Itself(found, ("10.0.0.1",), ("192.0.2.1",), {"memory": "1Gi", "cpu": "4"})
    return environment(itself, found.spec.containers[0], Objects(), services or {})


def test_environment_from_everything() -> None:
    env = [
        {"name": "PLAIN", "value": "x"},
        {"name": "DEPENDS", "value": "$(PLAIN)-$(SVC)-$(NONE)-$$(PLAIN)"},
        {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "MEM", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}},
        {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "requests.cpu", "divisor": "1m"}}},
        {"name": "KEY", "valueFrom": {"configMapKeyRef": {"name": "cm", "key": "a"}}},
        {"name": "GONE", "valueFrom": {"secretKeyRef": {"name": "none", "key": "a", "optional": True}}},
    ]
    assert variables(
        {"SVC": "s", "PLAIN": "service"},
        env=env,
        envFrom=[{"prefix": "P_", "configMapRef": {"name": "cm"}}],
        resources={"requests": {"cpu": "250m"}},
    ) == {
        "P_a": "1",
        "P_b": "2",
        "PLAIN": "x",
        "DEPENDS": "x-s-$(NONE)-$(PLAIN)",
        "POD": "web",
        "IP": "10.0.0.1",
        "MEM": "1024",
        "CPU": "250",
        "KEY": "1",
        "SVC": "s",
    }


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"configMapKeyRef": {"name": "no", "key": "a"}}, 'configmap "no" not found'),
        ({"configMapKeyRef": {"name": "cm", "key": "z"}}, "couldn't find key z in ConfigMap default/cm"),
        ({"secretKeyRef": {"name": "sec", "key": "z"}}, "couldn't find key z in Secret default/sec"),
    ],
)
def test_missing_sources(source: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        variables(env=[{"name": "A", "valueFrom": source}])
    assert str(raised.value) == message


def service(name: str, namespace: str, ip: str, *ports: dict[str, Any]) -> core_v1.Service:
    return codec.convert(
        core_v1.Service,
        {"metadata": {"name": name, "namespace": namespace}, "spec": {"clusterIP": ip, "ports": list(ports)}},
    )


def test_service_variables() -> None:
    services = [
        service("kubernetes", "default", "10.96.0.1", {"port": 443, "name": "https"}),
        service("my-db", "default", "10.96.0.2", {"port": 5432}),
        service("headless", "default", "None", {"port": 1}),
        service("other", "elsewhere", "10.96.0.3", {"port": 1}),
    ]
    found = service_variables(pod(), services)
    assert found["MY_DB_SERVICE_HOST"] == "10.96.0.2" and found["MY_DB_SERVICE_PORT"] == "5432"
    assert found["MY_DB_PORT"] == found["MY_DB_PORT_5432_TCP"] == "tcp://10.96.0.2:5432"
    assert found["KUBERNETES_SERVICE_PORT_HTTPS"] == "443"
    assert not [name for name in found if name.startswith(("HEADLESS", "OTHER"))]
    assert set(service_variables(pod(enableServiceLinks=False), services)) == {
        name for name in found if name.startswith("KUBERNETES_")
    }


HOST = names.Resolv(("8.8.8.8",), ("example.org",), ())


def resolv(**spec: Any) -> names.Resolv:
    return names.resolv_of(pod(**spec), HOST, ("10.96.0.10",), "cluster.local")


def test_dns_policies() -> None:
    cluster = resolv()
    assert cluster.servers == ("10.96.0.10",)
    assert cluster.searches == ("default.svc.cluster.local", "svc.cluster.local", "cluster.local", "example.org")
    assert cluster.options == ("ndots:5",)
    assert resolv(dnsPolicy="Default") == HOST
    assert resolv(hostNetwork=True) == HOST
    assert resolv(hostNetwork=True, dnsPolicy="ClusterFirstWithHostNet") == cluster
    config = {
        "nameservers": ["1.1.1.1"],
        "searches": ["x"],
        "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}],
    }
    assert resolv(dnsPolicy="None", dnsConfig=config) == names.Resolv(("1.1.1.1",), ("x",), ("ndots:2", "edns0"))
    assert resolv(dnsConfig=config).options == ("ndots:2", "edns0")


def test_host_names() -> None:
    assert names.hostname_of(pod(), "c.l") == ("web", "")
    assert names.hostname_of(pod(hostname="h", subdomain="s"), "c.l") == ("h", "s.default.svc.c.l")
    full = pod(hostname="h", subdomain="s", setHostnameAsFQDN=True)
    assert names.hostname_of(full, "c.l") == ("h.s.default.svc.c.l", "s.default.svc.c.l")
    with pytest.raises(names.NameTooLong):
        names.hostname_of(pod(hostname="h" * 60, subdomain="s", setHostnameAsFQDN=True), "c.l")


def test_hosts_file() -> None:
    text = names.hosts_file(pod(hostAliases=[{"ip": "1.2.3.4", "hostnames": ["a", "b"]}]), ["10.0.0.1"], "web", "")
    assert text.startswith("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n")
    assert "10.0.0.1\tweb\n" in text
    assert text.endswith("\n# Entries added by HostAliases.\n1.2.3.4\ta\tb\n")


def of(**resources: Any) -> core_v1.Pod:
    return pod(containers=[container(resources=resources)])


def test_quality_of_service() -> None:
    assert qos.qos_class(of()) == "BestEffort"
    assert qos.qos_class(of(requests={"cpu": "1"})) == "Burstable"
    both = {"cpu": "1", "memory": "1Gi"}
    assert qos.qos_class(of(limits=both)) == "Guaranteed"
    assert qos.qos_class(of(limits=both, requests={"cpu": "500m", "memory": "1Gi"})) == "Burstable"
    assert containers.cgroup_parent(of(), "/t") == "/t/kubepods/besteffort/pod"
    assert containers.cgroup_parent(of(limits=both), "") == "/kubepods/pod"


def test_resources_in_the_kernels_units() -> None:
    found = of(requests={"cpu": "250m", "memory": "64Mi"}, limits={"cpu": "500m", "memory": "128Mi"})
    made = containers.container_resources(found, found.spec.containers[0], 8 << 30)
    assert (made.cpu_shares, made.cpu_quota, made.cpu_period) == (256, 50000, 100000)
    assert made.memory_limit_in_bytes == 128 << 20
    assert made.oom_score_adj == 993
    whole = containers.pod_resources(found)
    assert (whole.cpu_shares, whole.cpu_quota, whole.memory_limit_in_bytes) == (256, 50000, 128 << 20)


def test_requests_count_init_containers_and_sidecars() -> None:
    def asking(name: str, cpu: str, **fields: Any) -> dict[str, Any]:
        return container(name, resources={"requests": {"cpu": cpu}}, **fields)

    found = pod(
        initContainers=[asking("side", "100m", restartPolicy="Always"), asking("big", "900m")],
        containers=[asking("a", "200m"), asking("b", "300m")],
    )
    assert qos.pod_requests(found) == {"cpu": 1000}


def test_non_root_policy() -> None:
    refused = pod(containers=[container(securityContext={"runAsNonRoot": True})])
    with pytest.raises(ConfigError) as raised:
        security.check_non_root(refused, refused.spec.containers[0], 0, "")
    assert str(raised.value) == (
        'container has runAsNonRoot and image will run as root (pod: "web_default()", container: main)'
    )
    with pytest.raises(ConfigError, match="non-numeric user"):
        security.check_non_root(refused, refused.spec.containers[0], None, "nobody")
    security.check_non_root(refused, refused.spec.containers[0], 1000, "")


@pytest.mark.parametrize(
    ("image", "tagged"),
    [
        ("nginx", "nginx:latest"),
        ("nginx:1", "nginx:1"),
        ("localhost:5000/a/b", "localhost:5000/a/b:latest"),
        ("a@sha256:" + "0" * 64, "a@sha256:" + "0" * 64),
    ],
)
def test_default_tag(image: str, tagged: str) -> None:
    assert containers.default_tag(image) == tagged


@pytest.mark.parametrize("image", ["", "Upper", "a b", "a:", "a//b", "a@", "/a"])
def test_invalid_image_names(image: str) -> None:
    with pytest.raises(ConfigError):
        containers.default_tag(image)


def test_pull_credentials() -> None:
    secret = core_v1.Secret(
        data={".dockerconfigjson": b'{"auths":{"https://reg.test/v2/":{"auth":"dTpw"},"other.test":{"username":"x"}}}'}
    )
    [auth] = images.credentials("reg.test/a/b:1", [secret])
    assert auth and (auth.username, auth.password) == ("u", "p")
    assert images.credentials("nowhere.test/a", [secret]) == []
