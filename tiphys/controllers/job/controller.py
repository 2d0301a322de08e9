"""Wires the Job controller: events to keys, decisions to calls."""

import asyncio
from collections.abc import Sequence

import msgspec

from tiphys.api import batch_v1, core_v1
from tiphys.client import Done, Expectations, RequeueAfter, Result
from tiphys.controllers import ownership
from tiphys.controllers import pods as podfacts
from tiphys.controllers.base import Context, Controller
from tiphys.controllers.job import backoff, desired, policies, tracking
from tiphys.controllers.job.desired import FINALIZER, Look
from tiphys.controllers.job.template import new_pod
from tiphys.controllers.podcontrol import PodControl, first_error
from tiphys.machinery import codec, conditions, errors, meta, selectors, times

Job = batch_v1.Job

#: Keys of Pods, among keys of Jobs: their finalizer is to be removed if no Job counts them.
ORPHAN = "orphan:"


class JobController(Controller):
    name = "job"
    component = "job-controller"
    concurrency = 5

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.jobs = self.informers.of(Job)
        self.pods = self.informers.of(core_v1.Pod)
        self.expectations = Expectations(context.clock)
        self._control = PodControl(context.client, self.recorder, self.expectations)
        self._job_client = self.client.of(Job)
        self._pod_client = self.client.of(core_v1.Pod)
        #: Per Job, Pods whose finalizer was removed and whose new form the cache has not shown.
        self._released: dict[str, set[str]] = {}
        self._records: dict[str, backoff.Record] = {}
        self.jobs.add_index("namespace", lambda job: (job.metadata.namespace,))
        self.pods.add_index("controller", ownership.index_by_controller)
        self.jobs.add_handler(self.enqueue, lambda _, new: self.enqueue(new), self._job_deleted)
        self.pods.add_handler(self._pod_added, self._pod_updated, self._pod_deleted)

    # Events

    def _job_deleted(self, job: Job) -> None:
        self.enqueue(job)
        for pod in self.pods.by_index("controller", job.metadata.uid):
            self._enqueue_orphan(pod)

    def _pod_added(self, pod: core_v1.Pod) -> None:
        if pod.metadata.deletionTimestamp is not None:
            self._pod_going(pod)
            return
        job = self._job_of(pod)
        if job is not None:
            self.expectations.creation_seen(meta.key_of(job))
            self._enqueue_job(job)
        elif meta.controller_of(pod) is None:
            self._enqueue_matching(pod)
        self._enqueue_orphan(pod)

    def _pod_updated(self, old: core_v1.Pod, new: core_v1.Pod) -> None:
        if old.metadata.uid != new.metadata.uid:
            self._pod_deleted(old)
            self._pod_added(new)
            return
        if desired.is_tracked(old) and not desired.is_tracked(new):
            self._release_seen(new)
        if new.metadata.deletionTimestamp is not None and old.metadata.deletionTimestamp is None:
            self._pod_going(new)
            return
        moved = (
            old.metadata.labels != new.metadata.labels or old.metadata.ownerReferences != new.metadata.ownerReferences
        )
        if not moved and _facts(old) == _facts(new):
            return
        jobs = (self._job_of(old) if moved else None, self._job_of(new))
        for job in jobs:
            if job is not None:
                self._enqueue_job(job)
        if moved and meta.controller_of(new) is None:
            self._enqueue_matching(new)
        self._enqueue_orphan(new)

    def _pod_going(self, pod: core_v1.Pod) -> None:
        job = self._job_of(pod)
        if job is not None:
            self.expectations.deletion_seen(meta.key_of(job), pod.metadata.uid)
            self._enqueue_job(job)
        self._enqueue_orphan(pod)

    def _pod_deleted(self, pod: core_v1.Pod) -> None:
        self._release_seen(pod)
        job = self._job_of(pod)
        if job is not None:
            self.expectations.deletion_seen(meta.key_of(job), pod.metadata.uid)
            self._enqueue_job(job)

    def _release_seen(self, pod: core_v1.Pod) -> None:
        owner = meta.controller_of(pod)
        if owner is not None:
            self._released.get(f"{pod.metadata.namespace}/{owner.name}", set()).discard(pod.metadata.uid)

    def _job_of(self, pod: core_v1.Pod) -> Job | None:
        """The Job that controls ``pod``, in the very incarnation that it names."""
        for owner in pod.metadata.ownerReferences:
            if owner.controller:
                if owner.kind != "Job":
                    return None
                job = self.jobs.get(f"{pod.metadata.namespace}/{owner.name}")
                return job if job is not None and job.metadata.uid == owner.uid else None
        return None

    def _enqueue_job(self, job: Job) -> None:
        self.enqueue_batched(meta.key_of(job), max(job.spec.parallelism or 0, job.status.active or 0))

    def _enqueue_matching(self, pod: core_v1.Pod) -> None:
        if not pod.metadata.labels:
            return
        for job in self.jobs.by_index("namespace", pod.metadata.namespace):
            if selectors.from_label_selector(job.spec.selector).matches(pod.metadata.labels):
                self._enqueue_job(job)

    def _enqueue_orphan(self, pod: core_v1.Pod) -> None:
        if desired.is_tracked(pod) and not self._is_counted(pod):
            self.queue.add(ORPHAN + meta.key_of(pod))

    def _is_counted(self, pod: core_v1.Pod) -> bool:
        """Whether some Job, ours or managed by another, still has to see this Pod."""
        job = self._job_of(pod)
        return job is not None and (not desired.is_ours(job) or not desired.is_finished(job))

    # Reconciling

    async def reconcile(self, key: str) -> Result:
        if key.startswith(ORPHAN):
            pod = self.pods.get(key.removeprefix(ORPHAN))
            if pod is not None and desired.is_tracked(pod) and not self._is_counted(pod):
                await self._release(pod)
            return Done()
        job = self.jobs.get(key)
        if job is None or not desired.is_ours(job) or desired.is_finished(job):
            self._records.pop(key, None)
            if job is None:
                self.expectations.forget(key)
                self._released.pop(key, None)
            return Done()
        return await self._sync(key, job)

    async def _sync(self, key: str, cached: Job) -> Result:
        may_act = self.expectations.satisfied(key)
        owned = await ownership.claim(
            cached,
            selectors.from_label_selector(cached.spec.selector),
            self.pods.by_index("controller", cached.metadata.uid),
            self.pods.by_index("controller", f"orphans/{cached.metadata.namespace}"),
            self._pod_client,
            lambda: self._still_there(cached),
            (FINALIZER,),
        )
        now = self.clock.now()
        job = cached
        if job.status.startTime is None and not desired.is_suspended(job):
            job = _with_status(job, msgspec.structs.replace(job.status, startTime=times.format_time(now)))
        look = desired.observe(job, owned, frozenset(self._released.get(key, ())))
        record = backoff.following(self._records.get(key, backoff.Record()), look.new_succeeded, look.new_failed)
        finished = desired.verdict(look, now)
        wait, error = desired.seconds_to_deadline(job, now), None
        if finished is not None:
            wait = None
            if not await self._stop(key, look) or not may_act:
                # What is left, or not yet in the cache, must go first.
                finished = None
        else:
            planned = may_act and job.metadata.deletionTimestamp is None
            if planned:
                plan = desired.plan(look, record, now)
                wait = min((w for w in (wait, plan.wait) if w is not None), default=None)
                error = await self._carry_out(key, look, plan)
            if desired.is_complete(look):
                text = "Reached expected number of succeeded pods"
                finished = desired.condition(desired.SUCCESS_CRITERIA_MET, "CompletionsReached", text, now)
            elif planned:
                job = self._note_suspension(job)
        await self._track(key, cached, job, look, finished, record)
        if error is not None:
            raise error
        return RequeueAfter(wait) if wait is not None else Done()

    async def _stop(self, key: str, look: Look) -> bool:
        """Delete what is active; whether all of it goes."""
        wanted = look.active
        gone, _ = await self._control.delete(look.job, key, look.active_pods)
        _count_gone(look, gone)
        return len(gone) == wanted

    async def _carry_out(self, key: str, look: Look, plan: desired.Plan) -> Exception | None:
        if plan.delete:
            self.expectations.expect(key, deletions=(pod.metadata.uid for pod in plan.delete))
            gone, error = await self._control.delete(look.job, key, plan.delete)
            _count_gone(look, gone)
            return error
        if not plan.create:
            return None
        self.expectations.expect(key, creations=plan.create)
        if plan.indexes:
            bodies = [codec.encode(new_pod(look.job, i, look.keepsakes.get(i))) for i in plan.indexes]
        else:
            bodies = [codec.encode(new_pod(look.job))] * plan.create
        created, error = await self._control.create(look.job, key, bodies)
        look.active += created
        return error

    def _note_suspension(self, job: Job) -> Job:
        """The Job with its Suspended condition as it should be, and its start moved where it has resumed."""
        now = self.clock.now()
        old = conditions.find_condition(job.status.conditions, desired.SUSPENDED)
        value, reason, text = "False", "JobResumed", "Job resumed"
        if desired.is_suspended(job):
            value, reason, text = "True", "JobSuspended", "Job suspended"
        elif old is None:
            return job
        if old is not None and (old.status, old.reason, old.message) == (value, reason, text):
            return job
        said = desired.condition(desired.SUSPENDED, reason, text, now, value)
        listed = [said if c is old else c for c in job.status.conditions or ()] + ([said] if old is None else [])
        self.recorder.event(job, "Normal", "Suspended" if value == "True" else "Resumed", text)
        start = job.status.startTime if value == "True" else times.format_time(now)
        return _with_status(job, msgspec.structs.replace(job.status, conditions=listed, startTime=start))

    # Counting

    async def _track(
        self,
        key: str,
        cached: Job,
        job: Job,
        look: Look,
        finished: batch_v1.JobCondition | None,
        record: backoff.Record,
    ) -> None:
        status = msgspec.structs.replace(
            job.status, active=look.active or None, ready=look.ready, terminating=look.terminating
        )
        count = tracking.counted(look, status, finished, self.clock.now())
        written = cached
        if count.status != cached.status:
            written = await self._job_client.update_status(_with_status(cached, count.status))
        # Only now: whoever is new in this look is new in the next one, if the write has failed.
        self._records[key] = record
        released, error = await self._release_all(key, count.release)
        status = tracking.settled(count.status, count.tracked - frozenset(released))
        end = count.end if count.whole and error is None else None
        final = tracking.ended(status, end, look.terminating, self.clock.now())
        if (final or status) != count.status:
            written = await self._job_client.update_status(_with_status(written, final or status))
        if final is not None and end is not None:
            self._announce(written, end)
        if error is not None:
            raise error

    def _announce(self, job: Job, end: batch_v1.JobCondition) -> None:
        self._records.pop(meta.key_of(job), None)
        if end.type == desired.FAILED:
            self.recorder.event(job, "Warning", end.reason or "", end.message or "")
            return
        if job.spec.completions is not None and (job.status.succeeded or 0) > job.spec.completions:
            text = "Too many succeeded pods running after completion count reached"
            self.recorder.event(job, "Warning", "TooManySucceededPods", text)
        self.recorder.event(job, "Normal", "Completed", "Job completed")

    async def _release_all(self, key: str, pods: Sequence[core_v1.Pod]) -> tuple[list[str], Exception | None]:
        waiting = self._released.setdefault(key, set())

        async def release(pod: core_v1.Pod) -> None:
            waiting.add(pod.metadata.uid)
            try:
                await self._release(pod)
            except (errors.StatusError, ConnectionError):
                waiting.discard(pod.metadata.uid)
                raise

        results = await asyncio.gather(*map(release, pods), return_exceptions=True)
        released = [pod.metadata.uid for pod, result in zip(pods, results, strict=True) if result is None]
        # What has gone from the cache meanwhile will not be seen any more.
        for pod in pods:
            there = self.pods.get(meta.key_of(pod))
            if there is None or there.metadata.uid != pod.metadata.uid or not desired.is_tracked(there):
                waiting.discard(pod.metadata.uid)
        return released, first_error(results)

    async def _release(self, pod: core_v1.Pod) -> None:
        """Take the finalizer away; a Pod that is gone needs nothing."""
        patch = {"metadata": {"uid": pod.metadata.uid, "$deleteFromPrimitiveList/finalizers": [FINALIZER]}}
        try:
            await self._pod_client.patch(pod.metadata.name, pod.metadata.namespace, patch, "strategic")
        except (errors.NotFound, errors.Invalid, errors.Conflict) as error:
            # Conflict and Invalid: another Pod of that name stands there.
            if isinstance(error, errors.Conflict | errors.Invalid):
                fresh = self.pods.get(meta.key_of(pod))
                if fresh is not None and fresh.metadata.uid == pod.metadata.uid:
                    raise

    async def _still_there(self, job: Job) -> bool:
        try:
            fresh = await self._job_client.get(job.metadata.name, job.metadata.namespace)
        except errors.NotFound:
            return False
        return fresh.metadata.uid == job.metadata.uid and fresh.metadata.deletionTimestamp is None


def _with_status(job: Job, status: batch_v1.JobStatus) -> Job:
    return msgspec.structs.replace(job, status=status)


def _count_gone(look: Look, gone: Sequence[core_v1.Pod]) -> None:
    look.active -= len(gone)
    look.terminating += len(gone)
    look.ready -= sum(map(podfacts.is_ready, gone))


def _facts(pod: core_v1.Pod) -> tuple[object, ...]:
    """What of a Pod matters to its Job."""
    return (
        pod.status.phase,
        pod.metadata.deletionTimestamp is None,
        podfacts.is_ready(pod),
        desired.is_tracked(pod),
        policies.restarts([pod]),
    )
