"""The status of a Deployment: counts, Available, Progressing, ReplicaFailure. Pure."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from tiphys.api import apps_v1
from tiphys.controllers.deployment.desired import (
    Generations,
    actual,
    available,
    has_progress_deadline,
    max_unavailable,
    replicas,
    total,
)
from tiphys.machinery import conditions, times

AVAILABLE = "Available"
PROGRESSING = "Progressing"
REPLICA_FAILURE = "ReplicaFailure"

NEW_CREATED = "NewReplicaSetCreated"
NEW_FOUND = "FoundNewReplicaSet"
UPDATED = "ReplicaSetUpdated"
NEW_AVAILABLE = "NewReplicaSetAvailable"
TIMED_OUT = "ProgressDeadlineExceeded"
PAUSED = "DeploymentPaused"
RESUMED = "DeploymentResumed"
CREATE_ERROR = "ReplicaSetCreateError"

Conditions = Sequence[apps_v1.DeploymentCondition]


def find(status: apps_v1.DeploymentStatus, condition_type: str) -> apps_v1.DeploymentCondition | None:
    return conditions.find_condition(status.conditions, condition_type)


def with_condition(
    current: Conditions | None, condition_type: str, value: str, reason: str, message: str, now: datetime
) -> list[apps_v1.DeploymentCondition]:
    """``current`` with the condition, unless it is there with this status and reason already.

    The condition moves to the end. Its transition time stays while its status does.
    """
    listed = list(current or ())
    old = conditions.find_condition(listed, condition_type)
    if old is not None and old.status == value and old.reason == reason:
        return listed
    stamp = times.format_time(now)
    condition = apps_v1.DeploymentCondition(
        type=condition_type,
        status=value,
        reason=reason,
        message=message,
        lastUpdateTime=stamp,
        lastTransitionTime=old.lastTransitionTime if old is not None and old.status == value else stamp,
    )
    return [*conditions.remove_condition(listed, condition_type), condition]


def counted(deployment: apps_v1.Deployment, sets: Generations, now: datetime) -> apps_v1.DeploymentStatus:
    """Counts and the Available condition; the other conditions as they are."""
    ready_to_serve = available(sets.all)
    enough = ready_to_serve >= replicas(deployment) - max_unavailable(deployment)
    listed = with_condition(
        deployment.status.conditions,
        AVAILABLE,
        "True" if enough else "False",
        "MinimumReplicasAvailable" if enough else "MinimumReplicasUnavailable",
        f"Deployment {'has' if enough else 'does not have'} minimum availability.",
        now,
    )
    terminating = [rs.status.terminatingReplicas for rs in sets.all]
    return apps_v1.DeploymentStatus(
        observedGeneration=deployment.metadata.generation,
        replicas=actual(sets.all) or None,
        updatedReplicas=(actual([sets.new]) if sets.new is not None else 0) or None,
        readyReplicas=sum(rs.status.readyReplicas or 0 for rs in sets.all) or None,
        availableReplicas=ready_to_serve or None,
        unavailableReplicas=max(0, total(sets.all) - ready_to_serve) or None,
        # Unknown as long as one of the sets has not said.
        terminatingReplicas=None if None in terminating else sum(count or 0 for count in terminating),
        collisionCount=deployment.status.collisionCount,
        conditions=listed,
    )


def is_complete(deployment: apps_v1.Deployment, status: apps_v1.DeploymentStatus) -> bool:
    """Whether all Pods are of the new template, available, and no others are left."""
    wanted = replicas(deployment)
    counts = {status.updatedReplicas or 0, status.replicas or 0, status.availableReplicas or 0}
    return counts == {wanted} and (status.observedGeneration or 0) >= (deployment.metadata.generation or 0)


def _has_progressed(old: apps_v1.DeploymentStatus, new: apps_v1.DeploymentStatus) -> bool:
    old_left = (old.replicas or 0) - (old.updatedReplicas or 0)
    new_left = (new.replicas or 0) - (new.updatedReplicas or 0)
    return (
        (new.updatedReplicas or 0) > (old.updatedReplicas or 0)
        or new_left < old_left
        or (new.readyReplicas or 0) > (old.readyReplicas or 0)
        or (new.availableReplicas or 0) > (old.availableReplicas or 0)
    )


def deadline(deployment: apps_v1.Deployment, progressing: apps_v1.DeploymentCondition) -> float:
    """The POSIX time at which the rollout counts as stuck."""
    updated = progressing.lastUpdateTime
    since = times.parse(updated).timestamp() if updated else 0.0
    return since + (deployment.spec.progressDeadlineSeconds or 0)


def _has_timed_out(deployment: apps_v1.Deployment, status: apps_v1.DeploymentStatus, now: datetime) -> bool:
    progressing = find(status, PROGRESSING)
    if progressing is None or progressing.reason == NEW_AVAILABLE:
        return False
    return progressing.reason == TIMED_OUT or deadline(deployment, progressing) < now.timestamp()


def rollout(deployment: apps_v1.Deployment, sets: Generations, now: datetime) -> apps_v1.DeploymentStatus:
    """The whole status while a rollout is under way, or has ended."""
    status = counted(deployment, sets, now)
    if not has_progress_deadline(deployment):
        status.conditions = conditions.remove_condition(status.conditions, PROGRESSING)
    elif not _had_completed(deployment, status):
        status.conditions = _progress(deployment, sets, status, now)
    status.conditions = _with_failures(status.conditions, sets, now)
    return status


def _had_completed(deployment: apps_v1.Deployment, status: apps_v1.DeploymentStatus) -> bool:
    """A finished rollout stays finished: Pods that fail later are no matter of progress."""
    current = find(deployment.status, PROGRESSING)
    return (
        (status.replicas or 0) == (status.updatedReplicas or 0)
        and current is not None
        and current.reason == NEW_AVAILABLE
    )


def _progress(
    deployment: apps_v1.Deployment, sets: Generations, status: apps_v1.DeploymentStatus, now: datetime
) -> list[apps_v1.DeploymentCondition]:
    what = f'Deployment "{deployment.metadata.name}"'
    if sets.new is not None:
        what = f'ReplicaSet "{sets.new.metadata.name}"'
    listed = status.conditions or []
    if is_complete(deployment, status):
        message = f"{what} has successfully progressed."
        return with_condition(listed, PROGRESSING, "True", NEW_AVAILABLE, message, now)
    if _has_progressed(deployment.status, status):
        return _progressed(listed, f"{what} is progressing.", now)
    if _has_timed_out(deployment, status, now):
        return with_condition(listed, PROGRESSING, "False", TIMED_OUT, f"{what} has timed out progressing.", now)
    return listed


def _progressed(listed: Conditions, message: str, now: datetime) -> list[apps_v1.DeploymentCondition]:
    """Progress restarts the deadline: the update time moves even where status and reason stay."""
    old = conditions.find_condition(listed, PROGRESSING)
    stamp = times.format_time(now)
    condition = apps_v1.DeploymentCondition(
        type=PROGRESSING,
        status="True",
        reason=UPDATED,
        message=message,
        lastUpdateTime=stamp,
        lastTransitionTime=old.lastTransitionTime if old is not None and old.status == "True" else stamp,
    )
    return [*conditions.remove_condition(listed, PROGRESSING), condition]


def _with_failures(
    listed: Conditions | None, sets: Generations, now: datetime
) -> list[apps_v1.DeploymentCondition] | None:
    """The first ReplicaSet's failure becomes the Deployment's; the new set's before all others'."""
    newest_first = [*([sets.new] if sets.new is not None else []), *sets.old]
    for rs in newest_first:
        failure = conditions.find_condition(rs.status.conditions, REPLICA_FAILURE)
        if failure is not None:
            return with_condition(
                listed, REPLICA_FAILURE, failure.status, failure.reason or "", failure.message or "", now
            )
    return conditions.remove_condition(listed, REPLICA_FAILURE) or None


def pause_condition(deployment: apps_v1.Deployment, now: datetime) -> list[apps_v1.DeploymentCondition] | None:
    """Conditions with pause or resumption noted, which stops the deadline; None if there is nothing to note."""
    if not has_progress_deadline(deployment):
        return None
    progressing = find(deployment.status, PROGRESSING)
    if progressing is not None and progressing.reason == TIMED_OUT:
        return None
    noted = progressing is not None and progressing.reason == PAUSED
    paused = bool(deployment.spec.paused)
    if paused == noted:
        return None
    reason, message = (PAUSED, "Deployment is paused") if paused else (RESUMED, "Deployment is resumed")
    return with_condition(deployment.status.conditions, PROGRESSING, "Unknown", reason, message, now)


def seconds_until_stuck(
    deployment: apps_v1.Deployment, status: apps_v1.DeploymentStatus, now: datetime
) -> float | None:
    """When to look whether the rollout has timed out; None if it cannot."""
    progressing = find(status, PROGRESSING)
    if progressing is None or not has_progress_deadline(deployment):
        return None
    if is_complete(deployment, status) or progressing.reason in (TIMED_OUT, NEW_AVAILABLE):
        return None
    # One second more: times in the API have no fractions.
    return max(0.0, deadline(deployment, progressing) - now.timestamp()) + 1.0


def replaced(deployment: apps_v1.Deployment, status: apps_v1.DeploymentStatus) -> apps_v1.Deployment:
    return msgspec.structs.replace(deployment, status=status)
