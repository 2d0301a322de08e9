"""One decision: the best node for a Pod, or why there is none. No I/O, no clock; chance comes from the Pod's uid."""

import zlib
from collections import Counter
from dataclasses import dataclass

from tiphys.scheduler.classes import PodClass
from tiphys.scheduler.nodes import NodeTable
from tiphys.scheduler.pods import PodInfo


@dataclass(frozen=True, slots=True)
class Placement:
    node_name: str
    score: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """No node will do; ``message`` says why in Kubernetes' words."""

    message: str


def decide(info: PodInfo, pod_class: PodClass, nodes: NodeTable) -> Placement | Refusal:
    """Where the Pod goes. All nodes are looked at; among equally good ones the uid chooses."""
    if not len(nodes):
        return Refusal("no nodes available to schedule pods")
    rows = pod_class.feasible()
    if not len(rows):
        return Refusal(_explanation(pod_class, nodes))
    if len(rows) == 1:
        return Placement(nodes.name(int(rows[0])), 0)
    totals = pod_class.totals(rows)
    best = totals.max()
    ties = rows[totals == best]
    row = int(ties[zlib.crc32(info.uid.encode()) % len(ties)])
    return Placement(nodes.name(row), int(best))


def _explanation(pod_class: PodClass, nodes: NodeTable) -> str:
    """How many nodes each reason rules out, as the scheduler's events say it."""
    reasons: Counter[str] = Counter()
    preemption: Counter[str] = Counter()
    for row, plugin in pod_class.refusals():
        reasons.update(plugin.reasons(pod_class.info, nodes, row))
        preemption[
            "Preemption is not helpful for scheduling"
            if plugin.unresolvable
            else "No preemption victims found for incoming pod"
        ] += 1
    head = f"0/{len(nodes)} nodes are available: "
    return f"{head}{_listed(reasons)}. no new claims to deallocate, preemption: {head}{_listed(preemption)}."


def _listed(reasons: Counter[str]) -> str:
    return ", ".join(sorted(f"{count} {reason}" for reason, count in reasons.items()))
