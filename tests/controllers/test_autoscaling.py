"""Autoscaling: sizes and speeds as tables, and a Deployment that follows its usage on the API server in memory."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from tests.controllers.cluster import Cluster, deployment, meta_now
from tests.controllers.test_desired import NOW, ago
from tests.controllers.test_desired import pod as ready_pod
from tiphys.api import apps_v1, autoscaling_v2, core_v1, meta_v1
from tiphys.client import Client, InProcessTransport
from tiphys.controllers.podautoscaler import behavior, replicas
from tiphys.controllers.podautoscaler.behavior import Memory
from tiphys.controllers.podautoscaler.replicas import NoMetric, Sample
from tiphys.wire.exchange import Request, Response

TOLERANCE = (0.1, 0.1)


def member(name: str, phase: str = "Running", ready: bool = True, started: float = 3600) -> core_v1.Pod:
    return ready_pod(name, ready=ready, ready_for=started - 60, phase=phase, startTime=ago(started))


def _size(usage: dict[str, int], pods: list[core_v1.Pod], current: int, target: int = 50) -> int:
    samples = {name: Sample(value, NOW) for name, value in usage.items()}
    groups = replicas.group(pods, samples, is_cpu=True, now=NOW)
    requests = {pod.metadata.name: 1000 for pod in pods}
    return replicas.sized(current, samples, groups, target, requests, TOLERANCE).replicas


TWO = [member("a"), member("b")]


@pytest.mark.parametrize(
    ("usage", "pods", "size"),
    [
        ({"a": 500, "b": 500}, TWO, 2),
        ({"a": 540, "b": 540}, TWO, 2),
        ({"a": 1000, "b": 1000}, TWO, 4),
        ({"a": 600, "b": 700}, TWO, 3),
        ({"a": 100, "b": 100}, TWO, 1),
        ({"a": 1000}, TWO, 2),
        ({"a": 100}, TWO, 2),
        ({"a": 1000, "b": 1000}, [*TWO, member("c", "Pending")], 4),
        ({"a": 1000, "b": 1000, "c": 1000}, [*TWO, member("c", ready=False, started=100)], 4),
        ({"a": 1000, "b": 1000, "c": 0}, [*TWO, member("c", "Failed")], 4),
    ],
    ids=[
        "as wanted",
        "within tolerance",
        "twice",
        "rounded up",
        "shrink",
        "missing ones do not grow",
        "missing ones do not shrink",
        "pending ones count as idle",
        "starting ones count as idle",
        "failed ones do not count",
    ],
)
def test_size(usage: dict[str, int], pods: list[core_v1.Pod], size: int) -> None:
    assert _size(usage, pods, 2) == size


def test_nothing_known() -> None:
    with pytest.raises(NoMetric, match="did not receive metrics for targeted pods"):
        _size({}, TWO, 2)


@pytest.mark.parametrize(
    ("current", "value", "target", "total", "average"),
    [(2, 200, 100, 4, 2), (4, 105, 100, 4, 2), (0, 250, 100, 3, 3), (10, 100, 100, 10, 1)],
)
def test_single_amounts(current: int, value: int, target: int, total: int, average: int) -> None:
    assert replicas.by_total(current, current, value, target, TOLERANCE) == total
    assert replicas.by_average(current, value, target, TOLERANCE) == average


def autoscaler(least: int = 1, most: int = 20, **rules: Any) -> autoscaling_v2.HorizontalPodAutoscaler:
    target = autoscaling_v2.MetricTarget(type="Utilization", averageUtilization=50)
    metric = autoscaling_v2.MetricSpec(
        type="Resource", resource=autoscaling_v2.ResourceMetricSource(name="cpu", target=target)
    )
    reference = autoscaling_v2.CrossVersionObjectReference(apiVersion="apps/v1", kind="Deployment", name="web")
    return autoscaling_v2.HorizontalPodAutoscaler(
        metadata=meta_v1.ObjectMeta(name="web", namespace="default"),
        spec=autoscaling_v2.HorizontalPodAutoscalerSpec(
            scaleTargetRef=reference,
            minReplicas=least,
            maxReplicas=most,
            metrics=[metric],
            behavior=autoscaling_v2.HorizontalPodAutoscalerBehavior(**rules) if rules else None,
        ),
    )


def _rules(*policies: tuple[str, int], **more: Any) -> autoscaling_v2.HPAScalingRules:
    made = [autoscaling_v2.HPAScalingPolicy(type=kind, value=value, periodSeconds=60) for kind, value in policies]
    return autoscaling_v2.HPAScalingRules(policies=made or None, **more)


@pytest.mark.parametrize(
    ("rules", "current", "wanted", "size", "limited"),
    [
        ({}, 2, 4, 4, "DesiredWithinRange"),
        ({}, 2, 10, 6, "ScaleUpLimit"),
        ({}, 10, 30, 20, "TooManyReplicas"),
        ({}, 10, 0, 1, "TooFewReplicas"),
        ({"scaleUp": _rules(("Pods", 1))}, 2, 10, 3, "ScaleUpLimit"),
        ({"scaleUp": _rules(("Pods", 1), ("Percent", 300))}, 2, 10, 8, "ScaleUpLimit"),
        ({"scaleUp": _rules(("Pods", 1), ("Percent", 300), selectPolicy="Min")}, 2, 10, 3, "ScaleUpLimit"),
        ({"scaleUp": _rules(selectPolicy="Disabled")}, 2, 10, 2, "ScaleUpLimit"),
        ({"scaleDown": _rules(("Percent", 10))}, 20, 1, 18, "ScaleDownLimit"),
        ({"scaleDown": _rules(selectPolicy="Disabled")}, 20, 1, 20, "ScaleDownLimit"),
    ],
)
def test_speed(rules: Any, current: int, wanted: int, size: int, limited: str) -> None:
    found = behavior.normalized(autoscaler(**rules), current, wanted, Memory(), NOW)
    assert (found.replicas, found.limited.reason) == (size, limited)


def test_what_has_changed_in_the_period_counts() -> None:
    memory = Memory(changes=[(NOW - timedelta(seconds=30), 2)])
    assert behavior.normalized(autoscaler(scaleUp=_rules(("Pods", 3))), 4, 20, memory, NOW).replicas == 5


def test_shrinking_waits_for_the_highest_recommendation() -> None:
    memory = Memory(recommendations=[(NOW - timedelta(seconds=200), 8), (NOW - timedelta(seconds=400), 10)])
    found = behavior.normalized(autoscaler(), 10, 2, memory, NOW)
    assert (found.replicas, found.able.reason) == (8, "ScaleDownStabilized")


# Against the server

STARTED = {"status": {"startTime": "2020-01-01T00:00:00Z"}}


class Metered(Cluster):
    """With a metrics API beside the server's, which says the same of every Pod."""

    def __init__(self, usage: dict[str, str]) -> None:
        super().__init__()
        self.usage = usage
        self._manager = Client(InProcessTransport(self._handle))

    async def _handle(self, request: Request) -> Response:
        if not request.path.startswith("/apis/metrics.k8s.io/v1beta1/namespaces/default/pods"):
            return await self.api.handle(request)
        items = [
            {
                "metadata": {"name": pod.metadata.name, "namespace": "default"},
                "timestamp": str(meta_now(self.clock)),
                "window": "10s",
                "containers": [{"name": "c", "usage": self.usage}],
            }
            for pod in self.all(core_v1.Pod)
        ]
        return Response(200, {"Content-Type": "application/json"}, msgspec.json.encode({"items": items}))


def _conditions(cluster: Cluster) -> dict[str, tuple[str, str]]:
    found = cluster.all(autoscaling_v2.HorizontalPodAutoscaler)
    return {c.type: (c.status, c.reason or "") for each in found for c in each.status.conditions or ()}


async def _web(cluster: Cluster, count: int) -> None:
    made = deployment(replicas=count)
    made.spec.template.spec.containers[0].resources = core_v1.ResourceRequirements(requests={"cpu": "100m"})
    await cluster.create(made)
    pods = await cluster.until(lambda: len(found := cluster.all(core_v1.Pod)) == count and found, core_v1.Pod)
    await cluster.mark_ready(*pods)


async def _until_sized(cluster: Cluster, count: int) -> None:
    await cluster.until(
        lambda: any(found.spec.replicas == count for found in cluster.all(apps_v1.Deployment)), apps_v1.Deployment
    )


async def test_deployment_follows_its_usage() -> None:
    async with Metered({"cpu": "100m"}) as cluster:
        await _web(cluster, 2)
        calls = cluster.client.of(core_v1.Pod)
        for pod in cluster.all(core_v1.Pod):
            await calls.patch(pod.metadata.name, "default", STARTED, "merge", subresource="status")
        await cluster.caught_up(cluster.controllers.informers.of(core_v1.Pod))
        await cluster.create(autoscaler())
        await _until_sized(cluster, 4)
        events = await cluster.until(
            lambda: [e for e in cluster.all(core_v1.Event) if e.reason == "SuccessfulRescale"], core_v1.Event
        )
        text = "New size: 4; reason: cpu resource utilization (percentage of request) above target"
        assert events[0].message == text
        await cluster.until(
            lambda: _conditions(cluster).get("AbleToScale") == ("True", "SucceededRescale"),
            autoscaling_v2.HorizontalPodAutoscaler,
        )
        assert _conditions(cluster)["ScalingActive"] == ("True", "ValidMetricFound")
        (hpa,) = cluster.all(autoscaling_v2.HorizontalPodAutoscaler)
        assert (hpa.status.currentReplicas, hpa.status.desiredReplicas) == (2, 4)
        (metric,) = hpa.status.currentMetrics or []
        assert metric.resource is not None and metric.resource.current.averageUtilization == 100


async def test_without_metrics_only_the_bounds_hold() -> None:
    async with Cluster() as cluster:
        await _web(cluster, 1)
        await cluster.create(autoscaler(least=2))
        await _until_sized(cluster, 2)
        cluster.clock.advance(16)
        await cluster.until(
            lambda: _conditions(cluster).get("ScalingActive") == ("False", "FailedGetResourceMetric"),
            autoscaling_v2.HorizontalPodAutoscaler,
        )


async def test_a_target_that_is_not_there() -> None:
    async with Cluster() as cluster:
        await cluster.create(autoscaler())
        await cluster.until(
            lambda: _conditions(cluster).get("AbleToScale") == ("False", "FailedGetScale"),
            autoscaling_v2.HorizontalPodAutoscaler,
        )
