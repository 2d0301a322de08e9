"""The scheduler against its slow definition, on generated clusters."""

import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.scheduler import oracle
from tests.scheduler.oracle import World
from tiphys.api import core_v1
from tiphys.machinery import codec, selectors
from tiphys.scheduler.classes import Classes
from tiphys.scheduler.cycle import Placement, Refusal, decide
from tiphys.scheduler.nodes import NodeTable
from tiphys.scheduler.plugins.registry import default_plugins
from tiphys.scheduler.pods import PodInfo, pod_info
from tiphys.scheduler.preemption import Budget, Budgets, Eviction, victims_on

ZONE = "topology.kubernetes.io/zone"
KEYS = (ZONE, oracle.HOSTNAME)
NAMESPACES = {"default": {"team": "a"}, "other": {"team": "b"}}
MIB = 1 << 20


class Dice:
    """Makes a cluster and Pods out of one seed, small enough that everything collides."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def chance(self, share: float) -> bool:
        return self._random.random() < share

    def one(self, *values: Any) -> Any:
        return self._random.choice(values)

    def some(self, share: float, **fields: Any) -> dict[str, Any]:
        """Each field that is called into being with a chance."""
        return {name: make() for name, make in fields.items() if self.chance(share)}

    def node(self, number: int) -> dict[str, Any]:
        name = f"n{number}"
        labels = {oracle.HOSTNAME: name} if self.chance(0.9) else {}
        labels |= {ZONE: self.one("z0", "z1", "z2")} if self.chance(0.85) else {}
        labels |= {"disk": self.one("ssd", "hdd")} if self.chance(0.6) else {}
        effects = ("NoSchedule", "PreferNoSchedule", "NoExecute")
        taints = [{"key": self.one("a", "b"), "effect": self.one(*effects)}] if self.chance(0.2) else []
        room = {"cpu": self.one("2", "3", "4"), "memory": str(self.one(2, 4) * 1024 * MIB), "pods": self.one("3", "9")}
        images = [{"names": ["app:latest"], "sizeBytes": self.one(10, 300, 900) * MIB}] if self.chance(0.3) else []
        return {
            "metadata": {"name": name, "labels": labels},
            "spec": {"taints": taints, "unschedulable": self.chance(0.05)},
            "status": {"allocatable": room, "images": images},
        }

    def selector(self) -> dict[str, Any]:
        if self.chance(0.1):
            return {}
        if self.chance(0.3):
            return {"matchExpressions": [{"key": "app", "operator": self.one("Exists", "DoesNotExist")}]}
        return {"matchLabels": {"app": self.one("web", "db")}}

    def term(self) -> dict[str, Any]:
        made = {"topologyKey": self.one(*KEYS), "labelSelector": self.selector()}
        made |= self.some(
            0.2,
            namespaces=lambda: [self.one(*NAMESPACES)],
            namespaceSelector=lambda: self.one({}, {"matchLabels": {"team": "b"}}),
            matchLabelKeys=lambda: ["version"],
        )
        return made

    def pod_affinity(self, strength: float) -> dict[str, Any]:
        weighted = lambda: [{"weight": self.one(1, 10, 100), "podAffinityTerm": self.term()}]
        return self.some(
            strength,
            **{oracle.REQUIRED: lambda: [self.term() for _ in range(self.one(1, 1, 2))], oracle.PREFERRED: weighted},
        )

    def node_affinity(self) -> dict[str, Any]:
        def expressions() -> dict[str, Any]:
            return {"matchExpressions": [{"key": "disk", "operator": self.one("In", "NotIn"), "values": ["ssd"]}]}

        terms = lambda: {"nodeSelectorTerms": [expressions()]}
        wishes = lambda: [{"weight": 5, "preference": expressions()}]
        return self.some(0.5, **{oracle.REQUIRED: terms, oracle.PREFERRED: wishes})

    def constraint(self) -> dict[str, Any]:
        made = {
            "topologyKey": self.one(*KEYS),
            "maxSkew": self.one(1, 2),
            "whenUnsatisfiable": self.one("DoNotSchedule", "ScheduleAnyway"),
            "labelSelector": self.selector(),
        }
        made |= self.some(
            0.2,
            nodeAffinityPolicy=lambda: "Ignore",
            nodeTaintsPolicy=lambda: "Honor",
            matchLabelKeys=lambda: ["version"],
        )
        if made["whenUnsatisfiable"] == "DoNotSchedule" and self.chance(0.2):
            made["minDomains"] = 3
        return made

    def pod(self, name: str) -> dict[str, Any]:
        labels = {"app": self.one("web", "db")} if self.chance(0.8) else {}
        labels |= {"version": self.one("1", "2")} if self.chance(0.5) else {}
        asked = self.some(
            0.7, cpu=lambda: self.one("300m", "900m", "1500m"), memory=lambda: str(self.one(200, 900) * MIB)
        )
        container: dict[str, Any] = {"name": "c", "image": self.one("app", "other:1"), "resources": {"requests": asked}}
        if self.chance(0.1):
            container["ports"] = [{"containerPort": 80, "hostPort": 80}]
        affinity = self.some(
            0.3,
            podAffinity=lambda: self.pod_affinity(0.5),
            podAntiAffinity=lambda: self.pod_affinity(0.5),
            nodeAffinity=self.node_affinity,
        )
        tolerations = lambda: [{"key": "a", "operator": "Exists"}]
        spread = lambda: [self.constraint() for _ in range(self.one(1, 2))]
        spec = {"containers": [container], "affinity": affinity, "priority": self.one(0, 0, 10, 20)}
        spec |= self.some(0.3, tolerations=tolerations, topologySpreadConstraints=spread)
        meta = {"name": name, "namespace": self.one(*NAMESPACES), "uid": name, "labels": labels}
        return {"metadata": meta, "spec": spec, "status": self.some(0.7, startTime=self.started)}

    def started(self) -> str:
        return f"2026-01-01T00:00:0{self.one(1, 2, 3)}Z"


def read(pod: dict[str, Any]) -> PodInfo:
    return pod_info(codec.convert(core_v1.Pod, pod))


def cluster(dice: Dice) -> tuple[World, NodeTable]:
    """The same cluster twice: for the oracle and for the scheduler."""
    world, nodes = World(namespaces=dict(NAMESPACES)), NodeTable()
    for name, labels in NAMESPACES.items():
        nodes.terms.set_namespace(name, labels)
    for number in range(dice.one(1, 3, 5)):
        node = dice.node(number)
        world.nodes[f"n{number}"] = node
        nodes.set_node(codec.convert(core_v1.Node, node))
    for number in range(dice.one(0, 4, 9)):
        place(world, nodes, dice.pod(f"p{number}"), dice.one(*world.nodes))
    return world, nodes


def place(world: World, nodes: NodeTable, pod: dict[str, Any], name: str) -> None:
    pod["spec"]["nodeName"] = name
    world.pods[pod["metadata"]["uid"]] = pod
    nodes.place(read(pod), name)


def reasons_of(pod: dict[str, Any], world: World) -> str:
    counted: dict[str, int] = {}
    for node in world.nodes.values():
        for reason in oracle.verdict(pod, node, world):
            counted[reason] = counted.get(reason, 0) + 1
    return ", ".join(sorted(f"{number} {reason}" for reason, number in counted.items()))


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 2**32))
def test_decisions_equal_the_oracles(seed: int) -> None:
    """Placements, messages and whom to evict, while Pods come one after another."""
    dice = Dice(seed)
    world, nodes = cluster(dice)
    classes = Classes(nodes, default_plugins())
    repeated = dice.pod("again")
    for number in range(3):
        wanted = codec.decode_builtins(codec.encode(repeated)) if dice.chance(0.5) else dice.pod("fresh")
        wanted["metadata"]["name"] = wanted["metadata"]["uid"] = f"new{number}"
        info = read(wanted)
        decision = decide(info, classes.of(info), nodes)
        best = oracle.best(wanted, world)
        match decision:
            case Placement(node_name):
                assert node_name in best
                place(world, nodes, wanted, node_name)
            case Refusal(message):
                assert best == []
                head = f"0/{len(world.nodes)} nodes are available: "
                assert message.startswith(f"{head}{reasons_of(wanted, world)}.")
                check_eviction(wanted, decision.eviction, world)


def check_eviction(pod: dict[str, Any], eviction: Eviction | None, world: World) -> None:
    found = {name: oracle.victims(pod, name, world, []) for name in world.nodes}
    possible = {name: outcome[0] for name, outcome in found.items() if outcome is not None}
    if eviction is None:
        assert not possible
        return
    assert [victim.uid for victim in eviction.victims] == possible[eviction.node_name]

    def cost(name: str) -> tuple[int, int, int]:
        priorities = [oracle.priority(world.pods[uid]) for uid in possible[name]]
        return max(priorities), sum(priority + 2**31 for priority in priorities), len(priorities)

    assert cost(eviction.node_name) == min(map(cost, possible))


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 2**32))
def test_budgets_are_spared_as_the_oracle_spares_them(seed: int) -> None:
    dice = Dice(seed)
    world, nodes = cluster(dice)
    wanted = dice.pod("new")
    wanted["spec"]["priority"] = 100
    budgets, told = Budgets(), []
    for app in ("web", "db"):
        selector = {"matchLabels": {"app": app}}
        for namespace in NAMESPACES:
            allowed = dice.one(0, 1, 2)
            told.append({"namespace": namespace, "selector": selector, "allowed": allowed})
            budgets.put(app, Budget(namespace, selectors.from_labels({"app": app}), allowed))
    info = read(wanted)
    pod_class = Classes(nodes, default_plugins()).of(info)
    feasible = set(pod_class.feasible().tolist())
    for name, row in nodes.rows.items():
        if row in feasible or oracle.is_unresolvable(
            wanted, world.nodes[name], oracle.verdict(wanted, world.nodes[name], world)
        ):
            continue
        found = victims_on(pod_class, nodes, row, budgets)
        expected = oracle.victims(wanted, name, world, told)
        if expected is None:
            assert not isinstance(found, Eviction)
        else:
            assert isinstance(found, Eviction)
            assert ([victim.uid for victim in found.victims], found.violations) == expected


@pytest.mark.parametrize("seed", range(20))
def test_trials_leave_no_trace(seed: int) -> None:
    """After a search for victims every count is what it was."""
    dice = Dice(seed)
    _, nodes = cluster(dice)
    wanted = dice.pod("new")
    wanted["spec"]["priority"] = 100
    info = read(wanted)
    pod_class = Classes(nodes, default_plugins()).of(info)
    pod_class.feasible()
    before = [column.copy() for column in (*nodes.requested.values(), *(c for _, c in nodes.terms.carried))]
    version = nodes.usage.version
    for row in list(nodes.rows.values()):
        victims_on(pod_class, nodes, row, Budgets())
    after = (*nodes.requested.values(), *(c for _, c in nodes.terms.carried))
    assert all((old == new).all() for old, new in zip(before, after, strict=True))
    assert nodes.usage.version == version
