"""The entries of Kubernetes' conformance list, area scheduling, one by one, in virtual time."""

from typing import Any

import pytest

from tests.scheduler.test_loop import messages, pod, priority_class
from tiphys.machinery.conditions import find_condition
from tiphys.testing.cluster import Cluster


def home(cluster: Cluster, name: str) -> str | None:
    found: str | None = cluster.get(f"pod/{name}").spec.nodeName
    return found


def with_port(name: str, host_ip: str = "", protocol: str = "TCP", port: int = 54321) -> dict[str, Any]:
    made = pod(name, "100m")
    given = {"containerPort": 80, "hostPort": port, "protocol": protocol} | ({"hostIP": host_ip} if host_ip else {})
    made["spec"]["containers"][0]["ports"] = [given]
    return made


def test_resource_limits_of_pods_that_are_allowed_to_run() -> None:
    """Scheduler, resource limits: a node that is nearly full takes no further Pod that needs more."""
    with Cluster() as cluster:
        cluster.apply(pod("filler", "7"))
        cluster.advance("2s")
        cluster.apply(pod("additional", "2"))
        assert "1 Insufficient cpu" in messages(cluster, "additional", "FailedScheduling")[0]


@pytest.mark.parametrize("matches", [True, False])
def test_node_selectors(matches: bool) -> None:
    """Scheduler, node selector matching and not matching."""
    with Cluster(nodes=2) as cluster:
        if matches:
            cluster.patch("node/node-2", {"metadata": {"labels": {"kubernetes.io/e2e": "42"}}})
        cluster.apply(pod("p", nodeSelector={"kubernetes.io/e2e": "42"}))
        assert home(cluster, "p") == ("node-2" if matches else None)
        if not matches:
            told = messages(cluster, "p", "FailedScheduling")[0]
            assert "2 node(s) didn't match Pod's node affinity/selector" in told


def test_host_ports() -> None:
    """Scheduling, HostPort and Protocol match, HostIPs different but one is default HostIP (0.0.0.0)."""
    with Cluster() as cluster:
        cluster.apply(with_port("all", "0.0.0.0"))
        cluster.apply(with_port("one", "127.0.0.1"))
        assert (home(cluster, "all"), home(cluster, "one")) == ("node-1", None)
        told = messages(cluster, "one", "FailedScheduling")[0]
        assert "1 node(s) didn't have free ports for the requested pod ports" in told


def test_host_ports_that_do_not_meet() -> None:
    with Cluster() as cluster:
        cluster.apply(with_port("one", "127.0.0.1"), with_port("other", "127.0.0.2"))
        cluster.apply(with_port("udp", "127.0.0.2", "UDP"))
        assert {home(cluster, name) for name in ("one", "other", "udp")} == {"node-1"}


@pytest.mark.parametrize("critical", ["high-priority", "system-cluster-critical"])
def test_basic_preemption(critical: str) -> None:
    """Scheduler, Basic Preemption; Scheduler, Preemption for critical pod; DisruptionTarget on the preempted Pod."""
    with Cluster(nodes=2) as cluster:
        cluster.apply(
            priority_class("low-priority", 1),
            priority_class("medium-priority", 100),
            priority_class("high-priority", 1000),
        )
        cluster.apply(pod("low", "6", priorityClassName="low-priority"))
        cluster.apply(pod("medium", "6", priorityClassName="medium-priority"))
        cluster.advance("2s")
        was = home(cluster, "low")
        cluster.apply(pod("preemptor", "6", priorityClassName=critical))
        condition = find_condition(cluster.get("pod/low").status.conditions, "DisruptionTarget")
        assert condition is not None
        assert (condition.status, condition.reason) == ("True", "PreemptionByScheduler")
        assert cluster.get("pod/preemptor").status.nominatedNodeName == was
        cluster.advance("1m")
        assert cluster.find("pod/low") is None
        assert home(cluster, "preemptor") == was
        assert home(cluster, "medium") not in (None, was)
        assert not cluster.get("pod/preemptor").status.nominatedNodeName, "told until it is bound"


def test_replica_sets_preempt_one_another() -> None:
    """Pod preemption verification: three less important sets give room to a fourth, whose Pods run."""

    def replica_set(name: str, count: int, priority: str) -> dict[str, Any]:
        template = pod(name, "2", priorityClassName=priority)
        template = {"metadata": {"labels": {"set": name}}, "spec": template["spec"]}
        spec = {"replicas": count, "selector": {"matchLabels": {"set": name}}, "template": template}
        return {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": name}, "spec": spec}

    with Cluster() as cluster:
        for number in range(1, 5):
            cluster.apply(priority_class(f"p{number}", number))
        cluster.apply(*(replica_set(f"rs{n}", 1, f"p{n}") for n in (1, 2, 3)))
        cluster.advance("5s")
        cluster.apply(replica_set("rs4", 2, "p4"))
        cluster.advance("2m")
        ready = [cluster.get(f"replicaset/rs{n}").status.readyReplicas or 0 for n in (1, 2, 3, 4)]
        assert ready == [0, 1, 1, 2], "the least important has made room"


def test_a_budget_is_broken_only_where_nothing_else_helps() -> None:
    with Cluster(nodes=2) as cluster:
        cluster.apply(priority_class("high", 1000))
        budget = {"minAvailable": 1, "selector": {"matchLabels": {"app": "kept"}}}
        spec = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "b"}, "spec": budget}
        cluster.apply(spec, pod("kept", "6"), pod("loose", "6"))
        cluster.advance("5s")
        where = home(cluster, "loose")
        cluster.apply(pod("first", "6", priorityClassName="high"))
        cluster.advance("1m")
        assert cluster.find("pod/loose") is None
        assert home(cluster, "first") == where
        cluster.apply(pod("second", "6", priorityClassName="high"))
        cluster.advance("1m")
        assert cluster.find("pod/kept") is None, "no other way is left"
