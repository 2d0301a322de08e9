"""What controllers ask about a Pod. Pure."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from tiphys.api import core_v1
from tiphys.machinery import times


def find_condition(pod: core_v1.Pod, condition_type: str) -> core_v1.PodCondition | None:
    for condition in pod.status.conditions or ():
        if condition.type == condition_type:
            return condition
    return None


def is_ready(pod: core_v1.Pod) -> bool:
    condition = find_condition(pod, "Ready")
    return condition is not None and condition.status == "True"


def is_finished(pod: core_v1.Pod) -> bool:
    return pod.status.phase in ("Succeeded", "Failed")


def is_terminating(pod: core_v1.Pod) -> bool:
    """Asked to go, and not yet finished."""
    return pod.metadata.deletionTimestamp is not None and not is_finished(pod)


def is_active(pod: core_v1.Pod) -> bool:
    """Counts as a replica: neither finished nor asked to go."""
    return pod.metadata.deletionTimestamp is None and not is_finished(pod)


def is_available(pod: core_v1.Pod, min_ready_seconds: int, now: datetime) -> bool:
    """Ready, and has been for ``min_ready_seconds``."""
    condition = find_condition(pod, "Ready")
    if condition is None or condition.status != "True":
        return False
    if not min_ready_seconds:
        return True
    return available_at(condition, min_ready_seconds) <= now


def available_at(ready: core_v1.PodCondition, min_ready_seconds: int) -> datetime:
    """When a Pod with this Ready condition becomes available."""
    if ready.lastTransitionTime is None:
        # Unknown since when: never long enough.
        return datetime.max.replace(tzinfo=UTC)
    return times.parse(ready.lastTransitionTime) + timedelta(seconds=min_ready_seconds)


def restarts(pod: core_v1.Pod) -> tuple[int, int]:
    """The highest restart count among containers, and among init containers that keep running."""
    regular = _highest(pod.status.containerStatuses or ())
    sidecars = {c.name for c in pod.spec.initContainers or () if c.restartPolicy == "Always"}
    return regular, _highest(s for s in pod.status.initContainerStatuses or () if s.name in sidecars)


def _highest(statuses: Iterable[core_v1.ContainerStatus]) -> int:
    return max((status.restartCount for status in statuses), default=0)


_PHASES = {"Pending": 0, "Unknown": 1, "Running": 2}


def deletion_rank(pod: core_v1.Pod) -> tuple[Any, ...]:
    """Sorted by this, what is missed least comes first.

    Unassigned, pending, not ready; then ready for the shortest time, restarted most, youngest.
    """
    ready = find_condition(pod, "Ready")
    since = ready.lastTransitionTime if ready is not None and ready.status == "True" else None
    return (
        bool(pod.spec.nodeName),
        _PHASES.get(pod.status.phase or "Pending", 2),
        ready is not None and ready.status == "True",
        -times.parse(since).timestamp() if since else 0.0,
        *(-count for count in restarts(pod)),
        -times.parse(pod.metadata.creationTimestamp).timestamp() if pod.metadata.creationTimestamp else 0.0,
    )
