"""What becomes of one object, given the state of its owners. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from tiphys.controllers.garbagecollector.graph import FOREGROUND, ORPHAN, Graph, Node, Owner

#: How an owner stands: there; not there; there, and waiting until its dependents are gone.
OwnerState = Literal["solid", "absent", "waiting"]
Propagation = Literal["Background", "Foreground", "Orphan"]


@dataclass(frozen=True, slots=True)
class Delete:
    propagation: Propagation


@dataclass(frozen=True, slots=True)
class DropOwners:
    """The object stays for its other owners' sake."""

    uids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Orphan:
    """Let these live without their owner, then take the finalizer away."""

    dependents: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DropFinalizer:
    finalizer: str


@dataclass(frozen=True, slots=True)
class Look:
    """Nothing to do here; look at these instead."""

    uids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Unblock:
    """A circle of foreground deletions: this object must no longer hold its owners up."""


Action = Delete | DropOwners | Orphan | DropFinalizer | Look | Unblock


def own_deletion(node: Node, graph: Graph) -> Action | None:
    """The next step of an object that is itself being deleted; None if it only waits for others."""
    dependents = graph.dependents(node)
    if node.orphans_dependents:
        return Orphan(tuple(dependent.uid for dependent in dependents))
    if not node.waits_for_dependents:
        return None
    blocking = [dependent for dependent in dependents if dependent.blocks(node.uid)]
    if not blocking:
        return DropFinalizer(FOREGROUND)
    return Look(tuple(dependent.uid for dependent in blocking if not dependent.seen.deleting))


def desired(node: Node, graph: Graph, states: Mapping[str, OwnerState]) -> Sequence[Action]:
    """What to do with an object whose owners are in ``states`` (by uid)."""
    owners: Sequence[Owner] = node.seen.owners
    gone = tuple(owner.uid for owner in owners if states[owner.uid] != "solid")
    if not gone:
        return ()
    if len(gone) < len(owners):
        return (DropOwners(gone),)
    waiting = any(states[uid] == "waiting" for uid in gone)
    if waiting and node.dependents:
        # Its dependents go before it, as it goes before its owner.
        circle = any(dependent.waits_for_dependents for dependent in graph.dependents(node))
        return (Unblock(), Delete("Foreground")) if circle else (Delete("Foreground"),)
    return (Delete(_asked_for(node)),)


def _asked_for(node: Node) -> Propagation:
    """What its own finalizers ask for stays valid."""
    if ORPHAN in node.seen.finalizers:
        return "Orphan"
    return "Foreground" if FOREGROUND in node.seen.finalizers else "Background"
