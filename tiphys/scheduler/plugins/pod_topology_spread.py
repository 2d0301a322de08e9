"""PodTopologySpread: keep the Pods of a selector even over zones, hosts or any other label's values.

Pods without constraints of their own are spread by host and zone together with
the other Pods of their Services and their owner.
Source: Kubernetes docs, "Pod Topology Spread Constraints"; KEP-895, KEP-3022, KEP-3094, KEP-3243.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tiphys.machinery import selectors
from tiphys.machinery.selectors import Requirement, Selector
from tiphys.scheduler.events import ClusterEvent, NodeChanged, PodGone, PodPlaced
from tiphys.scheduler.nodes import Bools, Ints, NodeTable
from tiphys.scheduler.plugins import node_affinity, taint_toleration
from tiphys.scheduler.plugins.interface import MAX_SCORE, Plugin, Rows, grouped
from tiphys.scheduler.pods import PodInfo

HOSTNAME = "kubernetes.io/hostname"
ZONE = "topology.kubernetes.io/zone"
#: The selector that joins a Pod with its group, or nothing.
Groups = Callable[[PodInfo], Sequence[Selector]]


@dataclass(frozen=True, slots=True)
class Default:
    """A constraint for Pods that have none."""

    key: str
    max_skew: int
    hard: bool = False


SYSTEM_DEFAULTS = (Default(HOSTNAME, 3), Default(ZONE, 5))


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


def constraints_of(
    info: PodInfo, default_selectors: Sequence[Selector], defaults: Sequence[Default] = SYSTEM_DEFAULTS
) -> list[Constraint]:
    """The Pod's own constraints, or the defaults where ``default_selectors`` name its group."""
    own = info.pod.spec.topologySpreadConstraints
    if not own:
        return [Constraint(d.key, d.max_skew, d.hard, s) for s in default_selectors for d in defaults]
    found = []
    for constraint in own:
        selector = selectors.from_label_selector(constraint.labelSelector)
        more = [
            Requirement(key, "in", (info.labels[key],)) for key in constraint.matchLabelKeys or () if key in info.labels
        ]
        if more:
            selector = Selector(dict.fromkeys([*selector.requirements, *more]), selector.nothing)
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
    filters = True
    weight = 2

    def __init__(self, groups: Groups | None = None, defaults: Sequence[Default] = SYSTEM_DEFAULTS) -> None:
        self._groups: Groups = groups or (lambda _: ())
        self._defaults = defaults
        self._own = False
        self._hard: list[Constraint] = []
        self._soft: list[Constraint] = []
        self._eligible: dict[tuple[bool, bool], _Eligible] = {}
        self._verdicts: Ints = np.zeros(0, np.int64)

    def _selectors(self, info: PodInfo) -> Sequence[Selector]:
        return () if info.pod.spec.topologySpreadConstraints else self._groups(info)

    def class_part(self, info: PodInfo) -> list[str]:
        return list(map(str, self._selectors(info)))

    def for_class(self, info: PodInfo, nodes: NodeTable) -> Plugin | None:
        constraints = constraints_of(info, self._selectors(info), self._defaults)
        made = PodTopologySpread(self._groups, self._defaults)
        made._hard = [c for c in constraints if c.hard]
        made._soft = [c for c in constraints if not c.hard]
        #: The Pod's own constraints need every key on a node; the system's defaults make do with what is there.
        made._own = bool(info.pod.spec.topologySpreadConstraints) or self._defaults is not SYSTEM_DEFAULTS
        made.filters = self.filters and bool(made._hard)
        made.weight = self.weight if made._soft else 0
        return made if made.filters or made.weight else None

    def _counted(self, constraint: Constraint, info: PodInfo, nodes: NodeTable) -> Bools:
        """Rows whose Pods are counted."""
        honored = (constraint.honor_affinity and node_affinity.has_required(info), constraint.honor_taints)
        found = self._eligible.setdefault(honored, _Eligible(*honored))
        return found.rows(info, nodes)

    def filter(self, info: PodInfo, nodes: NodeTable, rows: Rows) -> Bools:
        """``rows`` are all rows of the table."""
        verdicts = np.zeros(len(rows), np.int64)
        tracked = np.logical_and.reduce([nodes.topology(c.key).domains[rows] >= 0 for c in self._hard])
        for constraint in self._hard:
            topology = nodes.topology(constraint.key)
            domains = topology.domains[rows]
            counted = self._counted(constraint, info, nodes) & tracked
            counts = nodes.spread_counts(info.namespace, constraint.selector)[rows]
            per_domain = np.bincount(domains[counted], counts[counted], topology.size).astype(np.int64)
            present = np.bincount(domains[counted], minlength=topology.size) > 0
            number = int(present.sum())
            lowest = int(per_domain[present].min()) if number >= constraint.min_domains else 0
            own = int(constraint.selector.matches(info.labels))
            here = per_domain[domains] if topology.size else 0
            verdict = np.where(domains < 0, 2, np.where(here + own - lowest > constraint.max_skew, 1, 0))
            verdicts = np.where(verdicts > 0, verdicts, verdict)
        self._verdicts = verdicts
        fits: Bools = verdicts == 0
        return fits

    def reasons(self, info: PodInfo, nodes: NodeTable, row: int) -> list[str]:
        missing = " (missing required label)" if self._verdicts[row] == 2 else ""
        return [f"node(s) didn't match pod topology spread constraints{missing}"]

    def alike(self, rows: Rows) -> Iterator[Rows]:
        return grouped(rows, self._verdicts)

    def is_unresolvable(self, info: PodInfo, nodes: NodeTable, row: int) -> bool:
        return bool(self._verdicts[row] == 2)

    wakes = (PodPlaced, PodGone, NodeChanged)

    def helped_by(self, info: PodInfo, event: ClusterEvent) -> bool:
        if isinstance(event, PodPlaced | PodGone):
            return event.info.namespace == info.namespace
        return isinstance(event, NodeChanged)

    def score(self, info: PodInfo, nodes: NodeTable, rows: Rows) -> Ints:
        """``rows`` are the feasible ones. Comes out normalized, because ignored nodes get no points."""
        scored = np.ones(len(rows), bool)
        if self._own:
            for constraint in self._soft:
                scored &= nodes.topology(constraint.key).domains[rows] >= 0
        points = np.zeros(len(rows))
        for constraint in self._soft:
            points += self._points(constraint, info, nodes, rows, scored)
        return _normalized(np.floor(points + 0.5).astype(np.int64), scored)

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
            everywhere = topology.domains[: nodes.height]
            counted = (everywhere >= 0) & self._counted(constraint, info, nodes)
            if self._own:
                for other in self._soft:
                    counted &= nodes.topology(other.key).domains[: nodes.height] >= 0
            per_domain = np.bincount(everywhere[counted], counts[: nodes.height][counted], topology.size)
            here = np.where(domains >= 0, per_domain[domains] if topology.size else 0, 0).astype(np.int64)
            present = np.zeros(topology.size + 1, bool)
            present[domains[scored]] = True
            size = int(present[:-1].sum())
        weight = math.log(size + 2)
        return np.where(domains >= 0, here * weight + (constraint.max_skew - 1), 0.0)


class _Eligible:
    """Rows that count, kept up to date with the node table."""

    def __init__(self, honor_affinity: bool, honor_taints: bool) -> None:
        self._honor_affinity = honor_affinity
        self._honor_taints = honor_taints
        self._mask: Bools = np.zeros(0, bool)
        self._version = -1

    def rows(self, info: PodInfo, nodes: NodeTable) -> Bools:
        if self._version == nodes.facts.version and len(self._mask) == nodes.height:
            return self._mask
        changed = nodes.facts.since(self._version) if len(self._mask) == nodes.height else None
        self._version = nodes.facts.version
        if changed is None:
            self._mask = np.zeros(nodes.height, bool)
            changed = list(range(nodes.height))
        rows = np.array(changed, np.intp)
        eligible = nodes.exists[rows].copy()
        if self._honor_affinity:
            eligible &= node_affinity.required_rows(info, nodes, rows)
        if self._honor_taints:
            eligible &= taint_toleration.bearing_rows(info, nodes, rows)
        self._mask[rows] = eligible
        return self._mask


def _normalized(points: Ints, scored: Bools) -> Ints:
    """Fewest Pods get most points; a node that is not scored gets none."""
    if not scored.any():
        return np.zeros(len(points), np.int64)
    highest, lowest = int(points[scored].max()), int(points[scored].min())
    if highest == 0:
        return np.where(scored, MAX_SCORE, 0)
    return np.where(scored, MAX_SCORE * (highest + lowest - points) // highest, 0)
