"""NodeResourcesFit and NodeResourcesBalancedAllocation: is there room, and how would the node look then.

Source: Kubernetes docs, "Scheduler configuration", "Resource Bin Packing"; scoring strategy LeastAllocated.
"""

import numpy as np

from tiphys.scheduler.nodes import Bools, Ints, NodeTable
from tiphys.scheduler.plugins.interface import MAX_SCORE, Plugin, Rows
from tiphys.scheduler.pods import PodInfo

_SCORED = ("cpu", "memory")


class NodeResourcesFit(Plugin):
    name = "NodeResourcesFit"
    reads = "usage"
    filters = True
    weight = 1
    unresolvable = False

    def filter(self, info: PodInfo, nodes: NodeTable, rows: Rows) -> Bools:
        fits: Bools = nodes.requested["pods"][rows] < nodes.allocatable["pods"][rows]
        for resource, wanted in info.requests.items():
            if resource not in nodes.allocatable:
                return np.zeros(len(rows), bool)
            fits &= nodes.requested[resource][rows] + wanted <= nodes.allocatable[resource][rows]
        return fits

    def reasons(self, info: PodInfo, nodes: NodeTable, row: int) -> list[str]:
        found = []
        if nodes.requested["pods"][row] >= nodes.allocatable["pods"][row]:
            found.append("Too many pods")
        for resource, wanted in info.requests.items():
            column = nodes.allocatable.get(resource)
            if column is None or nodes.requested[resource][row] + wanted > column[row]:
                found.append(f"Insufficient {resource}")
        return found

    def score(self, info: PodInfo, nodes: NodeTable, rows: Rows) -> Ints:
        points = np.zeros(len(rows), np.int64)
        counted = np.zeros(len(rows), np.int64)
        for resource, wanted in zip(_SCORED, (info.assumed_cpu, info.assumed_memory), strict=True):
            allocatable = nodes.allocatable[resource][rows]
            taken = nodes.assumed[resource][rows] + wanted
            offered = allocatable > 0
            free = np.where(taken <= allocatable, allocatable - taken, 0)
            points += np.where(offered, free * MAX_SCORE // np.maximum(allocatable, 1), 0)
            counted += offered
        return points // np.maximum(counted, 1)


class NodeResourcesBalancedAllocation(Plugin):
    name = "NodeResourcesBalancedAllocation"
    reads = "usage"
    weight = 1

    def applies(self, info: PodInfo) -> bool:
        # A Pod that requests nothing changes no balance.
        return any(resource in info.requests for resource in _SCORED)

    def score(self, info: PodInfo, nodes: NodeTable, rows: Rows) -> Ints:
        fractions = []
        for resource in _SCORED:
            allocatable = nodes.allocatable[resource][rows]
            taken = nodes.requested[resource][rows] + info.requests.get(resource, 0)
            fractions.append(np.minimum(taken / np.maximum(allocatable, 1), 1.0))
        # With two resources the standard deviation is half the distance.
        deviation = np.abs(fractions[0] - fractions[1]) / 2
        points: Ints = ((1 - deviation) * MAX_SCORE).astype(np.int64)
        return points
