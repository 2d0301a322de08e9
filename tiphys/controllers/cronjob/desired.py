"""Which scheduled time is due, when to look again, and which Jobs are too old to keep. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo

from tiphys.api import batch_v1, meta_v1
from tiphys.machinery import codec, meta, times
from tiphys.machinery.cron import Schedule

SCHEDULED_AT = "batch.kubernetes.io/cronjob-scheduled-timestamp"
#: Missing more starts than these is worth a warning.
MANY_MISSED = 100
#: Clocks differ a little: we look after the time has come and not just before.
LATENESS_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Due:
    """``at`` is the last scheduled time that has passed and may still be started; ``missed`` counts roughly."""

    earliest: datetime
    at: datetime | None
    missed: int = 0


def due(
    cron_job: batch_v1.CronJob, schedule: Schedule, zone: tzinfo, now: datetime, *, with_deadline: bool = True
) -> Due:
    """Raises ValueError if the schedule names no times."""
    earliest = times.parse(cron_job.status.lastScheduleTime or cron_job.metadata.creationTimestamp or "")
    deadline = cron_job.spec.startingDeadlineSeconds
    if with_deadline and deadline is not None:
        earliest = max(earliest, now - timedelta(seconds=deadline))
    first = schedule.next(earliest, zone)
    second = schedule.next(first, zone) if first is not None else None
    if first is None or second is None:
        raise ValueError("time difference between two schedules is less than 1 second")
    if now < first:
        return Due(earliest, None)
    if now < second:
        return Due(earliest, first)
    # The distance of two starts need not be that of all: a guess to begin with, and then step by step.
    apart = round((second - first).total_seconds())
    missed = int((now - first).total_seconds()) // apart + 1
    last: datetime | None = None
    found = schedule.next(first + timedelta(seconds=(missed - 2) * apart), zone)
    while found is not None and found <= now:
        last, found = found, schedule.next(found, zone)
    return Due(earliest, last, missed)


def seconds_to_next(cron_job: batch_v1.CronJob, schedule: Schedule, zone: tzinfo, now: datetime) -> float | None:
    """Until the next scheduled time; None if none comes."""
    try:
        found = due(cron_job, schedule, zone, now, with_deadline=False)
    except ValueError:
        after = now
    else:
        after = found.at or (now if found.missed else found.earliest)
    then = schedule.next(after, zone)
    return (then - now).total_seconds() + LATENESS_SECONDS if then is not None else None


def is_too_late(cron_job: batch_v1.CronJob, at: datetime, now: datetime) -> bool:
    deadline = cron_job.spec.startingDeadlineSeconds
    return deadline is not None and at + timedelta(seconds=deadline) < now


def job_name(cron_job: batch_v1.CronJob, at: datetime) -> str:
    """The same for the same time, so that no time is started twice."""
    return f"{cron_job.metadata.name}-{int(at.timestamp()) // 60}"


def new_job(cron_job: batch_v1.CronJob, at: datetime, zone: tzinfo) -> batch_v1.Job:
    template = cron_job.spec.jobTemplate
    stamp = at.astimezone(zone).isoformat(timespec="seconds").replace("+00:00", "Z")
    return batch_v1.Job(
        metadata=meta_v1.ObjectMeta(
            name=job_name(cron_job, at),
            namespace=cron_job.metadata.namespace,
            labels=dict(template.metadata.labels),
            annotations={**template.metadata.annotations, SCHEDULED_AT: stamp},
            ownerReferences=[meta.owner_reference(cron_job, controller=True)],
        ),
        spec=codec.copy(template.spec),
    )


def outcome(job: batch_v1.Job) -> str:
    """``Complete`` or ``Failed``; empty while the Job goes on."""
    for condition in job.status.conditions or ():
        if condition.type in ("Complete", "Failed") and condition.status == "True":
            return condition.type
    return ""


def history(cron_job: batch_v1.CronJob, jobs: Sequence[batch_v1.Job]) -> list[batch_v1.Job]:
    """Finished Jobs beyond the limits, the oldest first."""
    limits = (
        ("Complete", cron_job.spec.successfulJobsHistoryLimit),
        ("Failed", cron_job.spec.failedJobsHistoryLimit),
    )
    found: list[batch_v1.Job] = []
    for wanted, limit in limits:
        if limit is None:
            continue
        ended = sorted((job for job in jobs if outcome(job) == wanted), key=_age)
        found += ended[: max(0, len(ended) - limit)]
    return found


def _age(job: batch_v1.Job) -> tuple[bool, str, str]:
    """Those that never started count as the youngest."""
    return job.status.startTime is None, job.status.startTime or "", job.metadata.name
