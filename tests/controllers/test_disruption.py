"""Disruption budgets and evictions, and ReplicationControllers, against the API server in memory."""

import asyncio
from typing import Any

import pytest

from tests.controllers.cluster import Cluster, replica_set, template
from tests.controllers.test_desired import NOW, pod
from tiphys.api import apps_v1, core_v1, meta_v1, policy_v1
from tiphys.controllers.disruption import desired
from tiphys.machinery import errors


def budget(**spec: Any) -> policy_v1.PodDisruptionBudget:
    selector = meta_v1.LabelSelector(matchLabels={"app": "web"})
    return policy_v1.PodDisruptionBudget(
        metadata=meta_v1.ObjectMeta(name="web", namespace="default", generation=1),
        spec=policy_v1.PodDisruptionBudgetSpec(selector=selector, **spec),
    )


@pytest.mark.parametrize(
    ("spec", "pods", "scale", "found"),
    [
        ({"minAvailable": 2}, 3, 0, (3, 2, 1)),
        ({"minAvailable": 5}, 3, 0, (3, 5, 0)),
        ({"minAvailable": 0}, 0, 0, (0, 0, 0)),
        ({"minAvailable": "50%"}, 3, 3, (3, 2, 1)),
        ({"maxUnavailable": 1}, 3, 3, (3, 2, 1)),
        ({"maxUnavailable": 1}, 2, 3, (3, 2, 0)),
        ({"maxUnavailable": "30%"}, 10, 10, (10, 7, 3)),
        ({"maxUnavailable": 5}, 3, 3, (3, 0, 3)),
    ],
)
def test_allowance(spec: Any, pods: int, scale: int, found: tuple[int, int, int]) -> None:
    status = desired.status(budget(**spec), [pod(f"p{n}") for n in range(pods)], scale, desired.Disrupted({}), NOW)
    assert (status.expectedPods, status.desiredHealthy, status.disruptionsAllowed) == found


def test_granted_evictions_count_until_they_are_overdue() -> None:
    wanted = budget(minAvailable=1)
    wanted.status.disruptedPods = {"a": "2026-01-31T07:59:00Z", "b": "2026-01-31T07:50:00Z"}
    going = desired.disrupted(wanted, [pod("a"), pod("b"), pod("c")], NOW)
    assert going.pending == {"a": "2026-01-31T07:59:00Z"} and going.wait == 60
    assert [p.metadata.name for p in going.overdue] == ["b"]
    status = desired.status(wanted, [pod("a"), pod("b"), pod("c")], 0, going, NOW)
    assert (status.currentHealthy, status.disruptionsAllowed) == (2, 1)


@pytest.fixture
async def cluster():
    async with Cluster() as found:
        yield found


async def _evict(cluster: Cluster, name: str) -> None:
    eviction = policy_v1.Eviction(metadata=meta_v1.ObjectMeta(name=name, namespace="default"))
    await cluster.client.of(core_v1.Pod).create_subresource(name, "default", "eviction", eviction)


async def _status(cluster: Cluster, allowed: int) -> policy_v1.PodDisruptionBudgetStatus:
    def there() -> Any:
        found = cluster.all(policy_v1.PodDisruptionBudget)
        return found and (found[0].status.disruptionsAllowed or 0) == allowed and found[0].status.observedGeneration

    await cluster.until(there, policy_v1.PodDisruptionBudget)
    return cluster.all(policy_v1.PodDisruptionBudget)[0].status


async def test_no_eviction_breaks_a_budget(cluster: Cluster) -> None:
    await cluster.create(replica_set(replicas=3))
    pods = await cluster.until(lambda: len(found := cluster.all(core_v1.Pod)) == 3 and found, core_v1.Pod)
    await cluster.mark_ready(*pods)
    await cluster.create(budget(maxUnavailable=1))
    status = await _status(cluster, 1)
    assert (status.currentHealthy, status.desiredHealthy, status.expectedPods) == (3, 2, 3)
    results = await asyncio.gather(*(_evict(cluster, p.metadata.name) for p in pods), return_exceptions=True)
    refused = [result for result in results if isinstance(result, errors.TooManyRequests)]
    assert len(refused) == 2 and results.count(None) == 1
    assert refused[0].message == "Cannot evict pod as it would violate the pod's disruption budget."
    assert refused[0].details is not None and refused[0].details.causes is not None
    assert refused[0].details.causes[0].reason == "DisruptionBudget"
    text = "The disruption budget web needs 2 healthy pods and has"
    assert (refused[0].details.causes[0].message or "").startswith(text)
    # The replacement is not ready: nothing more may go until it is.
    fresh = await cluster.until(lambda: [p for p in cluster.active_pods() if p.status.phase != "Running"], core_v1.Pod)
    await _status(cluster, 0)
    await cluster.mark_ready(*fresh)
    await _status(cluster, 1)


async def test_two_budgets_are_refused(cluster: Cluster) -> None:
    await cluster.create(replica_set(replicas=1))
    (only,) = await cluster.until(lambda: cluster.all(core_v1.Pod), core_v1.Pod)
    await cluster.mark_ready(only)
    for name in ("a", "b"):
        one = budget(maxUnavailable=1)
        one.metadata.name = name
        await cluster.create(one)
    with pytest.raises(errors.StatusError) as caught:
        await _evict(cluster, only.metadata.name)
    assert caught.value.code == 500 and "more than one PodDisruptionBudget" in caught.value.message


async def test_replication_controller(cluster: Cluster) -> None:
    rc = core_v1.ReplicationController(
        metadata=meta_v1.ObjectMeta(name="web", namespace="default"),
        spec=core_v1.ReplicationControllerSpec(replicas=2, selector={"app": "web"}, template=template()),
    )
    await cluster.create(rc)
    pods = await cluster.until(lambda: len(found := cluster.all(core_v1.Pod)) == 2 and found, core_v1.Pod)
    (owner,) = pods[0].metadata.ownerReferences
    assert (owner.apiVersion, owner.kind) == ("v1", "ReplicationController")
    await cluster.mark_ready(*pods)
    await cluster.until(
        lambda: any(r.status.availableReplicas == 2 for r in cluster.all(core_v1.ReplicationController)),
        core_v1.ReplicationController,
    )
    await cluster.change(core_v1.ReplicationController, "web", lambda r: setattr(r.spec, "replicas", 0))
    await cluster.until(lambda: not cluster.active_pods(), core_v1.Pod)
    events = await cluster.until(
        lambda: [e for e in cluster.all(core_v1.Event) if e.reason == "SuccessfulDelete"], core_v1.Event
    )
    assert events[0].source.component == "replication-controller"
    assert not cluster.all(apps_v1.ReplicaSet)
