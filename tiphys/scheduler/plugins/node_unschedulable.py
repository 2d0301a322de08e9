"""NodeUnschedulable: cordoned nodes take only Pods that tolerate it."""

import numpy as np

from tiphys.api import core_v1
from tiphys.scheduler.events import ClusterEvent, NodeChanged
from tiphys.scheduler.nodes import Bools, NodeTable
from tiphys.scheduler.plugins.interface import Plugin, Rows
from tiphys.scheduler.plugins.taint_toleration import tolerates
from tiphys.scheduler.pods import PodInfo

_TAINT = core_v1.Taint(key="node.kubernetes.io/unschedulable", effect="NoSchedule")


class NodeUnschedulable(Plugin):
    name = "NodeUnschedulable"
    filters = True

    def filter(self, info: PodInfo, nodes: NodeTable, rows: Rows) -> Bools:
        if tolerates(info.pod.spec.tolerations or (), _TAINT):
            return np.ones(len(rows), bool)
        return ~nodes.unschedulable[rows]

    def reasons(self, info: PodInfo, nodes: NodeTable, row: int) -> list[str]:
        return ["node(s) were unschedulable"]

    def helped_by(self, info: PodInfo, event: ClusterEvent) -> bool:
        return isinstance(event, NodeChanged) and not event.node.spec.unschedulable
