"""TaintToleration: which taints of a node a Pod bears.

Source: Kubernetes docs, "Taints and Tolerations".
"""

from collections.abc import Sequence

import numpy as np

from tiphys.api import core_v1
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


def bears_all(info: PodInfo, node: core_v1.Node) -> bool:
    """Whether no taint of the node keeps the Pod away."""
    tolerations = info.pod.spec.tolerations or ()
    return all(
        tolerates(tolerations, taint) for taint in node.spec.taints or () if taint.effect in ("NoSchedule", "NoExecute")
    )


class TaintToleration(Plugin):
    name = "TaintToleration"
    filters = True
    weight = 3

    def filter(self, info: PodInfo, nodes: NodeTable, rows: Rows) -> Bools:
        found = (nodes.nodes[row] for row in rows.tolist())
        return np.fromiter((n is not None and bears_all(info, n) for n in found), bool, len(rows))

    def reasons(self, info: PodInfo, nodes: NodeTable, row: int) -> list[str]:
        return ["node(s) had untolerated taint(s)"]

    def score(self, info: PodInfo, nodes: NodeTable, rows: Rows) -> Ints:
        tolerations = [t for t in info.pod.spec.tolerations or () if t.effect in (None, "", "PreferNoSchedule")]

        def unborne(node: core_v1.Node | None) -> int:
            taints = (node.spec.taints or ()) if node is not None else ()
            return sum(t.effect == "PreferNoSchedule" and not tolerates(tolerations, t) for t in taints)

        return np.fromiter((unborne(nodes.nodes[row]) for row in rows.tolist()), np.int64, len(rows))

    def normalized(self, scores: Ints) -> Ints | None:
        return scaled(scores, reverse=True)
