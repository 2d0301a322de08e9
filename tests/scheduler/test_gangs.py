"""Pods that are scheduled together or not at all, against a real API server with the API of groups switched on."""

from typing import Any

from tests.scheduler.test_loop import messages, pod, priority_class
from tiphys.scheduler.gangs import PREEMPTING, TOO_FEW, UNSCHEDULABLE
from tiphys.testing.cluster import Cluster

OPTIONS: dict[str, Any] = {
    "feature_gates": ("GenericWorkload", "GangScheduling"),
    "runtime_config": ("scheduling.k8s.io/v1alpha2",),
}


def group(name: str, least: int) -> dict[str, Any]:
    spec = {"schedulingPolicy": {"gang": {"minCount": least}}}
    return {"apiVersion": "scheduling.k8s.io/v1alpha2", "kind": "PodGroup", "metadata": {"name": name}, "spec": spec}


def member(name: str, cpu: str = "3", of: str = "g", **spec: Any) -> dict[str, Any]:
    return pod(name, cpu, schedulingGroup={"podGroupName": of}, **spec)


def homes(cluster: Cluster, *names: str) -> list[str | None]:
    return [cluster.get(f"pod/{name}").spec.nodeName for name in names]


def condition(cluster: Cluster, name: str = "g") -> tuple[str, str, str]:
    [found] = cluster.get(f"podgroup/{name}").status.conditions
    return found.status, found.reason, found.message


def refusals(cluster: Cluster, name: str) -> list[str]:
    return messages(cluster, name, "FailedScheduling")


def test_a_gang_waits_for_its_group_and_its_members() -> None:
    with Cluster(nodes=2, **OPTIONS) as cluster:
        cluster.apply(member("a"), member("b"))
        cluster.advance("10s")
        assert homes(cluster, "a", "b") == [None, None]
        cluster.apply(group("g", 3))
        cluster.advance("10s")
        assert homes(cluster, "a", "b") == [None, None]
        assert refusals(cluster, "a") == [], "it is not even tried"
        cluster.apply(member("c"))
        cluster.advance("1s")
        assert None not in homes(cluster, "a", "b", "c")
        assert condition(cluster) == ("True", "Scheduled", "")


def test_without_room_for_enough_nobody_gets_any() -> None:
    with Cluster(nodes=1, **OPTIONS) as cluster:
        # A node of eight: room for two of them.
        cluster.apply(group("g", 3), *(member(name) for name in "abc"))
        cluster.advance("2s")
        assert homes(cluster, "a", "b", "c") == [None, None, None]
        told = {refusals(cluster, name)[0] for name in "abc"}
        assert TOO_FEW in told
        assert any(text.startswith("0/1 nodes are available: 1 Insufficient cpu.") for text in told)
        assert condition(cluster) == ("False", "Unschedulable", UNSCHEDULABLE)
        # What a gang could not use is free for others, and its room comes back.
        cluster.apply(pod("other", "6"))
        cluster.advance("15s")
        assert homes(cluster, "other") == ["node-1"]
        cluster.add_nodes(2)
        cluster.advance("30s")
        assert None not in homes(cluster, "a", "b", "c")
        assert condition(cluster)[0] == "True"


def test_more_than_the_least_go_as_room_allows() -> None:
    with Cluster(nodes=1, **OPTIONS) as cluster:
        cluster.apply(group("g", 2), *(member(name) for name in "abc"))
        cluster.advance("15s")
        assert sorted(str(home) for home in homes(cluster, "a", "b", "c")) == ["None", "node-1", "node-1"]
        assert condition(cluster)[0] == "True", "the third does not take that back"


def test_a_gang_evicts_only_if_that_is_enough() -> None:
    with Cluster(nodes=2, **OPTIONS) as cluster:
        cluster.apply(priority_class("high", 1000), pod("low", "6", nodeSelector={"kubernetes.io/hostname": "node-1"}))
        cluster.advance("2s")
        big = [member(name, "6", priorityClassName="high") for name in "abc"]
        cluster.apply(group("g", 3), *big)
        cluster.advance("5s")
        assert homes(cluster, "low") == ["node-1"]
        assert cluster.get("pod/low").metadata.deletionTimestamp is None
        cluster.apply(group("h", 2), *(member(f"h{n}", "6", of="h", priorityClassName="high") for n in range(2)))
        cluster.advance("2s")
        assert PREEMPTING in {*refusals(cluster, "h0"), *refusals(cluster, "h1")}
        cluster.advance("1m")
        assert cluster.find("pod/low") is None
        assert sorted(str(home) for home in homes(cluster, "h0", "h1")) == ["node-1", "node-2"]


def test_a_member_that_is_deleted_counts_no_longer() -> None:
    with Cluster(nodes=1, **OPTIONS) as cluster:
        cluster.apply(group("g", 2), member("a", "9"), member("b"))
        cluster.advance("1s")
        cluster.delete("pod/a")
        cluster.advance("20s")
        assert homes(cluster, "b") == [None]
        cluster.apply(member("c"))
        cluster.advance("20s")
        assert homes(cluster, "b", "c") == ["node-1", "node-1"]
