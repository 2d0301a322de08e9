"""InterPodAffinity: Pods that want to be near other Pods, or away from them.

Source: Kubernetes docs, "Assigning Pods to Nodes", "Inter-pod affinity and anti-affinity".
"""

from collections.abc import Iterator

import numpy as np

from tiphys.scheduler.events import NamespaceChanged, NodeChanged, PodGone, PodPlaced
from tiphys.scheduler.nodes import Bools, Ints, NodeTable
from tiphys.scheduler.plugins.interface import MAX_SCORE, Plugin, Rows, grouped
from tiphys.scheduler.pods import PodInfo
from tiphys.scheduler.terms import Carried, PodTerms

_REASONS = (
    "",
    "node(s) didn't match pod affinity rules",
    "node(s) didn't match pod anti-affinity rules",
    "node(s) didn't satisfy existing pods anti-affinity rules",
)


class InterPodAffinity(Plugin):
    """Made anew for each class of Pods, since terms are matched against it once."""

    name = "InterPodAffinity"
    reads = "placement"
    filters = True
    weight = 2
    # Which Pods matter depends on terms of both sides: any may.
    wakes = (NodeChanged, PodPlaced, PodGone, NamespaceChanged)

    def __init__(self, hard_weight: int = 1, ignore_existing_preferences: bool = False) -> None:
        self._hard_weight = hard_weight
        self._ignore_existing_preferences = ignore_existing_preferences
        self._terms = PodTerms()
        #: Terms borne by placed Pods that match this class; all up to ``_seen`` have been looked at.
        self._forbidding: list[int] = []
        self._weighing: list[tuple[int, int]] = []
        self._seen = 0
        self._epoch = -1
        self._verdicts: Ints = np.zeros(0, np.int64)

    def for_class(self, info: PodInfo, nodes: NodeTable) -> Plugin:
        made = InterPodAffinity(self._hard_weight, self._ignore_existing_preferences)
        made.weight = self.weight
        made._terms = nodes.terms.of(info)
        return made

    def _catch_up(self, info: PodInfo, nodes: NodeTable) -> None:
        index = nodes.terms
        if self._epoch != index.epoch:
            self._forbidding, self._weighing, self._seen, self._epoch = [], [], 0, index.epoch
        for number in range(self._seen, len(index.carried)):
            carried = index.carried[number][0]
            if carried.term.matches(info, index.labels_of):
                if carried.kind == "forbidden":
                    self._forbidding.append(number)
                elif (weight := self._weight_of(carried)) != 0:
                    self._weighing.append((number, weight))
        self._seen = len(index.carried)

    def _weight_of(self, carried: Carried) -> int:
        if self._ignore_existing_preferences and not self._terms.preferred:
            return 0
        return self._hard_weight if carried.kind == "required" else carried.weight

    def filter(self, info: PodInfo, nodes: NodeTable, rows: Rows) -> Bools:
        """``rows`` are all rows of the table."""
        self._catch_up(info, nodes)
        height = nodes.height
        verdicts: Ints = np.zeros(height, np.int64)
        for number in self._forbidding:
            carried, column = nodes.terms.carried[number]
            verdicts[nodes.topology(carried.term.key).totals(column, height) > 0] = 3
        for term in self._terms.forbidden:
            topology = nodes.topology(term.key)
            verdicts[topology.totals(nodes.matching((term,)), height) > 0] = 2
        if self._terms.required:
            verdicts[~self._near(info, nodes)] = 1
        self._verdicts = verdicts
        fits: Bools = verdicts == 0
        return fits

    def _near(self, info: PodInfo, nodes: NodeTable) -> Bools:
        """Rows whose domains hold Pods that all required terms match."""
        terms, height = self._terms.required, nodes.height
        column = nodes.matching(terms)
        topologies = [nodes.topology(term.key) for term in terms]
        labelled: Bools = np.logical_and.reduce([topology.domains[:height] >= 0 for topology in topologies])
        totals = [topology.totals(column, height) for topology in topologies]
        if all(term.matches(info, nodes.terms.labels_of) for term in terms) and not any(t.any() for t in totals):
            # The first of a group that wants to be together may start anywhere.
            return labelled
        near: Bools = np.logical_and.reduce([labelled, *(t > 0 for t in totals)])
        return near

    def reasons(self, info: PodInfo, nodes: NodeTable, row: int) -> list[str]:
        return [_REASONS[self._verdicts[row]]]

    def is_idle(self, info: PodInfo, nodes: NodeTable) -> bool:
        self._catch_up(info, nodes)
        return not (self._forbidding or self._terms.required or self._terms.forbidden)

    def alike(self, rows: Rows) -> Iterator[Rows]:
        return grouped(rows, self._verdicts)

    def is_unresolvable(self, info: PodInfo, nodes: NodeTable, row: int) -> bool:
        return bool(self._verdicts[row] == 1)

    def score(self, info: PodInfo, nodes: NodeTable, rows: Rows) -> Ints:
        self._catch_up(info, nodes)
        columns: dict[str, Ints] = {}
        for weight, term in self._terms.preferred:
            _add(columns, term.key, weight, nodes.matching((term,)))
        for number, weight in self._weighing:
            carried, column = nodes.terms.carried[number]
            _add(columns, carried.term.key, weight, column)
        points = np.zeros(len(rows), np.int64)
        for key, column in columns.items():
            points += nodes.topology(key).totals(column, nodes.height)[rows]
        return points

    def normalized(self, scores: Ints) -> Ints | None:
        if not len(scores) or (lowest := int(scores.min())) == (highest := int(scores.max())):
            return None
        points: Ints = (MAX_SCORE * ((scores - lowest) / (highest - lowest))).astype(np.int64)
        return points


def _add(columns: dict[str, Ints], key: str, weight: int, column: Ints) -> None:
    if key in columns:
        columns[key] += weight * column
    else:
        columns[key] = weight * column
