"""Who owns whom: a graph of all objects, kept by events. No I/O.

An object that is named as owner and was never seen is a *virtual* node: whether
it exists must be asked of the server before anything is done to its dependents,
because watches of different resources are not in step.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"


class Owner(msgspec.Struct, frozen=True):
    """An owner reference."""

    apiVersion: str = ""
    kind: str = ""
    name: str = ""
    uid: str = ""
    blockOwnerDeletion: bool = False


@dataclass(frozen=True, slots=True)
class Identity:
    """Where an object is found."""

    group: str
    kind: str
    namespace: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class Seen:
    """What the graph wants to know of an object."""

    identity: Identity
    resource_version: str = ""
    owners: tuple[Owner, ...] = ()
    finalizers: tuple[str, ...] = ()
    deleting: bool = False


@dataclass(slots=True, eq=False)
class Node:
    """One object. ``dependents`` are those that name it as owner."""

    seen: Seen
    virtual: bool = False
    #: Newer than ``seen.resource_version`` where nothing that the graph keeps has changed since.
    resource_version: str = ""
    dependents: set[str] = field(default_factory=set)

    @property
    def uid(self) -> str:
        return self.seen.identity.uid

    @property
    def waits_for_dependents(self) -> bool:
        """Is being deleted in the foreground."""
        return self.seen.deleting and FOREGROUND in self.seen.finalizers

    @property
    def orphans_dependents(self) -> bool:
        """Is being deleted, and lets its dependents live."""
        return self.seen.deleting and ORPHAN in self.seen.finalizers

    def blocks(self, owner_uid: str) -> bool:
        return any(owner.uid == owner_uid and owner.blockOwnerDeletion for owner in self.seen.owners)


class Graph:
    """Each method returns the uids that must be looked at because of what it was told."""

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {}

    def get(self, uid: str) -> Node | None:
        return self._nodes.get(uid)

    def __len__(self) -> int:
        return len(self._nodes)

    def of_kind(self, group: str, kind: str, *, virtual: bool) -> list[str]:
        """Uids of the objects of a kind that were seen, or (``virtual``) only named as owners."""
        return [
            uid
            for uid, node in self._nodes.items()
            if node.virtual == virtual and (node.seen.identity.group, node.seen.identity.kind) == (group, kind)
        ]

    def dependents(self, node: Node) -> list[Node]:
        return [self._nodes[uid] for uid in sorted(node.dependents) if uid in self._nodes]

    def observe(self, seen: Seen) -> list[str]:
        """The object was added or has changed."""
        uid = seen.identity.uid
        node = self._nodes.get(uid)
        if node is None:
            node = self._nodes[uid] = Node(seen, resource_version=seen.resource_version)
            look = self._attach(node, seen.owners)
            return look + self._transition(node, None)
        before = None if node.virtual else node.seen
        old_owners = {owner.uid: owner for owner in node.seen.owners}
        new_owners = {owner.uid: owner for owner in seen.owners}
        node.seen, node.resource_version = seen, seen.resource_version
        node.virtual = False
        look = []
        if old_owners != new_owners:
            removed = [owner for owner in old_owners.values() if owner.uid not in new_owners]
            self._detach(node, removed)
            unblocked = [o for o in old_owners.values() if o.blockOwnerDeletion and not node.blocks(o.uid)]
            look += [o.uid for o in unblocked if (found := self._nodes.get(o.uid)) and found.waits_for_dependents]
            look += self._attach(node, [o for o in new_owners.values() if o.uid not in old_owners])
        return look + self._transition(node, before)

    def remove(self, uid: str) -> list[str]:
        """The object is gone, or has turned out never to have been."""
        node = self._nodes.pop(uid, None)
        if node is None:
            return []
        self._detach(node, node.seen.owners)
        look = sorted(node.dependents)
        for owner in node.seen.owners:
            found = self._nodes.get(owner.uid)
            if found is not None and found.waits_for_dependents:
                look.append(owner.uid)
        return look

    def _attach(self, node: Node, owners: Iterable[Owner]) -> list[str]:
        look = []
        for owner in owners:
            found = self._nodes.get(owner.uid)
            if found is None:
                group = owner.apiVersion.rpartition("/")[0]
                identity = Identity(group, owner.kind, node.seen.identity.namespace, owner.name, owner.uid)
                found = self._nodes[owner.uid] = Node(Seen(identity), virtual=True)
                look.append(owner.uid)
            elif found.waits_for_dependents:
                # Came after its owner began to go.
                look.append(node.uid)
            found.dependents.add(node.uid)
        return look

    def _detach(self, node: Node, owners: Iterable[Owner]) -> None:
        for owner in owners:
            found = self._nodes.get(owner.uid)
            if found is not None:
                found.dependents.discard(node.uid)

    def _transition(self, node: Node, before: Seen | None) -> list[str]:
        """What begins with this change: orphaning, or deletion of dependents."""
        was = before if before is not None and before.deleting else Seen(node.seen.identity)
        if node.orphans_dependents and ORPHAN not in was.finalizers:
            return [node.uid]
        if node.waits_for_dependents and FOREGROUND not in was.finalizers:
            return [*sorted(node.dependents), node.uid]
        return []
