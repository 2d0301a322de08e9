"""Rules of Service."""

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.resources.judging import builtins, cells, changed, faults_of, made

NOW = datetime(2026, 1, 31, 9, tzinfo=UTC)


def service(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "web"}, "spec": {"ports": [{"port": 80}], **spec}}


def test_defaults() -> None:
    assert builtins(made("services", service(selector={"app": "web"})))["spec"] == {
        "internalTrafficPolicy": "Cluster",
        "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}],
        "selector": {"app": "web"},
        "sessionAffinity": "None",
        "type": "ClusterIP",
    }
    balanced = made("services", service(type="LoadBalancer", sessionAffinity="ClientIP"))
    assert balanced.spec.externalTrafficPolicy == "Cluster"
    assert balanced.spec.allocateLoadBalancerNodePorts is True
    assert balanced.spec.sessionAffinityConfig.clientIP.timeoutSeconds == 10800


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (service(), []),
        (service(ports=[]), ["spec.ports: Required value"]),
        (service(ports=[], clusterIP="None"), []),
        (
            service(ports=[{"port": 80}, {"port": 81}]),
            ["spec.ports[0].name: Required value", "spec.ports[1].name: Required value"],
        ),
        (
            service(ports=[{"port": 0, "targetPort": 1}]),
            ["spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive"],
        ),
        (
            service(ports=[{"port": 80, "nodePort": 30000}]),
            ["spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"],
        ),
        (
            service(type="Wrong"),
            [
                'spec.type: Unsupported value: "Wrong": supported values: '
                '"ClusterIP", "ExternalName", "LoadBalancer", "NodePort"'
            ],
        ),
        (service(type="ExternalName", ports=[]), ["spec.externalName: Required value"]),
        (
            service(type="NodePort", clusterIP="None"),
            ["spec.clusterIPs[0]: Invalid value: \"None\": may not be set to 'None' for NodePort services"],
        ),
        (
            service(externalIPs=["127.0.0.1"]),
            [
                'spec.externalIPs[0]: Invalid value: "127.0.0.1": '
                "may not be in the loopback range (127.0.0.0/8, ::1/128)"
            ],
        ),
    ],
)
def test_faults(spec: dict[str, Any], expected: list[str]) -> None:
    assert faults_of("services", spec) == expected


def test_names_are_labels_that_may_begin_with_a_digit() -> None:
    assert faults_of("services", {**service(), "metadata": {"name": "1web"}}) == []
    (fault,) = faults_of("services", {**service(), "metadata": {"name": "a.b"}})
    assert fault == 'metadata.name: Invalid value: "a.b": must not contain dots'


def allocated(**spec: Any) -> Any:
    obj = made("services", service(**spec))
    obj.spec.clusterIP, obj.spec.clusterIPs = "10.0.0.5", ["10.0.0.5"]
    if obj.spec.type == "NodePort":
        obj.spec.ports[0].nodePort = 30001
    return obj


def test_manifests_without_addresses_keep_what_was_given() -> None:
    old = allocated(type="NodePort")

    def apply_again(new: Any) -> None:
        new.spec.clusterIP = new.spec.clusterIPs = new.spec.ports[0].nodePort = None
        new.spec.ipFamilies = new.spec.ipFamilyPolicy = None

    new, errors = changed("services", old, apply_again)
    assert errors == []
    assert new.spec == old.spec


def test_addresses_do_not_change() -> None:
    _, errors = changed("services", allocated(), lambda new: setattr(new.spec, "clusterIP", "10.0.0.6"))
    assert errors == ['spec.clusterIPs[0]: Invalid value: ["10.0.0.6"]: may not change once set']


def test_a_change_of_type_drops_what_it_makes_meaningless() -> None:
    new, errors = changed("services", allocated(type="NodePort"), lambda new: setattr(new.spec, "type", "ClusterIP"))
    assert errors == []
    assert (new.spec.ports[0].nodePort, new.spec.externalTrafficPolicy) == (None, None)

    def external(new: Any) -> None:
        new.spec.type, new.spec.externalName = "ExternalName", "example.com"

    new, errors = changed("services", allocated(), external)
    assert new.spec.clusterIP is None
    assert new.spec.ipFamilies is None


def test_columns() -> None:
    shown = cells("services", allocated(type="NodePort", selector={"b": "2", "a": "1"}), NOW)
    assert shown == {
        "Name": "web",
        "Type": "NodePort",
        "Cluster-IP": "10.0.0.5",
        "External-IP": "<none>",
        "Port(s)": "80:30001/TCP",
        "Age": "<unknown>",
        "Selector": "a=1,b=2",
    }
    assert cells("services", made("services", service(type="LoadBalancer")), NOW)["External-IP"] == "<pending>"
