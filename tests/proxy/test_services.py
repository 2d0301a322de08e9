"""The proxy's view of Services and EndpointSlices."""

from typing import Any

import pytest

from tiphys.api import core_v1, discovery_v1, meta_v1
from tiphys.proxy.services import Endpoint, endpoints_of, service_key_of, service_of


def service(labels: dict[str, str] | None = None, **spec: Any) -> core_v1.Service:
    return core_v1.Service(
        metadata=meta_v1.ObjectMeta(name="web", namespace="default", labels=labels or {}),
        spec=core_v1.ServiceSpec(**spec),
    )


@pytest.mark.parametrize(
    "obj",
    [
        pytest.param(service(clusterIP="None"), id="headless"),
        pytest.param(service(type="ExternalName", externalName="a.b"), id="external name"),
        pytest.param(service(clusterIP=""), id="no address yet"),
        pytest.param(service(clusterIP="fd00::1", clusterIPs=["fd00::1"]), id="IPv6 only"),
        pytest.param(
            service({"service.kubernetes.io/service-proxy-name": "x"}, clusterIP="10.96.0.1"), id="another proxy's"
        ),
    ],
)
def test_no_rules_for(obj: core_v1.Service) -> None:
    assert service_of(obj) is None


def test_second_family_counts() -> None:
    found = service_of(service(clusterIP="fd00::1", clusterIPs=["fd00::1", "10.96.0.9"]))
    assert found is not None
    assert found.cluster_ip == "10.96.0.9"


@pytest.mark.parametrize(
    ("spec", "seconds"),
    [
        pytest.param({}, 0, id="none"),
        pytest.param({"sessionAffinity": "ClientIP"}, 10800, id="default"),
        pytest.param(
            {
                "sessionAffinity": "ClientIP",
                "sessionAffinityConfig": core_v1.SessionAffinityConfig(
                    clientIP=core_v1.ClientIPConfig(timeoutSeconds=7)
                ),
            },
            7,
            id="configured",
        ),
    ],
)
def test_affinity(spec: dict[str, Any], seconds: int) -> None:
    found = service_of(service(clusterIP="10.96.0.1", **spec))
    assert found is not None
    assert found.affinity_seconds == seconds


def test_load_balancer_addresses_that_are_proxied_elsewhere_are_left_out() -> None:
    obj = service(type="LoadBalancer", clusterIP="10.96.0.1")
    obj.status.loadBalancer.ingress = [
        core_v1.LoadBalancerIngress(ip="203.0.113.1"),
        core_v1.LoadBalancerIngress(ip="203.0.113.2", ipMode="Proxy"),
        core_v1.LoadBalancerIngress(ip="203.0.113.3", ipMode="VIP"),
        core_v1.LoadBalancerIngress(hostname="lb.example"),
    ]
    found = service_of(obj)
    assert found is not None
    assert found.load_balancer_ips == ("203.0.113.1", "203.0.113.3")


def slice_of(*endpoints: discovery_v1.Endpoint, **changes: Any) -> discovery_v1.EndpointSlice:
    made = discovery_v1.EndpointSlice(
        metadata=meta_v1.ObjectMeta(name="web-1", namespace="default", labels={"kubernetes.io/service-name": "web"}),
        addressType="IPv4",
        endpoints=list(endpoints),
        ports=[discovery_v1.EndpointPort(name="", port=8080, protocol="TCP")],
    )
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def conditions(**values: bool | None) -> discovery_v1.EndpointConditions:
    return discovery_v1.EndpointConditions(**values)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param(None, (True, True, False), id="unknown is ready"),
        pytest.param(conditions(ready=False), (False, False, False), id="not ready is not serving"),
        pytest.param(conditions(ready=True), (True, True, False), id="ready is serving"),
        pytest.param(conditions(ready=False, serving=True, terminating=True), (False, True, True), id="draining"),
    ],
)
def test_conditions(given: discovery_v1.EndpointConditions | None, expected: tuple[bool, bool, bool]) -> None:
    found = endpoints_of([slice_of(discovery_v1.Endpoint(addresses=["10.0.0.1"], conditions=given))], "n1")
    [endpoint] = found["", "TCP"]
    assert (endpoint.ready, endpoint.serving, endpoint.terminating) == expected


def test_an_endpoint_that_moves_between_slices_counts_once_and_ready() -> None:
    old = slice_of(discovery_v1.Endpoint(addresses=["10.0.0.1"], conditions=conditions(ready=False)))
    new = slice_of(discovery_v1.Endpoint(addresses=["10.0.0.1"], nodeName="n1"))
    for order in ([old, new], [new, old]):
        assert endpoints_of(order, "n1") == {("", "TCP"): (Endpoint("10.0.0.1", 8080, local=True),)}


def test_slices_of_no_use() -> None:
    assert service_key_of(slice_of()) == "default/web"
    assert service_key_of(slice_of(addressType="IPv6")) is None
    labels = {"kubernetes.io/service-name": "web", "service.kubernetes.io/headless": ""}
    assert service_key_of(slice_of(metadata=meta_v1.ObjectMeta(name="x", namespace="default", labels=labels))) is None
    assert service_key_of(slice_of(metadata=meta_v1.ObjectMeta(name="x", namespace="default"))) is None
