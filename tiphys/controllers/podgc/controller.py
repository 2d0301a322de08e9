"""Wires Pod garbage collection."""

from typing import Any

from tiphys.api import core_v1
from tiphys.client import Done, RequeueAfter, Result
from tiphys.controllers import pods as podfacts
from tiphys.controllers.base import Context, Controller
from tiphys.controllers.podgc.desired import is_abandoned, superfluous
from tiphys.machinery import errors, times

#: A node may register late: its Pods wait this long before they count as orphans.
QUARANTINE_SECONDS = 40.0
#: The key that stands for "too many finished Pods"; no Pod has it, as it has no slash.
FINISHED = "finished"


class PodGCController(Controller):
    name = "pod-garbage-collector"
    concurrency = 8

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.pods = self.informers.of(core_v1.Pod)
        self.nodes = self.informers.of(core_v1.Node)
        self._pod_client = self.client.of(core_v1.Pod)
        self._node_client = self.client.of(core_v1.Node)
        self._finished = 0
        self._missing_since: dict[str, float] = {}
        self.pods.add_index("node", lambda pod: (pod.spec.nodeName or "",))
        self.nodes.add_handler(added=self._node_added, deleted=self._node_deleted)
        self.pods.add_handler(self._pod_added, self._pod_updated, self._pod_deleted)

    def _node_added(self, node: core_v1.Node) -> None:
        self._missing_since.pop(node.metadata.name, None)

    def _node_deleted(self, node: core_v1.Node) -> None:
        for pod in self.pods.by_index("node", node.metadata.name):
            self.enqueue(pod)

    def _pod_added(self, pod: core_v1.Pod) -> None:
        self._count(podfacts.is_finished(pod))
        self._consider(pod)

    def _pod_updated(self, old: core_v1.Pod, new: core_v1.Pod) -> None:
        self._count(podfacts.is_finished(new) - podfacts.is_finished(old))
        if old.spec.nodeName != new.spec.nodeName or old.metadata.deletionTimestamp != new.metadata.deletionTimestamp:
            self._consider(new)

    def _pod_deleted(self, pod: core_v1.Pod) -> None:
        self._count(-int(podfacts.is_finished(pod)))

    def _count(self, change: int) -> None:
        self._finished += change
        if change > 0 and 0 < self.config.terminated_pod_threshold < self._finished:
            self.queue.add_after(FINISHED, self.config.pod_gc_period_seconds)

    def _consider(self, pod: core_v1.Pod) -> None:
        if is_abandoned(pod) or (pod.spec.nodeName and self.nodes.get(pod.spec.nodeName) is None):
            self.enqueue(pod)

    async def reconcile(self, key: str) -> Result:
        if key == FINISHED:
            for finished in superfluous(self.pods.list(), self.config.terminated_pod_threshold):
                await self._delete(finished)
            return Done()
        pod = self.pods.get(key)
        if pod is None:
            return Done()
        if is_abandoned(pod):
            await self._delete(pod)
            return Done()
        name = pod.spec.nodeName or ""
        if not name or self.nodes.get(name) is not None:
            return Done()
        now = self.clock.monotonic()
        wait = self._missing_since.setdefault(name, now) + QUARANTINE_SECONDS - now
        if wait > 0:
            return RequeueAfter(wait)
        if await self._is_missing(name):
            await self._fail_and_delete(pod)
        return Done()

    async def _is_missing(self, name: str) -> bool:
        try:
            await self._node_client.get(name)
        except errors.NotFound:
            return True
        return False

    async def _fail_and_delete(self, pod: core_v1.Pod) -> None:
        condition = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "DeletionByPodGC",
            "message": "PodGC: node no longer exists",
            "lastTransitionTime": times.format_time(self.clock.now()),
        }
        status: dict[str, Any] = {"conditions": [condition]}
        if not podfacts.is_finished(pod):
            status["phase"] = "Failed"
        body = {"metadata": {"uid": pod.metadata.uid}, "status": status}
        try:
            await self._pod_client.patch(
                pod.metadata.name, pod.metadata.namespace, body, "strategic", subresource="status"
            )
        except errors.NotFound:
            return
        await self._delete(pod)

    async def _delete(self, pod: core_v1.Pod) -> None:
        try:
            await self._pod_client.delete(
                pod.metadata.name, pod.metadata.namespace, uid=pod.metadata.uid, grace_period_seconds=0
            )
        except (errors.NotFound, errors.Conflict):
            return
