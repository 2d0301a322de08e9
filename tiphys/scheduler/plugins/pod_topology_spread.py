"""PodTopologySpread: keep the Pods of a selector even over zones, hosts or any other label's values.

Pods without constraints of their own are spread by host and zone together with
the other Pods of their Services and their owner.
Source: Kubernetes docs, "Pod Topology Spread Constraints"; KEP-895, KEP-3022, KEP-3094, KEP-3243.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tiphys.machinery import selectors
from tiphys.machinery.selectors import Selector
from tiphys.scheduler.nodes import Bools, Ints, NodeTable
from tiphys.scheduler.plugins import node_affinity, taint_toleration
from tiphys.scheduler.plugins.interface import MAX_SCORE, Plugin, Rows
from tiphys.scheduler.pods import PodInfo

HOSTNAME = "kubernetes.io/hostname"
ZONE = "topology.kubernetes.io/zone"
#: What applies to Pods without constraints: (topology key, maximal skew).
SYSTEM_DEFAULTS = ((HOSTNAME, 3), (ZONE, 5))


@dataclass(frozen=True, slots=True)
class Constraint:
    """One constraint, ready to count with."""

    key: str
    max_skew: int
    hard: bool
    selector: Selector
    min_domains: int = 1
    honor_affinity: bool = True
    honor_taints: bool = False


def constraints_of(info: PodInfo, default_selectors: Sequence[Selector]) -> list[Constraint]:
    """The Pod's own constraints, or the system's defaults where ``default_selectors`` name its group."""
    own = info.pod.spec.topologySpreadConstraints
    if not own:
        return [Constraint(key, skew, False, s) for s in default_selectors for key, skew in SYSTEM_DEFAULTS]
    found = []
    for constraint in own:
        selector = selectors.from_label_selector(constraint.labelSelector)
        for key in constraint.matchLabelKeys or ():
            if (value := info.labels.get(key)) is not None:
                selector = Selector(
                    [*selector.requirements, selectors.requirement(key, "In", [value])], selector.nothing
                )
        found.append(
            Constraint(
                constraint.topologyKey,
                constraint.maxSkew,
                constraint.whenUnsatisfiable == "DoNotSchedule",
                selector,
                constraint.minDomains or 1,
                constraint.nodeAffinityPolicy != "Ignore",
                constraint.nodeTaintsPolicy == "Honor",
            )
        )
    return found


class PodTopologySpread(Plugin):
    """Made anew for each class of Pods, since its constraints are parsed once."""

    name = "PodTopologySpread"
    reads = "placement"
    unresolvable = False

    def __init__(self, constraints: Sequence[Constraint], own: bool) -> None:
        self._hard = [c for c in constraints if c.hard]
        self._soft = [c for c in constraints if not c.hard]
        #: The Pod's own constraints need every key on a node; defaults make do with what is there.
        self._own = own
        self.filters = bool(self._hard)
        self.weight = 2 if self._soft else 0

    def _eligible(self, constraint: Constraint, info: PodInfo, nodes: NodeTable, rows: Rows) -> Bools:
        """Nodes whose Pods are counted."""
        eligible = nodes.exists[rows].copy()
        if constraint.honor_affinity and node_affinity.has_required(info):
            eligible &= node_affinity.required_rows(info, nodes, rows)
        if constraint.honor_taints:
            found = (nodes.nodes[row] for row in rows.tolist())
            eligible &= np.fromiter(
                (n is not None and taint_toleration.bears_all(info, n) for n in found), bool, len(rows)
            )
        return eligible

    def filter(self, info: PodInfo, nodes: NodeTable, rows: Rows) -> Bools:
        """``rows`` are all rows of the table."""
        fits = np.ones(len(rows), bool)
        tracked = np.ones(len(rows), bool)
        for constraint in self._hard:
            tracked &= nodes.topology(constraint.key).domains[rows] >= 0
        for constraint in self._hard:
            topology = nodes.topology(constraint.key)
            domains = topology.domains[rows]
            counted = self._eligible(constraint, info, nodes, rows) & tracked
            counts = nodes.spread_counts(info.namespace, constraint.selector)[rows]
            per_domain = np.bincount(domains[counted], counts[counted], topology.size).astype(np.int64)
            present = np.bincount(domains[counted], minlength=topology.size) > 0
            number = int(present.sum())
            lowest = int(per_domain[present].min()) if number else 0
            if number < constraint.min_domains:
                lowest = 0
            own = int(constraint.selector.matches(info.labels))
            here = np.where(domains >= 0, per_domain[domains] if topology.size else 0, 0)
            fits &= (domains >= 0) & (here + own - lowest <= constraint.max_skew)
        return fits

    def reasons(self, info: PodInfo, nodes: NodeTable, row: int) -> list[str]:
        if any(nodes.topology(c.key).domains[row] < 0 for c in self._hard):
            return ["node(s) didn't match pod topology spread constraints (missing required label)"]
        return ["node(s) didn't match pod topology spread constraints"]

    def score(self, info: PodInfo, nodes: NodeTable, rows: Rows) -> Ints:
        """``rows`` are the feasible ones. Comes out normalized, because ignored nodes get no points."""
        scored = np.ones(len(rows), bool)
        if self._own:
            for constraint in self._soft:
                scored &= nodes.topology(constraint.key).domains[rows] >= 0
        points = np.zeros(len(rows))
        for constraint in self._soft:
            points += self._points(constraint, info, nodes, rows, scored)
        rounded = np.floor(points + 0.5).astype(np.int64)
        return _normalized(rounded, scored)

    def _points(
        self, constraint: Constraint, info: PodInfo, nodes: NodeTable, rows: Rows, scored: Bools
    ) -> npt.NDArray[np.float64]:
        topology = nodes.topology(constraint.key)
        counts = nodes.spread_counts(info.namespace, constraint.selector)
        domains = topology.domains[rows]
        if constraint.key == HOSTNAME:
            here = counts[rows]
            size = int(scored.sum())
        else:
            every = np.arange(nodes.height)
            everywhere = topology.domains[: nodes.height]
            counted = (everywhere >= 0) & self._eligible(constraint, info, nodes, every)
            per_domain = np.bincount(everywhere[counted], counts[: nodes.height][counted], topology.size)
            here = np.where(domains >= 0, per_domain[domains] if topology.size else 0, 0).astype(np.int64)
            size = len(np.unique(domains[scored & (domains >= 0)]))
        weight = math.log(size + 2)
        return np.where(domains >= 0, here * weight + (constraint.max_skew - 1), 0.0)


def _normalized(points: Ints, scored: Bools) -> Ints:
    """Fewest Pods get most points; a node that is not scored gets none."""
    if not scored.any():
        return np.zeros(len(points), np.int64)
    highest, lowest = int(points[scored].max()), int(points[scored].min())
    if highest == 0:
        return np.where(scored, MAX_SCORE, 0)
    return np.where(scored, MAX_SCORE * (highest + lowest - points) // highest, 0)
