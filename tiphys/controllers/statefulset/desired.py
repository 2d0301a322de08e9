"""What a StatefulSet does next, in which order, and where it must wait. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from tiphys.api import apps_v1, core_v1
from tiphys.controllers import pods as podfacts
from tiphys.controllers.statefulset.identity import ordinal_of, replicas_of, revision_of, start_of
from tiphys.machinery import intstr


@dataclass(slots=True)
class Plan:
    """Pods to ``create`` by ordinal, in the order of ``create``, before those to ``delete``."""

    create: list[int] = field(default_factory=list)
    delete: list[core_v1.Pod] = field(default_factory=list)
    #: Pods that were passed on the way: their identity and claims are looked after.
    keep: list[core_v1.Pod] = field(default_factory=list)


def is_running_and_ready(pod: core_v1.Pod) -> bool:
    return pod.status.phase == "Running" and podfacts.is_ready(pod)


def is_running_and_available(pod: core_v1.Pod, sts: apps_v1.StatefulSet, now: datetime) -> bool:
    return pod.status.phase == "Running" and podfacts.is_available(pod, sts.spec.minReadySeconds or 0, now)


def is_terminating(pod: core_v1.Pod) -> bool:
    return pod.metadata.deletionTimestamp is not None


def is_usable(pod: core_v1.Pod | None, sts: apps_v1.StatefulSet, now: datetime) -> bool:
    return pod is not None and not is_terminating(pod) and is_running_and_available(pod, sts, now)


def is_ordered(sts: apps_v1.StatefulSet) -> bool:
    return sts.spec.podManagementPolicy != "Parallel"


def partition_of(sts: apps_v1.StatefulSet) -> int:
    rolling = sts.spec.updateStrategy.rollingUpdate
    return (rolling.partition or 0) if rolling is not None else 0


def uses_current(sts: apps_v1.StatefulSet, ordinal: int) -> bool:
    """Whether a Pod that is created at ``ordinal`` gets the template from before the update."""
    return sts.spec.updateStrategy.type == "RollingUpdate" and ordinal < start_of(sts) + partition_of(sts)


def sort_out(
    sts: apps_v1.StatefulSet, pods: Sequence[core_v1.Pod]
) -> tuple[dict[int, core_v1.Pod | None], list[core_v1.Pod]]:
    """The Pods that should be, by ordinal in ascending order, and those too many in descending order."""
    ordinals = range(start_of(sts), start_of(sts) + replicas_of(sts))
    living: dict[int, core_v1.Pod | None] = dict.fromkeys(ordinals)
    condemned: list[core_v1.Pod] = []
    for pod in pods:
        ordinal = ordinal_of(pod)
        if ordinal in ordinals:
            living[ordinal] = pod
        elif ordinal >= 0:
            condemned.append(pod)
    condemned.sort(key=ordinal_of, reverse=True)
    return living, condemned


def plan(sts: apps_v1.StatefulSet, pods: Sequence[core_v1.Pod], update_revision: str, now: datetime) -> Plan:
    found = Plan()
    if sts.metadata.deletionTimestamp is not None:
        return found
    living, condemned = sort_out(sts, pods)
    if _tend(found, sts, living, now):
        return found
    found.keep += condemned
    if _shrink(found, sts, living, condemned, now):
        return found
    if sts.spec.updateStrategy.type == "RollingUpdate":
        found.delete += _outdated(sts, living, update_revision, now)
    return found


def _tend(found: Plan, sts: apps_v1.StatefulSet, living: Mapping[int, core_v1.Pod | None], now: datetime) -> bool:
    """Bring each Pod into being, one after the other unless they may come at once; True if it must wait."""
    ordered = is_ordered(sts)
    blocked = False
    for ordinal, pod in living.items():
        if pod is None:
            found.create.append(ordinal)
            if ordered:
                return True
        elif podfacts.is_finished(pod):
            # Whatever its exit code: it is to run for ever.
            if not is_terminating(pod):
                found.delete.append(pod)
            if ordered:
                return True
            blocked = True
        else:
            if ordered and not is_usable(pod, sts, now):
                return True
            found.keep.append(pod)
    return blocked


def _shrink(
    found: Plan,
    sts: apps_v1.StatefulSet,
    living: Mapping[int, core_v1.Pod | None],
    condemned: Sequence[core_v1.Pod],
    now: datetime,
) -> bool:
    """Take away what is too much, the highest first; True if that comes before all else."""
    going = [pod for pod in condemned if not is_terminating(pod)]
    if not is_ordered(sts):
        found.delete += going
        return False
    if not condemned:
        return False
    if is_terminating(condemned[0]):
        return True
    broken = [pod for pod in reversed(condemned) if not is_usable(pod, sts, now)]
    all_live = all(is_usable(pod, sts, now) for pod in living.values())
    first_broken = broken[0] if broken and all_live else None
    if is_usable(condemned[0], sts, now) or condemned[0] is first_broken:
        found.delete.append(condemned[0])
    return True


def max_unavailable(sts: apps_v1.StatefulSet) -> int:
    rolling = sts.spec.updateStrategy.rollingUpdate
    most = rolling.maxUnavailable if rolling is not None else None
    return max(1, intstr.scaled(1 if most is None else most, replicas_of(sts), False))


def _outdated(
    sts: apps_v1.StatefulSet, living: Mapping[int, core_v1.Pod | None], update_revision: str, now: datetime
) -> list[core_v1.Pod]:
    """Pods of an old template to delete, from the highest ordinal down to the partition.

    One that is not available costs nothing to replace; of the others, as many as may be missing.
    """
    missing = sum(not is_usable(pod, sts, now) for pod in living.values())
    left = max_unavailable(sts) - missing
    chosen: list[core_v1.Pod] = []
    for ordinal, pod in reversed([*living.items()]):
        if ordinal < start_of(sts) + partition_of(sts) or pod is None:
            continue
        if is_terminating(pod) or revision_of(pod) == update_revision:
            continue
        if not is_usable(pod, sts, now):
            chosen.append(pod)
        elif left > 0:
            chosen.append(pod)
            left -= 1
    return chosen
