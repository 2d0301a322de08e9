"""NodeResourcesFit and NodeResourcesBalancedAllocation: is there room, and how would the node look then.

Source: Kubernetes docs, "Scheduler configuration", "Resource Bin Packing".
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from tiphys.api import core_v1
from tiphys.scheduler.events import ClusterEvent, NodeChanged, PodGone
from tiphys.scheduler.nodes import Bools, Ints, NodeTable, amount
from tiphys.scheduler.plugins.interface import MAX_SCORE, Plugin, Rows
from tiphys.scheduler.pods import PodInfo

#: A resource and how much it counts.
Weights = Sequence[tuple[str, int]]
CPU_AND_MEMORY: Weights = (("cpu", 1), ("memory", 1))
#: Points, 0 to 10, at shares in use in percent; between them a straight line.
Shape = Sequence[tuple[int, int]]


def least_allocated(taken: Ints, allocatable: Ints) -> Ints:
    """Most points to most free room."""
    points: Ints = np.where(taken <= allocatable, allocatable - taken, 0) * MAX_SCORE // np.maximum(allocatable, 1)
    return points


def most_allocated(taken: Ints, allocatable: Ints) -> Ints:
    """Most points to the fullest."""
    points: Ints = np.minimum(taken, allocatable) * MAX_SCORE // np.maximum(allocatable, 1)
    return points


def requested_to_capacity_ratio(shape: Shape) -> Callable[[Ints, Ints], Ints]:
    """Points by the share in use, as ``shape`` says."""

    def line(share: Ints) -> Ints:
        points = np.full(share.shape, shape[-1][1] * 10, np.int64)
        for (left, low), (right, high) in reversed(list(pairwise(shape))):
            rise = (high - low) * 10 * (share - left)
            # Division rounds towards zero, falling lines included.
            between = low * 10 + np.sign(rise) * (np.abs(rise) // (right - left))
            points = np.where(share <= right, between, points)
        return np.where(share <= shape[0][0], shape[0][1] * 10, points)

    def points(taken: Ints, allocatable: Ints) -> Ints:
        share = np.where(taken > allocatable, 100, taken * 100 // np.maximum(allocatable, 1))
        return line(share)

    return points


@dataclass(frozen=True, slots=True)
class Strategy:
    """How free room turns into points. ``rounded``: the mean is rounded and counts only what has points."""

    points: Callable[[Ints, Ints], Ints] = least_allocated
    resources: Weights = CPU_AND_MEMORY
    rounded: bool = False


@dataclass(frozen=True, slots=True)
class Ignored:
    """Extended resources that do not matter here: by name, or by what stands before the slash."""

    resources: frozenset[str] = frozenset()
    groups: frozenset[str] = field(default_factory=frozenset)

    def __contains__(self, resource: str) -> bool:
        return resource in self.resources or resource.partition("/")[0] in self.groups


class NodeResourcesFit(Plugin):
    name = "NodeResourcesFit"
    reads = "usage"
    filters = True
    weight = 1
    wakes = (NodeChanged, PodGone)

    def __init__(self, strategy: Strategy | None = None, ignored: Ignored | None = None) -> None:
        self._strategy = strategy or Strategy()
        self._ignored = ignored or Ignored()

    def _wanted(self, info: PodInfo) -> list[tuple[str, int]]:
        return [(resource, wanted) for resource, wanted in info.requests.items() if resource not in self._ignored]

    def filter(self, info: PodInfo, nodes: NodeTable, rows: Rows) -> Bools:
        fits: Bools = nodes.requested["pods"][rows] < nodes.allocatable["pods"][rows]
        for resource, wanted in self._wanted(info):
            if resource not in nodes.allocatable:
                return np.zeros(len(rows), bool)
            fits &= nodes.requested[resource][rows] + wanted <= nodes.allocatable[resource][rows]
        return fits

    def reasons(self, info: PodInfo, nodes: NodeTable, row: int) -> list[str]:
        found = []
        if nodes.requested["pods"][row] >= nodes.allocatable["pods"][row]:
            found.append("Too many pods")
        for resource, wanted in self._wanted(info):
            column = nodes.allocatable.get(resource)
            if column is None or nodes.requested[resource][row] + wanted > column[row]:
                found.append(f"Insufficient {resource}")
        return found

    def is_unresolvable(self, info: PodInfo, nodes: NodeTable, row: int) -> bool:
        """An empty node would be too small as well."""
        return any(
            (column := nodes.allocatable.get(resource)) is None or wanted > column[row]
            for resource, wanted in self._wanted(info)
        )

    def helped_by(self, info: PodInfo, event: ClusterEvent) -> bool:
        if isinstance(event, NodeChanged):
            return self._could_fit(info, event.node)
        return isinstance(event, PodGone)

    def _could_fit(self, info: PodInfo, node: core_v1.Node) -> bool:
        offered = node.status.allocatable or {}
        return all(
            resource in offered and wanted <= amount(resource, offered[resource])
            for resource, wanted in self._wanted(info)
        )

    def score(self, info: PodInfo, nodes: NodeTable, rows: Rows) -> Ints:
        points = np.zeros(len(rows), np.int64)
        counted = np.zeros(len(rows), np.int64)
        for resource, weight in self._strategy.resources:
            if (found := _taken(resource, info, nodes, rows)) is None:
                continue
            taken, allocatable = found
            each = self._strategy.points(taken, allocatable)
            offered = allocatable > 0
            if self._strategy.rounded:
                offered &= each > 0
            points += np.where(offered, each * weight, 0)
            counted += np.where(offered, weight, 0)
        if self._strategy.rounded:
            mean: Ints = np.floor(points / np.maximum(counted, 1) + 0.5).astype(np.int64)
            return mean
        return points // np.maximum(counted, 1)


def _taken(resource: str, info: PodInfo, nodes: NodeTable, rows: Rows) -> tuple[Ints, Ints] | None:
    """What would be in use and what there is; None for a resource that does not matter to the Pod."""
    if resource in ("cpu", "memory"):
        wanted = info.assumed_cpu if resource == "cpu" else info.assumed_memory
        return nodes.assumed[resource][rows] + wanted, nodes.allocatable[resource][rows]
    wanted = info.requests.get(resource, 0)
    if resource not in nodes.allocatable or (wanted == 0 and "/" in resource):
        return None
    return nodes.requested[resource][rows] + wanted, nodes.allocatable[resource][rows]


class NodeResourcesBalancedAllocation(Plugin):
    """Prefers nodes whose resources the Pod brings into balance."""

    name = "NodeResourcesBalancedAllocation"
    reads = "usage"
    weight = 1

    def __init__(self, resources: Sequence[str] = ("cpu", "memory")) -> None:
        self._resources = resources

    def applies(self, info: PodInfo) -> bool:
        # A Pod that requests nothing changes no balance.
        return any(resource in info.requests for resource in self._resources)

    def score(self, info: PodInfo, nodes: NodeTable, rows: Rows) -> Ints:
        resources = [
            resource
            for resource in self._resources
            if resource in nodes.allocatable and (resource in info.requests or "/" not in resource)
        ]
        allocatable = [nodes.allocatable[resource][rows] for resource in resources]
        before = [nodes.requested[resource][rows] for resource in resources]
        after = [taken + info.requests.get(resource, 0) for resource, taken in zip(resources, before, strict=True)]
        half = MAX_SCORE // 2
        points: Ints = half + (half + _balance(after, allocatable) - _balance(before, allocatable)) // 2
        return points


def _balance(taken: Sequence[Ints], allocatable: Sequence[Ints]) -> Ints:
    """100 where all resources are in use to the same share; those that a node does not offer are left out."""
    if len(taken) == 2 and allocatable[0].all() and allocatable[1].all():
        # The usual case: with two resources the standard deviation is half the distance.
        first, second = (np.minimum(t / a, 1.0) for t, a in zip(taken, allocatable, strict=True))
        usual: Ints = ((1 - np.abs(first - second) / 2) * MAX_SCORE).astype(np.int64)
        return usual
    offered = np.array(allocatable) > 0
    shares: npt.NDArray[np.float64] = np.where(
        offered, np.minimum(np.array(taken) / np.maximum(np.array(allocatable), 1), 1.0), 0.0
    )
    count = np.maximum(offered.sum(axis=0), 1)
    mean = shares.sum(axis=0) / count
    deviation = np.sqrt(np.where(offered, (shares - mean) ** 2, 0.0).sum(axis=0) / count)
    points: Ints = ((1 - deviation) * MAX_SCORE).astype(np.int64)
    return points
