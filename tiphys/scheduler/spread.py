"""How many Pods of a selector each node has, counted as Pods come and go."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from tiphys.machinery.selectors import Selector
from tiphys.scheduler.pods import PodInfo

Ints = npt.NDArray[np.int64]


class SpreadCounts:
    """One column per namespace and selector that somebody asked for."""

    def __init__(self) -> None:
        self._columns: dict[str, dict[str, tuple[Selector, Ints]]] = {}

    def find(self, namespace: str, selector: Selector) -> Ints | None:
        found = self._columns.get(namespace, {}).get(str(selector))
        return found[1] if found else None

    def add(self, namespace: str, selector: Selector, height: int, placed: Iterable[tuple[PodInfo, int]]) -> Ints:
        """Begin to count, with what is placed already."""
        column = np.zeros(height, np.int64)
        for info, row in placed:
            if info.namespace == namespace and not info.terminating and selector.matches(info.labels):
                column[row] += 1
        self._columns.setdefault(namespace, {})[str(selector)] = (selector, column)
        return column

    def account(self, info: PodInfo, row: int, sign: int) -> None:
        if info.terminating:
            return
        for selector, column in self._columns.get(info.namespace, {}).values():
            if selector.matches(info.labels):
                column[row] += sign

    def clear_row(self, row: int) -> None:
        for columns in self._columns.values():
            for _, column in columns.values():
                column[row] = 0

    def grow(self, height: int) -> None:
        for columns in self._columns.values():
            for name, (selector, column) in columns.items():
                grown = np.zeros(height, np.int64)
                grown[: len(column)] = column
                columns[name] = (selector, grown)
