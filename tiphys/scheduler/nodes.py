"""All nodes as numpy columns, kept up to date row by row.

A node has the same row as long as it exists; rows of deleted nodes are used
again. What changes about a node goes into one of two journals, so that results
computed per class of Pods are repaired for the changed rows alone:
``facts`` (labels, taints, allocatable) and ``usage`` (what its Pods take).
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from tiphys.api import core_v1
from tiphys.machinery import quantity
from tiphys.machinery.selectors import Selector
from tiphys.scheduler.pods import PodInfo, Ports
from tiphys.scheduler.spread import SpreadCounts

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
        self.allocatable: dict[str, Ints] = {}
        self.requested: dict[str, Ints] = {}
        #: CPU and memory with the defaults that scoring assumes for Pods which request none.
        self.assumed: dict[str, Ints] = {}
        self.ports: list[dict[str, Ports]] = []
        self.spread = SpreadCounts()
        self._topologies: dict[str, _Topology] = {}
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

    def set_node(self, node: core_v1.Node) -> None:
        """Add a node, or take over what changed about it."""
        name = node.metadata.name
        row = self.rows.get(name)
        if row is None:
            row = self._new_row(name)
        self.nodes[row] = node
        self.exists[row] = True
        self.unschedulable[row] = bool(node.spec.unschedulable)
        amounts = node.status.allocatable or {}
        for resource in amounts:
            self._add_resource(resource)
        for resource, column in self.allocatable.items():
            column[row] = amount(resource, amounts[resource]) if resource in amounts else 0
        for topology in self._topologies.values():
            topology.set(row, node.metadata.labels.get(topology.key))
        self.facts.add(row)
        self.usage.add(row)

    def remove_node(self, name: str) -> None:
        """Forget a node; its Pods stay known until they are removed, in case it comes back."""
        row = self.rows.pop(name, None)
        if row is None:
            return
        self.nodes[row] = None
        self.exists[row] = False
        for column in (*self.allocatable.values(), *self.requested.values(), *self.assumed.values()):
            column[row] = 0
        self.spread.clear_row(row)
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
            self._account(row, info, 1)
        return row

    def _grow(self) -> None:
        self.exists = doubled(self.exists)
        self.unschedulable = doubled(self.unschedulable)
        for columns in (self.allocatable, self.requested, self.assumed):
            for resource in columns:
                columns[resource] = doubled(columns[resource])
        for topology in self._topologies.values():
            topology.domains = doubled(topology.domains, -1)
        self.spread.grow(len(self.exists))

    def _add_resource(self, resource: str) -> None:
        if resource not in self.allocatable:
            self.allocatable[resource] = np.zeros(len(self.exists), np.int64)
            self.requested[resource] = np.zeros(len(self.exists), np.int64)

    # Topology

    def topology(self, key: str) -> "_Topology":
        """The domains that the values of a label make of the nodes."""
        found = self._topologies.get(key)
        if found is None:
            found = self._topologies[key] = _Topology(key, np.full(len(self.exists), -1, np.int64))
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
            self._account(row, info, 1)

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
            self._account(row, info, -1)
        return info

    def placed(self) -> Iterable[PodInfo]:
        return self._placed.values()

    def _account(self, row: int, info: PodInfo, sign: int) -> None:
        for resource, wanted in info.requests.items():
            self._add_resource(resource)
            self.requested[resource][row] += sign * wanted
        self.requested["pods"][row] += sign
        self.assumed["cpu"][row] += sign * info.assumed_cpu
        self.assumed["memory"][row] += sign * info.assumed_memory
        if info.ports:
            if sign > 0:
                self.ports[row][info.uid] = info.ports
            else:
                self.ports[row].pop(info.uid, None)
        self.spread.account(info, row, sign)
        self.usage.add(row)

    def spread_counts(self, namespace: str, selector: Selector) -> Ints:
        """How many Pods of ``namespace`` that ``selector`` matches each row has."""
        found = self.spread.find(namespace, selector)
        if found is None:
            here = ((info, row) for info in self._placed.values() if (row := self.rows.get(info.node_name)) is not None)
            found = self.spread.add(namespace, selector, len(self.exists), here)
        return found


class _Topology:
    """Which domain each row is in: a number per distinct label value, -1 for none."""

    def __init__(self, key: str, domains: Ints) -> None:
        self.key = key
        self.domains = domains
        self._numbers: dict[str, int] = {}

    @property
    def size(self) -> int:
        """Numbers given so far; some may be in use no longer."""
        return len(self._numbers)

    def set(self, row: int, value: str | None) -> None:
        self.domains[row] = -1 if value is None else self._numbers.setdefault(value, len(self._numbers))


def doubled(column: npt.NDArray[Any], fill: int = 0) -> npt.NDArray[Any]:
    grown = np.full(2 * len(column), fill, column.dtype)
    grown[: len(column)] = column
    return grown
