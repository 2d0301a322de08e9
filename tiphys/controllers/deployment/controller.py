"""Wires the Deployment controller: events to keys, decisions to calls."""

from collections.abc import Sequence
from functools import partial

import msgspec

from tiphys.api import apps_v1, core_v1, meta_v1
from tiphys.client import Done, RequeueAfter, Result
from tiphys.controllers import ownership
from tiphys.controllers import pods as podfacts
from tiphys.controllers.base import Context, Controller
from tiphys.controllers.deployment import annotations, desired, history, rolling, scaling, status
from tiphys.controllers.deployment.desired import Generations, Scale
from tiphys.controllers.terminating import is_namespace_terminating
from tiphys.machinery import errors, meta, selectors

Deployment = apps_v1.Deployment
ReplicaSet = apps_v1.ReplicaSet


class DeploymentController(Controller):
    name = "deployment"
    component = "deployment-controller"
    concurrency = 5

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.deployments = self.informers.of(Deployment)
        self.sets = self.informers.of(ReplicaSet)
        self.pods = self.informers.of(core_v1.Pod)
        self._deployment_client = self.client.of(Deployment)
        self._set_client = self.client.of(ReplicaSet)
        self.deployments.add_index("namespace", lambda deployment: (deployment.metadata.namespace,))
        self.sets.add_index("controller", ownership.index_by_controller)
        self.pods.add_index("controller", ownership.index_by_controller)
        self.deployments.add_handler(self.enqueue, lambda _, new: self.enqueue(new), self.enqueue)
        self.sets.add_handler(self._set_added, self._set_updated, self._set_deleted)
        self.pods.add_handler(deleted=self._pod_deleted)

    # Events

    def _set_added(self, rs: ReplicaSet) -> None:
        owner = self._owner_of(rs)
        if owner is not None:
            self.enqueue(owner)
        elif meta.controller_of(rs) is None and rs.metadata.deletionTimestamp is None:
            self._enqueue_matching(rs)

    def _set_updated(self, old: ReplicaSet, new: ReplicaSet) -> None:
        if old.metadata.ownerReferences != new.metadata.ownerReferences:
            self._set_deleted(old)
        self._set_added(new)

    def _set_deleted(self, rs: ReplicaSet) -> None:
        owner = self._owner_of(rs)
        if owner is not None:
            self.enqueue(owner)

    def _pod_deleted(self, pod: core_v1.Pod) -> None:
        """Recreate waits until the last old Pod has gone, which no ReplicaSet status says exactly."""
        controller = meta.controller_of(pod)
        if controller is None or controller.kind != "ReplicaSet":
            return
        rs = self.sets.get(f"{pod.metadata.namespace}/{controller.name}")
        owner = self._owner_of(rs) if rs is not None and rs.metadata.uid == controller.uid else None
        if owner is not None and not desired.is_rolling(owner):
            self.enqueue(owner)

    def _owner_of(self, rs: ReplicaSet) -> Deployment | None:
        for owner in rs.metadata.ownerReferences:
            if owner.controller and owner.kind == "Deployment":
                found = self.deployments.get(f"{rs.metadata.namespace}/{owner.name}")
                return found if found is not None and found.metadata.uid == owner.uid else None
        return None

    def _enqueue_matching(self, rs: ReplicaSet) -> None:
        if not rs.metadata.labels:
            return
        for deployment in self.deployments.by_index("namespace", rs.metadata.namespace):
            selector = selectors.from_label_selector(deployment.spec.selector)
            if not selector.empty and selector.matches(rs.metadata.labels):
                self.enqueue(deployment)

    # Reconciling

    async def reconcile(self, key: str) -> Result:
        deployment = self.deployments.get(key)
        if deployment is None:
            return Done()
        selector = selectors.from_label_selector(deployment.spec.selector)
        if selector.empty:
            return await self._selects_all(deployment)
        owned = await ownership.claim(
            deployment,
            selector,
            self.sets.by_index("controller", deployment.metadata.uid),
            self.sets.by_index("controller", f"orphans/{deployment.metadata.namespace}"),
            self._set_client,
            partial(self._still_there, deployment),
        )
        if deployment.metadata.deletionTimestamp is not None:
            deployment, sets = await self._refresh(deployment, owned)
            return await self._write_status(deployment, status.counted(deployment, sets, self.clock.now()))
        noted = status.pause_condition(deployment, self.clock.now())
        if noted is not None:
            deployment = await self._put_status(
                deployment, msgspec.structs.replace(deployment.status, conditions=noted)
            )
        if deployment.spec.paused or scaling.is_scaling(deployment, owned):
            return await self._scale_only(deployment, owned)
        if desired.is_rolling(deployment):
            return await self._roll(deployment, owned)
        return await self._recreate(deployment, owned)

    async def _selects_all(self, deployment: Deployment) -> Result:
        self.recorder.event(
            deployment,
            "Warning",
            "SelectingAll",
            "This deployment is selecting all pods. A non-empty selector is required.",
        )
        observed = deployment.status.observedGeneration or 0
        if observed < (deployment.metadata.generation or 0):
            seen = msgspec.structs.replace(deployment.status, observedGeneration=deployment.metadata.generation)
            await self._put_status(deployment, seen)
        return Done()

    async def _scale_only(self, deployment: Deployment, owned: Sequence[ReplicaSet]) -> Result:
        deployment, sets = await self._refresh(deployment, owned)
        await self._apply(deployment, scaling.scaled(deployment, sets))
        if deployment.spec.paused:
            await self._clean_up(deployment, sets)
        return await self._write_status(deployment, status.counted(deployment, sets, self.clock.now()))

    async def _roll(self, deployment: Deployment, owned: Sequence[ReplicaSet]) -> Result:
        deployment, sets = await self._ensure_new(deployment, owned)
        growth = rolling.grown(deployment, sets)
        changes = [growth] if growth is not None else rolling.shrunk(deployment, sets)
        if changes:
            await self._apply(deployment, changes)
        elif status.is_complete(deployment, deployment.status):
            await self._clean_up(deployment, sets)
        return await self._write_rollout(deployment, sets)

    async def _recreate(self, deployment: Deployment, owned: Sequence[ReplicaSet]) -> Result:
        deployment, sets = await self._refresh(deployment, owned)
        running = desired.active(sets.old)
        if running:
            await self._apply(deployment, [Scale(rs, 0) for rs in running])
            return await self._write_rollout(deployment, sets)
        if self._old_pods_run(sets):
            return await self._write_rollout(deployment, sets)
        deployment, sets = await self._ensure_new(deployment, owned)
        growth = rolling.grown(deployment, sets)
        if growth is not None:
            await self._apply(deployment, [growth])
        if status.is_complete(deployment, deployment.status):
            await self._clean_up(deployment, sets)
        return await self._write_rollout(deployment, sets)

    def _old_pods_run(self, sets: Generations) -> bool:
        if desired.actual(sets.old) > 0:
            return True
        pods = (pod for rs in sets.old for pod in self.pods.by_index("controller", rs.metadata.uid))
        return any(not podfacts.is_finished(pod) for pod in pods)

    # ReplicaSets

    async def _refresh(self, deployment: Deployment, owned: Sequence[ReplicaSet]) -> tuple[Deployment, Generations]:
        """Sort out ReplicaSets; the new one, if it exists, and the Deployment get their revision."""
        sets = desired.generations(deployment, owned)
        if sets.new is None:
            return deployment, sets
        changed = desired.refreshed(deployment, sets.new, sets.old)
        if changed is not None:
            sets = Generations(await self._set_client.update(changed), sets.old)
        assert sets.new is not None
        new = deployment.status
        if desired.has_progress_deadline(deployment) and status.find(new, status.PROGRESSING) is None:
            message = f'Found new replica set "{sets.new.metadata.name}"'
            new = self._progressing(deployment, "True", status.NEW_FOUND, message)
        revision = sets.new.metadata.annotations.get(annotations.REVISION, "")
        return await self._put_revision(deployment, revision, new), sets

    async def _ensure_new(self, deployment: Deployment, owned: Sequence[ReplicaSet]) -> tuple[Deployment, Generations]:
        """As ``_refresh``, but the new ReplicaSet is there afterwards."""
        deployment, sets = await self._refresh(deployment, owned)
        if sets.new is not None:
            return deployment, sets
        fresh = desired.new_replica_set(deployment, sets.old)
        try:
            created = await self._set_client.create(fresh)
        except errors.AlreadyExists as error:
            return deployment, Generations(await self._resolve_collision(deployment, fresh, error), sets.old)
        except errors.StatusError as error:
            await self._report_create_error(deployment, fresh, error)
            raise
        size = desired.replicas(created)
        if size > 0:
            message = f"Scaled up replica set {created.metadata.name} from 0 to {size}"
            self.recorder.event(deployment, "Normal", "ScalingReplicaSet", message)
        new = deployment.status
        if desired.has_progress_deadline(deployment):
            message = f'Created new replica set "{created.metadata.name}"'
            new = self._progressing(deployment, "True", status.NEW_CREATED, message)
        revision = created.metadata.annotations[annotations.REVISION]
        return await self._put_revision(deployment, revision, new), Generations(created, sets.old)

    async def _resolve_collision(
        self, deployment: Deployment, fresh: ReplicaSet, error: errors.AlreadyExists
    ) -> ReplicaSet:
        """The set that is there, if it is ours and our cache was behind; else another hash next time."""
        there = await self._set_client.get(fresh.metadata.name, fresh.metadata.namespace)
        ours = meta.is_controlled_by(there, deployment)
        if ours and desired.same_template(there.spec.template, deployment.spec.template):
            return there
        count = (deployment.status.collisionCount or 0) + 1
        await self._put_status(deployment, msgspec.structs.replace(deployment.status, collisionCount=count))
        raise error

    async def _report_create_error(self, deployment: Deployment, fresh: ReplicaSet, error: errors.StatusError) -> None:
        if is_namespace_terminating(error):
            return
        message = f'Failed to create new replica set "{fresh.metadata.name}": {error}'
        if desired.has_progress_deadline(deployment):
            await self._put_status(deployment, self._progressing(deployment, "False", status.CREATE_ERROR, message))
        self.recorder.event(deployment, "Warning", status.CREATE_ERROR, message)

    async def _apply(self, deployment: Deployment, changes: Sequence[Scale]) -> None:
        for change in changes:
            await self._scale(deployment, change)

    async def _scale(self, deployment: Deployment, change: Scale) -> None:
        rs, before = change.rs, desired.replicas(change.rs)
        maximum = desired.replicas(deployment) + desired.max_surge(deployment)
        noted = annotations.with_sizes(rs.metadata.annotations, desired.replicas(deployment), maximum)
        if before == change.replicas and noted == rs.metadata.annotations:
            return
        await self._set_client.update(
            msgspec.structs.replace(
                rs,
                metadata=msgspec.structs.replace(rs.metadata, annotations=noted),
                spec=msgspec.structs.replace(rs.spec, replicas=change.replicas),
            )
        )
        if before != change.replicas:
            direction = "up" if change.replicas > before else "down"
            message = f"Scaled {direction} replica set {rs.metadata.name} from {before} to {change.replicas}"
            self.recorder.event(deployment, "Normal", "ScalingReplicaSet", message)

    async def _clean_up(self, deployment: Deployment, sets: Generations) -> None:
        for rs in history.superfluous(deployment, sets.old):
            try:
                await self._set_client.delete(rs.metadata.name, rs.metadata.namespace, uid=rs.metadata.uid)
            except (errors.NotFound, errors.Conflict):
                continue

    async def _still_there(self, deployment: Deployment) -> bool:
        try:
            fresh = await self._deployment_client.get(deployment.metadata.name, deployment.metadata.namespace)
        except errors.NotFound:
            return False
        return fresh.metadata.uid == deployment.metadata.uid and fresh.metadata.deletionTimestamp is None

    # Status

    def _progressing(self, deployment: Deployment, value: str, reason: str, message: str) -> apps_v1.DeploymentStatus:
        listed = status.with_condition(
            deployment.status.conditions, status.PROGRESSING, value, reason, message, self.clock.now()
        )
        return msgspec.structs.replace(deployment.status, conditions=listed)

    async def _put_revision(self, deployment: Deployment, revision: str, new: apps_v1.DeploymentStatus) -> Deployment:
        """The Deployment with its revision noted; the status endpoint writes annotations as well."""
        if deployment.metadata.annotations.get(annotations.REVISION) != revision:
            noted = {**deployment.metadata.annotations, annotations.REVISION: revision}
            metadata: meta_v1.ObjectMeta = msgspec.structs.replace(deployment.metadata, annotations=noted)
            return await self._put_status(msgspec.structs.replace(deployment, metadata=metadata), new)
        if new != deployment.status:
            return await self._put_status(deployment, new)
        return deployment

    async def _put_status(self, deployment: Deployment, new: apps_v1.DeploymentStatus) -> Deployment:
        return await self._deployment_client.update_status(status.replaced(deployment, new))

    async def _write_rollout(self, deployment: Deployment, sets: Generations) -> Result:
        return await self._write_status(deployment, status.rollout(deployment, sets, self.clock.now()))

    async def _write_status(self, deployment: Deployment, new: apps_v1.DeploymentStatus) -> Result:
        if new != deployment.status:
            try:
                await self._put_status(deployment, new)
            except errors.NotFound:
                # Deleted meanwhile.
                return Done()
        wait = status.seconds_until_stuck(deployment, new, self.clock.now())
        return RequeueAfter(wait) if wait is not None else Done()
