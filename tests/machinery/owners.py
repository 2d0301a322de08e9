"""Field ownership, slowly: an object is a set of leaves, and every rule is a sentence about leaves.

The model knows ConfigMap-like documents: maps of text and a keyed list whose
items hold text. Each leaf is a path; owners are sets of paths. It shares no
code with what it tests.
"""

from typing import Any

Leaves = dict[tuple[str, ...], str]
Owner = tuple[str, str]


def leaves_of(document: dict[str, Any]) -> Leaves:
    """The leaves of ``{"data": {...}, "containers": {name: {field: text}}}``."""
    found: Leaves = {("data", key): value for key, value in document["data"].items()}
    for name, item in document["containers"].items():
        found["item", name, "name"] = name
        found |= {("item", name, field): value for field, value in item.items()}
    return found


class Model:
    """The object's leaves and who owns which."""

    def __init__(self) -> None:
        self.leaves: Leaves = {}
        self.owned: dict[Owner, set[tuple[str, ...]]] = {}

    def _take(self, owner: Owner, paths: set[tuple[str, ...]], *, shared: bool = False) -> None:
        for other, theirs in self.owned.items():
            if other != owner and not shared:
                theirs -= paths
        self.owned.setdefault(owner, set()).update(paths)

    def _forget(self) -> None:
        """Nobody owns what is not there, and who owns nothing is nobody."""
        for theirs in self.owned.values():
            theirs.intersection_update(self.leaves)
        self.owned = {owner: theirs for owner, theirs in self.owned.items() if theirs}

    def _remove(self, path: tuple[str, ...]) -> None:
        """Who owns an item's key owns the item: it goes with all that stands in it, whoever owns that."""
        if path[0] == "item" and path[2] == "name":
            self.leaves = {other: value for other, value in self.leaves.items() if other[:2] != path[:2]}
        else:
            self.leaves.pop(path, None)

    def update(self, manager: str, document: dict[str, Any]) -> None:
        """The object becomes ``document``; whoever changes a leaf owns it alone."""
        new = leaves_of(document)
        changed = {path for path, value in new.items() if self.leaves.get(path) != value}
        self.leaves = new
        if changed:
            self._take((manager, "Update"), changed)
        self._forget()

    def conflicts(self, manager: str, document: dict[str, Any]) -> set[tuple[str, tuple[str, ...]]]:
        """Owners other than the applier of leaves that the document would change."""
        new = leaves_of(document)
        return {
            (other[0], path)
            for other, theirs in self.owned.items()
            if other != (manager, "Apply")
            for path in theirs
            if path in new and self.leaves[path] != new[path]
        }

    def apply(self, manager: str, document: dict[str, Any]) -> None:
        """Leaves of the document are set and owned; what it no longer holds goes unless others own it."""
        me = (manager, "Apply")
        new = leaves_of(document)
        before = self.owned.pop(me, set())
        changed = {path for path, value in new.items() if self.leaves.get(path, value) != value}
        for theirs in self.owned.values():
            theirs -= changed
        # What is changed by force is no reason any more to keep an item: it is the applier's now.
        others = set().union(*self.owned.values()) if self.owned else set()
        for path in before - new.keys() - others:
            self._remove(path)
        self.leaves |= new
        self.owned[me] = set(new)
        self._forget()
