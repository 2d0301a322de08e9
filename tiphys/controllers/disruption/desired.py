"""The status of a disruption budget, from its Pods and the size their controllers want. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from tiphys.api import core_v1, meta_v1, policy_v1
from tiphys.controllers import pods as podfacts
from tiphys.machinery import conditions, intstr, times
from tiphys.machinery.selectors import Selector, from_label_selector

Budget = policy_v1.PodDisruptionBudget

#: An evicted Pod that is not being deleted after this time stays, it seems.
DELETION_SECONDS = 120.0
CONDITION = "DisruptionAllowed"


@dataclass(frozen=True, slots=True)
class Disrupted:
    """Pods whose eviction was granted and whose deletion is not seen yet."""

    pending: Mapping[str, str]
    #: Pods that should have been deleted long ago.
    overdue: Sequence[core_v1.Pod] = ()
    #: Seconds until the next becomes overdue.
    wait: float | None = None


def selects(budget: Budget, pod: core_v1.Pod) -> bool:
    """A missing selector selects nothing, an empty one everything in the namespace."""
    return selector_of(budget).matches(pod.metadata.labels)


def selector_of(budget: Budget) -> Selector:
    return from_label_selector(budget.spec.selector)


def needs_scale(budget: Budget) -> bool:
    """Whether the number of Pods that should be matters, and not only of those that are."""
    return budget.spec.maxUnavailable is not None or isinstance(budget.spec.minAvailable, str)


def expected(budget: Budget, present: int, scale: int) -> tuple[int, int]:
    """How many Pods there should be, and how many of them healthy; ``scale`` as their controllers want it."""
    spec = budget.spec
    if spec.maxUnavailable is not None:
        return scale, max(0, scale - intstr.scaled(spec.maxUnavailable, scale, True))
    if isinstance(spec.minAvailable, str):
        return scale, intstr.scaled(spec.minAvailable, scale, True)
    if spec.minAvailable is not None:
        return present, spec.minAvailable
    return 0, 0


def disrupted(budget: Budget, pods: Sequence[core_v1.Pod], now: datetime) -> Disrupted:
    noted = budget.status.disruptedPods or {}
    pending: dict[str, str] = {}
    overdue: list[core_v1.Pod] = []
    wait: float | None = None
    for pod in pods:
        since = noted.get(pod.metadata.name)
        if since is None or pod.metadata.deletionTimestamp is not None:
            continue
        left = (times.parse(since) + timedelta(seconds=DELETION_SECONDS) - now).total_seconds()
        if left < 0:
            overdue.append(pod)
            continue
        pending[pod.metadata.name] = since
        wait = left if wait is None else min(wait, left)
    return Disrupted(pending, overdue, wait)


def status(
    budget: Budget, pods: Sequence[core_v1.Pod], scale: int, going: Disrupted, now: datetime
) -> policy_v1.PodDisruptionBudgetStatus:
    wanted, healthy_wanted = expected(budget, len(pods), scale)
    healthy = sum(
        pod.metadata.deletionTimestamp is None and pod.metadata.name not in going.pending and podfacts.is_ready(pod)
        for pod in pods
    )
    # Without Pods nothing is allowed: the first ones may come before this is looked at again.
    allowed = max(0, healthy - healthy_wanted) if wanted > 0 else 0
    return policy_v1.PodDisruptionBudgetStatus(
        currentHealthy=healthy,
        desiredHealthy=healthy_wanted,
        expectedPods=wanted,
        disruptionsAllowed=allowed,
        disruptedPods={name: times.canonical_time(since) for name, since in going.pending.items()} or None,
        observedGeneration=budget.metadata.generation,
        conditions=_conditions(budget, allowed > 0, "SufficientPods" if allowed else "InsufficientPods", "", now),
    )


def failed(budget: Budget, why: str, now: datetime) -> policy_v1.PodDisruptionBudgetStatus:
    """Nothing may be disrupted while nobody knows how many Pods there should be."""
    old = budget.status
    return policy_v1.PodDisruptionBudgetStatus(
        currentHealthy=old.currentHealthy or 0,
        desiredHealthy=old.desiredHealthy or 0,
        expectedPods=old.expectedPods or 0,
        disruptionsAllowed=0,
        disruptedPods=old.disruptedPods,
        observedGeneration=budget.metadata.generation,
        conditions=_conditions(budget, False, "SyncFailed", why, now),
    )


def _conditions(budget: Budget, allowed: bool, reason: str, message: str, now: datetime) -> list[meta_v1.Condition]:
    condition = meta_v1.Condition(
        type=CONDITION,
        status="True" if allowed else "False",
        reason=reason,
        message=message,
        observedGeneration=budget.metadata.generation,
        lastTransitionTime=times.format_time(now),
    )
    return conditions.set_condition(budget.status.conditions, condition, now)
