"""When a finished Job's time is over. Pure."""

from datetime import datetime, timedelta

from tiphys.api import batch_v1
from tiphys.machinery import times


def seconds_left(job: batch_v1.Job, now: datetime) -> float | None:
    """Until the Job is to be deleted, 0 or less if now; None if it is not."""
    ttl = job.spec.ttlSecondsAfterFinished
    if ttl is None or job.metadata.deletionTimestamp is not None:
        return None
    for condition in job.status.conditions or ():
        if condition.type in ("Complete", "Failed") and condition.status == "True" and condition.lastTransitionTime:
            return (times.parse(condition.lastTransitionTime) + timedelta(seconds=ttl) - now).total_seconds()
    return None
