"""One decision: the best node for a Pod, or why there is none. No I/O, no clock; chance comes from the Pod's uid."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass

from tiphys.scheduler.classes import PodClass
from tiphys.scheduler.nodes import NodeTable
from tiphys.scheduler.pods import PodInfo
from tiphys.scheduler.preemption import Budgets, Eviction, evicting

NO_BUDGETS = Budgets()


@dataclass(frozen=True, slots=True)
class Placement:
    node_name: str
    score: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """No node will do; ``message`` says why in Kubernetes' words."""

    message: str
    #: Whose filters refused nodes: an event that helps none of them helps the Pod neither.
    plugins: frozenset[str] = frozenset()
    #: Whom to evict so that there will be room.
    eviction: Eviction | None = None
    #: The node that was cleared for the Pod stays its own: it waits for those who are leaving.
    keeps_nomination: bool = False


def decide(
    info: PodInfo, pod_class: PodClass, nodes: NodeTable, budgets: Budgets = NO_BUDGETS, preempts: bool = True
) -> Placement | Refusal:
    """Where the Pod goes. All nodes are looked at; among equally good ones the uid chooses."""
    if not len(nodes):
        return Refusal("no nodes available to schedule pods")
    for plugin in (*pod_class.filters, *pod_class.placing):
        if message := plugin.refusal(info):
            return _refused(info, nodes, message, frozenset((plugin.name,)), _nobody(len(nodes)))
    rows = pod_class.feasible()
    if not len(rows):
        return _explained(info, pod_class, nodes, budgets, preempts)
    if len(rows) == 1:
        return Placement(nodes.name(int(rows[0])), 0)
    totals = pod_class.totals(rows)
    best = totals.max()
    ties = rows[totals == best]
    row = int(ties[zlib.crc32(info.uid.encode()) % len(ties)])
    return Placement(nodes.name(row), int(best))


def decide_nominated(info: PodInfo, pod_class: PodClass, nodes: NodeTable, node_name: str) -> Placement | None:
    """The node that was cleared for the Pod, if it will do now. The Pod's own nomination must be withdrawn."""
    row = nodes.rows.get(node_name)
    if row is None or row not in pod_class.feasible() or any(plugin.refusal(info) for plugin in pod_class.filters):
        return None
    return Placement(node_name, 0)


def _explained(info: PodInfo, pod_class: PodClass, nodes: NodeTable, budgets: Budgets, preempts: bool) -> Refusal:
    """How many nodes each reason rules out, as the scheduler's events say it."""
    refusals = pod_class.refusals()
    reasons = {reason: count for reason, count in refusals.counts.items() if count}
    plugins = frozenset(name for name, count in refusals.plugins.items() if count)
    if refusals.absent:
        reasons["node(s) didn't satisfy plugin(s) [NodeAffinity]"] = refusals.absent
        plugins |= {"NodeAffinity"}
    if not preempts:
        return Refusal(f"{_head(nodes)}{listed(reasons)}.{_claims_note(info)}", plugins)
    outcome = evicting(info, pod_class, nodes, refusals.resolvable, budgets)
    if isinstance(outcome, Eviction):
        return Refusal(f"{_head(nodes)}{listed(reasons)}.", plugins, outcome)
    return _refused(info, nodes, listed(reasons), plugins, outcome)


def _claims_note(info: PodInfo) -> str:
    """What could be done about the Pod's claims of devices."""
    return " still not schedulable" if info.pod.spec.resourceClaims else " no new claims to deallocate"


def _nobody(count: int) -> Mapping[str, int]:
    return {"Preemption is not helpful for scheduling": count}


def _refused(
    info: PodInfo, nodes: NodeTable, reasons: str, plugins: frozenset[str], preemption: Mapping[str, int] | str
) -> Refusal:
    told = preemption if isinstance(preemption, str) else f"{_head(nodes)}{listed(preemption)}."
    message = f"{_head(nodes)}{reasons}.{_claims_note(info)}, preemption: {told}"
    return Refusal(message, plugins, keeps_nomination=isinstance(preemption, str))


def _head(nodes: NodeTable) -> str:
    return f"0/{len(nodes)} nodes are available: "


def listed(reasons: Mapping[str, int]) -> str:
    return ", ".join(sorted(f"{count} {reason}" for reason, count in reasons.items()))
