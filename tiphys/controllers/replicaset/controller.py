"""Wires the ReplicaSet controller: events to keys, decisions to calls."""

from collections.abc import Sequence

import msgspec

from tiphys.api import apps_v1, core_v1
from tiphys.client import Done, Expectations, Informer, RequeueAfter, Result
from tiphys.controllers import ownership
from tiphys.controllers import pods as podfacts
from tiphys.controllers.base import Context, Controller
from tiphys.controllers.podcontrol import PodControl
from tiphys.controllers.replicaset import desired as desired_module
from tiphys.controllers.replicaset.desired import Create, Delete, desired, new_pod
from tiphys.controllers.replicaset.status import seconds_until_available, status
from tiphys.machinery import codec, errors, meta, selectors


class ReplicaSetController(Controller):
    name = "replicaset"
    component = "replicaset-controller"
    concurrency = 5
    #: What the Pods' owner references say.
    kind = "ReplicaSet"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.sets = self._informer()
        self.pods = self.informers.of(core_v1.Pod)
        self.expectations = Expectations(context.clock)
        self._control = PodControl(context.client, self.recorder, self.expectations)
        self._pod_client = self.client.of(core_v1.Pod)
        self.sets.add_index("controller", ownership.index_by_controller)
        self.sets.add_index("namespace", lambda rs: (rs.metadata.namespace,))
        self.pods.add_index("controller", ownership.index_by_controller)
        self.sets.add_handler(self._set_added, self._set_updated, self._set_deleted)
        self.pods.add_handler(self._pod_added, self._pod_updated, self._pod_deleted)

    # How sets are read and written; ReplicationControllers are sets by another name

    def _informer(self) -> Informer[apps_v1.ReplicaSet]:
        return self.informers.of(apps_v1.ReplicaSet)

    async def _fresh(self, rs: apps_v1.ReplicaSet) -> apps_v1.ReplicaSet:
        return await self.client.of(apps_v1.ReplicaSet).get(rs.metadata.name, rs.metadata.namespace)

    async def _put_status(self, rs: apps_v1.ReplicaSet) -> None:
        await self.client.of(apps_v1.ReplicaSet).update_status(rs)

    # Events

    def _set_added(self, rs: apps_v1.ReplicaSet) -> None:
        self.enqueue(rs)

    def _set_updated(self, old: apps_v1.ReplicaSet, new: apps_v1.ReplicaSet) -> None:
        if old.metadata.uid != new.metadata.uid:
            self._set_deleted(old)
        self.enqueue(new)

    def _set_deleted(self, rs: apps_v1.ReplicaSet) -> None:
        self.expectations.forget(meta.key_of(rs))
        self.enqueue(rs)

    def _pod_added(self, pod: core_v1.Pod) -> None:
        if pod.metadata.deletionTimestamp is not None:
            self._pod_deleted(pod)
            return
        rs = self._set_of(pod)
        if rs is not None:
            self.expectations.creation_seen(meta.key_of(rs))
            self._enqueue_set(rs)
        elif meta.controller_of(pod) is None:
            self._enqueue_matching(pod)

    def _pod_updated(self, old: core_v1.Pod, new: core_v1.Pod) -> None:
        if old.metadata.uid != new.metadata.uid:
            # Removed and made anew while nobody watched.
            self._pod_deleted(old)
            self._pod_added(new)
            return
        moved = (
            old.metadata.labels != new.metadata.labels or old.metadata.ownerReferences != new.metadata.ownerReferences
        )
        if new.metadata.deletionTimestamp is not None and old.metadata.deletionTimestamp is None:
            self._pod_deleted(new)
            if moved:
                self._pod_left(old)
            return
        if not moved and _facts(old) == _facts(new):
            return
        if moved:
            self._pod_left(old)
        rs = self._set_of(new)
        if rs is not None:
            self._enqueue_set(rs)
        elif moved and meta.controller_of(new) is None:
            self._enqueue_matching(new)

    def _pod_deleted(self, pod: core_v1.Pod) -> None:
        rs = self._set_of(pod)
        if rs is not None:
            self.expectations.deletion_seen(meta.key_of(rs), pod.metadata.uid)
            self._enqueue_set(rs)

    def _pod_left(self, old: core_v1.Pod) -> None:
        rs = self._set_of(old)
        if rs is not None:
            self._enqueue_set(rs)

    def _set_of(self, pod: core_v1.Pod) -> apps_v1.ReplicaSet | None:
        """The ReplicaSet that controls ``pod``, in the very incarnation that it names."""
        for owner in pod.metadata.ownerReferences:
            if owner.controller:
                if owner.kind != self.kind:
                    return None
                rs = self.sets.get(f"{pod.metadata.namespace}/{owner.name}")
                return rs if rs is not None and rs.metadata.uid == owner.uid else None
        return None

    def _enqueue_set(self, rs: apps_v1.ReplicaSet) -> None:
        self.enqueue_batched(meta.key_of(rs), max(rs.spec.replicas or 0, rs.status.replicas))

    def _enqueue_matching(self, pod: core_v1.Pod) -> None:
        """An orphan has come: whoever selects it will adopt it."""
        if not pod.metadata.labels:
            return
        for rs in self.sets.by_index("namespace", pod.metadata.namespace):
            if selectors.from_label_selector(rs.spec.selector).matches(pod.metadata.labels):
                self._enqueue_set(rs)

    # Reconciling

    async def reconcile(self, key: str) -> Result:
        rs = self.sets.get(key)
        if rs is None:
            self.expectations.forget(key)
            return Done()
        may_act = self.expectations.satisfied(key)
        owned = await ownership.claim(
            rs,
            selectors.from_label_selector(rs.spec.selector),
            self.pods.by_index("controller", rs.metadata.uid),
            self.pods.by_index("controller", f"orphans/{rs.metadata.namespace}"),
            self._pod_client,
            lambda: self._still_there(rs),
        )
        problem: _Failed | None = None
        if may_act and rs.metadata.deletionTimestamp is None:
            problem = await self._manage(key, rs, owned)
        failure = (problem.reason, str(problem.error)) if problem is not None else None
        now = self.clock.now()
        # While creations are on their way, the last failure is still the newest there is to say.
        await self._write_status(rs, status(rs, owned, failure if may_act else _previous_failure(rs), now))
        if problem is not None:
            raise problem.error
        wait = seconds_until_available(rs, owned, now)
        return RequeueAfter(wait) if wait is not None else Done()

    async def _manage(self, key: str, rs: apps_v1.ReplicaSet, owned: Sequence[core_v1.Pod]) -> "_Failed | None":
        active = [pod for pod in owned if podfacts.is_active(pod)]
        # Ranking by node is only needed to shrink.
        surplus = len(active) > desired_module.replicas_of(rs)
        colocated = desired_module.colocation(self._related(rs)) if surplus else {}
        action = desired(rs, active, colocated, self.clock.now())
        if isinstance(action, Create):
            return await self._create(key, rs, action.count)
        if isinstance(action, Delete):
            return await self._delete(key, rs, action.pods)
        return None

    def _related(self, rs: apps_v1.ReplicaSet) -> list[core_v1.Pod]:
        """Pods of ``rs`` and of its siblings under the same owner."""
        owner = meta.controller_of(rs)
        siblings = self.sets.by_index("controller", owner.uid) if owner is not None else [rs]
        return [pod for sibling in siblings for pod in self.pods.by_index("controller", sibling.metadata.uid)]

    async def _create(self, key: str, rs: apps_v1.ReplicaSet, count: int) -> "_Failed | None":
        self.expectations.expect(key, creations=count)
        # One body for all: the server makes the names.
        _, error = await self._control.create(rs, key, [codec.encode(new_pod(rs))] * count)
        return _Failed("FailedCreate", error) if error is not None else None

    async def _delete(self, key: str, rs: apps_v1.ReplicaSet, pods: Sequence[core_v1.Pod]) -> "_Failed | None":
        self.expectations.expect(key, deletions=(pod.metadata.uid for pod in pods))
        _, error = await self._control.delete(rs, key, pods)
        return _Failed("FailedDelete", error) if error is not None else None

    async def _still_there(self, rs: apps_v1.ReplicaSet) -> bool:
        try:
            fresh = await self._fresh(rs)
        except errors.NotFound:
            return False
        return fresh.metadata.uid == rs.metadata.uid and fresh.metadata.deletionTimestamp is None

    async def _write_status(self, rs: apps_v1.ReplicaSet, new: apps_v1.ReplicaSetStatus) -> None:
        if new == rs.status:
            return
        try:
            await self._put_status(msgspec.structs.replace(rs, status=new))
        except errors.Conflict:
            # The scaler writes the same object: say it once more on top of that, or wait for its event.
            fresh = await self._fresh(rs)
            if fresh.metadata.uid == rs.metadata.uid:
                await self._put_status(msgspec.structs.replace(fresh, status=new))
        except errors.NotFound:
            # Deleted meanwhile; its event is on the way.
            return


class _Failed(msgspec.Struct):
    """Why the Pods are not as asked for; ``reason`` as the status condition names it."""

    reason: str
    error: Exception


def _facts(pod: core_v1.Pod) -> tuple[object, ...]:
    """What of a Pod shows in its ReplicaSet's status."""
    ready = podfacts.find_condition(pod, "Ready")
    return (
        pod.status.phase,
        pod.metadata.deletionTimestamp is None,
        ready and (ready.status, ready.lastTransitionTime),
    )


def _previous_failure(rs: apps_v1.ReplicaSet) -> tuple[str, str] | None:
    for condition in rs.status.conditions or ():
        if condition.type == "ReplicaFailure" and condition.status == "True":
            return condition.reason or "", condition.message or ""
    return None
