"""The status of a ReplicaSet, from its Pods. Pure."""

from collections.abc import Sequence
from datetime import datetime

from tiphys.api import apps_v1, core_v1
from tiphys.controllers import pods as podfacts
from tiphys.machinery import times

REPLICA_FAILURE = "ReplicaFailure"


def status(
    rs: apps_v1.ReplicaSet,
    owned: Sequence[core_v1.Pod],
    failure: tuple[str, str] | None,
    now: datetime,
) -> apps_v1.ReplicaSetStatus:
    """``failure`` is reason and message of what went wrong with creating or deleting, if anything did."""
    template = rs.spec.template or core_v1.PodTemplateSpec()
    template_labels = (template.metadata.labels if template.metadata else {}).items()
    min_ready_seconds = rs.spec.minReadySeconds or 0
    active = labeled = ready = available = terminating = 0
    for pod in owned:
        if not podfacts.is_active(pod):
            terminating += podfacts.is_terminating(pod)
            continue
        active += 1
        labeled += template_labels <= pod.metadata.labels.items()
        if podfacts.is_ready(pod):
            ready += 1
            available += podfacts.is_available(pod, min_ready_seconds, now)
    return apps_v1.ReplicaSetStatus(
        replicas=active,
        fullyLabeledReplicas=labeled or None,
        readyReplicas=ready or None,
        availableReplicas=available or None,
        terminatingReplicas=terminating,
        observedGeneration=rs.metadata.generation,
        conditions=_conditions(rs.status.conditions or [], failure, now),
    )


def _conditions(
    current: Sequence[apps_v1.ReplicaSetCondition], failure: tuple[str, str] | None, now: datetime
) -> list[apps_v1.ReplicaSetCondition] | None:
    others = [condition for condition in current if condition.type != REPLICA_FAILURE]
    if failure is None:
        return others or None
    reason, message = failure
    same = [c for c in current if c.type == REPLICA_FAILURE and c.reason == reason and c.status == "True"]
    if same:
        return list(current)
    condition = apps_v1.ReplicaSetCondition(
        type=REPLICA_FAILURE, status="True", reason=reason, message=message, lastTransitionTime=times.format_time(now)
    )
    return [*others, condition]


def seconds_until_available(rs: apps_v1.ReplicaSet, owned: Sequence[core_v1.Pod], now: datetime) -> float | None:
    """Seconds until the next ready Pod has been ready long enough; None if none is waiting."""
    seconds = rs.spec.minReadySeconds or 0
    if not seconds:
        return None
    waits = []
    for pod in owned:
        condition = podfacts.find_condition(pod, "Ready") if podfacts.is_active(pod) else None
        if condition is not None and condition.status == "True" and condition.lastTransitionTime:
            wait = (podfacts.available_at(condition, seconds) - now).total_seconds()
            if wait > 0:
                waits.append(wait)
    return min(waits, default=None)
