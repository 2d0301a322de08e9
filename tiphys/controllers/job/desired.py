"""What a Job's Pods amount to, whether it has ended, and which Pods it should have. Pure.

One look at a Job goes through three steps: ``observe`` counts, ``verdict`` says
whether the end is decided, ``plan`` says what to create or delete. ``tracking``
then writes the counts so that each Pod is counted once.
"""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tiphys.api import batch_v1, core_v1
from tiphys.controllers import pods as podfacts
from tiphys.controllers.job import backoff, indexes, policies
from tiphys.machinery import conditions, times

FINALIZER = "batch.kubernetes.io/job-tracking"
MANAGER = "kubernetes.io/job-controller"
FAILURE_COUNT = "batch.kubernetes.io/job-index-failure-count"
IGNORED_COUNT = "batch.kubernetes.io/job-index-ignored-failure-count"

COMPLETE, FAILED, SUSPENDED = "Complete", "Failed", "Suspended"
FAILURE_TARGET, SUCCESS_CRITERIA_MET = "FailureTarget", "SuccessCriteriaMet"
#: Pods created or deleted in one look.
MOST_AT_ONCE = 500


@dataclass(slots=True)
class Look:
    """What one look at a Job found. ``active``, ``ready`` and ``terminating`` follow what is then done."""

    job: batch_v1.Job
    #: All Pods of the Job.
    pods: Sequence[core_v1.Pod]
    active_pods: Sequence[core_v1.Pod]
    #: Uids of Pods whose finalizer has been removed, which the cache may not show yet.
    released: Set[str]
    new_succeeded: list[core_v1.Pod]
    new_failed: list[core_v1.Pod]
    active: int = 0
    ready: int = 0
    terminating: int = 0
    succeeded: int = 0
    failed: int = 0
    #: As the status had it, and with what has succeeded since.
    counted_indexes: frozenset[int] = frozenset()
    succeeded_indexes: frozenset[int] = frozenset()
    #: None without backoffLimitPerIndex.
    failed_indexes: frozenset[int] | None = None
    #: Per index, the failed Pod that keeps its failure count until a successor carries it on.
    keepsakes: Mapping[int, core_v1.Pod] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    """``delete`` comes before ``create``; ``indexes`` are those of the Pods to create in an Indexed Job."""

    delete: tuple[core_v1.Pod, ...] = ()
    create: int = 0
    indexes: tuple[int, ...] = ()
    #: Look again after this time.
    wait: float | None = None


def is_indexed(job: batch_v1.Job) -> bool:
    return job.spec.completionMode == "Indexed"


def is_suspended(job: batch_v1.Job) -> bool:
    return bool(job.spec.suspend)


def is_finished(job: batch_v1.Job) -> bool:
    return any(c.type in (COMPLETE, FAILED) and c.status == "True" for c in job.status.conditions or ())


def is_ours(job: batch_v1.Job) -> bool:
    """Whether no other controller was named."""
    return job.spec.managedBy is None or job.spec.managedBy == MANAGER


def is_tracked(pod: core_v1.Pod) -> bool:
    return FINALIZER in pod.metadata.finalizers


def replaces_failed_only(job: batch_v1.Job) -> bool:
    """Whether a Pod that is going still holds its place."""
    return job.spec.podReplacementPolicy == "Failed" or job.spec.podFailurePolicy is not None


def has_failed(job: batch_v1.Job, pod: core_v1.Pod) -> bool:
    if pod.status.phase == "Failed":
        return True
    if replaces_failed_only(job):
        return False
    # A deleted Pod may never come to say that it failed.
    return pod.metadata.deletionTimestamp is not None and pod.status.phase != "Succeeded"


def completions_of(job: batch_v1.Job) -> int:
    return job.spec.completions or 0


def observe(job: batch_v1.Job, pods: Sequence[core_v1.Pod], released: Set[str]) -> Look:
    active = [pod for pod in pods if podfacts.is_active(pod)]
    uncounted = job.status.uncountedTerminatedPods or batch_v1.UncountedTerminatedPods()
    succeeded_uids, failed_uids = uncounted.succeeded or [], uncounted.failed or []
    fresh = [pod for pod in pods if is_tracked(pod) and pod.metadata.uid not in released]
    if is_indexed(job):
        fresh = [pod for pod in fresh if indexes.valid_index(pod, completions_of(job)) is not None]
    succeeded = [p for p in fresh if p.status.phase == "Succeeded" and p.metadata.uid not in succeeded_uids]
    failed = [p for p in fresh if has_failed(job, p) and p.metadata.uid not in failed_uids]
    look = Look(
        job=job,
        pods=pods,
        active_pods=active,
        released=released,
        new_succeeded=succeeded,
        new_failed=failed,
        active=len(active),
        ready=sum(map(podfacts.is_ready, active)),
        terminating=sum(map(podfacts.is_terminating, pods)),
        succeeded=(job.status.succeeded or 0) + len(succeeded) + len(succeeded_uids),
    )
    policy = job.spec.podFailurePolicy
    counted = sum(policies.judge(policy, pod).counts for pod in failed)
    look.failed = (job.status.failed or 0) + counted + len(failed_uids)
    if is_indexed(job):
        _observe_indexes(look, fresh)
    return look


def _observe_indexes(look: Look, fresh: Sequence[core_v1.Pod]) -> None:
    job, completions = look.job, completions_of(look.job)
    look.counted_indexes = indexes.parse(job.status.completedIndexes, completions)
    new = {indexes.index_of(pod) for pod in fresh if pod.status.phase == "Succeeded"}
    look.succeeded_indexes = look.counted_indexes | {index for index in new if index is not None}
    look.succeeded = len(look.succeeded_indexes)
    if job.spec.backoffLimitPerIndex is None:
        return
    gone = {indexes.index_of(pod) for pod in fresh if _index_has_failed(job, pod)}
    known = indexes.parse(job.status.failedIndexes, completions)
    look.failed_indexes = known | {index for index in gone if index is not None}
    look.keepsakes = _keepsakes(look, fresh)


def _index_has_failed(job: batch_v1.Job, pod: core_v1.Pod) -> bool:
    if not has_failed(job, pod):
        return False
    judged = policies.judge(job.spec.podFailurePolicy, pod)
    if judged.action == "FailIndex":
        return True
    return judged.counts and count_of(pod, FAILURE_COUNT) >= (job.spec.backoffLimitPerIndex or 0)


def count_of(pod: core_v1.Pod, annotation: str) -> int:
    found = pod.metadata.annotations.get(annotation, "")
    return int(found) if found.isascii() and found.isdigit() else 0


def tries(pod: core_v1.Pod) -> int:
    """Failures before this Pod at its index, whether they count or not."""
    return count_of(pod, FAILURE_COUNT) + count_of(pod, IGNORED_COUNT)


def _keepsakes(look: Look, fresh: Sequence[core_v1.Pod]) -> dict[int, core_v1.Pod]:
    done = look.succeeded_indexes | (look.failed_indexes or frozenset())
    running = {indexes.index_of(pod) for pod in look.active_pods}
    found: dict[int, core_v1.Pod] = {}
    for pod in fresh:
        index = indexes.index_of(pod)
        if index is None or index in done or index in running or not has_failed(look.job, pod):
            continue
        last = found.get(index)
        if last is None or (tries(last), backoff.finished_at(last)) <= (tries(pod), backoff.finished_at(pod)):
            found[index] = pod
    return found


def condition(kind: str, reason: str, message: str, now: datetime, status: str = "True") -> batch_v1.JobCondition:
    stamp = times.format_time(now)
    return batch_v1.JobCondition(
        type=kind, status=status, reason=reason, message=message, lastProbeTime=stamp, lastTransitionTime=stamp
    )


def verdict(look: Look, now: datetime) -> batch_v1.JobCondition | None:
    """FailureTarget (Failed, where that was said before) or SuccessCriteriaMet if the end is decided."""
    met = conditions.find_condition(look.job.status.conditions, SUCCESS_CRITERIA_MET)
    if met is not None and met.status == "True":
        return met
    return _failure(look, now) or _policy_success(look, now)


def _failure(look: Look, now: datetime) -> batch_v1.JobCondition | None:
    job = look.job
    target = conditions.find_condition(job.status.conditions, FAILURE_TARGET)
    if target is not None and target.status == "True":
        return condition(FAILED, target.reason or "", target.message or "", now)
    for pod in look.pods:
        judged = policies.judge(job.spec.podFailurePolicy, pod) if has_failed(job, pod) else None
        if judged is not None and judged.message:
            return condition(FAILURE_TARGET, "PodFailurePolicy", judged.message, now)
    if look.failed > _backoff_limit(job) or _restarted_too_often(look):
        text = "Job has reached the specified backoff limit"
        return condition(FAILURE_TARGET, "BackoffLimitExceeded", text, now)
    left = seconds_to_deadline(job, now)
    if left is not None and left <= 0:
        text = "Job was active longer than specified deadline"
        return condition(FAILURE_TARGET, "DeadlineExceeded", text, now)
    return _index_failure(look, now)


def _index_failure(look: Look, now: datetime) -> batch_v1.JobCondition | None:
    lost, job = look.failed_indexes, look.job
    if lost is None:
        return None
    if job.spec.maxFailedIndexes is not None and len(lost) > job.spec.maxFailedIndexes:
        text = "Job has exceeded the specified maximal number of failed indexes"
        return condition(FAILURE_TARGET, "MaxFailedIndexesExceeded", text, now)
    if lost and len(lost) + len(look.succeeded_indexes) >= completions_of(job):
        return condition(FAILURE_TARGET, "FailedIndexes", "Job has failed indexes", now)
    return None


def _policy_success(look: Look, now: datetime) -> batch_v1.JobCondition | None:
    if not is_indexed(look.job):
        return None
    rule = policies.success_rule(look.job.spec.successPolicy, look.succeeded_indexes, completions_of(look.job))
    if rule is None:
        return None
    return condition(SUCCESS_CRITERIA_MET, "SuccessPolicy", f"Matched rules at index {rule}", now)


def _backoff_limit(job: batch_v1.Job) -> int:
    return 6 if job.spec.backoffLimit is None else job.spec.backoffLimit


def _restarted_too_often(look: Look) -> bool:
    if look.job.spec.template.spec.restartPolicy != "OnFailure":
        return False
    restarts, limit = policies.restarts(look.pods), _backoff_limit(look.job)
    return restarts > 0 if limit == 0 else restarts >= limit


def seconds_to_deadline(job: batch_v1.Job, now: datetime) -> float | None:
    """Until the Job has been active too long; None if it may be active for ever, or is not."""
    limit = job.spec.activeDeadlineSeconds
    if limit is None or job.status.startTime is None or is_suspended(job):
        return None
    return (times.parse(job.status.startTime) + timedelta(seconds=limit) - now).total_seconds()


def is_complete(look: Look) -> bool:
    """Whether enough have succeeded, and none is left that runs."""
    if look.active:
        return False
    if look.job.spec.completions is None:
        return look.succeeded > 0
    return look.succeeded >= look.job.spec.completions


def plan(look: Look, record: backoff.Record, now: datetime) -> Plan:
    """What to do for a Job whose end is not decided."""
    job = look.job
    if is_suspended(job):
        return Plan(delete=tuple(look.active_pods))
    wanted = _wanted(look)
    surplus = _surplus(look, max(0, look.active - wanted))
    if surplus:
        return Plan(delete=tuple(surplus[:MOST_AT_ONCE]))
    held = look.terminating if replaces_failed_only(job) else 0
    lacking = wanted - held - look.active
    if lacking <= 0:
        return Plan()
    if job.spec.backoffLimitPerIndex is None:
        left = backoff.seconds_left(record.failures, record.last_failure, now)
        if left > 0:
            return Plan(wait=left)
    lacking = min(lacking, MOST_AT_ONCE)
    return _plan_indexes(look, lacking, now) if is_indexed(job) else Plan(create=lacking)


def _wanted(look: Look) -> int:
    job = look.job
    parallelism = 1 if job.spec.parallelism is None else job.spec.parallelism
    if job.spec.completions is None:
        # Once one has succeeded, whatever still runs may end by itself.
        return look.active if look.succeeded > 0 else parallelism
    left = job.spec.completions - look.succeeded - len(look.failed_indexes or ())
    return max(0, min(left, parallelism))


def _surplus(look: Look, at_least: int) -> list[core_v1.Pod]:
    chosen: list[core_v1.Pod] = []
    left = sorted(look.active_pods, key=podfacts.deletion_rank)
    if is_indexed(look.job):
        chosen, left = _twins(left, completions_of(look.job))
    return chosen + left[: max(0, at_least - len(chosen))]


def _twins(ranked: Sequence[core_v1.Pod], completions: int) -> tuple[list[core_v1.Pod], list[core_v1.Pod]]:
    """Pods with no valid index or one that a better Pod has, and the rest; ``ranked`` has the best last."""
    best = {indexes.valid_index(pod, completions): pod for pod in ranked}
    best.pop(None, None)
    kept = {pod.metadata.uid for pod in best.values()}
    return (
        [pod for pod in ranked if pod.metadata.uid not in kept],
        [pod for pod in ranked if pod.metadata.uid in kept],
    )


def _plan_indexes(look: Look, lacking: int, now: datetime) -> Plan:
    job = look.job
    taken = {indexes.index_of(pod) for pod in look.active_pods}
    if replaces_failed_only(job):
        taken |= {indexes.index_of(pod) for pod in look.pods if podfacts.is_terminating(pod)}
    done = look.succeeded_indexes | (look.failed_indexes or frozenset()) | {i for i in taken if i is not None}
    missing = indexes.first_missing(done, lacking, completions_of(job))
    waits = {index: _index_wait(look, index, now) for index in missing}
    ready = tuple(index for index in missing if waits[index] <= 0)
    later = min((wait for wait in waits.values() if wait > 0), default=None)
    return Plan(create=len(ready), indexes=ready, wait=later)


def _index_wait(look: Look, index: int, now: datetime) -> float:
    last = look.keepsakes.get(index)
    if last is None:
        return 0.0
    return backoff.seconds_left(tries(last) + 1, backoff.finished_at(last), now)
