"""Behaviours of controllers, each as a user would see it: apply, let time pass, look."""

import pytest

from tests.testing.manifests import cron_job, deployment, job, template


def names(cluster, kind="pods"):
    return sorted(one.metadata.name for one in cluster.list(kind))


def stateful(replicas=3, **spec):
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "db"},
        "spec": {
            "replicas": replicas,
            "serviceName": "db",
            "selector": {"matchLabels": {"app": "web"}},
            "template": template(),
            **spec,
        },
    }


def ready(count):
    return lambda obj: obj.status.readyReplicas == count


def images(cluster):
    return {p.metadata.name: p.spec.containers[0].image for p in cluster.list("pods")}


def test_a_rollout_in_the_middle_scales_both_sets_by_their_shares(cluster):
    strategy = {"rollingUpdate": {"maxSurge": 3, "maxUnavailable": 2}}
    cluster.apply(deployment(10, strategy=strategy))
    cluster.advance_until("deployment/web", ready(10))
    cluster.apply(deployment(10, "bad:1", {"sim.tiphys.dev/fail": "image"}, strategy=strategy))
    cluster.advance("1m")
    assert sorted(s.spec.replicas for s in cluster.list("replicasets")) == [5, 8]
    cluster.scale("deployment/web", 15)
    cluster.advance("10s")
    assert sorted(s.spec.replicas for s in cluster.list("replicasets")) == [7, 11]


def test_a_stateful_set_updates_down_to_its_partition(cluster):
    cluster.apply(stateful())
    cluster.advance_until("statefulset/db", ready(3))
    change = {"rollingUpdate": {"partition": 1}}
    cluster.apply(stateful(template=template("nginx:2"), updateStrategy=change))
    cluster.advance("1m")
    assert images(cluster) == {"db-0": "nginx:1", "db-1": "nginx:2", "db-2": "nginx:2"}


def test_a_stateful_set_on_delete_waits_for_the_user(cluster):
    cluster.apply(stateful(updateStrategy={"type": "OnDelete"}))
    cluster.advance_until("statefulset/db", ready(3))
    cluster.apply(stateful(template=template("nginx:2"), updateStrategy={"type": "OnDelete"}))
    cluster.advance("1m")
    assert set(images(cluster).values()) == {"nginx:1"}
    cluster.delete("pod/db-1")
    cluster.advance("1m")
    assert images(cluster)["db-1"] == "nginx:2"


def test_a_stateful_set_begins_at_its_ordinal(cluster):
    cluster.apply(stateful(2, ordinals={"start": 5}))
    cluster.advance_until("statefulset/db", ready(2))
    assert names(cluster) == ["db-5", "db-6"]


@pytest.mark.parametrize(("policy", "left"), [("Retain", 3), ("Delete", 1)])
def test_claims_of_a_stateful_set_are_kept_or_go_with_its_size(cluster, policy, left):
    claim = {
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    retention = {"whenScaled": policy, "whenDeleted": "Retain"}
    cluster.apply(stateful(volumeClaimTemplates=[claim], persistentVolumeClaimRetentionPolicy=retention))
    cluster.advance("1m")
    assert cluster.get("statefulset/db").status.readyReplicas == 3
    cluster.scale("statefulset/db", 1)
    cluster.advance("2m")
    assert len(cluster.list("persistentvolumeclaims")) == left


def test_a_job_is_suspended_and_goes_on(cluster):
    cluster.apply(job(suspend=True))
    cluster.advance("1m")
    assert names(cluster) == []
    cluster.patch("job/work", {"spec": {"suspend": False}})
    cluster.advance_until("job/work", "Complete", within="1m")


def test_a_failure_policy_ends_a_job_at_once(cluster):
    rule = {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}}
    cluster.apply(job({"sim.tiphys.dev/exit-code": "42"}, podFailurePolicy={"rules": [rule]}, backoffLimit=6))
    found = cluster.advance_until("job/work", "Failed", within="1m")
    assert (found.status.failed, found.status.conditions[-1].reason) == (1, "PodFailurePolicy")


def test_each_index_has_its_own_patience(cluster):
    cluster.apply(
        job(
            {"sim.tiphys.dev/exit-code": "1"},
            completions=2,
            parallelism=2,
            completionMode="Indexed",
            backoffLimitPerIndex=1,
        )
    )
    found = cluster.advance_until("job/work", "Failed", within="10m")
    assert (found.status.failedIndexes, found.status.failed) == ("0,1", 4)


def test_a_job_managed_by_another_is_left_alone(cluster):
    cluster.apply(job(managedBy="example.test/other"))
    cluster.advance("5m")
    assert names(cluster) == []
    assert cluster.get("job/work").status.startTime is None


def test_a_cron_job_keeps_to_its_time_zone(cluster):
    cluster.apply(cron_job("0 3 * * *", timeZone="America/New_York"))
    cluster.advance("8h")
    assert cluster.get("cronjob/tick").status.lastScheduleTime is None
    cluster.advance("1m")
    assert cluster.get("cronjob/tick").status.lastScheduleTime == "2026-01-01T08:00:00Z"


@pytest.mark.parametrize(("policy", "running"), [("Allow", 3), ("Forbid", 1), ("Replace", 1)])
def test_a_cron_job_and_what_still_runs(cluster, policy, running):
    long = {"spec": {"template": template(annotations={"sim.tiphys.dev/run-seconds": "3600"}, restartPolicy="Never")}}
    cluster.apply(cron_job("* * * * *", concurrencyPolicy=policy, jobTemplate=long))
    cluster.advance("3m10s")
    assert len(cluster.get("cronjob/tick").status.active) == running


@pytest.mark.cluster(nodes=3)
def test_a_daemon_set_with_surge_never_leaves_a_node_alone(cluster):
    daemon = {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "agent"},
        "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "template": template(),
            "updateStrategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
        },
    }
    cluster.apply(daemon)
    cluster.advance_until("daemonset/agent", lambda d: d.status.numberAvailable == 3)
    cluster.apply(daemon | {"spec": daemon["spec"] | {"template": template("nginx:2")}})
    least = 3

    def done():
        nonlocal least
        found = cluster.get("daemonset/agent").status
        least = min(least, found.numberAvailable or 0)
        return found.updatedNumberScheduled == 3 and set(images(cluster).values()) == {"nginx:2"}

    cluster.advance_until(done, within="5m")
    assert least == 3


def test_a_namespace_says_why_it_does_not_go(cluster):
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})
    cluster.advance(1)
    stuck = {"name": "c", "namespace": "shop", "finalizers": ["example.test/wait"]}
    cluster.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": stuck})
    cluster.delete("namespace/shop")
    found = cluster.advance_until("namespace/shop", "NamespaceFinalizersRemaining", within="2m")
    assert found.status.phase == "Terminating"
    cluster.patch("configmap/shop/c", {"metadata": {"finalizers": None}})
    cluster.advance_until("namespace/shop", "gone", within="5m")


def test_a_claim_is_provisioned_by_the_built_in_class(cluster):
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "a"},
        "spec": {
            "containers": [{"name": "c", "image": "nginx:1"}],
            "volumes": [{"name": "d", "persistentVolumeClaim": {"claimName": "data"}}],
        },
    }
    cluster.apply(claim)
    cluster.advance("1m")
    assert cluster.get("persistentvolumeclaim/data").status.phase == "Pending"
    cluster.apply(pod)
    cluster.advance_until("pod/a", "Ready", within="2m")
    assert cluster.get("persistentvolumeclaim/data").status.phase == "Bound"
