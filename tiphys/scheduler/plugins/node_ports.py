"""NodePorts: no two Pods of a node may hold the same host port."""

import numpy as np

from tiphys.scheduler.events import ClusterEvent, NodeChanged, PodGone
from tiphys.scheduler.nodes import Bools, NodeTable
from tiphys.scheduler.plugins.interface import Plugin, Rows
from tiphys.scheduler.pods import PodInfo, Ports

_ANY = "0.0.0.0"


def conflict(ours: Ports, theirs: Ports) -> bool:
    """The same protocol and port, on the same address or where one side takes all addresses."""
    return any(
        protocol == other_protocol and port == other_port and (_ANY in (address, other) or address == other)
        for address, protocol, port in ours
        for other, other_protocol, other_port in theirs
    )


class NodePorts(Plugin):
    name = "NodePorts"
    reads = "usage"
    filters = True
    unresolvable = False
    wakes = (NodeChanged, PodGone)

    def applies(self, info: PodInfo) -> bool:
        return bool(info.ports)

    def filter(self, info: PodInfo, nodes: NodeTable, rows: Rows) -> Bools:
        return np.fromiter(
            (not any(conflict(info.ports, taken) for taken in nodes.ports[row].values()) for row in rows.tolist()),
            bool,
            len(rows),
        )

    def reasons(self, info: PodInfo, nodes: NodeTable, row: int) -> list[str]:
        return ["node(s) didn't have free ports for the requested pod ports"]

    def helped_by(self, info: PodInfo, event: ClusterEvent) -> bool:
        if isinstance(event, PodGone):
            return conflict(info.ports, event.info.ports)
        return isinstance(event, NodeChanged)
