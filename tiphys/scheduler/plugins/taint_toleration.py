"""TaintToleration: which taints of a node a Pod bears.

Source: Kubernetes docs, "Taints and Tolerations".
"""

from collections.abc import Sequence

import numpy as np

from tiphys.api import core_v1
from tiphys.scheduler.events import ClusterEvent, NodeChanged
from tiphys.scheduler.nodes import Bools, Ints, NodeTable
from tiphys.scheduler.plugins.interface import Plugin, Rows, scaled
from tiphys.scheduler.pods import PodInfo


def _toleration_covers(toleration: core_v1.Toleration, taint: core_v1.Taint) -> bool:
    if toleration.effect and toleration.effect != taint.effect:
        return False
    if toleration.key and toleration.key != taint.key:
        return False
    if toleration.operator == "Exists":
        return True
    return bool(toleration.key) and (toleration.value or "") == (taint.value or "")


def tolerates(tolerations: Sequence[core_v1.Toleration], taint: core_v1.Taint) -> bool:
    return any(_toleration_covers(toleration, taint) for toleration in tolerations)


def _bears(tolerations: Sequence[core_v1.Toleration], taints: Sequence[core_v1.Taint]) -> bool:
    return all(tolerates(tolerations, taint) for taint in taints if taint.effect in ("NoSchedule", "NoExecute"))


def bears_all(info: PodInfo, node: core_v1.Node) -> bool:
    """Whether no taint of the node keeps the Pod away."""
    return _bears(info.pod.spec.tolerations or (), node.spec.taints or ())


def bearing_rows(info: PodInfo, nodes: NodeTable, rows: Rows) -> Bools:
    """Rows none of whose taints keeps the Pod away."""
    tolerations = info.pod.spec.tolerations or ()
    # Many nodes, few different sets of taints.
    borne = np.fromiter((_bears(tolerations, taints) for taints in nodes.taint_sets), bool, len(nodes.taint_sets))
    return borne[nodes.taints[rows]]


class TaintToleration(Plugin):
    name = "TaintToleration"
    filters = True
    weight = 3

    def filter(self, info: PodInfo, nodes: NodeTable, rows: Rows) -> Bools:
        return bearing_rows(info, nodes, rows)

    def reasons(self, info: PodInfo, nodes: NodeTable, row: int) -> list[str]:
        return ["node(s) had untolerated taint(s)"]

    def helped_by(self, info: PodInfo, event: ClusterEvent) -> bool:
        return isinstance(event, NodeChanged) and bears_all(info, event.node)

    def score(self, info: PodInfo, nodes: NodeTable, rows: Rows) -> Ints:
        tolerations = [t for t in info.pod.spec.tolerations or () if t.effect in (None, "", "PreferNoSchedule")]

        def unborne(taints: Sequence[core_v1.Taint]) -> int:
            return sum(t.effect == "PreferNoSchedule" and not tolerates(tolerations, t) for t in taints)

        points = np.fromiter(map(unborne, nodes.taint_sets), np.int64, len(nodes.taint_sets))
        return points[nodes.taints[rows]]

    def normalized(self, scores: Ints) -> Ints | None:
        return scaled(scores, reverse=True)
