"""Pods with equal requirements share their results: computed for all nodes once, then only where a node changed.

A class holds one column per plugin. Before each use it reads the node table's
journals and asks the plugins again for the changed rows alone, so placing many
equal Pods costs a repaired row each and one search for the best node.
"""

from collections import Counter, OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tiphys.scheduler.nodes import Bools, Ints, NodeTable
from tiphys.scheduler.plugins.interface import Plugin, Rows
from tiphys.scheduler.plugins.node_affinity import node_names
from tiphys.scheduler.pods import PodInfo, class_key

CLASSES_MAX = 256
#: Changes kept apart until scores are wanted.
STALE_MAX = 64


class PodClass:
    """Columns for one class. ``info`` is any Pod of it; ``names`` are the only nodes it may have, if it says so."""

    def __init__(
        self, info: PodInfo, nodes: NodeTable, plugins: Iterable[Plugin], names: frozenset[str] | None = None
    ) -> None:
        self.info = info
        self.names = names
        #: Results of preemption by row, valid as long as the row does not change; kept by ``preemption.py``.
        self.memo: dict[int, Any] = {}
        #: What kind of result each row has; 0 for none.
        self.memo_kinds: npt.NDArray[np.int8] = np.zeros(0, np.int8)
        self.memo_version = -1
        self._nodes = nodes
        applying = [made for plugin in plugins if (made := plugin.for_class(info, nodes)) is not None]
        self.filters = [plugin for plugin in applying if plugin.filters and plugin.reads != "placement"]
        self._placing = [plugin for plugin in applying if plugin.filters and plugin.reads == "placement"]
        self._scores = [plugin for plugin in applying if plugin.weight and plugin.reads != "placement"]
        self._placing_scores = [plugin for plugin in applying if plugin.weight and plugin.reads == "placement"]
        self._masks: list[Bools] = [np.zeros(0, bool) for _ in self.filters]
        self._points: list[Ints] = [np.zeros(0, np.int64) for _ in self._scores]
        #: Rows whose points are out of date, by what has changed about them.
        self._stale: dict[str, list[Rows]] = {"facts": [], "usage": []}
        self._feasible: Bools = np.zeros(0, bool)
        self._facts = -1
        self._usage = -1
        #: Why columns refuse rows, and rows about which that is not known yet.
        self._told: dict[int, _Told] = {}
        self._untold: set[int] = set()
        self._refusals = Refusals(0)

    @property
    def placing(self) -> list[Plugin]:
        """Filters for which it matters where other Pods are, if any has a say."""
        return [plugin for plugin in self._placing if not plugin.is_idle(self.info, self._nodes)]

    def refresh(self) -> None:
        """Bring the columns up to date with the node table."""
        nodes = self._nodes
        height = nodes.height
        if len(self._feasible) != height:
            self._masks = [np.zeros(height, bool) for _ in self.filters]
            self._points = [np.zeros(height, np.int64) for _ in self._scores]
            self._stale = {"facts": [], "usage": []}
            self._feasible = np.zeros(height, bool)
            self._facts = self._usage = -1
            self._told, self._refusals = {}, Refusals(height)
            self.memo_kinds = np.zeros(height, np.int8)
        facts = nodes.facts.since(self._facts) if self._facts >= 0 else None
        usage = nodes.usage.since(self._usage) if self._usage >= 0 else None
        self._facts, self._usage = nodes.facts.version, nodes.usage.version
        changed_facts = self._rows() if facts is None else np.array(facts, np.intp)
        changed_usage = self._rows() if usage is None else np.array(usage, np.intp)
        if len(changed_facts):
            self._repair(changed_facts, "facts")
        if len(changed_usage):
            self._repair(changed_usage, "usage")
        if len(changed_facts) or len(changed_usage):
            changed = np.unique(np.concatenate((changed_facts, changed_usage)))
            self._conclude(changed)

    def _rows(self) -> Rows:
        """All rows that matter to the class."""
        if self.names is None:
            return np.arange(self._nodes.height)
        return np.array([row for name in self.names if (row := self._nodes.rows.get(name)) is not None], np.intp)

    def _repair(self, rows: Rows, reads: str) -> None:
        for mask, plugin in zip(self._masks, self.filters, strict=True):
            if plugin.reads == reads:
                mask[rows] = plugin.filter(self.info, self._nodes, rows)
        stale = self._stale[reads]
        stale.append(rows)
        if len(stale) > STALE_MAX:
            stale[:] = [np.unique(np.concatenate(stale))]

    def _rescore(self) -> None:
        """Ask the scores again for what has changed since they were last wanted: a refused Pod wants none."""
        for reads, stale in self._stale.items():
            if not stale:
                continue
            rows = stale[0] if len(stale) == 1 else np.unique(np.concatenate(stale))
            stale.clear()
            for points, plugin in zip(self._points, self._scores, strict=True):
                if plugin.reads == reads:
                    points[rows] = plugin.score(self.info, self._nodes, rows)

    def _conclude(self, rows: Rows) -> None:
        nodes = self._nodes
        feasible = nodes.exists[rows].copy()
        for mask in self._masks:
            feasible &= mask[rows]
        self._feasible[rows] = feasible
        self._untold.update(rows.tolist())
        self.memo_kinds[rows] = 0
        for row in self._contested(rows):
            self._feasible[row] &= self._fits_beside_rivals(row)

    def _contested(self, rows: Rows) -> Sequence[int]:
        """Feasible ones of ``rows`` where other Pods are nominated."""
        nodes = self._nodes
        if not nodes.nominated:
            return ()
        if len(nodes.nominated) < len(rows):
            wanted = set(rows.tolist())
            contested = [row for name in nodes.nominated if (row := nodes.rows.get(name)) in wanted and row is not None]
        else:
            contested = rows.tolist()
        return [row for row in contested if self._feasible[row]]

    def _fits_beside_rivals(self, row: int) -> bool:
        rivals = self._nodes.rivals(row, self.info.priority)
        if not rivals:
            return True
        with self._nodes.trial(row, (), rivals):
            return all(plugin.filter(self.info, self._nodes, np.array([row]))[0] for plugin in self.filters)

    def feasible(self) -> Rows:
        """Rows where the Pod may go."""
        found = self._feasible
        placing = self.placing
        if not placing or not found.any():
            return np.flatnonzero(found)
        nodes = self._nodes
        every = np.arange(nodes.height)
        found = found.copy()
        for plugin in placing:
            found &= plugin.filter(self.info, nodes, every)
        for name in nodes.nominated:
            row = nodes.rows.get(name)
            if row is None or not found[row] or not (rivals := nodes.rivals(row, self.info.priority)):
                continue
            with nodes.trial(row, (), rivals):
                found[row] = all(plugin.filter(self.info, nodes, every)[row] for plugin in placing)
        return np.flatnonzero(found)

    def fits(self, row: int) -> bool:
        """Whether the Pod may go to a row as the table is at this moment, if no fact about the node is against it."""
        return self.find_refusing(row) is None

    def find_refusing(self, row: int) -> Plugin | None:
        """The first filter that refuses a row as the table is at this moment; facts of nodes are as in columns."""
        one = np.array([row])
        for mask, plugin in zip(self._masks, self.filters, strict=True):
            if not (mask[row] if plugin.reads == "facts" else plugin.filter(self.info, self._nodes, one)[0]):
                return plugin
        if self._placing:
            every = np.arange(self._nodes.height)
            for plugin in self.placing:
                if not plugin.filter(self.info, self._nodes, every)[row]:
                    return plugin
        return None

    def totals(self, rows: Rows) -> Ints:
        """Weighted points of ``rows``."""
        self._rescore()
        total = np.zeros(len(rows), np.int64)
        for points, plugin in zip(self._points, self._scores, strict=True):
            normalized = plugin.normalized(points[rows])
            if normalized is not None:
                total += plugin.weight * normalized
        for plugin in self._placing_scores:
            normalized = plugin.normalized(plugin.score(self.info, self._nodes, rows))
            if normalized is not None:
                total += plugin.weight * normalized
        return total

    def refusals(self, by_others: Rows | None = None) -> "Refusals":
        """Why each node is refused; for use where none is feasible, but for those that are refused ``by_others``."""
        nodes = self._nodes
        self._catch_up_on_reasons()
        found = self._refusals.copy()
        left = np.flatnonzero(self._feasible)
        if by_others is not None:
            left = np.setdiff1d(left, by_others)
            found.seen += len(by_others)
        every = np.arange(nodes.height)
        for plugin in self.placing if len(left) else ():
            fits = plugin.filter(self.info, nodes, every)
            for alike in plugin.alike(left[~fits[left]]):
                found.add(_told(plugin, self.info, nodes, int(alike[0])), alike)
            left = left[fits[left]]
        for row in left.tolist():
            found.add(self._told_beside_rivals(row), np.array([row]))
        found.absent = len(nodes) - found.seen
        return found

    def _catch_up_on_reasons(self) -> None:
        for row in self._untold:
            if (known := self._told.pop(row, None)) is not None:
                self._refusals.subtract(known, row)
            if not self._nodes.exists[row] or self._feasible[row]:
                continue
            plugin = next((p for m, p in zip(self._masks, self.filters, strict=True) if not m[row]), None)
            told = self._told_beside_rivals(row) if plugin is None else _told(plugin, self.info, self._nodes, row)
            self._told[row] = told
            self._refusals.add(told, np.array([row]))
        self._untold.clear()

    def _told_beside_rivals(self, row: int) -> "_Told":
        """The node has room only as long as those do not come for whom it is kept."""
        with self._nodes.trial(row, (), self._nodes.rivals(row, self.info.priority)):
            plugin = self.find_refusing(row)
            assert plugin is not None, "a refused node that nothing refuses"
            return _told(plugin, self.info, self._nodes, row)


@dataclass(frozen=True, slots=True)
class _Told:
    """Why a row is refused."""

    plugin: str
    reasons: tuple[str, ...]
    resolvable: bool


def _told(plugin: Plugin, info: PodInfo, nodes: NodeTable, row: int) -> _Told:
    reasons = tuple(plugin.reasons(info, nodes, row))
    return _Told(plugin.name, reasons, not plugin.is_unresolvable(info, nodes, row))


class Refusals:
    """Reasons with how many nodes each rules out, who gave them, and the rows where evicting Pods may help."""

    def __init__(self, height: int) -> None:
        self.seen = 0
        #: Nodes that were not looked at, since the Pod names others.
        self.absent = 0
        self.counts: Counter[str] = Counter()
        self.plugins: Counter[str] = Counter()
        self._resolvable: Bools = np.zeros(height, bool)

    @property
    def resolvable(self) -> Rows:
        return np.flatnonzero(self._resolvable)

    def copy(self) -> "Refusals":
        made = Refusals(0)
        made.seen, made._resolvable = self.seen, self._resolvable.copy()
        made.counts, made.plugins = self.counts.copy(), self.plugins.copy()
        return made

    def add(self, told: _Told, rows: Rows) -> None:
        self._count(told, len(rows))
        self._resolvable[rows] = told.resolvable

    def subtract(self, told: _Told, row: int) -> None:
        self._count(told, -1)
        self._resolvable[row] = False

    def _count(self, told: _Told, number: int) -> None:
        self.seen += number
        self.plugins[told.plugin] += number
        for reason in told.reasons:
            self.counts[reason] += number


class Classes:
    """The classes in use of one profile; the least recently used one goes when there are too many."""

    def __init__(self, nodes: NodeTable, plugins: Sequence[Plugin]) -> None:
        self._nodes = nodes
        self.plugins = plugins
        self._affine = any(plugin.name == "NodeAffinity" and plugin.filters for plugin in plugins)
        self._classes: OrderedDict[bytes, PodClass] = OrderedDict()

    def clear(self) -> None:
        """Compute everything anew."""
        self._classes.clear()

    def of(self, info: PodInfo) -> PodClass:
        """The Pod's class, up to date."""
        names = node_names(info) if self._affine else None
        if names is not None:
            # A daemon's Pod: the only one of its kind, and its node the only one to look at.
            made = PodClass(info, self._nodes, self.plugins, names)
            made.refresh()
            return made
        parts = [plugin.class_part(info) for plugin in self.plugins]
        key = class_key(info, self._nodes.terms.label_keys, parts)
        found = self._classes.get(key)
        if found is None:
            found = self._classes[key] = PodClass(info, self._nodes, self.plugins)
            if len(self._classes) > CLASSES_MAX:
                self._classes.popitem(last=False)
        else:
            self._classes.move_to_end(key)
            # Chance and self-exclusion go by the Pod at hand; all else is equal.
            found.info = info
        found.refresh()
        return found
