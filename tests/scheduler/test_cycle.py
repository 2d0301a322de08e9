"""Decisions on tables of nodes: where a Pod goes, and the words for why it cannot."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiphys.api import core_v1
from tiphys.machinery import codec, selectors
from tiphys.scheduler.classes import Classes, PodClass
from tiphys.scheduler.config import Config
from tiphys.scheduler.cycle import Placement, Refusal, decide
from tiphys.scheduler.nodes import NodeTable
from tiphys.scheduler.plugins.registry import default_plugins
from tiphys.scheduler.pods import PodInfo, pod_info
from tiphys.scheduler.queue import SchedulingQueue

ROOM = {"cpu": "4", "memory": "8Gi", "pods": "10"}


def node(name: str, zone: str = "", allocatable: dict[str, str] = ROOM, **spec: Any) -> core_v1.Node:
    labels = {"kubernetes.io/hostname": name} | ({"topology.kubernetes.io/zone": zone} if zone else {})
    labels |= spec.pop("labels", {})
    body = {"metadata": {"name": name, "labels": labels}, "spec": spec, "status": {"allocatable": allocatable}}
    return codec.convert(core_v1.Node, body)


def pod(name: str, cpu: str = "", labels: dict[str, str] | None = None, **spec: Any) -> PodInfo:
    container: dict[str, Any] = {"name": "c", "image": "i", "resources": {"requests": {"cpu": cpu}} if cpu else {}}
    if "ports" in spec:
        container["ports"] = spec.pop("ports")
    meta = {"name": name, "namespace": "default", "uid": name, "labels": labels or {}}
    return pod_info(codec.convert(core_v1.Pod, {"metadata": meta, "spec": {"containers": [container]} | spec}))


def table(*nodes: core_v1.Node) -> NodeTable:
    made = NodeTable()
    for each in nodes:
        made.set_node(each)
    return made


def decided(info: PodInfo, nodes: NodeTable) -> Placement | Refusal:
    return decide(info, Classes(nodes, default_plugins()).of(info), nodes)


def place_all(nodes: NodeTable, infos: list[PodInfo], classes: Classes | None = None) -> list[str]:
    classes = classes or Classes(nodes, default_plugins())
    homes = []
    for info in infos:
        decision = decide(info, classes.of(info), nodes)
        assert isinstance(decision, Placement)
        nodes.place(info, decision.node_name)
        homes.append(decision.node_name)
    return homes


def test_no_nodes() -> None:
    assert decided(pod("p"), table()) == Refusal("no nodes available to schedule pods")


TAINT = [{"key": "dedicated", "value": "x", "effect": "NoSchedule"}]
ONE = "0/1 nodes are available: "
NO_HELP = f" no new claims to deallocate, preemption: {ONE}1 Preemption is not helpful for scheduling."
NO_VICTIMS = f" no new claims to deallocate, preemption: {ONE}1 No preemption victims found for incoming pod."


@pytest.mark.parametrize(
    ("where", "who", "message"),
    [
        (node("a"), pod("p", "5"), f"{ONE}1 Insufficient cpu.{NO_HELP}"),
        (node("a", unschedulable=True), pod("p"), f"{ONE}1 node(s) were unschedulable.{NO_HELP}"),
        (node("a", taints=TAINT), pod("p"), f"{ONE}1 node(s) had untolerated taint(s).{NO_HELP}"),
        (
            node("a"),
            pod("p", nodeSelector={"disk": "ssd"}),
            f"{ONE}1 node(s) didn't match Pod's node affinity/selector.{NO_HELP}",
        ),
        (node("a", allocatable={"cpu": "1", "pods": "0"}), pod("p"), f"{ONE}1 Too many pods.{NO_VICTIMS}"),
        (
            node("a", allocatable=ROOM),
            pod("p", "9", tolerations=[{"operator": "Exists"}], overhead={"example.com/gpu": "1"}),
            f"{ONE}1 Insufficient cpu, 1 Insufficient example.com/gpu.{NO_HELP}",
        ),
    ],
)
def test_reasons(where: core_v1.Node, who: PodInfo, message: str) -> None:
    decision = decided(who, table(where))
    assert isinstance(decision, Refusal)
    assert decision.message == message


def test_reasons_are_counted_over_nodes() -> None:
    nodes = table(node("a", taints=TAINT), node("b", unschedulable=True), node("c", unschedulable=True))
    decision = decided(pod("p"), nodes)
    assert isinstance(decision, Refusal)
    assert decision.message.startswith(
        "0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 node(s) were unschedulable."
    )


def test_tolerations_and_selectors_open_nodes() -> None:
    nodes = table(node("a", taints=TAINT, labels={"disk": "ssd"}), node("b"))
    bearing = pod("p", tolerations=[{"key": "dedicated", "operator": "Exists"}], nodeSelector={"disk": "ssd"})
    assert decided(bearing, nodes) == Placement("a", 0)


@pytest.mark.parametrize(
    ("operator", "values", "expected"),
    [
        ("In", ["ssd"], "a"),
        ("NotIn", ["ssd"], "b"),
        ("Exists", None, "a"),
        ("DoesNotExist", None, "b"),
        ("Gt", ["5"], None),
    ],
)
def test_required_node_affinity(operator: str, values: list[str] | None, expected: str | None) -> None:
    term = {"matchExpressions": [{"key": "disk", "operator": operator, "values": values}]}
    required = {"nodeSelectorTerms": [term]}
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}
    decision = decided(pod("p", affinity=affinity), table(node("a", labels={"disk": "ssd"}), node("b")))
    assert (decision.node_name if isinstance(decision, Placement) else None) == expected


def test_preferences_win_over_free_room() -> None:
    term = {"weight": 50, "preference": {"matchExpressions": [{"key": "disk", "operator": "Exists"}]}}
    affinity = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [term]}}
    nodes = table(node("a", labels={"disk": "ssd"}), node("b"), node("c"))
    nodes.place(pod("x", "1"), "a")
    assert decided(pod("p", "100m", affinity=affinity), nodes).node_name == "a"  # type: ignore[union-attr]


def test_soft_taints_are_avoided() -> None:
    nodes = table(node("a", taints=[{"key": "k", "effect": "PreferNoSchedule"}]), node("b"))
    nodes.place(pod("x", "1"), "b")
    assert decided(pod("p"), nodes).node_name == "b"  # type: ignore[union-attr]


def test_host_ports_exclude_each_other() -> None:
    nodes = table(node("a"), node("b"))
    web = [{"containerPort": 80, "hostPort": 80}]
    homes = place_all(nodes, [pod("p", ports=web), pod("q", ports=web)])
    assert sorted(homes) == ["a", "b"]
    decision = decided(pod("r", ports=web), nodes)
    assert isinstance(decision, Refusal)
    assert "2 node(s) didn't have free ports for the requested pod ports" in decision.message
    other = [{"containerPort": 80, "hostPort": 80, "protocol": "UDP"}]
    assert isinstance(decided(pod("s", ports=other), nodes), Placement)


def test_load_is_spread_over_nodes() -> None:
    nodes = table(node("a"), node("b"), node("c"))
    homes = place_all(nodes, [pod(f"p{i}", "500m") for i in range(6)])
    assert sorted(homes) == ["a", "a", "b", "b", "c", "c"]


def test_a_group_is_spread_over_zones_and_hosts() -> None:
    nodes = table(*(node(f"n{i}", zone=f"z{i % 3}", allocatable=ROOM | {"pods": "110"}) for i in range(9)))
    group = selectors.from_labels({"app": "web"})
    classes = Classes(nodes, default_plugins(lambda _: [group]))
    homes = place_all(nodes, [pod(f"p{i}", "10m", {"app": "web"}) for i in range(9)], classes)
    assert sorted(homes) == [f"n{i}" for i in range(9)]


def spread(skew: int = 1, **more: Any) -> list[dict[str, Any]]:
    return [
        {
            "maxSkew": skew,
            "topologyKey": "topology.kubernetes.io/zone",
            "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": {"matchLabels": {"app": "web"}},
        }
        | more
    ]


def test_hard_spread_never_exceeds_the_skew() -> None:
    nodes = table(node("a1", "a"), node("a2", "a"), node("a3", "a"), node("b1", "b", {"cpu": "1", "pods": "2"}))
    infos = [pod(f"p{i}", labels={"app": "web"}, topologySpreadConstraints=spread()) for i in range(5)]
    place_all(nodes, infos)
    decision = decided(pod("p9", labels={"app": "web"}, topologySpreadConstraints=spread()), nodes)
    assert isinstance(decision, Refusal)
    assert "3 node(s) didn't match pod topology spread constraints" in decision.message
    assert "1 Too many pods" in decision.message


def test_hard_spread_needs_the_label_and_enough_domains() -> None:
    nodes = table(node("a", "z1"), node("b"))
    wanted = pod("p", labels={"app": "web"}, topologySpreadConstraints=spread(minDomains=2))
    nodes.place(pod("x", labels={"app": "web"}), "a")
    decision = decided(wanted, nodes)
    assert isinstance(decision, Refusal)
    assert "1 node(s) didn't match pod topology spread constraints (missing required label)" in decision.message


def test_terminating_pods_take_room_but_do_not_count_for_spreading() -> None:
    nodes = table(node("a", "z1"), node("b", "z2"))
    leaving = pod("x", "1", labels={"app": "web"})
    leaving.terminating = True
    nodes.place(leaving, "a")
    assert nodes.spread_counts("default", selectors.from_labels({"app": "web"})).sum() == 0
    assert nodes.requested["cpu"].sum() == 1000


def test_ties_are_broken_by_uid_alone() -> None:
    nodes = table(*(node(f"n{i}") for i in range(7)))
    assert decided(pod("p"), nodes) == decided(pod("p"), nodes)
    homes = {d.node_name for i in range(60) if isinstance(d := decided(pod(f"p{i}"), nodes), Placement)}
    assert len(homes) == 7


def test_requests_of_init_and_sidecar_containers() -> None:
    def container(cpu: str, **more: Any) -> dict[str, Any]:
        return {"name": cpu, "image": "i", "resources": {"requests": {"cpu": cpu}}} | more

    info = pod_info(
        codec.convert(
            core_v1.Pod,
            {
                "metadata": {"name": "p"},
                "spec": {
                    "initContainers": [container("1"), container("200m", restartPolicy="Always"), container("3")],
                    "containers": [container("500m"), container("600m")],
                },
            },
        )
    )
    assert info.requests == {"cpu": 3200}


changes = st.lists(
    st.one_of(
        st.tuples(st.just("place"), st.integers(0, 20), st.integers(0, 5)),
        st.tuples(st.just("remove"), st.integers(0, 20), st.just(0)),
        st.tuples(st.just("node"), st.integers(0, 5), st.integers(0, 3)),
        st.tuples(st.just("gone"), st.integers(0, 5), st.just(0)),
    ),
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@given(changes=changes)
def test_repaired_columns_equal_fresh_ones(changes: list[tuple[str, int, int]]) -> None:
    """The incremental class against its slow definition: the same class made anew after each change."""
    nodes = NodeTable()
    wanted = pod("w", "1", {"app": "web"}, topologySpreadConstraints=spread(2))
    kept = PodClass(wanted, nodes, default_plugins())
    for action, number, other in changes:
        match action:
            case "place":
                nodes.place(pod(f"p{number}", "500m", {"app": "web"}), f"n{other}")
            case "remove":
                nodes.remove(f"p{number}")
            case "node":
                nodes.set_node(node(f"n{number}", f"z{other}", unschedulable=other == 3))
            case "gone":
                nodes.remove_node(f"n{number}")
        kept.refresh()
        fresh = PodClass(wanted, nodes, default_plugins())
        fresh.refresh()
        rows = fresh.feasible()
        assert kept.feasible().tolist() == rows.tolist()
        assert kept.totals(rows).tolist() == fresh.totals(rows).tolist()
        count = nodes.spread_counts("default", selectors.from_labels({"app": "web"}))
        expected = sum(1 for info in nodes.placed() if info.node_name in nodes.rows)
        assert int(count.sum()) == expected


def test_the_queue_orders_pauses_and_wakes() -> None:
    queue = SchedulingQueue(Config())
    low, high = pod("low"), pod("high", priority=100)
    queue.add(low)
    queue.add(high)
    assert queue.pop() is high
    assert queue.pop() is low
    assert queue.pop() is None
    queue.refused("low", 0.0)
    queue.refused("high", 0.0)
    assert queue.next_tick() == 300.0
    queue.move_all()
    assert queue.next_tick() == 1.0
    queue.tick(0.9)
    assert queue.pop() is None
    queue.tick(1.0)
    assert queue.pop() is high
    queue.move_all()
    queue.refused("high", 1.5)
    assert queue.next_tick() == 3.5, "an event during the attempt sends it to back-off, twice as long"
    queue.remove("low")
    queue.tick(10)
    assert queue.pop() is high
    queue.remove("high")
    assert len(queue) == 0
