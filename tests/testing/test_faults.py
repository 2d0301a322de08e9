"""What can be made to go wrong, and what comes of it."""

import pytest

from tests.testing.manifests import deployment, pod
from tiphys.api import core_v1, meta_v1, policy_v1
from tiphys.machinery import codec, errors
from tiphys.store.interface import Event, KeyValue

BUDGET = {
    "apiVersion": "policy/v1",
    "kind": "PodDisruptionBudget",
    "metadata": {"name": "web"},
    "spec": {"minAvailable": 2, "selector": {"matchLabels": {"app": "web"}}},
}


@pytest.mark.parametrize(
    ("code", "kind"),
    [(409, errors.Conflict), (500, errors.InternalError), (503, errors.ServiceUnavailable), (410, errors.StatusError)],
)
def test_refusals(cluster, code, kind):
    fault = cluster.inject(code, component="test", verb="create", resource="pods")
    with pytest.raises(kind):
        cluster.apply(pod())
    assert fault.met == 1
    cluster.apply(pod())


def test_too_many_requests_are_sent_again_later(cluster):
    cluster.inject(429, component="test", verb="create", resource="pods", times=2)
    cluster.apply(pod())
    assert cluster.elapsed == pytest.approx(2)


def test_a_lost_answer_and_a_lost_call(cluster):
    cluster.inject(after=True, component="test", verb="create")
    with pytest.raises(ConnectionError):
        cluster.apply(pod("acted"))
    cluster.inject(component="test", verb="create")
    with pytest.raises(ConnectionError):
        cluster.apply(pod("lost"))
    assert [p.metadata.name for p in cluster.list("pods")] == ["acted"]


def test_stale_reads_show_the_past_until_they_are_ended(cluster):
    cluster.apply(pod("old"))
    fault = cluster.read_stale("pods", component="test")
    cluster.apply(pod("new"))
    cluster.delete("pod/old", grace_period_seconds=0)
    assert [p.metadata.name for p in cluster.list("pods")] == ["old"]
    assert cluster.find("pod/new") is None
    assert cluster.get("pod/old").status.phase == "Pending"
    cluster.faults.end(fault)
    assert [p.metadata.name for p in cluster.list("pods")] == ["new"]


def test_controllers_that_begin_with_a_stale_list_come_to_the_right_end(cluster):
    cluster.apply(deployment(3))
    fault = cluster.read_stale(component="controllers")
    cluster.advance_until("deployment/web", "Available")
    cluster.crash("controllers")
    cluster.scale("deployment/web", 5)
    cluster.restart("controllers")
    cluster.advance("1m")
    cluster.faults.end(fault)
    cluster.advance("1m")
    assert cluster.get("deployment/web").status.readyReplicas == 5
    assert len(cluster.list("pods")) == 5


def test_a_delayed_watch_is_late_and_in_order(cluster):
    cluster.inject(delay_seconds=20, verb="watch", resource="deployments", component="controllers")
    cluster.faults.cut_watches("deployments", "controllers")
    cluster.settle()
    cluster.apply(deployment(2))
    cluster.advance("19s")
    assert cluster.list("replicasets") == []
    cluster.scale("deployment/web", 3)
    cluster.advance_until("deployment/web", lambda d: d.status.readyReplicas == 3, within="1m")


def test_an_expired_watch_begins_with_a_new_list(cluster):
    fault = cluster.inject(410, verb="watch", resource="deployments", component="controllers")
    cluster.faults.cut_watches("deployments", "controllers")
    cluster.apply(deployment(2))
    cluster.advance_until("deployment/web", "Available", within="30s")
    assert fault.met == 1


@pytest.mark.parametrize("component", ["apiserver", "controllers"])
def test_a_crash_in_the_middle(cluster, component):
    cluster.apply(deployment(4))
    cluster.advance(0.2)
    cluster.crash(component)
    cluster.advance("20s")
    cluster.restart(component)
    cluster.advance_until("deployment/web", lambda d: d.status.readyReplicas == 4, within="2m")
    assert len(cluster.list("pods")) == 4


def changed(old, new):
    before = KeyValue("/registry/pods/default/p", codec.encode(old), 1, 1)
    return Event("/registry/pods/default/p", codec.encode(new), 1, 2, False, before)


def test_an_eviction_past_a_budget_is_found(cluster):
    """The API would refuse it, so the invariants are told directly."""
    cluster.apply(BUDGET)
    ready = core_v1.PodCondition(type="Ready", status="True")
    evicted = core_v1.PodCondition(type="DisruptionTarget", status="True", reason="EvictionByEvictionAPI")
    meta = {"name": "p", "namespace": "default", "labels": {"app": "web"}}
    old = core_v1.Pod(metadata=meta_v1.ObjectMeta(**meta), status=core_v1.PodStatus(conditions=[ready]))
    new = core_v1.Pod(
        metadata=meta_v1.ObjectMeta(**meta, deletionTimestamp="2026-01-01T00:00:00Z"),
        status=core_v1.PodStatus(conditions=[ready, evicted]),
    )
    cluster._machine.invariants.changed([changed(old, new)])
    with pytest.raises(AssertionError, match="pod default/p was evicted past disruption budget web"):
        cluster.settle()


def test_evictions_by_the_api_keep_the_invariant(cluster):
    cluster.apply(deployment(3), BUDGET)
    cluster.advance_until("deployment/web", lambda d: d.status.readyReplicas == 3)
    cluster.advance(5)
    name = cluster.list("pods")[0].metadata.name
    body = policy_v1.Eviction(metadata=meta_v1.ObjectMeta(name=name, namespace="default"))
    cluster.run(cluster.client().of(core_v1.Pod).create_subresource(name, "default", "eviction", body))
    cluster.advance("1m")
    assert cluster.get("deployment/web").status.readyReplicas == 3
