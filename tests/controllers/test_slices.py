"""Mirrored Endpoints, and hints about zones and nodes."""

from collections import Counter
from typing import Any

import pytest

from tests.controllers.cluster import Cluster
from tests.controllers.test_desired import service
from tiphys.api import core_v1, discovery_v1, events_v1, meta_v1
from tiphys.controllers.endpointslice import hints
from tiphys.controllers.endpointslicemirroring import desired
from tiphys.machinery.quantity import Quantity


def node(name: str, zone: str, cpu: str = "4", ready: str = "True", **labels: str) -> core_v1.Node:
    return core_v1.Node(
        metadata=meta_v1.ObjectMeta(name=name, labels={hints.ZONE_LABEL: zone, **labels} if zone else labels),
        status=core_v1.NodeStatus(
            allocatable={"cpu": Quantity(cpu)},
            conditions=[core_v1.NodeCondition(type="Ready", status=ready)],
        ),
    )


def endpoints(zones: str, ready: bool = True) -> list[discovery_v1.Endpoint]:
    return [
        discovery_v1.Endpoint(
            addresses=[f"10.0.0.{number}"],
            conditions=discovery_v1.EndpointConditions(ready=ready),
            nodeName=f"n{zone}",
            zone=zone,
        )
        for number, zone in enumerate(zones)
    ]


def zones_of(found: list[discovery_v1.Endpoint]) -> list[list[str]]:
    return [[z.name for z in e.hints.forZones or ()] if e.hints else [] for e in found]


@pytest.mark.parametrize("mode", ["PreferClose", "PreferSameZone", "PreferSameNode"])
def test_traffic_stays_near(mode: str) -> None:
    wanted = service(trafficDistribution=mode)
    found, problem = hints.with_hints(wanted, endpoints("ab"), hints.zones([]))
    assert problem is None and zones_of(found) == [["a"], ["b"]]
    on_node = [[n.name for n in e.hints.forNodes or ()] for e in found if e.hints]
    assert on_node == ([["na"], ["nb"]] if mode == "PreferSameNode" else [[], []])
    unready, _ = hints.with_hints(wanted, endpoints("a", ready=False), hints.zones([]))
    assert zones_of(unready) == [[]]


def auto() -> core_v1.Service:
    found = service()
    found.metadata.annotations[hints.MODE] = "Auto"
    return found


def test_endpoints_are_dealt_out_by_shares_of_cpu() -> None:
    known = hints.zones([node("1", "a", "4"), node("2", "b", "4"), node("3", "b", "4")])
    assert known.shares == {"a": pytest.approx(1 / 3), "b": pytest.approx(2 / 3)}
    found, problem = hints.with_hints(auto(), endpoints("aaaabb"), known)
    assert problem == "" and Counter(z for (z,) in zones_of(found)) == {"a": 2, "b": 4}
    # Those of zone b stay at home.
    assert zones_of(found)[4:] == [["b"], ["b"]]


@pytest.mark.parametrize(
    ("nodes", "where", "reason"),
    [
        ([node("1", "a"), node("2", "")], "ab", "Insufficient Node information"),
        ([node("1", "a"), node("2", "b", ready="False")], "ab", "Nodes only ready in one zone"),
        ([node("1", "a"), node("2", "b")], "a", "Insufficient number of endpoints (1 endpoints, 2 zones)"),
        ([node("1", "a"), node("2", "b", "12")], "ab", "Unable to allocate minimum required endpoints"),
    ],
)
def test_no_hints_where_they_would_do_harm(nodes: Any, where: str, reason: str) -> None:
    found, problem = hints.with_hints(auto(), endpoints(where), hints.zones(nodes))
    assert problem and problem.startswith(reason) and not any(e.hints for e in found)


def written(**metadata: Any) -> core_v1.Endpoints:
    return core_v1.Endpoints(
        metadata=meta_v1.ObjectMeta(name="web", namespace="default", uid="u", **metadata),
        subsets=[
            core_v1.EndpointSubset(
                addresses=[core_v1.EndpointAddress(ip="192.0.2.1"), core_v1.EndpointAddress(ip="2001:db8::1")],
                notReadyAddresses=[core_v1.EndpointAddress(ip="192.0.2.2", nodeName="n1")],
                ports=[core_v1.EndpointPort(name="http", port=80, protocol="TCP")],
            )
        ],
    )


def test_what_is_mirrored() -> None:
    found = desired.mirrored(written())
    ports = (("http", 80, "TCP", None),)
    four, six = found.groups["IPv4", ports], found.groups["IPv6", ports]
    assert [(e.addresses, e.conditions.ready) for e in four] == [(["192.0.2.1"], True), (["192.0.2.2"], False)]
    assert [e.addresses for e in six] == [["2001:db8::1"]]
    many = [core_v1.EndpointAddress(ip=f"10.0.{n // 250}.{n % 250}") for n in range(1005)]
    crowd = core_v1.Endpoints(metadata=meta_v1.ObjectMeta(name="a"), subsets=[core_v1.EndpointSubset(addresses=many)])
    assert desired.mirrored(crowd).too_many == 5


@pytest.mark.parametrize(
    ("metadata", "spec", "found"),
    [
        ({}, {"selector": None}, True),
        ({}, {}, False),
        ({"labels": {desired.SKIP: "true"}}, {"selector": None}, False),
        ({"annotations": {"control-plane.alpha.kubernetes.io/leader": "x"}}, {"selector": None}, False),
    ],
)
def test_which_endpoints_are_mirrored(metadata: Any, spec: Any, found: bool) -> None:
    wanted = service()
    wanted.spec.selector = spec.get("selector", {"app": "web"})
    assert desired.is_mirrored(written(**metadata), wanted) is found


async def test_slices_follow_the_endpoints_that_a_user_writes() -> None:
    async with Cluster() as cluster:
        ports = [core_v1.ServicePort(port=80)]
        web = core_v1.Service(
            metadata=meta_v1.ObjectMeta(name="web", namespace="default"), spec=core_v1.ServiceSpec(ports=ports)
        )
        await cluster.create(web)
        made = written(labels={"team": "a"}, annotations={"note": "x"})
        made.subsets = [core_v1.EndpointSubset(addresses=made.subsets[0].addresses[:1], ports=made.subsets[0].ports)]
        await cluster.create(made)

        def slices() -> list[discovery_v1.EndpointSlice]:
            return [s for s in cluster.all(discovery_v1.EndpointSlice) if s.metadata.namespace == "default"]

        (found,) = await cluster.until(lambda: slices(), discovery_v1.EndpointSlice)
        assert found.metadata.labels == {
            "team": "a",
            "kubernetes.io/service-name": "web",
            "endpointslice.kubernetes.io/managed-by": desired.MANAGED_BY,
        }
        assert found.metadata.annotations == {"note": "x"} and found.metadata.ownerReferences[0].kind == "Endpoints"

        def more(obj: core_v1.Endpoints) -> None:
            assert obj.subsets is not None
            obj.subsets[0].addresses = [core_v1.EndpointAddress(ip="192.0.2.9")]

        await cluster.change(core_v1.Endpoints, "web", more)
        await cluster.until(lambda: slices()[0].endpoints[0].addresses == ["192.0.2.9"], discovery_v1.EndpointSlice)

        def select(obj: core_v1.Service) -> None:
            obj.spec.selector = {"app": "web"}

        await cluster.change(core_v1.Service, "web", select)
        await cluster.until(
            lambda: all(s.metadata.labels[found_by] != desired.MANAGED_BY for s in slices()),
            discovery_v1.EndpointSlice,
        )
        assert not any(e.reason == "FailedToUpdateEndpointSlices" for e in cluster.all(events_v1.Event))


found_by = "endpointslice.kubernetes.io/managed-by"
