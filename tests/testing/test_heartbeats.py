"""What may be left out of time, and what may not."""

import pytest

from tests.testing.manifests import cron_job, deployment
from tiphys.machinery import times
from tiphys.testing import Cluster


def renewals(cluster):
    return [line for line in cluster.history() if "/registry/leases" in line and "/node-1" in line]


def age_of_lease(cluster, name="node-1"):
    lease = cluster.get(f"lease/kube-node-lease/{name}")
    return (cluster.now - times.parse(lease.spec.renewTime)).total_seconds()


def test_a_month_in_which_nothing_happens_takes_no_time(cluster):
    cluster.apply(deployment(2))
    cluster.advance("30d")
    assert len(renewals(cluster)) < 200
    assert age_of_lease(cluster) <= 10.1
    # Nodes have been well all the time.
    assert [e.reason for e in cluster.events() if e.reason == "NodeNotReady"] == []


def test_a_month_of_a_daily_job(cluster):
    cluster.apply(cron_job("30 3 * * *", successfulJobsHistoryLimit=2))
    cluster.advance("30d")
    jobs = cluster.list("jobs")
    assert len(jobs) == 2
    assert cluster.get("cronjob/tick").status.lastScheduleTime == "2026-01-30T03:30:00Z"


def test_all_heartbeats_on_demand():
    with Cluster(every_heartbeat=True) as cluster:
        cluster.advance("1h")
        assert len(renewals(cluster)) > 350


def test_a_silent_node_is_noticed_as_soon_as_ever_after_a_long_quiet_time(cluster):
    cluster.add_nodes(1)
    cluster.advance("3d")
    cluster.fail_node("node-2")
    failed = cluster.elapsed
    cluster.advance_until("node/node-2", "Ready=Unknown", within="2m")
    assert 40 <= cluster.elapsed - failed <= 51


def test_nothing_is_left_out_while_a_node_is_silent(cluster):
    cluster.add_nodes(1)
    cluster.fail_node("node-2")
    before = len(renewals(cluster))
    cluster.advance("1h")
    assert len(renewals(cluster)) - before > 350


@pytest.mark.cluster(nodes=3)
def test_what_comes_later_comes_in_time(cluster):
    """An event far ahead finds nodes that are fresh, whatever phase each has."""
    cluster.apply(cron_job("0 0 * * 0"))
    for _ in range(3):
        cluster.advance("7d")
        assert all(age_of_lease(cluster, f"node-{n}") <= 10.1 for n in (1, 2, 3))
    assert {node.status.conditions[-1].status for node in cluster.list("nodes")} == {"True"}
