"""NodeAffinity: labels and fields that a Pod wants of its node.

Source: Kubernetes docs, "Assigning Pods to Nodes".
"""

from collections.abc import Mapping, Sequence

import numpy as np

from tiphys.api import core_v1
from tiphys.scheduler.events import ClusterEvent, NodeChanged
from tiphys.scheduler.nodes import Bools, Ints, NodeTable
from tiphys.scheduler.plugins.interface import Plugin, Rows, scaled
from tiphys.scheduler.pods import PodInfo


def _integer(text: str | None) -> int | None:
    try:
        return int(text) if text is not None else None
    except ValueError:
        return None


def _met(requirement: core_v1.NodeSelectorRequirement, have: Mapping[str, str]) -> bool:
    value = have.get(requirement.key)
    values = requirement.values or ()
    match requirement.operator:
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt" | "Lt":
            ours, theirs = _integer(value), _integer(values[0] if values else None)
            if ours is None or theirs is None:
                return False
            return ours > theirs if requirement.operator == "Gt" else ours < theirs
    return False


def term_matches(term: core_v1.NodeSelectorTerm, node: core_v1.Node) -> bool:
    """All of a term's expressions and fields; an empty term matches nothing."""
    if not term.matchExpressions and not term.matchFields:
        return False
    labels, fields = node.metadata.labels, {"metadata.name": node.metadata.name}
    return all(_met(r, labels) for r in term.matchExpressions or ()) and all(
        _met(r, fields) for r in term.matchFields or ()
    )


def selector_matches(terms: Sequence[core_v1.NodeSelectorTerm], node: core_v1.Node) -> bool:
    return any(term_matches(term, node) for term in terms)


def _node_affinity(info: PodInfo) -> core_v1.NodeAffinity | None:
    affinity = info.pod.spec.affinity
    return affinity.nodeAffinity if affinity is not None else None


def required_matches(info: PodInfo, node: core_v1.Node) -> bool:
    """``nodeSelector`` and the required part of node affinity."""
    labels = node.metadata.labels
    if any(labels.get(key) != value for key, value in (info.pod.spec.nodeSelector or {}).items()):
        return False
    affinity = _node_affinity(info)
    if affinity is None or affinity.requiredDuringSchedulingIgnoredDuringExecution is None:
        return True
    return selector_matches(affinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms, node)


def required_rows(info: PodInfo, nodes: NodeTable, rows: Rows) -> Bools:
    found = (nodes.nodes[row] for row in rows.tolist())
    return np.fromiter((n is not None and required_matches(info, n) for n in found), bool, len(rows))


def has_required(info: PodInfo) -> bool:
    affinity = _node_affinity(info)
    return bool(info.pod.spec.nodeSelector) or (
        affinity is not None and affinity.requiredDuringSchedulingIgnoredDuringExecution is not None
    )


def node_names(info: PodInfo) -> frozenset[str] | None:
    """The nodes that the Pod names by field in every term, as a daemon's does; None if it leaves others open."""
    affinity = _node_affinity(info)
    required = affinity.requiredDuringSchedulingIgnoredDuringExecution if affinity is not None else None
    if required is None or not required.nodeSelectorTerms:
        return None
    names: set[str] = set()
    for term in required.nodeSelectorTerms:
        wanted = [frozenset(r.values or ()) for r in term.matchFields or () if r.operator == "In"]
        if not wanted:
            return None
        names |= frozenset.intersection(*wanted)
    return frozenset(names)


class NodeAffinity(Plugin):
    name = "NodeAffinity"
    filters = True

    def applies(self, info: PodInfo) -> bool:
        return has_required(info)

    def filter(self, info: PodInfo, nodes: NodeTable, rows: Rows) -> Bools:
        return required_rows(info, nodes, rows)

    def reasons(self, info: PodInfo, nodes: NodeTable, row: int) -> list[str]:
        return ["node(s) didn't match Pod's node affinity/selector"]

    def helped_by(self, info: PodInfo, event: ClusterEvent) -> bool:
        return isinstance(event, NodeChanged) and required_matches(info, event.node)


class PreferredNodeAffinity(Plugin):
    """The scoring half of NodeAffinity, which speaks only for Pods with preferences."""

    name = "NodeAffinity"
    weight = 2

    def applies(self, info: PodInfo) -> bool:
        affinity = _node_affinity(info)
        return affinity is not None and bool(affinity.preferredDuringSchedulingIgnoredDuringExecution)

    def score(self, info: PodInfo, nodes: NodeTable, rows: Rows) -> Ints:
        affinity = _node_affinity(info)
        terms = (affinity.preferredDuringSchedulingIgnoredDuringExecution if affinity else None) or ()
        return np.fromiter(
            (
                sum(t.weight for t in terms if t.weight and term_matches(t.preference, node)) if node else 0
                for node in (nodes.nodes[row] for row in rows.tolist())
            ),
            np.int64,
            len(rows),
        )

    def normalized(self, scores: Ints) -> Ints | None:
        return scaled(scores, reverse=False)
