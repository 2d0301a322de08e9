"""Wires the DaemonSet controller: events to keys, decisions to calls."""

from collections.abc import Sequence

import msgspec

from tiphys.api import apps_v1, core_v1
from tiphys.client import Done, Expectations, RequeueAfter, Result
from tiphys.controllers import ownership, revisions
from tiphys.controllers import pods as podfacts
from tiphys.controllers.base import Context, Controller
from tiphys.controllers.daemonset import desired, rolling
from tiphys.controllers.daemonset.status import status
from tiphys.controllers.podcontrol import PodControl
from tiphys.machinery import codec, errors, meta, selectors

DaemonSet = apps_v1.DaemonSet

FIRST_FAILED_WAIT_SECONDS = 1.0
LONGEST_FAILED_WAIT_SECONDS = 900.0


class DaemonSetController(Controller):
    name = "daemonset"
    component = "daemonset-controller"
    concurrency = 2

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.sets = self.informers.of(DaemonSet)
        self.pods = self.informers.of(core_v1.Pod)
        self.nodes = self.informers.of(core_v1.Node)
        self.revisions = self.informers.of(apps_v1.ControllerRevision)
        self.expectations = Expectations(context.clock)
        self._control = PodControl(context.client, self.recorder, self.expectations)
        self._set_client = self.client.of(DaemonSet)
        self._pod_client = self.client.of(core_v1.Pod)
        self._revision_client = self.client.of(apps_v1.ControllerRevision)
        #: Per set and node: how long a failed Pod was left alone the last time, and when.
        self._failures: dict[tuple[str, str], tuple[float, float]] = {}
        self.sets.add_index("namespace", lambda ds: (ds.metadata.namespace,))
        self.pods.add_index("controller", ownership.index_by_controller)
        self.revisions.add_index("controller", ownership.index_by_controller)
        self.sets.add_handler(self.enqueue, self._set_updated, self._set_deleted)
        self.pods.add_handler(self._pod_added, self._pod_updated, self._pod_deleted)
        self.nodes.add_handler(self._node_seen, self._node_updated, self._node_seen)
        self.revisions.add_handler(self._revision_seen, lambda _, new: self._revision_seen(new), self._revision_seen)

    # Events

    def _set_updated(self, old: DaemonSet, new: DaemonSet) -> None:
        if old.metadata.uid != new.metadata.uid:
            self._set_deleted(old)
        self.enqueue(new)

    def _set_deleted(self, ds: DaemonSet) -> None:
        self.expectations.forget(meta.key_of(ds))
        self.enqueue(ds)

    def _pod_added(self, pod: core_v1.Pod) -> None:
        if pod.metadata.deletionTimestamp is not None:
            self._pod_deleted(pod)
            return
        ds = self._set_of(pod)
        if ds is not None:
            self.expectations.creation_seen(meta.key_of(ds))
            self._enqueue_set(ds)
        elif meta.controller_of(pod) is None and pod.metadata.labels:
            self._enqueue_matching(pod)

    def _pod_updated(self, old: core_v1.Pod, new: core_v1.Pod) -> None:
        if old.metadata.uid != new.metadata.uid:
            self._pod_deleted(old)
            self._pod_added(new)
            return
        if new.metadata.deletionTimestamp is not None and old.metadata.deletionTimestamp is None:
            self._pod_deleted(new)
            return
        moved = (
            old.metadata.labels != new.metadata.labels or old.metadata.ownerReferences != new.metadata.ownerReferences
        )
        if not moved and _facts(old) == _facts(new):
            return
        for ds in (self._set_of(old) if moved else None, self._set_of(new)):
            if ds is not None:
                self._enqueue_set(ds)
        if moved and meta.controller_of(new) is None:
            self._enqueue_matching(new)

    def _pod_deleted(self, pod: core_v1.Pod) -> None:
        ds = self._set_of(pod)
        if ds is not None:
            self.expectations.deletion_seen(meta.key_of(ds), pod.metadata.uid)
            self._enqueue_set(ds)

    def _node_seen(self, _: core_v1.Node) -> None:
        for ds in self.sets.list():
            self._enqueue_set(ds)

    def _node_updated(self, old: core_v1.Node, new: core_v1.Node) -> None:
        """Heartbeats change nothing of this."""
        if old.metadata.labels == new.metadata.labels and old.spec.taints == new.spec.taints:
            return
        for ds in self.sets.list():
            if desired.belongs(ds, old) != desired.belongs(ds, new):
                self._enqueue_set(ds)

    def _revision_seen(self, revision: apps_v1.ControllerRevision) -> None:
        ds = self._owner(revision.metadata.namespace, revision)
        if ds is not None:
            self.enqueue(ds)

    def _set_of(self, pod: core_v1.Pod) -> DaemonSet | None:
        return self._owner(pod.metadata.namespace, pod)

    def _owner(self, namespace: str, obj: core_v1.Pod | apps_v1.ControllerRevision) -> DaemonSet | None:
        for owner in obj.metadata.ownerReferences:
            if owner.controller:
                found = self.sets.get(f"{namespace}/{owner.name}") if owner.kind == "DaemonSet" else None
                return found if found is not None and found.metadata.uid == owner.uid else None
        return None

    def _enqueue_set(self, ds: DaemonSet) -> None:
        self.enqueue_batched(meta.key_of(ds), ds.status.desiredNumberScheduled)

    def _enqueue_matching(self, pod: core_v1.Pod) -> None:
        for ds in self.sets.by_index("namespace", pod.metadata.namespace):
            if selectors.from_label_selector(ds.spec.selector).matches(pod.metadata.labels):
                self._enqueue_set(ds)

    # Reconciling

    async def reconcile(self, key: str) -> Result:
        ds = self.sets.get(key)
        if ds is None:
            self.expectations.forget(key)
            self._failures = {pair: seen for pair, seen in self._failures.items() if pair[0] != key}
            return Done()
        selector = selectors.from_label_selector(ds.spec.selector)
        if selector.empty:
            text = "This daemon set is selecting all pods. A non-empty selector is required."
            self.recorder.event(ds, "Warning", "SelectingAll", text)
            return Done()
        if ds.metadata.deletionTimestamp is not None:
            return Done()
        known = self.revisions.by_index("controller", ds.metadata.uid)
        found = revisions.history(ds.spec.template, known)
        current = await revisions.ensure_current(
            self._revision_client, ds, ds.spec.template, found, revisions.POD_HASH, lambda: self._collided(ds)
        )
        digest = revisions.hash_of(current)
        may_act = self.expectations.satisfied(key)
        pods = await self._claim(ds)
        nodes = sorted(self.nodes.list(), key=lambda node: node.metadata.name)
        wait: float | None = None
        error: Exception | None = None
        if may_act:
            wait, error = await self._act(key, ds, nodes, pods, digest)
            await self._clean_up(ds, found.old, pods)
        fresh = self._present(ds, pods)
        now = self.clock.now()
        new = status(ds, nodes, desired.by_node(fresh), digest, now, observed=may_act)
        await self._write_status(ds, new)
        if error is not None:
            raise error
        seconds = ds.spec.minReadySeconds or 0
        if seconds and new.numberReady != (new.numberAvailable or 0):
            wait = min(float(seconds), wait or float(seconds))
        return RequeueAfter(wait) if wait is not None else Done()

    def _present(self, ds: DaemonSet, pods: Sequence[core_v1.Pod]) -> Sequence[core_v1.Pod]:
        """``pods`` as the cache has them now, after calls that took their time."""
        return self.pods.by_index("controller", ds.metadata.uid) or pods

    async def _claim(self, ds: DaemonSet) -> list[core_v1.Pod]:
        return await ownership.claim(
            ds,
            selectors.from_label_selector(ds.spec.selector),
            self.pods.by_index("controller", ds.metadata.uid),
            self.pods.by_index("controller", f"orphans/{ds.metadata.namespace}"),
            self._pod_client,
            lambda: self._still_there(ds),
        )

    async def _act(
        self, key: str, ds: DaemonSet, nodes: Sequence[core_v1.Node], pods: Sequence[core_v1.Pod], digest: str
    ) -> tuple[float | None, Exception | None]:
        """What is missing or too much first; the new template once that has been seen to."""
        placed = desired.by_node(pods)
        changes = desired.managed(
            ds, nodes, placed, digest, lambda node: self._failed_wait(key, node), self.clock.now()
        )
        for kind, reason, message in changes.events:
            self.recorder.event(ds, kind, reason, message)
        error = await self._apply(key, ds, changes, digest)
        if error is not None or ds.spec.updateStrategy.type != "RollingUpdate" or not self.expectations.satisfied(key):
            return changes.wait, error
        error = await self._apply(key, ds, rolling.rolled(ds, nodes, placed, digest, self.clock.now()), digest)
        return changes.wait, error

    async def _apply(self, key: str, ds: DaemonSet, changes: desired.Changes, digest: str) -> Exception | None:
        create, delete = changes.create[: desired.BURST], changes.delete[: desired.BURST]
        if not create and not delete:
            return None
        self.expectations.expect(key, creations=len(create), deletions=(pod.metadata.uid for pod in delete))
        bodies = [codec.encode(desired.new_pod(ds, node, digest)) for node in create]
        _, error = await self._control.create(ds, key, bodies)
        _, failed = await self._control.delete(ds, key, delete)
        return error or failed

    def _failed_wait(self, key: str, node: str) -> float:
        """Doubles from one second to a quarter of an hour; a rejecting kubelet and we must not race each other."""
        now = self.clock.monotonic()
        last, since = self._failures.get((key, node), (0.0, now))
        left = since + last - now
        if left > 0:
            return left
        calm = last and now - since > 2 * LONGEST_FAILED_WAIT_SECONDS
        following = min(last * 2, LONGEST_FAILED_WAIT_SECONDS) if last and not calm else FIRST_FAILED_WAIT_SECONDS
        self._failures[key, node] = (following, now)
        return 0.0

    async def _clean_up(
        self, ds: DaemonSet, old: Sequence[apps_v1.ControllerRevision], pods: Sequence[core_v1.Pod]
    ) -> None:
        live = {pod.metadata.labels.get(revisions.POD_HASH, "") for pod in pods}
        for revision in revisions.superfluous(old, ds.spec.revisionHistoryLimit, live):
            await revisions.delete(self._revision_client, revision)

    async def _collided(self, ds: DaemonSet) -> None:
        count = (ds.status.collisionCount or 0) + 1
        await self._write_status(ds, msgspec.structs.replace(ds.status, collisionCount=count))

    async def _still_there(self, ds: DaemonSet) -> bool:
        try:
            fresh = await self._set_client.get(ds.metadata.name, ds.metadata.namespace)
        except errors.NotFound:
            return False
        return fresh.metadata.uid == ds.metadata.uid and fresh.metadata.deletionTimestamp is None

    async def _write_status(self, ds: DaemonSet, new: apps_v1.DaemonSetStatus) -> None:
        if new == ds.status:
            return
        try:
            await self._set_client.update_status(msgspec.structs.replace(ds, status=new))
        except errors.NotFound:
            return


def _facts(pod: core_v1.Pod) -> tuple[object, ...]:
    ready = podfacts.find_condition(pod, "Ready")
    return (
        pod.status.phase,
        pod.spec.nodeName,
        pod.metadata.deletionTimestamp is None,
        ready and (ready.status, ready.lastTransitionTime),
    )
