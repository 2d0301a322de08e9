"""Claims of devices from template to node and back, against a real API server and our controller."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.scheduler.test_loop import messages, pod
from tiphys.testing.cluster import Cluster

DRIVER = "gpu.example.com"
TAIL = " still not schedulable, preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling."


def of_resource(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "resource.k8s.io/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def device(name: str, model: str = "a", memory: str = "8Gi", **more: Any) -> dict[str, Any]:
    attributes = {"model": {"string": model}, "driverVersion": {"version": "1.2.3"}}
    return {"name": name, "attributes": attributes, "capacity": {"memory": {"value": memory}}} | more


def resource_slice(node: str, *devices: dict[str, Any], **more: Any) -> dict[str, Any]:
    pool = {"name": node, "generation": 1, "resourceSliceCount": 1}
    place: dict[str, Any] = {"nodeName": node} if node.startswith("node-") else {}
    spec = {"driver": DRIVER, "pool": pool, "devices": list(devices)} | place | more
    return of_resource("ResourceSlice", f"slice-{node}", spec)


def device_class(name: str = "gpu", *expressions: str, **more: Any) -> dict[str, Any]:
    selectors = [{"cel": {"expression": text}} for text in (f'device.driver == "{DRIVER}"', *expressions)]
    return of_resource("DeviceClass", name, {"selectors": selectors} | more)


def asked(name: str = "one", *expressions: str, class_name: str = "gpu", **more: Any) -> dict[str, Any]:
    selectors = [{"cel": {"expression": text}} for text in expressions]
    return {"name": name, "exactly": {"deviceClassName": class_name, "selectors": selectors} | more}


def claim(name: str, *requests: dict[str, Any], **more: Any) -> dict[str, Any]:
    return of_resource("ResourceClaim", name, {"devices": {"requests": list(requests or [asked()])} | more})


def using(name: str, *claims: str, template: str = "", **spec: Any) -> dict[str, Any]:
    entries = [{"name": f"c-{each}", "resourceClaimName": each} for each in claims]
    if template:
        entries.append({"name": "made", "resourceClaimTemplateName": template})
    return pod(name, "100m", resourceClaims=entries, **spec)


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with Cluster(nodes=2) as made:
        made.apply(device_class(), resource_slice("node-2", device("gpu-0"), device("gpu-1", "b", "16Gi")))
        yield made


def home(cluster: Cluster, name: str) -> str | None:
    found: str | None = cluster.get(f"pod/{name}").spec.nodeName
    return found


def given(cluster: Cluster, name: str) -> list[str]:
    allocation = cluster.get(f"resourceclaim/{name}").status.allocation
    return [] if allocation is None else [result.device for result in allocation.devices.results]


def refusals(cluster: Cluster, name: str) -> list[str]:
    return messages(cluster, name, "FailedScheduling")


def test_from_template_to_node_and_back(cluster: Cluster) -> None:
    spec = {"spec": {"devices": {"requests": [asked()]}}, "metadata": {"labels": {"of": "template"}}}
    cluster.apply(of_resource("ResourceClaimTemplate", "t", spec))
    cluster.apply(using("p", template="t"))
    cluster.advance("2s")
    told = cluster.get("pod/p")
    assert told.spec.nodeName == "node-2"
    [status] = told.status.resourceClaimStatuses
    assert status.name == "made"
    assert status.resourceClaimName.startswith("p-made-")
    found = cluster.get(f"resourceclaim/{status.resourceClaimName}")
    assert found.metadata.labels == {"of": "template"}
    assert found.metadata.annotations["resource.kubernetes.io/pod-claim-name"] == "made"
    assert found.metadata.finalizers == ["resource.kubernetes.io/delete-protection"]
    [user] = found.status.reservedFor
    assert (user.resource, user.name, user.uid) == ("pods", "p", told.metadata.uid)
    [result] = found.status.allocation.devices.results
    assert (result.request, result.driver, result.pool, result.device) == ("one", DRIVER, "node-2", "gpu-0")
    [term] = found.status.allocation.nodeSelector.nodeSelectorTerms
    assert [(field.key, field.operator, field.values) for field in term.matchFields] == [
        ("metadata.name", "In", ["node-2"])
    ]
    cluster.delete("pod/p")
    cluster.advance("2m")
    assert cluster.list("resourceclaims") == []


def test_devices_that_are_in_use_are_free_again_once_their_user_is_gone(cluster: Cluster) -> None:
    cluster.apply(claim("a", asked(count=2)), claim("b"), using("p", "a"))
    cluster.apply(using("q", "b"))
    assert refusals(cluster, "q") == [f"0/2 nodes are available: 2 cannot allocate all claims.{TAIL}"]
    cluster.delete("pod/p")
    cluster.advance("2m")
    assert cluster.get("resourceclaim/a").status.allocation is None
    assert cluster.get("resourceclaim/a").metadata.finalizers == []
    assert home(cluster, "q") == "node-2"


def test_a_claim_is_shared_on_the_node_of_its_devices(cluster: Cluster) -> None:
    cluster.apply(claim("a"), using("p", "a"), using("q", "a"))
    # The second comes while the first's devices are being written down.
    cluster.advance("15s")
    assert (home(cluster, "p"), home(cluster, "q")) == ("node-2", "node-2")
    assert [user.name for user in cluster.get("resourceclaim/a").status.reservedFor] == ["p", "q"]
    cluster.apply(using("elsewhere", "a", nodeSelector={"kubernetes.io/hostname": "node-1"}))
    assert "1 resourceclaim not available on the node" in refusals(cluster, "elsewhere")[0]


def test_pods_wait_for_their_claims_without_being_tried(cluster: Cluster) -> None:
    cluster.apply(using("p", "later"))
    cluster.advance("10s")
    assert refusals(cluster, "p") == []
    cluster.apply(claim("later"))
    assert home(cluster, "p") == "node-2"


def test_a_class_that_is_missing_is_named(cluster: Cluster) -> None:
    cluster.apply(claim("a", asked(class_name="none")), using("p", "a"))
    assert refusals(cluster, "p") == [f"0/2 nodes are available: request one: device class none does not exist.{TAIL}"]
    cluster.apply(device_class("none"))
    cluster.advance("15s")
    assert home(cluster, "p") == "node-2"


def test_a_template_that_is_missing_is_told_on_the_pod(cluster: Cluster) -> None:
    cluster.apply(using("p", template="t"))
    cluster.advance("1s")
    assert messages(cluster, "p", "FailedResourceClaimCreation")[0] == (
        'PodResourceClaim made: resourceclaimtemplates.resource.k8s.io "t" not found'
    )


MATCH = {"constraints": [{"matchAttribute": f"{DRIVER}/model"}]}


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (claim("a", asked("x", f'device.attributes["{DRIVER}"].model == "b"')), ["gpu-1"]),
        (claim("a", asked("x", f'device.capacity["{DRIVER}"].memory.compareTo(quantity("10Gi")) >= 0')), ["gpu-1"]),
        (
            claim(
                "a", asked("x", f'device.attributes["{DRIVER}"].driverVersion.isGreaterThan(semver("1.2.0"))', count=2)
            ),
            ["gpu-0", "gpu-1"],
        ),
        (claim("a", asked("x", '"model" in device.attributes["other.example.com"]')), []),
        (claim("a", asked(allocationMode="All")), ["gpu-0", "gpu-1"]),
        (claim("a", asked(count=3)), []),
        (claim("a", asked("x"), asked("y")), ["gpu-0", "gpu-1"]),
        (claim("a", asked("x"), asked("y"), **MATCH), []),
        (
            claim("a", asked("x"), asked("y"), constraints=[{"distinctAttribute": f"{DRIVER}/model"}]),
            ["gpu-0", "gpu-1"],
        ),
        (
            claim(
                "a",
                {
                    "name": "x",
                    "firstAvailable": [
                        {"name": "many", "deviceClassName": "gpu", "count": 5},
                        {"name": "one", "deviceClassName": "gpu"},
                    ],
                },
            ),
            ["gpu-0"],
        ),
        # The first device would do for the first request, but then none is left for the second.
        (claim("a", asked("x"), asked("y", f'device.attributes["{DRIVER}"].model == "a"')), ["gpu-1", "gpu-0"]),
    ],
)
def test_what_a_claim_may_ask_for(cluster: Cluster, wanted: dict[str, Any], expected: list[str]) -> None:
    cluster.apply(wanted, using("p", "a"))
    assert given(cluster, "a") == expected
    if "firstAvailable" in str(wanted):
        assert cluster.get("resourceclaim/a").status.allocation.devices.results[0].request == "x/one"


def test_a_selector_that_fails_is_told(cluster: Cluster) -> None:
    cluster.apply(claim("a", asked("x", f'device.attributes["{DRIVER}"].nothing == "b"')), using("p", "a"))
    assert "CEL runtime error: no such key: nothing" in refusals(cluster, "p")[0]


def test_configuration_of_class_and_claim_goes_along(cluster: Cluster) -> None:
    opaque = lambda text: {"opaque": {"driver": DRIVER, "parameters": {"is": text}}}
    cluster.apply(device_class("set", config=[opaque("class")]))
    cluster.apply(claim("a", asked(class_name="set"), config=[opaque("claim")]), using("p", "a"))
    config = cluster.get("resourceclaim/a").status.allocation.devices.config
    assert [(one.source, one.requests, one.opaque.parameters) for one in config] == [
        ("FromClass", ["one"], {"is": "class"}),
        ("FromClaim", None, {"is": "claim"}),
    ]


def test_a_newer_generation_replaces_a_pool_once_it_is_complete(cluster: Cluster) -> None:
    pool = {"name": "node-2", "generation": 2, "resourceSliceCount": 2}
    cluster.apply(resource_slice("node-2", device("new"), pool=pool))
    cluster.apply(claim("a"), using("p", "a"))
    assert home(cluster, "p") is None, "half of a pool may be anything"
    second = resource_slice("node-2", device("newer"), pool=pool)
    second["metadata"]["name"] = "slice-second"
    cluster.apply(second)
    cluster.advance("15s")
    assert given(cluster, "a") == ["new"]


def test_a_tainted_device_needs_a_toleration() -> None:
    taint = {"key": "broken", "effect": "NoSchedule"}
    with Cluster() as cluster:
        cluster.apply(device_class(), resource_slice("node-1", device("gpu-0", taints=[taint])))
        cluster.apply(claim("a"), using("p", "a"))
        assert given(cluster, "a") == []
        cluster.apply(claim("b", asked(tolerations=[{"key": "broken", "operator": "Exists"}])), using("q", "b"))
        assert given(cluster, "b") == ["gpu-0"]


def test_devices_for_all_nodes_leave_the_choice_of_the_node() -> None:
    with Cluster(nodes=2) as cluster:
        cluster.apply(device_class(), resource_slice("net", device("nic"), allNodes=True))
        cluster.apply(claim("a"), using("p", "a"))
        assert given(cluster, "a") == ["nic"]
        assert cluster.get("resourceclaim/a").status.allocation.nodeSelector is None
