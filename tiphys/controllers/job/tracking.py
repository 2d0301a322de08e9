"""Counting each finished Pod once, though status and finalizers are two writes. Pure.

A finished Pod's uid is first written to ``status.uncountedTerminatedPods``; then
its finalizer is removed; then it moves from there into the counter. Whatever
step is interrupted, the next look finds out where it was. In an Indexed Job a
success is known by its index instead.
Source: KEP-2307 Job tracking without lingering Pods, "Proposal".
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from tiphys.api import batch_v1, core_v1
from tiphys.controllers.job import desired, indexes, policies
from tiphys.controllers.job.desired import Look
from tiphys.machinery import conditions

#: Keeps the uids in a status below 20 KB.
MOST_UNCOUNTED = 500


@dataclass(frozen=True, slots=True)
class Count:
    """A status to write before the finalizers of ``release`` are removed; ``end`` is to be said after that."""

    status: batch_v1.JobStatus
    release: tuple[core_v1.Pod, ...]
    #: Uids of all Pods that still carry the finalizer.
    tracked: frozenset[str]
    end: batch_v1.JobCondition | None
    #: Whether all finished Pods are counted in this step.
    whole: bool


def counted(look: Look, status: batch_v1.JobStatus, finished: batch_v1.JobCondition | None, now: datetime) -> Count:
    """``finished`` is the verdict, None while Pods of a decided Job are still being deleted."""
    job = look.job
    pods: Sequence[core_v1.Pod] = look.pods
    if desired.is_indexed(job):
        pods = sorted(pods, key=lambda pod: ((found := indexes.index_of(pod)) is not None and found) or 0)
    tracked = frozenset(p.metadata.uid for p in pods if desired.is_tracked(p) and p.metadata.uid not in look.released)
    status = settled(status, tracked)
    uncounted = status.uncountedTerminatedPods or batch_v1.UncountedTerminatedPods()
    tally = _Tally(look, finished, [*(uncounted.succeeded or ())], [*(uncounted.failed or ())])
    whole = all(tally.add(pod) for pod in pods if pod.metadata.uid in tracked)
    status = msgspec.structs.replace(
        status,
        uncountedTerminatedPods=batch_v1.UncountedTerminatedPods(
            succeeded=tally.succeeded or None, failed=tally.failed or None
        ),
    )
    if desired.is_indexed(job):
        done = look.counted_indexes | tally.indexes
        status.succeeded = len(done) or None
        status.completedIndexes = indexes.text(done) or None
        status.failedIndexes = indexes.text(look.failed_indexes) if look.failed_indexes is not None else None
    status, end = _announced(status, finished, now)
    return Count(status, tuple(tally.release), tracked, end, whole)


class _Tally:
    """Goes through Pods and notes what each counts as."""

    def __init__(
        self, look: Look, finished: batch_v1.JobCondition | None, succeeded: list[str], failed: list[str]
    ) -> None:
        self.look, self.finished = look, finished
        self.succeeded, self.failed = succeeded, failed
        self.known_succeeded, self.known_failed = frozenset(succeeded), frozenset(failed)
        self.indexes: set[int] = set()
        self.release: list[core_v1.Pod] = []

    def add(self, pod: core_v1.Pod) -> bool:
        """False if no more may be counted in this step."""
        failed = desired.has_failed(self.look.job, pod)
        if not self._may_release(pod, failed):
            return True
        self.release.append(pod)
        uid = pod.metadata.uid
        if pod.status.phase == "Succeeded" and uid not in self.known_failed:
            self._add_succeeded(pod, uid)
        elif failed or self._is_lost():
            self._add_failed(pod, uid)
        return len(self.indexes) + len(self.succeeded) + len(self.failed) < MOST_UNCOUNTED

    def _is_lost(self) -> bool:
        """Of a Job that failed, whatever has not ended well counts as failed."""
        return self.finished is not None and self.finished.type != desired.SUCCESS_CRITERIA_MET

    def _may_release(self, pod: core_v1.Pod, failed: bool) -> bool:
        job = self.look.job
        if job.metadata.deletionTimestamp is not None or self.finished is not None or pod.status.phase == "Succeeded":
            return True
        if not failed:
            return False
        index = indexes.index_of(pod)
        keepsake = self.look.keepsakes.get(index) if index is not None else None
        return keepsake is None or keepsake.metadata.uid != pod.metadata.uid

    def _add_succeeded(self, pod: core_v1.Pod, uid: str) -> None:
        job = self.look.job
        if not desired.is_indexed(job):
            if uid not in self.known_succeeded:
                self.succeeded.append(uid)
            return
        index = indexes.valid_index(pod, desired.completions_of(job))
        if index is not None and index not in self.look.counted_indexes:
            self.indexes.add(index)

    def _add_failed(self, pod: core_v1.Pod, uid: str) -> None:
        job = self.look.job
        if uid in self.known_failed:
            return
        if desired.is_indexed(job) and indexes.valid_index(pod, desired.completions_of(job)) is None:
            return
        if policies.judge(job.spec.podFailurePolicy, pod).counts:
            self.failed.append(uid)


def _announced(
    status: batch_v1.JobStatus, finished: batch_v1.JobCondition | None, now: datetime
) -> tuple[batch_v1.JobStatus, batch_v1.JobCondition | None]:
    """The status with the decision said, and the final condition that follows once all Pods have gone."""
    if finished is None:
        return status, None
    ends = {desired.FAILURE_TARGET: desired.FAILED, desired.SUCCESS_CRITERIA_MET: desired.COMPLETE}
    end = ends.get(finished.type)
    if end is None:
        return status, finished
    if not conditions.is_true(status.conditions, finished.type):
        status = msgspec.structs.replace(status, conditions=[*(status.conditions or ()), finished])
    return status, desired.condition(end, finished.reason or "", finished.message or "", now)


def settled(status: batch_v1.JobStatus, tracked: Collection[str]) -> batch_v1.JobStatus:
    """Uids of Pods that carry the finalizer no longer have moved into the counters."""
    uncounted = status.uncountedTerminatedPods or batch_v1.UncountedTerminatedPods()
    succeeded = [uid for uid in uncounted.succeeded or () if uid in tracked]
    failed = [uid for uid in uncounted.failed or () if uid in tracked]
    more_succeeded = len(uncounted.succeeded or ()) - len(succeeded)
    more_failed = len(uncounted.failed or ()) - len(failed)
    return msgspec.structs.replace(
        status,
        succeeded=((status.succeeded or 0) + more_succeeded) or None,
        failed=((status.failed or 0) + more_failed) or None,
        uncountedTerminatedPods=batch_v1.UncountedTerminatedPods(succeeded=succeeded or None, failed=failed or None),
    )


def ended(
    status: batch_v1.JobStatus, end: batch_v1.JobCondition | None, terminating: int, now: datetime
) -> batch_v1.JobStatus | None:
    """The final status; None while anything is uncounted or still going."""
    if end is None or terminating > 0:
        return None
    uncounted = status.uncountedTerminatedPods
    if uncounted is not None and (uncounted.succeeded or uncounted.failed):
        return None
    listed = conditions.set_condition(status.conditions, end, now)
    completed = end.lastTransitionTime if end.type == desired.COMPLETE else status.completionTime
    return msgspec.structs.replace(status, conditions=listed, completionTime=completed)
