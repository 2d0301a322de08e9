"""Nominated nodes, and that results kept from one decision to the next equal fresh ones."""

import random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.scheduler.test_cycle import decided, node, pod, table
from tests.scheduler.test_oracle import Dice, cluster, read
from tiphys.api import core_v1
from tiphys.machinery import codec
from tiphys.scheduler.classes import Classes, PodClass
from tiphys.scheduler.cycle import Placement, Refusal, decide, decide_nominated
from tiphys.scheduler.plugins.registry import default_plugins


def test_room_that_is_kept_is_given_to_nobody_of_lower_or_equal_priority() -> None:
    nodes = table(node("a"))
    kept_for = pod("chosen", "3", priority=10)
    nodes.nominate(kept_for, "a")
    for priority in (0, 10):
        decision = decided(pod("p", "2", priority=priority), nodes)
        assert isinstance(decision, Refusal)
        assert decision.message.startswith("0/1 nodes are available: 1 Insufficient cpu.")
    assert isinstance(decided(pod("urgent", "2", priority=20), nodes), Placement)
    assert isinstance(decided(pod("small", "1"), nodes), Placement)
    assert nodes.withdraw("chosen") == "a"
    assert isinstance(decided(pod("p", "2"), nodes), Placement)


def test_a_nominated_pod_prefers_its_node() -> None:
    nodes = table(node("a"), node("b"), node("c"))
    info = pod("chosen", "1", priority=10)
    for name in ("a", "b", "c"):
        pod_class = Classes(nodes, default_plugins()).of(info)
        assert decide_nominated(info, pod_class, nodes, name) == Placement(name, 0)
    nodes.place(pod("x", "4"), "a")
    pod_class = Classes(nodes, default_plugins()).of(info)
    assert decide_nominated(info, pod_class, nodes, "a") is None
    assert decide_nominated(info, pod_class, nodes, "gone") is None


def test_no_second_eviction_while_the_first_goes_on() -> None:
    nodes = table(node("a"))
    leaving = pod("low", "4")
    leaving.preempted = True
    nodes.place(leaving, "a")
    info = pod("high", "4", priority=10)
    info.nominated_node = "a"
    decision = decided(info, nodes)
    assert isinstance(decision, Refusal)
    assert decision.keeps_nomination
    assert decision.message.endswith("preemption: not eligible due to a terminating pod on the nominated node.")


def test_a_daemons_pod_looks_at_its_node_alone() -> None:
    nodes = table(node("a"), node("b"), node("c", unschedulable=True))
    terms = [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["c"]}]}]
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}
    decision = decided(pod("d", affinity=affinity), nodes)
    assert isinstance(decision, Refusal)
    assert decision.message == (
        "0/3 nodes are available: 1 node(s) were unschedulable, 2 node(s) didn't satisfy plugin(s) [NodeAffinity]."
        " no new claims to deallocate, preemption: 0/3 nodes are available:"
        " 3 Preemption is not helpful for scheduling."
    )
    bearing = pod("d", affinity=affinity, tolerations=[{"operator": "Exists"}])
    assert decided(bearing, nodes) == Placement("c", 0)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 2**32))
def test_kept_results_equal_fresh_ones(seed: int) -> None:
    """One class through a series of changes, against the same class made anew after each."""
    dice, chance = Dice(seed), random.Random(seed)
    world, nodes = cluster(dice)
    wanted = dice.pod("wanted")
    wanted["spec"]["priority"] = 10
    info = read(wanted)
    kept = PodClass(info, nodes, default_plugins())
    for step in range(8):
        match chance.randrange(5):
            case 0:
                nodes.place(read(dice.pod(f"new{step}")), chance.choice([*world.nodes]))
            case 1:
                nodes.remove(chance.choice([placed.uid for placed in nodes.placed()] or [""]))
            case 2:
                nodes.nominate(read(dice.pod(f"nominated{step}")), chance.choice([*world.nodes]))
            case 3:
                nodes.set_node(codec.convert(core_v1.Node, dice.node(chance.randrange(6))))
            case _:
                nodes.withdraw(chance.choice([uid for here in nodes.nominated.values() for uid in here] or [""]))
        kept.refresh()
        fresh = PodClass(info, nodes, default_plugins())
        fresh.refresh()
        assert kept.feasible().tolist() == fresh.feasible().tolist()
        assert decide(info, kept, nodes) == decide(info, fresh, nodes)
