"""Quotas: what objects cost, and what a namespace is refused, against the API server in memory."""

import asyncio
from typing import Any

import pytest

from tests.apiserver.extensions.crontabs import GROUP, crontab, definition
from tests.controllers.cluster import Cluster
from tests.controllers.test_desired import NOW, ago
from tiphys.api import core_v1, meta_v1
from tiphys.apiserver.security import seams
from tiphys.machinery import errors
from tiphys.resources import quota as costs


def pod(name: str = "p", phase: str = "Running", **options: Any) -> core_v1.Pod:
    requests, limits = options.pop("requests", None), options.pop("limits", None)
    resources = core_v1.ResourceRequirements(requests=requests, limits=limits)
    containers = [core_v1.Container(name="c", image="x", resources=resources)]
    metadata = meta_v1.ObjectMeta(name=name, namespace="default", **options.pop("metadata", {}))
    return core_v1.Pod(
        metadata=metadata,
        spec=core_v1.PodSpec(containers=containers, **options),
        status=core_v1.PodStatus(phase=phase),
    )


@pytest.mark.parametrize(
    ("plural", "obj", "cost"),
    [
        ("pods", pod(), {"count/pods": "1", "pods": "1"}),
        ("pods", pod(phase="Succeeded"), {"count/pods": "1"}),
        (
            "pods",
            pod(metadata={"deletionTimestamp": ago(1), "deletionGracePeriodSeconds": 30}),
            {"count/pods": "1"},
        ),
        (
            "pods",
            pod(requests={"cpu": "100m", "a/gpu": "2"}, limits={"memory": "1Gi"}),
            {
                "count/pods": "1",
                "pods": "1",
                "cpu": "100m",
                "requests.cpu": "100m",
                "requests.a/gpu": "2",
                "limits.memory": "1Gi",
            },
        ),
        ("configmaps", core_v1.ConfigMap(), {"count/configmaps": "1", "configmaps": "1"}),
        (
            "services",
            core_v1.Service(
                spec=core_v1.ServiceSpec(type="LoadBalancer", ports=[core_v1.ServicePort(port=p) for p in (1, 2)])
            ),
            {"count/services": "1", "services": "1", "services.nodeports": "2", "services.loadbalancers": "1"},
        ),
    ],
)
def test_cost(plural: str, obj: Any, cost: dict[str, str]) -> None:
    assert costs.usage("", plural, obj, NOW) == cost


def test_init_containers_count_by_their_peak() -> None:
    def container(cpu: str, restart: str | None = None) -> core_v1.Container:
        return core_v1.Container(
            name="i", resources=core_v1.ResourceRequirements(requests={"cpu": cpu}), restartPolicy=restart
        )

    found = pod(requests={"cpu": "1"})
    found.spec.initContainers = [container("200m", "Always"), container("3")]
    assert costs.pod_amounts(found, "requests") == {"cpu": "3200m"}


def quota(hard: dict[str, str], **spec: Any) -> core_v1.ResourceQuota:
    return core_v1.ResourceQuota(
        metadata=meta_v1.ObjectMeta(name="q", namespace="default"),
        spec=core_v1.ResourceQuotaSpec(hard=hard, **spec),
    )


def _selects(scope: str, operator: str, *values: str) -> core_v1.ScopeSelector:
    term = core_v1.ScopedResourceSelectorRequirement(scopeName=scope, operator=operator, values=[*values] or None)
    return core_v1.ScopeSelector(matchExpressions=[term])


@pytest.mark.parametrize(
    ("spec", "obj", "applies"),
    [
        ({"scopes": ["Terminating"]}, pod(activeDeadlineSeconds=5), True),
        ({"scopes": ["Terminating"]}, pod(), False),
        ({"scopes": ["NotTerminating", "BestEffort"]}, pod(), True),
        ({"scopes": ["NotBestEffort"]}, pod(requests={"cpu": "1"}), True),
        ({"scopes": ["BestEffort"]}, pod(requests={"cpu": "1"}), False),
        ({"scopeSelector": _selects("PriorityClass", "In", "high")}, pod(priorityClassName="high"), True),
        ({"scopeSelector": _selects("PriorityClass", "NotIn", "high")}, pod(priorityClassName="high"), False),
        ({"scopeSelector": _selects("PriorityClass", "Exists")}, pod(), False),
    ],
)
def test_scopes(spec: Any, obj: core_v1.Pod, applies: bool) -> None:
    assert costs.applies(quota({"pods": "1"}, **spec), "", "pods", obj) == applies


def test_what_must_be_said() -> None:
    assert costs.unsaid(pod(), ["cpu", "limits.memory", "pods"]) == "must specify cpu for: c; limits.memory for: c"
    assert costs.unsaid(pod(requests={"cpu": "1"}), ["cpu", "requests.cpu"]) == ""


@pytest.fixture
async def cluster():
    async with Cluster(seams=seams()) as found:
        await found.until(lambda: found.all(core_v1.ServiceAccount), core_v1.ServiceAccount)
        yield found


async def _used(cluster: Cluster, **wanted: str) -> dict[str, str]:
    def there() -> Any:
        found = cluster.all(core_v1.ResourceQuota)
        return (
            found and found[0].status.used and wanted.items() <= found[0].status.used.items() and found[0].status.used
        )

    found: dict[str, str] = await cluster.until(there, core_v1.ResourceQuota)
    return found


async def test_quota_is_charged_and_given_back(cluster: Cluster) -> None:
    await cluster.create(quota({"pods": "2", "requests.cpu": "1", "count/configmaps": "3"}))
    await _used(cluster, pods="0", **{"requests.cpu": "0", "count/configmaps": "1"})
    await cluster.create(pod("a", requests={"cpu": "600m"}))
    fresh = await cluster.client.of(core_v1.ResourceQuota).get("q", "default")
    assert fresh.status.used == {"count/configmaps": "1", "pods": "1", "requests.cpu": "600m"}
    with pytest.raises(errors.Forbidden) as caught:
        await cluster.create(pod("b", requests={"cpu": "500m"}))
    assert caught.value.message == (
        'pods "b" is forbidden: exceeded quota: q, requested: requests.cpu=500m, used: requests.cpu=600m, '
        "limited: requests.cpu=1"
    )
    with pytest.raises(errors.Forbidden) as caught:
        await cluster.create(pod("c"))
    assert caught.value.message == 'pods "c" is forbidden: failed quota: q: must specify requests.cpu for: c'
    await cluster.client.of(core_v1.Pod).delete("a", "default", grace_period_seconds=0)
    await _used(cluster, pods="0", **{"requests.cpu": "0"})


async def test_a_crowd_does_not_get_more_than_there_is(cluster: Cluster) -> None:
    await cluster.create(quota({"pods": "3"}))
    await _used(cluster, pods="0")
    results = await asyncio.gather(*(cluster.create(pod(f"p{n}")) for n in range(10)), return_exceptions=True)
    assert sum(isinstance(result, errors.Forbidden) for result in results) == 7
    await _used(cluster, pods="3")
    assert len((await cluster.client.of(core_v1.Pod).list("default")).items) == 3


async def test_a_charge_for_nothing_is_taken_back(cluster: Cluster) -> None:
    await cluster.create(quota({"configmaps": "5"}))
    await _used(cluster, configmaps="1")
    one = core_v1.ConfigMap(metadata=meta_v1.ObjectMeta(name="a", namespace="default"))
    await cluster.create(one)
    with pytest.raises(errors.AlreadyExists):
        await cluster.create(one)
    await _used(cluster, configmaps="2")
    await cluster.until(
        lambda: cluster.all(core_v1.ResourceQuota)[0].status.used == {"configmaps": "2"}, core_v1.ResourceQuota
    )


async def test_custom_objects_are_counted(cluster: Cluster) -> None:
    crds = cluster.client.resource("apiextensions.k8s.io", "v1", "customresourcedefinitions", False)
    await crds.create(definition())
    name = f"count/crontabs.{GROUP}"
    await cluster.create(quota({name: "1"}))
    await _used(cluster, **{name: "0"})
    crontabs = cluster.client.resource(GROUP, "v1", "crontabs", True)
    body = crontab("a")
    body["metadata"]["namespace"] = "default"
    await crontabs.create(body)
    body["metadata"]["name"] = "b"
    with pytest.raises(errors.Forbidden) as caught:
        await crontabs.create(body)
    assert caught.value.message == (
        f'crontabs.{GROUP} "b" is forbidden: exceeded quota: q, requested: {name}=1, used: {name}=1, limited: {name}=1'
    )
    await crontabs.delete("a", "default")
    await _used(cluster, **{name: "0"})
    await crontabs.create(body)
