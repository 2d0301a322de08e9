"""All nodes as numpy columns, kept up to date row by row.

A node has the same row as long as it exists; rows of deleted nodes are used
again. What changes about a node goes into one of two journals, so that results
computed per class of Pods are repaired for the changed rows alone:
``facts`` (labels, taints, allocatable) and ``usage`` (what its Pods take).
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from tiphys.api import core_v1
from tiphys.machinery import quantity
from tiphys.machinery.selectors import Selector
from tiphys.scheduler.images import Images
from tiphys.scheduler.pods import PodInfo, Ports
from tiphys.scheduler.spread import SpreadCounts
from tiphys.scheduler.terms import Term, TermIndex

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
ROWS_MIN = 64


def amount(resource: str, text: str) -> int:
    """CPU in millicores, all else in units."""
    return quantity.milli(text) if resource == "cpu" else quantity.value(text)


class Journal:
    """Which rows changed since when; a reader that fell far behind looks at all rows again."""

    KEEP = 4096

    def __init__(self) -> None:
        self._rows: list[int] = []
        self._first = 0

    @property
    def version(self) -> int:
        return self._first + len(self._rows)

    def add(self, row: int) -> None:
        self._rows.append(row)
        if len(self._rows) > 2 * self.KEEP:
            del self._rows[: self.KEEP]
            self._first += self.KEEP

    def since(self, version: int) -> list[int] | None:
        """Rows changed after ``version``, or None if that is too long ago to tell."""
        if version < self._first:
            return None
        return list(dict.fromkeys(self._rows[version - self._first :]))


class NodeTable:
    """See the module. Pods may arrive before the node they are on."""

    def __init__(self) -> None:
        self.rows: dict[str, int] = {}
        self.nodes: list[core_v1.Node | None] = []
        #: Rows up to here have been used; results are computed for this many.
        self.height = 0
        self.facts = Journal()
        self.usage = Journal()
        self.exists: Bools = np.zeros(ROWS_MIN, bool)
        self.unschedulable: Bools = np.zeros(ROWS_MIN, bool)
        #: Which of ``taint_sets`` each row has; nodes without taints have the first.
        self.taints: Ints = np.zeros(ROWS_MIN, np.int64)
        self.taint_sets: list[Sequence[core_v1.Taint]] = [()]
        self._taint_numbers: dict[tuple[tuple[str, str | None, str], ...], int] = {(): 0}
        self.allocatable: dict[str, Ints] = {}
        self.requested: dict[str, Ints] = {}
        #: CPU and memory with the defaults that scoring assumes for Pods which request none.
        self.assumed: dict[str, Ints] = {}
        self.ports: list[dict[str, Ports]] = []
        #: How many Pods with a node use each claim, by ``namespace/name``.
        self.claims: Counter[str] = Counter()
        self.spread = SpreadCounts()
        self.terms = TermIndex()
        self.terms.grow(ROWS_MIN)
        self.images = Images()
        #: Pods for which others were evicted, by the node they are to get: it must not be given away meanwhile.
        self.nominated: dict[str, dict[str, PodInfo]] = {}
        self._nominations: dict[str, str] = {}
        self._trial: Trial | None = None
        self._topologies: dict[str, Topology] = {}
        self._free: list[int] = []
        self._placed: dict[str, PodInfo] = {}
        self._by_node: dict[str, dict[str, PodInfo]] = {}
        for resource in ("cpu", "memory", "ephemeral-storage", "pods"):
            self._add_resource(resource)
        for resource in ("cpu", "memory"):
            self.assumed[resource] = np.zeros(ROWS_MIN, np.int64)

    def __len__(self) -> int:
        return len(self.rows)

    def name(self, row: int) -> str:
        node = self.nodes[row]
        assert node is not None
        return node.metadata.name

    # Nodes

    def node(self, name: str) -> core_v1.Node:
        """Raises KeyError for an unknown one."""
        node = self.nodes[self.rows[name]]
        assert node is not None
        return node

    def set_node(self, node: core_v1.Node) -> None:
        """Add a node, or take over what changed about it."""
        name = node.metadata.name
        row = self.rows.get(name)
        if row is None:
            row = self._new_row(name)
        self.nodes[row] = node
        self.exists[row] = True
        self.unschedulable[row] = bool(node.spec.unschedulable)
        self.taints[row] = self._taint_number(node.spec.taints or ())
        amounts = node.status.allocatable or {}
        for resource in amounts:
            self._add_resource(resource)
        for resource, column in self.allocatable.items():
            column[row] = amount(resource, amounts[resource]) if resource in amounts else 0
        for topology in self._topologies.values():
            topology.set(row, node.metadata.labels.get(topology.key))
        self.images.set(row, node.status.images or ())
        self.facts.add(row)
        self.usage.add(row)

    def set_images(self, node: core_v1.Node) -> None:
        """Take over the images of a known node, of which nothing else has changed."""
        if (row := self.rows.get(node.metadata.name)) is not None:
            self.nodes[row] = node
            self.images.set(row, node.status.images or ())

    def remove_node(self, name: str) -> None:
        """Forget a node; its Pods stay known until they are removed, in case it comes back."""
        row = self.rows.pop(name, None)
        if row is None:
            return
        self.nodes[row] = None
        self.exists[row] = False
        for column in (*self.allocatable.values(), *self.requested.values(), *self.assumed.values()):
            column[row] = 0
        for info in self._by_node.get(name, {}).values():
            self.claims.subtract(info.claims)
        self.spread.clear_row(row)
        self.terms.clear_row(row)
        self.images.set(row, ())
        self.ports[row] = {}
        for topology in self._topologies.values():
            topology.set(row, None)
        self._free.append(row)
        self.facts.add(row)
        self.usage.add(row)

    def _new_row(self, name: str) -> int:
        if self._free:
            row = self._free.pop()
        else:
            row = self.height
            self.height += 1
            self.nodes.append(None)
            self.ports.append({})
            if self.height > len(self.exists):
                self._grow()
        self.rows[name] = row
        for info in self._by_node.get(name, {}).values():
            self.account(row, info, 1)
        self.usage.add(row)
        return row

    def _grow(self) -> None:
        self.exists = doubled(self.exists)
        self.unschedulable = doubled(self.unschedulable)
        self.taints = doubled(self.taints)
        for columns in (self.allocatable, self.requested, self.assumed):
            for resource in columns:
                columns[resource] = doubled(columns[resource])
        for topology in self._topologies.values():
            topology.domains = doubled(topology.domains, -1)
        self.spread.grow(len(self.exists))
        self.terms.grow(len(self.exists))

    def _taint_number(self, taints: Sequence[core_v1.Taint]) -> int:
        key = tuple((taint.key, taint.value, taint.effect) for taint in taints)
        number = self._taint_numbers.setdefault(key, len(self.taint_sets))
        if number == len(self.taint_sets):
            self.taint_sets.append(taints)
        return number

    def _add_resource(self, resource: str) -> None:
        if resource not in self.allocatable:
            self.allocatable[resource] = np.zeros(len(self.exists), np.int64)
            self.requested[resource] = np.zeros(len(self.exists), np.int64)

    # Topology

    def topology(self, key: str) -> "Topology":
        """The domains that the values of a label make of the nodes."""
        found = self._topologies.get(key)
        if found is None:
            found = self._topologies[key] = Topology(key, np.full(len(self.exists), -1, np.int64))
            for row, node in enumerate(self.nodes):
                if node is not None:
                    found.set(row, node.metadata.labels.get(key))
        return found

    # Pods

    def place(self, info: PodInfo, node_name: str) -> None:
        """Count a Pod on a node; again for one that is placed there already changes nothing."""
        if (placed := self._placed.get(info.uid)) is not None:
            if placed.node_name == node_name and placed.counts_like(info):
                return
            self.remove(info.uid)
        info.node_name = node_name
        self._placed[info.uid] = info
        self._by_node.setdefault(node_name, {})[info.uid] = info
        if (row := self.rows.get(node_name)) is not None:
            self.account(row, info, 1)
            self.usage.add(row)

    def remove(self, uid: str) -> PodInfo | None:
        """Count a Pod no longer."""
        info = self._placed.pop(uid, None)
        if info is None:
            return None
        here = self._by_node[info.node_name]
        del here[uid]
        if not here:
            del self._by_node[info.node_name]
        if (row := self.rows.get(info.node_name)) is not None:
            self.account(row, info, -1)
            self.usage.add(row)
        return info

    def placed(self) -> Iterable[PodInfo]:
        return self._placed.values()

    def find_placed(self, uid: str) -> PodInfo | None:
        return self._placed.get(uid)

    def touch(self, info: PodInfo) -> None:
        """Something about a placed Pod is different that only preemption looks at."""
        if (row := self.rows.get(info.node_name)) is not None:
            self.usage.add(row)

    def here(self, row: int) -> Iterator[PodInfo]:
        """Pods of a node, as a trial has it while there is one."""
        trial = self._trial if self._trial is not None and self._trial.row == row else None
        for info in self.on(row):
            if trial is None or info.uid not in trial.removed:
                yield info
        if trial is not None:
            yield from trial.added.values()

    def on(self, row: int) -> Iterable[PodInfo]:
        """Pods of a node."""
        return self._by_node.get(self.name(row), {}).values()

    @contextmanager
    def trial(self, row: int, without: Sequence[PodInfo], added: Sequence[PodInfo]) -> Iterator["Trial"]:
        """A node as it would be without some of its Pods and with some others; afterwards all is as before."""
        trial = self._trial = Trial(self, row)
        try:
            for info in without:
                trial.remove(info)
            for info in added:
                trial.add(info)
            yield trial
        finally:
            trial.undo()
            self._trial = None

    # Nominations

    def nominate(self, info: PodInfo, node_name: str) -> None:
        """The Pod is to get this node once there is room; until then nobody of lower or equal priority does."""
        self.withdraw(info.uid)
        self._nominations[info.uid] = node_name
        self.nominated.setdefault(node_name, {})[info.uid] = info
        if (row := self.rows.get(node_name)) is not None:
            self.usage.add(row)

    def withdraw(self, uid: str) -> str:
        """End a nomination; the node's name, or nothing if there was none."""
        node_name = self._nominations.pop(uid, "")
        if node_name:
            here = self.nominated[node_name]
            del here[uid]
            if not here:
                del self.nominated[node_name]
            if (row := self.rows.get(node_name)) is not None:
                self.usage.add(row)
        return node_name

    def nomination(self, uid: str) -> str:
        return self._nominations.get(uid, "")

    def rivals(self, row: int, priority: int) -> list[PodInfo]:
        """Nominated Pods of a node that a Pod of ``priority`` has to leave room for."""
        node = self.nodes[row]
        here = self.nominated.get(node.metadata.name) if node is not None else None
        return [info for info in here.values() if info.priority >= priority] if here else []

    def account(self, row: int, info: PodInfo, sign: int) -> None:
        """Count a Pod on a row, or no longer; for this table and its trials."""
        for resource, wanted in info.requests.items():
            self._add_resource(resource)
            self.requested[resource][row] += sign * wanted
        self.requested["pods"][row] += sign
        self.assumed["cpu"][row] += sign * info.assumed_cpu
        self.assumed["memory"][row] += sign * info.assumed_memory
        for claim in info.claims:
            self.claims[claim] += sign
        if info.ports:
            if sign > 0:
                self.ports[row][info.uid] = info.ports
            else:
                self.ports[row].pop(info.uid, None)
        self.spread.account(info, row, sign)
        self.terms.account(info, row, sign)

    def _here(self) -> Iterator[tuple[PodInfo, int]]:
        """Placed Pods with their rows, a trial's changes included, for columns that begin during one."""
        away = self._trial.removed if self._trial is not None else {}
        for info in self._placed.values():
            if (row := self.rows.get(info.node_name)) is not None and info.uid not in away:
                yield info, row
        if self._trial is not None:
            yield from ((info, self._trial.row) for info in self._trial.added.values())

    def matching(self, terms: tuple[Term, ...]) -> Ints:
        """How many Pods that all of ``terms`` match each row has."""
        return self.terms.selecting(terms, self._here())

    def spread_counts(self, namespace: str, selector: Selector) -> Ints:
        """How many Pods of ``namespace`` that ``selector`` matches each row has."""
        found = self.spread.find(namespace, selector)
        if found is None:
            found = self.spread.add(namespace, selector, len(self.exists), self._here())
        return found


class Trial:
    """Changes to one row that are taken back; the journals know nothing of them."""

    def __init__(self, nodes: NodeTable, row: int) -> None:
        self._nodes = nodes
        self.row = row
        self.removed: dict[str, PodInfo] = {}
        self.added: dict[str, PodInfo] = {}

    def add(self, info: PodInfo) -> None:
        if self.removed.pop(info.uid, None) is None:
            self.added[info.uid] = info
        self._nodes.account(self.row, info, 1)

    def remove(self, info: PodInfo) -> None:
        if self.added.pop(info.uid, None) is None:
            self.removed[info.uid] = info
        self._nodes.account(self.row, info, -1)

    def undo(self) -> None:
        for info in list(self.added.values()):
            self.remove(info)
        for info in list(self.removed.values()):
            self.add(info)


class Topology:
    """Which domain each row is in: a number per distinct label value, -1 for none."""

    def __init__(self, key: str, domains: Ints) -> None:
        self.key = key
        self.domains = domains
        self._numbers: dict[str, int] = {}
        #: Rows of each domain, and how many domains have more than one.
        self._members: list[int] = []
        self._shared = 0

    @property
    def size(self) -> int:
        """Numbers given so far; some may be in use no longer."""
        return len(self._numbers)

    def set(self, row: int, value: str | None) -> None:
        old = int(self.domains[row])
        if old >= 0:
            self._members[old] -= 1
            self._shared -= self._members[old] == 1
        if value is None:
            self.domains[row] = -1
            return
        new = self._numbers.setdefault(value, len(self._numbers))
        if new == len(self._members):
            self._members.append(0)
        self._members[new] += 1
        self._shared += self._members[new] == 2
        self.domains[row] = new

    def totals(self, column: Ints, height: int) -> Ints:
        """For each row, the sum of ``column`` over its domain; 0 for rows in none."""
        domains = self.domains[:height]
        if not self._shared:
            return np.where(domains >= 0, column[:height], 0)
        slots = domains + 1
        sums = np.bincount(slots, column[:height], self.size + 1)
        sums[0] = 0
        return sums.astype(np.int64)[slots]


def doubled(column: npt.NDArray[Any], fill: int = 0) -> npt.NDArray[Any]:
    grown = np.full(2 * len(column), fill, column.dtype)
    grown[: len(column)] = column
    return grown
