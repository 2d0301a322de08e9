"""CronJobs: schedules and decisions as tables, and their life against the API server in memory."""

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.controllers.cluster import Cluster
from tests.controllers.test_desired import NOW, ago
from tests.controllers.test_jobs import finish, job, running
from tiphys.api import batch_v1, core_v1, meta_v1
from tiphys.controllers.cronjob import desired
from tiphys.machinery import cron


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("schedule", "after", "then"),
    [
        ("* * * * *", "2026-01-31 08:00:30", "2026-01-31 08:01"),
        ("*/15 * * * *", "2026-01-31 08:45", "2026-01-31 09:00"),
        ("5 4 * * *", "2026-01-31 08:00", "2026-02-01 04:05"),
        ("0 0 31 * *", "2026-01-31 00:00", "2026-03-31 00:00"),
        ("0 0 29 2 *", "2026-01-31 00:00", "2028-02-29 00:00"),
        ("0 12 * * MON-FRI", "2026-01-30 13:00", "2026-02-02 12:00"),
        ("0 0 13 * fri", "2026-01-31 00:00", "2026-02-06 00:00"),
        ("0 0 */2 * mon", "2026-01-31 00:00", "2026-02-01 00:00"),
        ("0 0 1,15 jan,jul ?", "2026-01-15 00:00", "2026-07-01 00:00"),
        ("50/5 3-5/2 * * *", "2026-01-31 03:55", "2026-01-31 05:50"),
        ("@weekly", "2026-01-31 00:00", "2026-02-01 00:00"),
        ("@every 90m", "2026-01-31 00:00:10", "2026-01-31 01:30:10"),
    ],
)
def test_next(schedule: str, after: str, then: str) -> None:
    assert cron.parse(schedule).next(at(after)) == at(then)


@pytest.mark.parametrize(
    ("schedule", "zone", "after", "then"),
    [
        ("0 9 * * *", "America/New_York", "2026-01-31 00:00", "2026-01-31 14:00"),
        ("0 9 * * *", "America/New_York", "2026-07-31 00:00", "2026-07-31 13:00"),
        # Skipped when clocks go forward, twice when they go back.
        ("30 2 * * *", "Europe/Berlin", "2026-03-28 12:00", "2026-03-30 00:30"),
        ("30 2 * * *", "Europe/Berlin", "2026-10-25 00:30", "2026-10-25 01:30"),
        ("0 0 * * *", "Asia/Kolkata", "2026-01-31 00:00", "2026-01-31 18:30"),
    ],
)
def test_next_in_a_time_zone(schedule: str, zone: str, after: str, then: str) -> None:
    assert cron.parse(schedule).next(at(after), ZoneInfo(zone)) == at(then)


def test_a_time_that_never_comes() -> None:
    assert cron.parse("59 23 31 2 *").next(NOW) is None


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        ("* * * *", "expected exactly 5 fields, found 4: [* * * *]"),
        ("60 * * * *", "end of range (60) above maximum (59): 60"),
        ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
        ("* * * * 7", "end of range (7) above maximum (6): 7"),
        ("5-2 * * * *", "beginning of range (5) beyond end of range (2): 5-2"),
        ("*/0 * * * *", "step of range should be a positive number: */0"),
        ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
        ("x * * * *", 'failed to parse int from x: strconv.Atoi: parsing "x": invalid syntax'),
        ("@often", "unrecognized descriptor: @often"),
    ],
)
def test_bad_schedules(schedule: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        cron.parse(schedule)
    assert str(caught.value) == message


def cron_job(schedule: str = "* * * * *", **spec: Any) -> batch_v1.CronJob:
    return batch_v1.CronJob(
        metadata=meta_v1.ObjectMeta(name="tick", namespace="default"),
        spec=batch_v1.CronJobSpec(schedule=schedule, jobTemplate=batch_v1.JobTemplateSpec(spec=job().spec), **spec),
    )


@pytest.mark.parametrize(
    ("schedule", "last", "spec", "then", "missed"),
    [
        ("0 * * * *", 7 * 60, {}, "2026-01-31 08:00", 0),
        ("5 * * * *", 7 * 60, {}, None, 0),
        ("0 * * * *", 7 * 3600, {}, "2026-01-31 08:00", 7),
        ("* * * * *", 3 * 3600, {}, "2026-01-31 08:00", 180),
        ("* * * * *", 3 * 3600, {"startingDeadlineSeconds": 120}, "2026-01-31 08:00", 2),
        ("10 * * * *", 3 * 3600, {"startingDeadlineSeconds": 600}, None, 0),
    ],
    ids=["due", "not yet", "several missed", "many missed", "deadline forgives", "beyond the deadline"],
)
def test_due(schedule: str, last: float, spec: Any, then: str | None, missed: int) -> None:
    wanted = cron_job(schedule, **spec)
    wanted.status.lastScheduleTime = ago(last)
    found = desired.due(wanted, cron.parse(schedule), UTC, NOW)
    assert found.at == (at(then) if then else None)
    assert abs(found.missed - missed) <= 1


def test_history_keeps_the_youngest() -> None:
    def ended(name: str, kind: str, seconds: float) -> batch_v1.Job:
        made = job(name)
        made.status.startTime = ago(seconds)
        made.status.conditions = [batch_v1.JobCondition(type=kind, status="True")]
        return made

    jobs = [ended("a", "Complete", 10), ended("b", "Complete", 30), ended("c", "Failed", 5), ended("d", "Failed", 6)]
    limits = cron_job(successfulJobsHistoryLimit=1, failedJobsHistoryLimit=0)
    assert [j.metadata.name for j in desired.history(limits, [*jobs, job("runs")])] == ["b", "d", "c"]


# Against the server


@pytest.fixture
async def cluster():
    async with Cluster() as found:
        yield found


async def jobs(cluster: Cluster, count: int) -> list[batch_v1.Job]:
    def look() -> list[batch_v1.Job] | None:
        found = [j for j in cluster.all(batch_v1.Job) if j.metadata.deletionTimestamp is None]
        return found if len(found) == count else None

    found: list[batch_v1.Job] = await cluster.until(look, batch_v1.Job)
    return found


async def test_cron_job_starts_and_lists_jobs(cluster: Cluster) -> None:
    await cluster.create(cron_job())
    cluster.clock.advance(61)
    (made,) = await jobs(cluster, 1)
    found = await cluster.until(
        lambda: (c := cluster.all(batch_v1.CronJob)) and c[0].status.active and c[0], batch_v1.CronJob
    )
    assert found.status.active[0].uid == made.metadata.uid
    minutes = int(datetime.fromisoformat(found.status.lastScheduleTime).timestamp()) // 60
    assert made.metadata.name == f"tick-{minutes}"
    assert made.metadata.annotations[desired.SCHEDULED_AT] == found.status.lastScheduleTime
    (pod,) = await running(cluster, 1)
    await finish(cluster, pod)
    done = await cluster.until(
        lambda: (c := cluster.all(batch_v1.CronJob)) and c[0].status.lastSuccessfulTime and c[0], batch_v1.CronJob
    )
    assert done.status.active is None
    reasons = await cluster.until(
        lambda: (r := {e.reason for e in cluster.all(core_v1.Event)}) and "SawCompletedJob" in r and r, core_v1.Event
    )
    assert {"SuccessfulCreate", "SawCompletedJob"} <= reasons


async def test_forbid_waits_and_replace_replaces(cluster: Cluster) -> None:
    await cluster.create(cron_job(concurrencyPolicy="Forbid"))
    cluster.clock.advance(61)
    (first,) = await jobs(cluster, 1)
    cluster.clock.advance(60)
    await cluster.until(lambda: any(e.reason == "JobAlreadyActive" for e in cluster.all(core_v1.Event)), core_v1.Event)
    assert [j.metadata.uid for j in cluster.all(batch_v1.Job)] == [first.metadata.uid]
    await cluster.change(batch_v1.CronJob, "tick", lambda c: setattr(c.spec, "concurrencyPolicy", "Replace"))
    cluster.clock.advance(60)
    await cluster.until(
        lambda: (
            [j.metadata.uid for j in cluster.all(batch_v1.Job) if j.metadata.uid != first.metadata.uid]
            and first.metadata.uid not in {j.metadata.uid for j in cluster.all(batch_v1.Job)}
        ),
        batch_v1.Job,
    )


async def test_suspended_cron_job_rests(cluster: Cluster) -> None:
    await cluster.create(cron_job(suspend=True))
    cluster.clock.advance(300)
    await cluster.caught_up(cluster.watch.of(batch_v1.CronJob))
    assert cluster.all(batch_v1.Job) == []
    await cluster.change(batch_v1.CronJob, "tick", lambda c: setattr(c.spec, "suspend", False))
    # Of all that was missed, only the last is made up for.
    await jobs(cluster, 1)
