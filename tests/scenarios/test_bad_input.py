"""A controller never dies of an object: it ends in a condition or event, the others go on, and retries are bounded.

``storm`` is how many requests all components together send in an hour in which nothing gets better.
"""

import asyncio

import pytest

from tests.testing.manifests import cron_job, deployment, job, pod, template
from tiphys.api import apps_v1
from tiphys.machinery import codec, errors

#: Requests per hour that retries may cost: a failing key is tried again at most every 1,000 s in the end.
STORM = 300


def storm(cluster, span="1h"):
    """Requests of an hour, without heartbeats of nodes and our own."""
    cluster.advance("10m")
    before = cluster.calls
    renewals = leases(cluster)
    cluster.advance(span)
    return cluster.calls - before - (leases(cluster) - renewals)


def leases(cluster):
    return sum("/registry/leases" in line for line in cluster.history())


def condition(obj, kind):
    return next((c for c in obj.status.conditions or () if c.type == kind), None)


def others_go_on(cluster):
    cluster.apply(pod("fine"))
    cluster.advance_until("pod/fine", "Ready", within="1m")


def test_a_template_that_can_never_be_admitted(cluster):
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "strict", "labels": labels}})
    cluster.advance(1)
    cluster.apply(deployment(3) | {"metadata": {"name": "web", "namespace": "strict"}})
    found = cluster.advance_until("deployment/strict/web", "ReplicaFailure", within="1m")
    assert condition(found, "ReplicaFailure").reason == "FailedCreate"
    assert "violates PodSecurity" in condition(found, "ReplicaFailure").message
    assert storm(cluster) < STORM
    others_go_on(cluster)


def test_a_quota_that_is_exhausted_and_then_is_not(cluster):
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": {"hard": {"pods": "1"}}}
    cluster.apply(quota)
    cluster.advance("2s")
    cluster.apply(deployment(3))
    found = cluster.advance_until("deployment/web", "ReplicaFailure", within="1m")
    assert "exceeded quota: q" in condition(found, "ReplicaFailure").message
    assert len(cluster.list("pods")) == 1
    assert storm(cluster) < STORM
    cluster.patch("resourcequota/q", {"spec": {"hard": {"pods": "10"}}})
    cluster.advance_until("deployment/web", lambda d: d.status.readyReplicas == 3, within="30m")


@pytest.mark.parametrize("blocking", [False, True])
def test_owner_references_in_a_circle(cluster, blocking):
    made = {
        name: cluster.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}})[0] for name in "abc"
    }
    for name, owner in (("a", "c"), ("b", "a"), ("c", "b")):
        uid = made[owner].metadata.uid
        reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": owner, "uid": uid, "blockOwnerDeletion": blocking}
        cluster.patch(f"configmap/{name}", {"metadata": {"ownerReferences": [reference]}})
    cluster.advance("10m")
    assert len([m for m in cluster.list("configmaps") if m.metadata.name in "abc"]) == 3
    cluster.delete("configmap/a", propagation="Foreground" if blocking else "Background")
    cluster.advance_until("configmap/c", "gone", within="5m")
    assert [m for m in cluster.list("configmaps") if m.metadata.name in "abc"] == []
    assert storm(cluster) < STORM


def test_an_owner_that_is_no_owner(cluster):
    """A kind that nobody serves: the object stays, and is not asked about for ever."""
    reference = {"apiVersion": "nowhere.test/v1", "kind": "Ghost", "name": "g", "uid": "1234"}
    cluster.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "ownerReferences": [reference]}})
    assert storm(cluster) < STORM
    assert cluster.get("configmap/a")


def test_selectors_that_overlap(cluster):
    """Each set counts its own Pods, and they do not fight."""
    sets = [
        {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": {"name": name},
            "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": template()},
        }
        for name in ("one", "two")
    ]
    cluster.apply(sets)
    cluster.advance("1m")
    assert [cluster.get(f"replicaset/{name}").status.readyReplicas for name in ("one", "two")] == [2, 2]
    assert len(cluster.list("pods")) == 4
    assert storm(cluster) < 30


def test_two_deployments_of_one_selector(cluster):
    cluster.apply(deployment(2), deployment(3, image="nginx:2") | {"metadata": {"name": "other"}})
    cluster.advance("1m")
    assert [cluster.get(f"deployment/{name}").status.readyReplicas for name in ("web", "other")] == [2, 3]
    assert storm(cluster) < 30


def test_two_controllers_that_fight_over_an_object(cluster):
    """Each step of the other is answered, and no more."""
    cluster.apply(deployment(3))
    cluster.advance_until("deployment/web", "Available")
    name = cluster.list("replicasets")[0].metadata.name
    steps = []

    async def other():
        calls = cluster.client().of(apps_v1.ReplicaSet)
        while True:
            await asyncio.sleep(10)
            try:
                await calls.patch(name, "default", {"spec": {"replicas": 2}}, "merge")
                steps.append(1)
            except errors.StatusError:
                continue

    cluster.spawn(other())
    before = cluster.calls
    cluster.advance("5m")
    assert len(steps) > 25
    assert (cluster.calls - before) / len(steps) < 60
    assert cluster.get("deployment/web").spec.replicas == 3


@pytest.mark.parametrize("seconds", [3 * 86400.0, -3 * 86400.0])
def test_a_clock_that_jumps_makes_no_crowd_of_jobs(cluster, seconds):
    cluster.apply(cron_job("* * * * *"))
    cluster.advance("5m")
    before = len([line for line in cluster.history() if " put /registry/jobs" in line and '"generation":1' in line])
    cluster.skew_clock(seconds)
    cluster.advance("3m")
    made = {job.metadata.uid for job in cluster.list("jobs")}
    assert len(made) <= 4
    assert before > 0
    assert storm(cluster, "5m") < 1000
    others_go_on(cluster)


HALVES = {
    "/registry/deployments.apps/default/half": {"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"replicas": 3}},
    "/registry/replicasets.apps/default/half": {"apiVersion": "apps/v1", "kind": "ReplicaSet", "spec": {"replicas": 2}},
    "/registry/statefulsets.apps/default/half": {"apiVersion": "apps/v1", "kind": "StatefulSet", "spec": {}},
    "/registry/daemonsets.apps/default/half": {"apiVersion": "apps/v1", "kind": "DaemonSet", "spec": {}},
    "/registry/jobs.batch/default/half": {"apiVersion": "batch/v1", "kind": "Job", "spec": {}},
    "/registry/cronjobs.batch/default/half": {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "spec": {"schedule": "not a schedule"},
    },
    "/registry/poddisruptionbudgets.policy/default/half": {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "spec": {"minAvailable": "lots"},
    },
    "/registry/horizontalpodautoscalers.autoscaling/default/half": {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "spec": {"scaleTargetRef": {"kind": "Nothing", "name": "nobody"}, "maxReplicas": 0},
    },
    "/registry/services/default/half": {"apiVersion": "v1", "kind": "Service", "spec": {"selector": {"app": "web"}}},
    "/registry/persistentvolumeclaims/default/half": {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "spec": {}},
    "/registry/resourcequotas/default/half": {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "spec": {},
    },
    "/registry/pods/default/half": {"apiVersion": "v1", "kind": "Pod", "spec": {}},
}


def test_half_written_objects(cluster):
    """They cannot come by the API, but by another's store, or an older version. Nobody dies of them."""

    async def write():
        for number, (key, obj) in enumerate(HALVES.items()):
            meta = {"name": "half", "namespace": "default", "uid": f"half-{number}"}
            head = {"apiVersion": obj["apiVersion"], "kind": obj["kind"], "metadata": meta, "spec": obj["spec"]}
            await cluster._machine.store.put(key, codec.encode(head), expected=None)

    cluster.run(write())
    cluster.advance("1m")
    others_go_on(cluster)
    cluster.apply(deployment(2), job(), cron_job("* * * * *"))
    cluster.advance_until("deployment/web", "Available", within="1m")
    cluster.advance_until("job/work", "Complete", within="5m")
    cluster.advance_until("cronjob/tick", lambda c: c.status.lastSuccessfulTime, within="3m")
    assert condition(cluster.get("poddisruptionbudget/half"), "DisruptionAllowed").reason == "SyncFailed"
    cluster.delete("cronjob/tick")
    assert storm(cluster) < 20 * STORM
