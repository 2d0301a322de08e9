"""KubeSchedulerConfiguration: what is accepted, what it changes, and what is said of mistakes."""

from typing import Any

import pytest

from tests.scheduler.test_cycle import node, pod, table
from tiphys.api import core_v1
from tiphys.scheduler.classes import Classes
from tiphys.scheduler.configuration import API_VERSION, KIND, ConfigurationError, configured
from tiphys.scheduler.cycle import Placement, Refusal, decide
from tiphys.scheduler.nodes import NodeTable
from tiphys.scheduler.plugins.node_resources import most_allocated, requested_to_capacity_ratio
from tiphys.scheduler.pods import PodInfo


def document(**fields: Any) -> dict[str, Any]:
    return {"apiVersion": API_VERSION, "kind": KIND} | fields


def profile(**fields: Any) -> dict[str, Any]:
    return document(profiles=[fields])


def decided(config: dict[str, Any], info: PodInfo, nodes: NodeTable) -> Placement | Refusal:
    made = configured(config).profiles[0]
    return decide(info, Classes(nodes, made.plugins(None, None)).of(info), nodes, preempts=made.preempts)


def home(config: dict[str, Any], info: PodInfo, nodes: NodeTable) -> str:
    decision = decided(config, info, nodes)
    assert isinstance(decision, Placement)
    return decision.node_name


def fit(**strategy: Any) -> dict[str, Any]:
    args = {"scoringStrategy": strategy}
    disabled = {"score": {"disabled": [{"name": "NodeResourcesBalancedAllocation"}]}}
    return profile(pluginConfig=[{"name": "NodeResourcesFit", "args": args}], plugins=disabled)


SHAPE = {"shape": [{"utilization": 0, "score": 0}, {"utilization": 100, "score": 10}]}


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (document(), "free"),
        (fit(type="LeastAllocated"), "free"),
        (fit(type="MostAllocated"), "busy"),
        (fit(type="RequestedToCapacityRatio", requestedToCapacityRatio=SHAPE), "busy"),
        (fit(type="MostAllocated", resources=[{"name": "memory", "weight": 1}]), "free"),
    ],
)
def test_scoring_strategies(config: dict[str, Any], expected: str) -> None:
    nodes = table(node("busy", allocatable={"cpu": "4", "memory": "80Gi", "pods": "9"}), node("free"))
    nodes.place(pod("x", "2"), "busy")
    assert home(config, pod("p", "500m"), nodes) == expected


def test_disabled_filters_and_weights() -> None:
    nodes = table(node("tainted", taints=[{"key": "k", "effect": "NoSchedule"}]))
    assert isinstance(decided(document(), pod("p"), nodes), Refusal)
    for point in ("filter", "multiPoint"):
        without = profile(plugins={point: {"disabled": [{"name": "TaintToleration"}]}})
        assert home(without, pod("p"), nodes) == "tainted"
    everything_off = profile(plugins={"multiPoint": {"disabled": [{"name": "*"}], "enabled": [{"name": "NodeName"}]}})
    assert home(everything_off, pod("p", "99"), nodes) == "tainted"


def test_weights_decide_between_plugins() -> None:
    nodes = table(node("wanted", labels={"disk": "ssd"}), node("free"))
    nodes.place(pod("x", "3"), "wanted")
    term = {"weight": 1, "preference": {"matchExpressions": [{"key": "disk", "operator": "Exists"}]}}
    wish = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [term]}}
    heavy = profile(plugins={"score": {"enabled": [{"name": "NodeResourcesFit", "weight": 100}]}})
    assert home(document(), pod("p", "1", affinity=wish), nodes) == "wanted"
    assert home(heavy, pod("p", "1", affinity=wish), nodes) == "free"


def test_without_preemption_nobody_is_evicted() -> None:
    nodes = table(node("a"))
    nodes.place(pod("low", "3"), "a")
    off = profile(plugins={"postFilter": {"disabled": [{"name": "DefaultPreemption"}]}})
    decision = decided(off, pod("high", "3", priority=9), nodes)
    assert decision == Refusal(
        "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate", frozenset({"NodeResourcesFit"})
    )


def keeps_out(candidate: core_v1.Pod, where: core_v1.Node) -> str | None:
    return "node(s) are closed" if where.metadata.labels.get("closed") else None


def likes_b(candidate: core_v1.Pod, where: core_v1.Node) -> int:
    return 100 if where.metadata.name == "b" else 0


def test_plugins_may_be_ordinary_functions() -> None:
    own = f"{__name__}:keeps_out"
    nodes = table(node("a", labels={"closed": "yes"}))
    decision = decided(profile(plugins={"filter": {"enabled": [{"name": own}]}}), pod("p"), nodes)
    assert isinstance(decision, Refusal)
    assert decision.message.startswith("0/1 nodes are available: 1 node(s) are closed.")
    assert decision.plugins == {own}
    nodes = table(node("a"), node("b"))
    nodes.place(pod("x", "2"), "b")
    preferring = profile(plugins={"score": {"enabled": [{"name": f"{__name__}:likes_b", "weight": 5}]}})
    assert home(preferring, pod("p"), nodes) == "b"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"kind": KIND}, "apiVersion, kind: Unsupported value"),
        (document(podInitialBackoffSeconds=0), "podInitialBackoffSeconds: Invalid value: 0: must be greater than 0"),
        (document(podInitialBackoffSeconds=11), "podMaxBackoffSeconds: Invalid value: 10"),
        (document(profiles=[{}, {}]), 'profiles[1].schedulerName: Duplicate value: "default-scheduler"'),
        (profile(plugins={"filters": {}}), "profiles[0].plugins.filters: Unknown extension point"),
        (
            profile(plugins={"filter": {"enabled": [{"name": "Nobody"}]}}),
            'profiles[0].plugins.filter.enabled[0]: Invalid value: "Nobody": no such plugin',
        ),
        (
            profile(plugins={"score": {"enabled": [{"name": "no.module:here"}]}}),
            'profiles[0].plugins.score.enabled[0]: Invalid value: "no.module:here": No module named',
        ),
        (fit(type="Most"), 'scoringStrategy.type: Unsupported value: "Most"'),
        (fit(type="RequestedToCapacityRatio"), "scoringStrategy.requestedToCapacityRatio.shape: Required value"),
    ],
)
def test_mistakes_are_told_when_the_file_is_read(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        configured(config)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(("share", "points"), [(0, 0), (30, 30), (50, 50), (75, 25), (100, 0)])
def test_a_shape_is_a_line_between_its_points(share: int, points: int) -> None:
    line = requested_to_capacity_ratio([(0, 0), (50, 5), (100, 0)])
    nodes = table(node("a", allocatable={"cpu": "100", "pods": "1"}))
    column = nodes.allocatable["cpu"][:1]
    assert line(column * share // 100, column).tolist() == [points]
    assert most_allocated(column * share // 100, column).tolist() == [share]
