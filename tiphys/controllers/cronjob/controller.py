"""Wires the CronJob controller: events to keys, decisions to calls."""

from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from tiphys.api import batch_v1, core_v1
from tiphys.client import Done, RequeueAfter, Result
from tiphys.controllers import ownership
from tiphys.controllers.base import Context, Controller
from tiphys.controllers.cronjob import desired
from tiphys.controllers.terminating import is_namespace_terminating
from tiphys.machinery import cron, errors, meta, times

CronJob = batch_v1.CronJob
Job = batch_v1.Job


class CronJobController(Controller):
    name = "cronjob"
    component = "cronjob-controller"
    concurrency = 5

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.cron_jobs = self.informers.of(CronJob)
        self.jobs = self.informers.of(Job)
        self._cron_client = self.client.of(CronJob)
        self._job_client = self.client.of(Job)
        self.jobs.add_index("controller", ownership.index_by_controller)
        self.cron_jobs.add_handler(self.enqueue, lambda _, new: self.enqueue(new))
        self.jobs.add_handler(self._job_seen, self._job_updated, self._job_seen)

    # Events

    def _job_seen(self, job: Job) -> None:
        owner = meta.controller_of(job)
        if owner is None or owner.kind != "CronJob":
            return
        found = self.cron_jobs.get(f"{job.metadata.namespace}/{owner.name}")
        if found is not None and found.metadata.uid == owner.uid:
            self.enqueue(found)

    def _job_updated(self, old: Job, new: Job) -> None:
        if old.metadata.ownerReferences != new.metadata.ownerReferences:
            self._job_seen(old)
        self._job_seen(new)

    # Reconciling

    async def reconcile(self, key: str) -> Result:
        cached = self.cron_jobs.get(key)
        if cached is None:
            return Done()
        jobs = self.jobs.by_index("controller", cached.metadata.uid)
        look = _Look(self, cached)
        await look.clean_up(jobs)
        try:
            wait = await look.sync(jobs)
        finally:
            # What has been done is written down whatever went wrong after it.
            if look.status != cached.status:
                await self._cron_client.update_status(msgspec.structs.replace(cached, status=look.status))
        return RequeueAfter(wait) if wait is not None else Done()

    async def find_job(self, namespace: str, name: str) -> Job | None:
        try:
            return await self._job_client.get(name, namespace)
        except errors.NotFound:
            return None

    async def create_job(self, job: Job) -> Job:
        return await self._job_client.create(job)

    async def delete_job(self, cron_job: CronJob, job: Job) -> None:
        try:
            metadata = job.metadata
            await self._job_client.delete(metadata.name, metadata.namespace, propagation="Background")
        except errors.NotFound:
            return
        except (errors.StatusError, ConnectionError) as error:
            self.recorder.event(cron_job, "Warning", "FailedDelete", f"Deleted job: {error}")
            raise
        self.recorder.event(cron_job, "Normal", "SuccessfulDelete", f"Deleted job {job.metadata.name}")

    async def fresh_status(self, cron_job: CronJob) -> batch_v1.CronJobStatus:
        fresh = await self._cron_client.get(cron_job.metadata.name, cron_job.metadata.namespace)
        return fresh.status


class _Look:
    """One reconcile of one CronJob; ``status`` is what is to be written when it ends."""

    def __init__(self, controller: CronJobController, cron_job: CronJob) -> None:
        self.controller = controller
        self.cron_job = cron_job
        self.status = cron_job.status
        self.now = controller.clock.now()

    @property
    def active(self) -> Sequence[core_v1.ObjectReference]:
        return self.status.active or ()

    def _event(self, kind: str, reason: str, message: str) -> None:
        self.controller.recorder.event(self.cron_job, kind, reason, message)

    def _with(self, **changes: object) -> None:
        self.status = msgspec.structs.replace(self.status, **changes)

    def _forget(self, uid: str | None) -> None:
        self._with(active=[ref for ref in self.active if ref.uid != uid] or None)

    async def clean_up(self, jobs: Sequence[Job]) -> None:
        for job in desired.history(self.cron_job, jobs):
            await self.controller.delete_job(self.cron_job, job)
            self._forget(job.metadata.uid)

    async def sync(self, jobs: Sequence[Job]) -> float | None:
        """Seconds until the next time; None if nothing but an event brings one."""
        await self._compare(jobs)
        spec = self.cron_job.spec
        if self.cron_job.metadata.deletionTimestamp is not None:
            return None
        zone = self._zone()
        if zone is None or spec.suspend:
            return None
        try:
            schedule = cron.parse(spec.schedule)
        except ValueError as error:
            self._event("Warning", "UnparseableSchedule", f'unparseable schedule: "{spec.schedule}" : {error}')
            return None
        try:
            found = desired.due(self.cron_job, schedule, zone, self.now)
        except ValueError as error:
            self._event("Warning", "InvalidSchedule", f"invalid schedule: {spec.schedule} : {error}")
            return None
        if found.missed > desired.MANY_MISSED:
            text = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew"
            self._event("Warning", "TooManyMissedTimes", text)
        if found.at is not None and not await self._start(found.at, zone):
            return None
        current = msgspec.structs.replace(self.cron_job, status=self.status)
        return desired.seconds_to_next(current, schedule, zone, self.now)

    def _zone(self) -> tzinfo | None:
        name = self.cron_job.spec.timeZone
        if name is None:
            return UTC
        try:
            return ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            text = f'invalid timeZone: "{name}": unknown time zone {name}'
            self._event("Warning", "UnknownTimeZone", text)
            return None

    async def _compare(self, jobs: Sequence[Job]) -> None:
        """The list of active Jobs against those that there are."""
        for job in jobs:
            uid, ended = job.metadata.uid, desired.outcome(job)
            listed = any(ref.uid == uid for ref in self.active)
            if not listed and not ended:
                fresh = await self.controller.fresh_status(self.cron_job)
                if any(ref.uid == uid for ref in fresh.active or ()):
                    self.status = fresh
                    continue
                text = f"Saw a job that the controller did not create or forgot: {job.metadata.name}"
                self._event("Warning", "UnexpectedJob", text)
            elif listed and ended:
                self._forget(uid)
                text = f"Saw completed job: {job.metadata.name}, condition: {ended}"
                self._event("Normal", "SawCompletedJob", text)
            finished = job.status.completionTime
            if ended == "Complete" and finished and finished > (self.status.lastSuccessfulTime or ""):
                self._with(lastSuccessfulTime=finished)
        known = {job.metadata.uid for job in jobs}
        for ref in [ref for ref in self.active if ref.uid not in known]:
            # The cache may be behind what we created.
            if await self.controller.find_job(ref.namespace or "", ref.name or "") is None:
                self._event("Normal", "MissingJob", f"Active job went missing: {ref.name}")
                self._forget(ref.uid)

    async def _start(self, at: datetime, zone: tzinfo) -> bool:
        """Whether it is worth waiting for the next time now."""
        if desired.is_too_late(self.cron_job, at, self.now):
            when = at.astimezone(UTC).strftime("%a, %d %b %Y %H:%M:%S +0000")
            self._event("Warning", "MissSchedule", f"Missed scheduled time to start a job: {when}")
            return True
        name = desired.job_name(self.cron_job, at)
        stamp = times.format_time(at)
        if self.status.lastScheduleTime == stamp or any(ref.name == name for ref in self.active):
            return True
        policy = self.cron_job.spec.concurrencyPolicy
        if policy == "Forbid" and self.active:
            text = "Not starting job because prior execution is running and concurrency policy is Forbid"
            self._event("Normal", "JobAlreadyActive", text)
            return True
        if policy == "Replace":
            await self._replace()
        job = await self._create(at, zone)
        if job is None:
            return False
        reference = core_v1.ObjectReference(
            apiVersion="batch/v1",
            kind="Job",
            name=job.metadata.name,
            namespace=job.metadata.namespace,
            uid=job.metadata.uid,
            resourceVersion=job.metadata.resourceVersion,
        )
        self._with(active=[*self.active, reference], lastScheduleTime=stamp)
        return True

    async def _replace(self) -> None:
        for ref in list(self.active):
            job = await self.controller.find_job(ref.namespace or "", ref.name or "")
            if job is not None:
                await self.controller.delete_job(self.cron_job, job)
            self._forget(ref.uid)

    async def _create(self, at: datetime, zone: tzinfo) -> Job | None:
        """The Job of this time; None if it is another's, or listed already."""
        wanted = desired.new_job(self.cron_job, at, zone)
        try:
            job = await self.controller.create_job(wanted)
        except errors.AlreadyExists:
            # Created by us before a crash, perhaps; then only the status lacks it.
            there = await self.controller.find_job(wanted.metadata.namespace, wanted.metadata.name)
            if there is None or not meta.is_controlled_by(there, self.cron_job):
                return None
            return None if any(ref.uid == there.metadata.uid for ref in self.active) else there
        except errors.StatusError as error:
            if not is_namespace_terminating(error):
                self._event("Warning", "FailedCreate", f"Error creating job: {error}")
            raise
        self._event("Normal", "SuccessfulCreate", f"Created job {job.metadata.name}")
        return job
