"""Controllers, scheduler and nodes together, over minutes and months of virtual time."""

import time

import pytest

from tests.testing.manifests import cron_job, deployment, job, pod, template
from tiphys.machinery import errors


def ready(cluster, selector="app=web"):
    return [
        p
        for p in cluster.list("pods", labels=selector)
        if any(c.type == "Ready" and c.status == "True" for c in p.status.conditions or ())
    ]


@pytest.mark.cluster(nodes=3)
def test_a_rolling_update_never_has_too_few_or_too_many(cluster):
    cluster.apply(deployment(10, annotations={"sim.tiphys.dev/ready-after-seconds": "5"}))
    cluster.advance_until("deployment/web", "Available")
    cluster.apply(deployment(10, image="nginx:2", annotations={"sim.tiphys.dev/ready-after-seconds": "5"}))
    fewest, most = 10, 10

    def rolled() -> bool:
        nonlocal fewest, most
        found = cluster.get("deployment/web")
        fewest = min(fewest, found.status.availableReplicas or 0)
        most = max(most, found.status.replicas or 0)
        return found.status.updatedReplicas == found.status.replicas == found.status.availableReplicas == 10

    for _ in range(120):
        cluster.advance(0.5)
        if rolled():
            break
    assert rolled()
    # 25 %, unavailable rounded down and surge rounded up.
    assert fewest >= 8
    assert 10 < most <= 13
    cluster.advance(2)
    assert {p.spec.containers[0].image for p in ready(cluster)} == {"nginx:2"}


def test_a_deployment_that_makes_no_progress_says_so_after_its_deadline(cluster):
    cluster.apply(deployment(2, annotations={"sim.tiphys.dev/fail": "image"}, progressDeadlineSeconds=120))
    cluster.advance("110s")
    assert cluster.find("deployment/web").status.conditions[0].type == "Available"
    found = cluster.advance_until("deployment/web", "Progressing=False", within="30s")
    assert {c.reason for c in found.status.conditions} >= {"ProgressDeadlineExceeded"}
    assert cluster.elapsed >= 120


@pytest.mark.cluster(nodes=2)
def test_a_lost_node_is_noticed_tainted_and_emptied(cluster):
    cluster.apply(deployment(4))
    cluster.advance_until("deployment/web", "Available")
    lost = {p.metadata.name for p in cluster.list("pods") if p.spec.nodeName == "node-2"}
    assert lost
    begin = cluster.elapsed
    cluster.fail_node("node-2")
    cluster.advance_until("node/node-2", "Ready=Unknown", within="60s")
    # The grace of 50 seconds, counted from the last heartbeat.
    assert 40 <= cluster.elapsed - begin <= 55
    cluster.advance("10s")
    assert {t.key for t in cluster.get("node/node-2").spec.taints} == {
        "node.kubernetes.io/unreachable",
    }
    # Every Pod tolerates that for five minutes.
    cluster.advance_until("deployment/web", lambda d: d.status.readyReplicas == 4, within="6m")
    assert cluster.elapsed - begin > 330
    assert {p.spec.nodeName for p in ready(cluster)} == {"node-1"}
    left = {p.metadata.name for p in cluster.list("pods") if p.metadata.deletionTimestamp is not None}
    assert left == lost
    cluster.recover_node("node-2")
    cluster.advance_until("node/node-2", "Ready", within="30s")
    cluster.advance("1m")
    assert not {p.metadata.name for p in cluster.list("pods")} & lost
    assert not cluster.get("node/node-2").spec.taints


def test_a_job_counts_its_successes(cluster):
    cluster.apply(job(completions=5, parallelism=2))
    cluster.advance(2)
    assert cluster.get("job/work").status.active == 2
    found = cluster.advance_until("job/work", "Complete", within="2m")
    assert found.status.succeeded == 5
    assert 15 < cluster.elapsed < 25


def test_a_job_that_fails_backs_off_and_gives_up(cluster):
    cluster.apply(job({"sim.tiphys.dev/exit-code": "1"}, backoffLimit=3))
    found = cluster.advance_until("job/work", "Failed", within="10m")
    assert found.status.failed == 4
    # Three waits of 10, 20 and 40 seconds lie between four attempts.
    assert 70 < cluster.elapsed < 140


def test_a_finished_job_goes_after_its_time(cluster):
    cluster.apply(job(ttlSecondsAfterFinished=30 * 86400))
    cluster.advance_until("job/work", "Complete")


def test_thirty_days_of_a_cron_job_and_a_time_to_live(cluster):
    cluster.apply(cron_job("0 3 * * *", timeZone="Etc/UTC"), job(ttlSecondsAfterFinished=29 * 86400))
    before = time.monotonic()
    days = []
    for _ in range(30):
        cluster.advance("1d")
        days.append(cluster.get("cronjob/tick").status.lastScheduleTime)
    took = time.monotonic() - before
    assert days == [f"2026-01-{day:02d}T03:00:00Z" for day in range(1, 31)]
    assert len(cluster.list("jobs")) == 3
    with pytest.raises(errors.NotFound):
        cluster.get("job/work")
    # Far below this on any machine: real time would be a month.
    assert took < 30


def test_a_pod_that_fits_nowhere_waits_for_a_node(cluster):
    containers = [{"name": "c", "image": "nginx:1", "resources": {"requests": {"cpu": "6"}}}]
    cluster.apply(pod("a", containers=containers), pod("b", containers=containers))
    cluster.advance("1m")
    waiting = [p for p in cluster.list("pods") if not p.spec.nodeName]
    assert len(waiting) == 1
    reference = f"pod/{waiting[0].metadata.name}"
    assert "Insufficient cpu" in cluster.events(reference, reason="FailedScheduling")[0].message
    cluster.add_nodes(1)
    found = cluster.advance_until(reference, "Ready", within="30s")
    assert found.spec.nodeName == "node-2"


def test_conflicts_and_lost_answers_change_nothing_of_the_outcome(cluster):
    cluster.inject(409, verb="update", times=5)
    cluster.inject(429, component="scheduler", times=2)
    lost = cluster.inject(after=True, verb="create", resource="pods", times=2)
    cluster.apply(deployment(5))
    cluster.advance_until("deployment/web", lambda d: d.status.readyReplicas == 5, within="5m")
    cluster.advance("5m")
    assert lost.met == 2
    assert len(cluster.list("pods")) == 5


def test_a_partition_of_the_controllers_heals(cluster):
    cluster.apply(deployment(2))
    cluster.advance_until("deployment/web", "Available")
    cluster.faults.partition("controllers")
    cluster.scale("deployment/web", 4)
    cluster.advance("30s")
    assert len(cluster.list("pods")) == 2
    cluster.faults.heal("controllers")
    cluster.advance_until("deployment/web", lambda d: d.status.readyReplicas == 4, within="2m")


def test_deleting_an_owner_deletes_what_it_owns(cluster):
    cluster.apply(deployment(3))
    cluster.advance_until("deployment/web", "Available")
    cluster.delete("deployment/web", propagation="Foreground")
    cluster.advance_until("deployment/web", "gone", within="1m")
    assert cluster.list("pods") == []
    assert cluster.list("replicasets") == []


def test_a_stateful_way_of_applying(cluster):
    first = deployment(2)
    first["metadata"]["labels"] = {"one": "1", "two": "2"}
    cluster.apply(first)
    cluster.scale("deployment/web", 5)
    second = deployment(2)
    second["metadata"]["labels"] = {"one": "1"}
    del second["spec"]["replicas"]
    cluster.apply(second)
    found = cluster.get("deployment/web")
    assert found.metadata.labels == {"one": "1"}


def test_disappointment_tells_status_warnings_and_seed(cluster):
    cluster.apply(deployment(1, annotations={"sim.tiphys.dev/fail": "image"}))
    with pytest.raises(AssertionError, match=r"(?s)seed 0.*deployment/web is not Available.*Failed to pull image"):
        cluster.advance_until("deployment/web", "Available", within="30s")
    assert cluster.elapsed == pytest.approx(30)


def test_the_template_is_what_is_meant():
    assert template(restartPolicy="Never")["spec"]["restartPolicy"] == "Never"


@pytest.mark.parametrize("component", ["apiserver", "controllers"])
def test_a_component_that_restarts_in_the_middle_goes_on(cluster, component):
    cluster.apply(deployment(8))
    cluster.restart(component)
    cluster.advance_until("deployment/web", lambda d: d.status.readyReplicas == 8, within="2m")
    cluster.apply(deployment(8, image="nginx:2"))
    cluster.advance(0.3)
    cluster.restart(component)
    cluster.advance_until("deployment/web", lambda d: d.status.updatedReplicas == 8, within="2m")
    cluster.advance("2m")
    assert {p.spec.containers[0].image for p in ready(cluster)} == {"nginx:2"}
    assert len(cluster.list("pods")) == 8


def test_without_controllers_nothing_is_made(cluster):
    cluster.stop("controllers")
    cluster.apply(deployment(2))
    cluster.advance("1h")
    assert cluster.list("pods") == []
    cluster.restart("controllers")
    cluster.advance_until("deployment/web", "Available")


def test_controllers_that_start_while_cut_off_are_ready_once_they_are_not(cluster):
    cluster.faults.partition("controllers")
    cluster.restart("controllers")
    cluster.apply(deployment(2))
    cluster.advance("5m")
    assert cluster.list("pods") == []
    cluster.faults.heal("controllers")
    cluster.advance_until("deployment/web", lambda d: d.status.readyReplicas == 2, within="1m")
