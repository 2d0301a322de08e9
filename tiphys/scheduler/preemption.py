"""Preemption: which Pods of lower priority to evict so that a Pod gets a node. Decides only; ``evictions.py`` acts.

Source: Kubernetes docs, "Pod Priority and Preemption"; the order in which nodes are
preferred is that of kube-scheduler's default preemption, by behaviour.
"""

import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter

import numpy as np

from tiphys.machinery.selectors import Selector
from tiphys.scheduler.classes import PodClass
from tiphys.scheduler.nodes import NodeTable
from tiphys.scheduler.plugins.interface import Rows
from tiphys.scheduler.pods import PodInfo

#: A tenth of the nodes is tried, and no fewer than this.
CANDIDATES_MIN = 100
_FAR = 2**31
_UNKNOWN, _CANDIDATE, _HOPELESS = 0, 1, 2
Cost = tuple[int, int, int, int, str]
NO_VICTIMS = "No preemption victims found for incoming pod"
NOT_HELPFUL = "Preemption is not helpful for scheduling"


@dataclass(frozen=True, slots=True)
class Budget:
    """A disruption budget as far as it matters here; ``disrupted`` are names already accounted for."""

    namespace: str
    selector: Selector
    allowed: int
    disrupted: frozenset[str] = frozenset()


class Budgets:
    """Disruption budgets by namespace; ``version`` changes with any of them."""

    def __init__(self) -> None:
        self.version = 0
        self._budgets: dict[str, dict[str, Budget]] = {}

    def put(self, name: str, budget: Budget) -> None:
        self._budgets.setdefault(budget.namespace, {})[name] = budget
        self.version += 1

    def remove(self, namespace: str, name: str) -> None:
        if self._budgets.get(namespace, {}).pop(name, None) is not None:
            self.version += 1

    def violating(self, infos: Iterable[PodInfo]) -> set[str]:
        """Uids of those whose eviction, in this order, a budget would not allow."""
        left: dict[int, int] = {}
        found = set()
        for info in infos:
            for budget in self._budgets.get(info.namespace, {}).values():
                # A selector without requirements matches nothing here.
                if not info.labels or budget.selector.empty or not budget.selector.matches(info.labels):
                    continue
                if info.pod.metadata.name in budget.disrupted:
                    continue
                left[id(budget)] = left.get(id(budget), budget.allowed) - 1
                if left[id(budget)] < 0:
                    found.add(info.uid)
        return found


@dataclass(frozen=True, slots=True)
class Eviction:
    """Who has to leave which node; most important first."""

    node_name: str
    victims: tuple[PodInfo, ...]
    violations: int
    #: Lower is better.
    cost: "Cost" = field(compare=False, repr=False, default=(0, 0, 0, 0, ""))


def importance(info: PodInfo) -> tuple[int, str, str]:
    """Sorts the most important first: higher priority, then the one that has run longer."""
    return (-info.priority, info.started or "9", info.uid)


def may_preempt(info: PodInfo, nodes: NodeTable, nominated_node: str) -> str:
    """Empty, or why the Pod must not evict others."""
    if info.pod.spec.preemptionPolicy == "Never":
        return "not eligible due to preemptionPolicy=Never."
    row = nodes.rows.get(nominated_node)
    if row is not None and any(other.preempted and other.priority < info.priority for other in nodes.on(row)):
        return "not eligible due to a terminating pod on the nominated node."
    return ""


def evictions(
    info: PodInfo, pod_class: PodClass, nodes: NodeTable, resolvable: Rows, budgets: Budgets
) -> Sequence[Eviction] | Mapping[str, int] | str:
    """What could be evicted, never nothing; or how many nodes are ruled out why, or why it was not tried."""
    if refusal := may_preempt(info, nodes, info.nominated_node):
        return refusal
    if len(resolvable):
        start = zlib.crc32(info.uid.encode()) % len(resolvable)
        rows = np.concatenate((resolvable[start:], resolvable[:start]))
        candidates = _candidates(pod_class, nodes, rows, budgets)
        if candidates:
            return candidates
    reasons = Counter({NOT_HELPFUL: len(nodes) - len(resolvable)} if len(nodes) > len(resolvable) else {})
    for row in resolvable.tolist():
        reasons.update(pod_class.memo[row])
    return reasons


def best(candidates: Sequence[Eviction]) -> Eviction:
    """The one that does least harm."""
    return min(candidates, key=attrgetter("cost"))


def _candidates(pod_class: PodClass, nodes: NodeTable, rows: Rows, budgets: Budgets) -> list[Eviction]:
    """What could be evicted on the first of ``rows`` that allow it, enough of them to choose from."""
    kinds = pod_class.memo_kinds
    # Where Pods depend on other nodes' Pods no row's result outlives the decision.
    if pod_class.placing or pod_class.memo_version != budgets.version:
        kinds[:] = 0
        pod_class.memo_version = budgets.version
    wanted = max(CANDIDATES_MIN, len(nodes) // 10)
    while True:
        hopeful = rows[kinds[rows] != _HOPELESS][:wanted]
        unknown = hopeful[kinds[hopeful] == _UNKNOWN]
        if not len(unknown):
            return [pod_class.memo[row] for row in hopeful.tolist()]
        for row in unknown.tolist():
            found = pod_class.memo[row] = victims_on(pod_class, nodes, row, budgets)
            kinds[row] = _CANDIDATE if isinstance(found, Eviction) else _HOPELESS


def cost_of(victims: Sequence[PodInfo], violations: int) -> Cost:
    """Budgets kept come first, then less important and fewer victims, then those that started last."""
    highest = victims[0].priority
    earliest = min(info.started or "9" for info in victims if info.priority == highest)
    importance_sum = sum(info.priority + _FAR for info in victims)
    return (violations, highest, importance_sum, len(victims), _reversed(earliest))


def _reversed(text: str) -> str:
    """Sorts the other way round: times are digits and fixed punctuation."""
    return "".join(chr(0x7F - ord(char)) for char in text)


def victims_on(pod_class: PodClass, nodes: NodeTable, row: int, budgets: Budgets) -> Eviction | list[str]:
    """The fewest and least important Pods whose leaving makes room, or why nobody's does."""
    info = pod_class.info
    lower = sorted((other for other in nodes.on(row) if other.priority < info.priority), key=importance)
    if not lower:
        return [NO_VICTIMS]
    with nodes.trial(row, lower, nodes.rivals(row, info.priority)) as trial:
        if (plugin := pod_class.find_refusing(row)) is not None:
            return plugin.reasons(info, nodes, row)
        violating = budgets.violating(lower)
        victims = []
        # Those whose budget would be violated have the first chance to stay.
        for other in sorted(lower, key=lambda other: other.uid not in violating):
            trial.add(other)
            if not pod_class.fits(row):
                trial.remove(other)
                victims.append(other)
    if not victims:
        return [NO_VICTIMS]
    victims.sort(key=importance)
    violations = sum(victim.uid in violating for victim in victims)
    return Eviction(nodes.name(row), tuple(victims), violations, cost_of(victims, violations))
