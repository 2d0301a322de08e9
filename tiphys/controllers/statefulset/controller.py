"""Wires the StatefulSet controller: events to keys, decisions to calls."""

import asyncio
from collections.abc import Sequence

import msgspec

from tiphys.api import apps_v1, core_v1
from tiphys.client import Done, RequeueAfter, Result
from tiphys.controllers import ownership, revisions
from tiphys.controllers import pods as podfacts
from tiphys.controllers.base import Context, Controller, either
from tiphys.controllers.podcontrol import first_error, slow_start
from tiphys.controllers.statefulset import desired, identity
from tiphys.controllers.statefulset.claims import ClaimChanges, claims_of
from tiphys.controllers.statefulset.status import status
from tiphys.machinery import errors, meta, selectors

StatefulSet = apps_v1.StatefulSet
Claim = core_v1.PersistentVolumeClaim


class StatefulSetController(Controller):
    name = "statefulset"
    component = "statefulset-controller"
    concurrency = 5

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.sets = self.informers.of(StatefulSet)
        self.pods = self.informers.of(core_v1.Pod)
        self.claims = self.informers.of(Claim)
        self.revisions = self.informers.of(apps_v1.ControllerRevision)
        self._set_client = self.client.of(StatefulSet)
        self._pod_client = self.client.of(core_v1.Pod)
        self._claim_client = self.client.of(Claim)
        self._revision_client = self.client.of(apps_v1.ControllerRevision)
        self.sets.add_index("namespace", lambda sts: (sts.metadata.namespace,))
        self.pods.add_index("controller", ownership.index_by_controller)
        self.revisions.add_index("controller", ownership.index_by_controller)
        self.sets.add_handler(self.enqueue, either(self.enqueue), self.enqueue)
        self.pods.add_handler(self._pod_seen, self._pod_updated, self._pod_seen)

    # Events

    def _pod_seen(self, pod: core_v1.Pod) -> None:
        owner = meta.controller_of(pod)
        if owner is not None:
            found = self.sets.get(f"{pod.metadata.namespace}/{owner.name}") if owner.kind == "StatefulSet" else None
            if found is not None and found.metadata.uid == owner.uid:
                self.enqueue(found)
            return
        for sts in self.sets.by_index("namespace", pod.metadata.namespace):
            if pod.metadata.labels and selectors.from_label_selector(sts.spec.selector).matches(pod.metadata.labels):
                self.enqueue(sts)

    def _pod_updated(self, old: core_v1.Pod, new: core_v1.Pod) -> None:
        if old.metadata.ownerReferences != new.metadata.ownerReferences:
            self._pod_seen(old)
        if old.metadata.labels != new.metadata.labels or _facts(old) != _facts(new):
            self._pod_seen(new)

    # Reconciling

    async def reconcile(self, key: str) -> Result:
        sts = self.sets.get(key)
        if sts is None:
            return Done()
        selector = selectors.from_label_selector(sts.spec.selector)
        if selector.empty:
            return Done()
        orphans = self.pods.by_index("controller", f"orphans/{sts.metadata.namespace}")
        pods = await ownership.claim(
            sts,
            selector,
            self.pods.by_index("controller", sts.metadata.uid),
            [pod for pod in orphans if identity.is_member(sts, pod)],
            self._pod_client,
            lambda: self._still_there(sts),
        )
        known = self.revisions.by_index("controller", sts.metadata.uid)
        history = revisions.history(sts.spec.template, known)
        update = await revisions.ensure_current(
            self._revision_client, sts, sts.spec.template, history, revisions.HASH, lambda: self._collided(sts)
        )
        current = next((r for r in known if r.metadata.name == sts.status.currentRevision), update)
        error = await self._act(sts, pods, current, update)
        await self._write_status(sts, pods, current, update)
        await self._clean_up(sts, pods, known, {current.metadata.name, update.metadata.name})
        if error is not None:
            raise error
        return self._when_available(sts)

    async def _act(
        self,
        sts: StatefulSet,
        pods: Sequence[core_v1.Pod],
        current: apps_v1.ControllerRevision,
        update: apps_v1.ControllerRevision,
    ) -> Exception | None:
        plan = desired.plan(sts, pods, update.metadata.name, self.clock.now())
        for pod in plan.keep:
            await self._repair(sts, pod)
        rest = iter(plan.create)

        async def create_next() -> None:
            ordinal = next(rest)
            revision = current if desired.uses_current(sts, ordinal) else update
            template = sts.spec.template if revision is update else revisions.template_of(revision)
            await self._create(sts, identity.new_pod(sts, template, revision.metadata.name, ordinal), ordinal)

        _, error = await slow_start(len(plan.create), create_next)
        if error is not None:
            return error
        results = await asyncio.gather(*(self._delete(sts, pod) for pod in plan.delete), return_exceptions=True)
        return first_error(results)

    # Pods

    async def _create(self, sts: StatefulSet, pod: core_v1.Pod, ordinal: int) -> None:
        what = f"create Pod {pod.metadata.name} in StatefulSet {sts.metadata.name}"
        try:
            await self._ensure_claims(sts, self._claims_for(sts, pod, ordinal), pod)
            await self._pod_client.create(pod)
        except errors.AlreadyExists:
            # Our cache is behind, or somebody else's Pod is in the way.
            raise
        except errors.StatusError as error:
            self.recorder.event(sts, "Warning", "FailedCreate", f"{what} failed error: {error}")
            raise
        self.recorder.event(sts, "Normal", "SuccessfulCreate", f"{what} successful")

    async def _delete(self, sts: StatefulSet, pod: core_v1.Pod) -> None:
        what = f"delete Pod {pod.metadata.name} in StatefulSet {sts.metadata.name}"
        try:
            await self._pod_client.delete(pod.metadata.name, pod.metadata.namespace, uid=pod.metadata.uid)
        except (errors.NotFound, errors.Conflict):
            return
        except errors.StatusError as error:
            self.recorder.event(sts, "Warning", "FailedDelete", f"{what} failed error: {error}")
            raise
        self.recorder.event(sts, "Normal", "SuccessfulDelete", f"{what} successful")

    async def _repair(self, sts: StatefulSet, pod: core_v1.Pod) -> None:
        """Identity, claims and their owners of a Pod that is there."""
        await self._ensure_claims(sts, self._claims_for(sts, pod, identity.ordinal_of(pod)), pod)
        fixed = identity.repaired(sts, pod)
        if fixed is None:
            return
        what = f"update Pod {pod.metadata.name} in StatefulSet {sts.metadata.name}"
        try:
            await self._pod_client.update(fixed)
        except errors.Conflict:
            raise
        except errors.StatusError as error:
            self.recorder.event(sts, "Warning", "FailedUpdate", f"{what} failed error: {error}")
            raise
        self.recorder.event(sts, "Normal", "SuccessfulUpdate", f"{what} successful")

    # Claims

    def _claims_for(self, sts: StatefulSet, pod: core_v1.Pod, ordinal: int) -> ClaimChanges:
        namespace = sts.metadata.namespace
        changes = claims_of(sts, pod, ordinal, lambda name: self.claims.get(f"{namespace}/{name}"))
        if changes.blocked and not pod.metadata.uid:
            raise errors.Conflict("persistentvolumeclaims", pod.metadata.name, changes.blocked)
        return changes

    async def _ensure_claims(self, sts: StatefulSet, changes: ClaimChanges, pod: core_v1.Pod) -> None:
        for claim in changes.update:
            await self._claim_client.update(claim)
        for claim in changes.create:
            name = claim.metadata.name
            try:
                await self._claim_client.create(claim)
            except errors.AlreadyExists:
                continue
            except errors.StatusError as error:
                text = f"create Claim {name} for Pod {pod.metadata.name} in StatefulSet {sts.metadata.name}"
                self.recorder.event(sts, "Warning", "FailedCreate", f"{text} failed error: {error}")
                raise
            text = f"create Claim {name} Pod {pod.metadata.name} in StatefulSet {sts.metadata.name} success"
            self.recorder.event(sts, "Normal", "SuccessfulCreate", text)

    # Status and history

    async def _write_status(
        self,
        sts: StatefulSet,
        pods: Sequence[core_v1.Pod],
        current: apps_v1.ControllerRevision,
        update: apps_v1.ControllerRevision,
    ) -> None:
        present = self.pods.by_index("controller", sts.metadata.uid)
        new = status(sts, present, current.metadata.name, update.metadata.name, self.clock.now())
        if new == sts.status:
            return
        try:
            await self._set_client.update_status(msgspec.structs.replace(sts, status=new))
        except errors.NotFound:
            return

    async def _clean_up(
        self,
        sts: StatefulSet,
        pods: Sequence[core_v1.Pod],
        known: Sequence[apps_v1.ControllerRevision],
        names: set[str],
    ) -> None:
        live = names | {identity.revision_of(pod) for pod in pods}
        old = [r for r in sorted(known, key=lambda r: r.revision) if r.metadata.name not in live]
        for revision in revisions.superfluous(old, sts.spec.revisionHistoryLimit, live):
            await revisions.delete(self._revision_client, revision)

    def _when_available(self, sts: StatefulSet) -> Result:
        """Look again when the next ready Pod has been ready long enough."""
        seconds, now = sts.spec.minReadySeconds or 0, self.clock.now()
        waits = []
        for pod in self.pods.by_index("controller", sts.metadata.uid) if seconds else ():
            ready = podfacts.find_condition(pod, "Ready")
            if ready is not None and ready.status == "True":
                waits.append((podfacts.available_at(ready, seconds) - now).total_seconds())
        wait = min((wait for wait in waits if wait > 0), default=None)
        return RequeueAfter(wait) if wait is not None else Done()

    async def _collided(self, sts: StatefulSet) -> None:
        count = (sts.status.collisionCount or 0) + 1
        new = msgspec.structs.replace(sts.status, collisionCount=count)
        await self._set_client.update_status(msgspec.structs.replace(sts, status=new))

    async def _still_there(self, sts: StatefulSet) -> bool:
        try:
            fresh = await self._set_client.get(sts.metadata.name, sts.metadata.namespace)
        except errors.NotFound:
            return False
        return fresh.metadata.uid == sts.metadata.uid and fresh.metadata.deletionTimestamp is None


def _facts(pod: core_v1.Pod) -> tuple[object, ...]:
    ready = podfacts.find_condition(pod, "Ready")
    return (
        pod.metadata.uid,
        pod.status.phase,
        pod.metadata.deletionTimestamp is None,
        ready and (ready.status, ready.lastTransitionTime),
    )
