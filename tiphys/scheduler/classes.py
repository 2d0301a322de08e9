"""Pods with equal requirements share their results: computed for all nodes once, then only where a node changed.

A class holds one column per plugin. Before each use it reads the node table's
journals and asks the plugins again for the changed rows alone, so placing many
equal Pods costs a repaired row each and one search for the best node.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence

import numpy as np

from tiphys.machinery.selectors import Selector
from tiphys.scheduler.nodes import Bools, Ints, NodeTable
from tiphys.scheduler.plugins.interface import Plugin, Rows
from tiphys.scheduler.plugins.pod_topology_spread import PodTopologySpread, constraints_of
from tiphys.scheduler.plugins.registry import PLUGINS
from tiphys.scheduler.pods import PodInfo, class_key

CLASSES_MAX = 256


class PodClass:
    """Columns for one class. ``info`` is any Pod of it."""

    def __init__(self, info: PodInfo, nodes: NodeTable, default_selectors: Sequence[Selector]) -> None:
        self.info = info
        self._nodes = nodes
        own = bool(info.pod.spec.topologySpreadConstraints)
        spread = PodTopologySpread(constraints_of(info, default_selectors), own)
        applying = [plugin for plugin in PLUGINS if plugin.applies(info)]
        self.filters: list[Plugin] = [plugin for plugin in applying if plugin.filters]
        self.scores: list[Plugin] = [plugin for plugin in applying if plugin.weight]
        self.spread = spread
        self._masks = [np.zeros(0, bool) for _ in self.filters]
        self._points = [np.zeros(0, np.int64) for _ in self.scores]
        self._feasible: Bools = np.zeros(0, bool)
        self._facts = -1
        self._usage = -1

    def refresh(self) -> None:
        """Bring the columns up to date with the node table."""
        nodes = self._nodes
        height = nodes.height
        if len(self._feasible) != height:
            self._masks = [np.zeros(height, bool) for _ in self.filters]
            self._points = [np.zeros(height, np.int64) for _ in self.scores]
            self._feasible = np.zeros(height, bool)
            self._facts = self._usage = -1
        facts = nodes.facts.since(self._facts) if self._facts >= 0 else None
        usage = nodes.usage.since(self._usage) if self._usage >= 0 else None
        self._facts, self._usage = nodes.facts.version, nodes.usage.version
        every = np.arange(height)
        changed_facts = every if facts is None else np.array(facts, np.intp)
        changed_usage = every if usage is None else np.array(usage, np.intp)
        if len(changed_facts):
            self._repair(changed_facts, "facts")
        if len(changed_usage):
            self._repair(changed_usage, "usage")

    def _repair(self, rows: Rows, reads: str) -> None:
        for mask, plugin in zip(self._masks, self.filters, strict=True):
            if plugin.reads == reads:
                mask[rows] = plugin.filter(self.info, self._nodes, rows)
        for points, plugin in zip(self._points, self.scores, strict=True):
            if plugin.reads == reads:
                points[rows] = plugin.score(self.info, self._nodes, rows)
        feasible = self._nodes.exists[rows].copy()
        for mask in self._masks:
            feasible &= mask[rows]
        self._feasible[rows] = feasible

    def feasible(self) -> Rows:
        """Rows where the Pod may go."""
        found = self._feasible
        if self.spread.filters and found.any():
            found = found & self.spread.filter(self.info, self._nodes, np.arange(self._nodes.height))
        return np.flatnonzero(found)

    def totals(self, rows: Rows) -> Ints:
        """Weighted points of ``rows``."""
        total = np.zeros(len(rows), np.int64)
        for points, plugin in zip(self._points, self.scores, strict=True):
            normalized = plugin.normalized(points[rows])
            if normalized is not None:
                total += plugin.weight * normalized
        if self.spread.weight:
            total += self.spread.weight * self.spread.score(self.info, self._nodes, rows)
        return total

    def refusals(self) -> list[tuple[int, Plugin]]:
        """For each existing node, the first filter that refuses it."""
        found: list[tuple[int, Plugin]] = []
        for row in np.flatnonzero(self._nodes.exists[: self._nodes.height]).tolist():
            plugin = next((p for m, p in zip(self._masks, self.filters, strict=True) if not m[row]), self.spread)
            found.append((row, plugin))
        return found


class Classes:
    """The classes in use; the least recently used one goes when there are too many."""

    def __init__(self, nodes: NodeTable, default_selectors: Callable[[PodInfo], Sequence[Selector]]) -> None:
        self._nodes = nodes
        self._default_selectors = default_selectors
        self._classes: OrderedDict[bytes, PodClass] = OrderedDict()

    def of(self, info: PodInfo) -> PodClass:
        """The Pod's class, up to date."""
        defaults = () if info.pod.spec.topologySpreadConstraints else self._default_selectors(info)
        key = class_key(info, map(str, defaults))
        found = self._classes.get(key)
        if found is None:
            found = self._classes[key] = PodClass(info, self._nodes, defaults)
            if len(self._classes) > CLASSES_MAX:
                self._classes.popitem(last=False)
        else:
            self._classes.move_to_end(key)
        found.refresh()
        return found
