"""The other workload controllers, and budgets, in virtual time."""

import pytest

from tests.testing.manifests import deployment, job, template
from tiphys.api import core_v1, meta_v1, policy_v1
from tiphys.machinery import errors


def stateful_set(replicas, **spec):
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "db"},
        "spec": {
            "replicas": replicas,
            "serviceName": "db",
            "selector": {"matchLabels": {"app": "web"}},
            "template": template(annotations={"sim.tiphys.dev/start-seconds": "10"}),
            **spec,
        },
    }


def daemon_set():
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "agent"},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": template()},
    }


def names(cluster):
    return sorted(p.metadata.name for p in cluster.list("pods"))


def test_a_stateful_set_starts_one_after_another(cluster):
    cluster.apply(stateful_set(3))
    cluster.advance(9)
    assert names(cluster) == ["db-0"]
    cluster.advance(3)
    assert names(cluster) == ["db-0", "db-1"]
    cluster.advance_until("statefulset/db", lambda s: s.status.readyReplicas == 3, within="1m")
    assert 30 < cluster.elapsed < 33
    cluster.scale("statefulset/db", 1)
    cluster.advance("10s")
    assert names(cluster) == ["db-0"]


def test_a_parallel_one_starts_all_at_once(cluster):
    cluster.apply(stateful_set(3, podManagementPolicy="Parallel"))
    cluster.advance_until("statefulset/db", lambda s: s.status.readyReplicas == 3, within="12s")


@pytest.mark.cluster(nodes=3)
def test_a_daemon_set_runs_on_every_node_also_on_new_ones(cluster):
    cluster.apply(daemon_set())
    cluster.advance_until("daemonset/agent", lambda d: d.status.numberReady == 3, within="30s")
    assert {p.spec.nodeName for p in cluster.list("pods")} == {"node-1", "node-2", "node-3"}
    cluster.add_nodes(1)
    cluster.advance_until("daemonset/agent", lambda d: d.status.numberReady == 4, within="30s")


@pytest.mark.cluster(nodes=2)
def test_a_budget_is_honoured_by_evictions(cluster):
    budget = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "web"},
        "spec": {"minAvailable": 2, "selector": {"matchLabels": {"app": "web"}}},
    }
    cluster.apply(deployment(3), budget)
    cluster.advance_until("deployment/web", lambda d: d.status.readyReplicas == 3)
    cluster.advance(5)
    assert cluster.get("poddisruptionbudget/web").status.disruptionsAllowed == 1

    async def evict(name):
        body = policy_v1.Eviction(metadata=meta_v1.ObjectMeta(name=name, namespace="default"))
        await cluster.client().of(core_v1.Pod).create_subresource(name, "default", "eviction", body)

    first, second, _ = names(cluster)
    cluster.run(evict(first))
    with pytest.raises(errors.TooManyRequests, match="disruption budget"):
        cluster.run(evict(second))
    cluster.advance("10s")
    cluster.run(evict(second))


def test_an_indexed_job_runs_each_index(cluster):
    cluster.apply(job(completions=3, parallelism=3, completionMode="Indexed"))
    found = cluster.advance_until("job/work", "Complete", within="1m")
    assert found.status.completedIndexes == "0-2"


def test_a_job_past_its_deadline_is_ended(cluster):
    cluster.apply(job({"sim.tiphys.dev/run-seconds": "forever"}, activeDeadlineSeconds=3600))
    cluster.advance("59m")
    assert cluster.get("job/work").status.active == 1
    found = cluster.advance_until("job/work", "Failed", within="2m")
    assert [c.reason for c in found.status.conditions if c.type == "Failed"] == ["DeadlineExceeded"]


@pytest.mark.parametrize("seconds", [3600, -3600])
@pytest.mark.cluster(nodes=2)
def test_a_wall_clock_that_jumps_loses_no_node_and_no_pod(cluster, seconds):
    cluster.apply(deployment(3))
    cluster.advance_until("deployment/web", lambda d: d.status.readyReplicas == 3)
    before = names(cluster)
    cluster.skew_clock(seconds)
    cluster.advance("10m")
    assert names(cluster) == before
    assert not any(node.spec.taints for node in cluster.list("nodes"))
