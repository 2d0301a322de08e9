"""One decision: the best node for a Pod, or why there is none. No I/O, no clock; chance comes from the Pod's uid."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from tiphys.scheduler.classes import PodClass
from tiphys.scheduler.nodes import Ints, NodeTable
from tiphys.scheduler.plugins.interface import Rows
from tiphys.scheduler.pods import PodInfo
from tiphys.scheduler.preemption import Budgets, Eviction, best, evictions

NO_BUDGETS = Budgets()
NOTHING: Mapping[str, int] = MappingProxyType({})


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
    #: All evictions that would help, of which ``eviction`` does least harm.
    candidates: tuple[Eviction, ...] = field(default=(), compare=False, repr=False)


def decide(
    info: PodInfo, pod_class: PodClass, nodes: NodeTable, budgets: Budgets = NO_BUDGETS, preempts: bool = True
) -> Placement | Refusal:
    """Where the Pod goes. All nodes are looked at; among equally good ones the uid chooses."""
    if refusal := hopeless(info, pod_class, nodes):
        return refusal
    rows = pod_class.feasible()
    if not len(rows):
        return explained(info, pod_class, nodes, budgets, preempts)
    if len(rows) == 1:
        return Placement(nodes.name(int(rows[0])), 0)
    return chosen(info, nodes, rows, pod_class.totals(rows))


def hopeless(info: PodInfo, pod_class: PodClass, nodes: NodeTable) -> Refusal | None:
    """Why no node at all has to be looked at, if that is so."""
    if not len(nodes):
        return Refusal("no nodes available to schedule pods")
    for plugin in (*pod_class.filters, *pod_class.placing):
        if message := plugin.refusal(info):
            return _refused(info, nodes, message, frozenset((plugin.name,)), _nobody(len(nodes)))
    return None


def chosen(info: PodInfo, nodes: NodeTable, rows: Rows, totals: Ints) -> Placement:
    """One of the rows with the most points."""
    most = totals.max()
    ties = rows[totals == most]
    row = int(ties[zlib.crc32(info.uid.encode()) % len(ties)])
    return Placement(nodes.name(row), int(most))


def decide_nominated(info: PodInfo, pod_class: PodClass, nodes: NodeTable, node_name: str) -> Placement | None:
    """The node that was cleared for the Pod, if it will do now. The Pod's own nomination must be withdrawn."""
    row = nodes.rows.get(node_name)
    if row is None or row not in pod_class.feasible() or any(plugin.refusal(info) for plugin in pod_class.filters):
        return None
    return Placement(node_name, 0)


def explained(
    info: PodInfo,
    pod_class: PodClass,
    nodes: NodeTable,
    budgets: Budgets,
    preempts: bool,
    others: Mapping[str, int] = NOTHING,
    others_resolvable: Sequence[int] = (),
) -> Refusal:
    """How many nodes each reason rules out, as the scheduler's events say it; ``others`` are reasons of extenders."""
    refusals = pod_class.refusals(pod_class.feasible() if others is not NOTHING else None)
    reasons = {reason: count for reason, count in refusals.counts.items() if count}
    plugins = frozenset(name for name, count in refusals.plugins.items() if count)
    if refusals.absent:
        reasons["node(s) didn't satisfy plugin(s) [NodeAffinity]"] = refusals.absent
        plugins |= {"NodeAffinity"}
    for reason, count in others.items():
        reasons[reason] = reasons.get(reason, 0) + count
    if not preempts:
        return Refusal(f"{_head(nodes)}{listed(reasons)}.{_claims_note(info)}", plugins)
    resolvable = np.append(refusals.resolvable, np.array(others_resolvable, np.intp))
    outcome = evictions(info, pod_class, nodes, resolvable, budgets)
    if not isinstance(outcome, Mapping | str):
        told = f"{_head(nodes)}{listed(reasons)}."
        return Refusal(told, plugins, best(outcome), candidates=tuple(outcome))
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
