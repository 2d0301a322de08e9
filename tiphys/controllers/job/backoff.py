"""When a failed Pod may be replaced: 10 s after the first failure, doubling up to ten minutes. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from tiphys.api import core_v1
from tiphys.controllers import pods as podfacts
from tiphys.machinery import times

FIRST_SECONDS = 10.0
LONGEST_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Record:
    """Failures in a row of one Job. Kept in memory only: after a restart one starts anew, as Kubernetes does."""

    failures: int = 0
    last_failure: datetime | None = None


def following(record: Record, succeeded: Sequence[core_v1.Pod], failed: Sequence[core_v1.Pod]) -> Record:
    """The record after Pods have finished that had not been seen finished before."""
    failures, last = record.failures, record.last_failure
    ends = sorted(finished_at(pod) for pod in failed)
    if succeeded:
        success = max(finished_at(pod) for pod in succeeded)
        failures, last = 0, None
        ends = [end for end in ends if end > success]
    if ends:
        failures += len(ends)
        last = max(ends[-1], last) if last is not None else ends[-1]
    return Record(failures, last)


def seconds_left(failures: int, last_failure: datetime | None, now: datetime) -> float:
    """Seconds until the next try after so many failures in a row; 0 if it may be made."""
    if not failures or last_failure is None:
        return 0.0
    # Beyond 2**10 the limit holds anyway.
    wait = min(FIRST_SECONDS * (1 << min(failures - 1, 10)), LONGEST_SECONDS)
    return max(0.0, wait - (now - last_failure).total_seconds())


def finished_at(pod: core_v1.Pod) -> datetime:
    """When the Pod ended: its last container, else when it became not ready, was deleted, or was created."""
    ends = [
        status.state.terminated.finishedAt if status.state and status.state.terminated else None
        for status in pod.status.containerStatuses or ()
    ]
    if ends and all(ends):
        return max(times.parse(end) for end in ends if end)
    ready = podfacts.find_condition(pod, "Ready")
    if ready is not None and ready.status == "False" and ready.lastTransitionTime:
        return times.parse(ready.lastTransitionTime)
    metadata = pod.metadata
    if metadata.deletionTimestamp is not None:
        return times.parse(metadata.deletionTimestamp) - timedelta(seconds=metadata.deletionGracePeriodSeconds or 0)
    return times.parse(metadata.creationTimestamp or "1970-01-01T00:00:00Z")
