"""Wires taint eviction: one key per Pod on a tainted node, timed by its tolerations."""

from datetime import datetime

from tiphys.api import core_v1
from tiphys.client import Done, RequeueAfter, Result
from tiphys.controllers.base import Context, Controller
from tiphys.controllers.tainteviction.desired import leaves_at
from tiphys.machinery import errors, meta, times


class TaintEvictionController(Controller):
    name = "taint-eviction-controller"
    component = "taint-eviction-controller"
    concurrency = 8

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.nodes = self.informers.of(core_v1.Node)
        self.pods = self.informers.of(core_v1.Pod)
        self._client = self.client.of(core_v1.Pod)
        #: Pods that wait for their time: key to uid and the instant at which their wait began.
        self._waiting: dict[str, tuple[str, datetime]] = {}
        self.pods.add_index("node", lambda pod: (pod.spec.nodeName or "",))
        self.nodes.add_handler(self._node_added, self._node_updated)
        self.pods.add_handler(self._pod_added, self._pod_updated, self._pod_deleted)

    def _node_added(self, node: core_v1.Node) -> None:
        if _executes(node):
            self._enqueue_pods(node)

    def _node_updated(self, old: core_v1.Node, new: core_v1.Node) -> None:
        if old.spec.taints != new.spec.taints and (_executes(old) or _executes(new)):
            self._enqueue_pods(new)

    def _enqueue_pods(self, node: core_v1.Node) -> None:
        for pod in self.pods.by_index("node", node.metadata.name):
            self.enqueue(pod)

    def _pod_added(self, pod: core_v1.Pod) -> None:
        node = self.nodes.get(pod.spec.nodeName or "")
        if node is not None and _executes(node):
            self.enqueue(pod)

    def _pod_updated(self, old: core_v1.Pod, new: core_v1.Pod) -> None:
        if old.spec.nodeName != new.spec.nodeName or old.spec.tolerations != new.spec.tolerations:
            self._pod_added(new)

    def _pod_deleted(self, pod: core_v1.Pod) -> None:
        self._waiting.pop(meta.key_of(pod), None)

    async def reconcile(self, key: str) -> Result:
        pod = self.pods.get(key)
        if pod is None or pod.metadata.deletionTimestamp is not None:
            return Done()
        node = self.nodes.get(pod.spec.nodeName or "")
        now = self.clock.now()
        uid, since = self._waiting.get(key, ("", now))
        if uid != pod.metadata.uid:
            since = now
        when = leaves_at(pod, node.spec.taints or (), since) if node is not None else None
        if when is None:
            if self._waiting.pop(key, None) is not None and uid == pod.metadata.uid:
                message = f"Cancelling deletion of Pod {key}"
                self.recorder.event(pod, "Normal", "TaintManagerEviction", message)
            return Done()
        if when > now:
            self._waiting[key] = (pod.metadata.uid, since)
            return RequeueAfter((when - now).total_seconds())
        self._waiting.pop(key, None)
        await self._evict(pod)
        return Done()

    async def _evict(self, pod: core_v1.Pod) -> None:
        name, namespace = pod.metadata.name, pod.metadata.namespace
        self.recorder.event(pod, "Normal", "TaintManagerEviction", f"Marking for deletion Pod {namespace}/{name}")
        condition = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "DeletionByTaintManager",
            "message": "Taint manager: deleting due to NoExecute taint",
            "lastTransitionTime": times.format_time(self.clock.now()),
        }
        body = {"metadata": {"uid": pod.metadata.uid}, "status": {"conditions": [condition]}}
        try:
            await self._client.patch(name, namespace, body, "strategic", subresource="status")
            await self._client.delete(name, namespace, uid=pod.metadata.uid)
        except errors.NotFound:
            return


def _executes(node: core_v1.Node) -> bool:
    return any(taint.effect == "NoExecute" for taint in node.spec.taints or ())
