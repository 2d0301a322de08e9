"""Wires the node lifecycle controller. No polling: each node has a time at which it would count as silent."""

import asyncio
from dataclasses import dataclass

import msgspec

from tiphys.api import coordination_v1, core_v1
from tiphys.client import Done, RequeueAfter, Result
from tiphys.controllers import pods as podfacts
from tiphys.controllers.base import Context, Controller
from tiphys.controllers.nodelifecycle import zones
from tiphys.controllers.nodelifecycle.desired import evicting_taint, is_evicting, ready_status, silent, taints
from tiphys.machinery import errors, times

LEASES = "kube-node-lease"


@dataclass(slots=True)
class _Health:
    """When a node was last heard of, by our own clock, and what it had said of being ready."""

    heard: float
    ready: str
    #: Nothing has been heard of it since it registered: it has longer to begin.
    starting: bool


class NodeLifecycleController(Controller):
    name = "node-lifecycle"
    component = "node-controller"
    concurrency = 8

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.nodes = self.informers.of(core_v1.Node)
        self.pods = self.informers.of(core_v1.Pod)
        self.leases = self.informers.of(coordination_v1.Lease, namespace=LEASES)
        self._node_client = self.client.of(core_v1.Node)
        self._pod_client = self.client.of(core_v1.Pod)
        self._health: dict[str, _Health] = {}
        #: Per zone: when the next node may begin to be emptied.
        self._next_eviction: dict[str, float] = {}
        self._tallies = zones.Tallies()
        self._all_lost = False
        self.pods.add_index("node", lambda pod: (pod.spec.nodeName or "",))
        self.nodes.add_handler(self._node_added, self._node_updated, self._node_deleted)
        self.leases.add_handler(self._lease_seen, lambda _, new: self._lease_seen(new))

    # Events

    def _node_added(self, node: core_v1.Node) -> None:
        name = node.metadata.name
        self._health[name] = _Health(self.clock.monotonic(), ready_status(node), starting=not ready_status(node))
        self.recorder.event(
            node, "Normal", "RegisteredNode", f"Node {name} event: Registered Node {name} in Controller"
        )
        self._tallies.put(node)
        self._judge_all()
        self.queue.add(name)

    def _node_updated(self, old: core_v1.Node, new: core_v1.Node) -> None:
        if old.status.conditions != new.status.conditions and ready_status(new) != "Unknown":
            self._heard(new.metadata.name)
        if ready_status(old) != ready_status(new) or zones.zone_of(old) != zones.zone_of(new):
            self._tallies.put(new)
            self._judge_all()
        facts_changed = (
            [(c.type, c.status) for c in old.status.conditions or ()]
            != [(c.type, c.status) for c in new.status.conditions or ()]
            or old.spec.taints != new.spec.taints
            or old.spec.unschedulable != new.spec.unschedulable
        )
        if facts_changed:
            self.queue.add(new.metadata.name)

    def _node_deleted(self, node: core_v1.Node) -> None:
        name = node.metadata.name
        self._health.pop(name, None)
        self._tallies.remove(name)
        self.recorder.event(node, "Normal", "RemovingNode", f"Node {name} event: Removing Node {name} from Controller")
        self._judge_all()

    def _lease_seen(self, lease: coordination_v1.Lease) -> None:
        self._heard(lease.metadata.name)

    def _heard(self, name: str) -> None:
        health = self._health.get(name)
        if health is not None:
            health.heard = self.clock.monotonic()
            health.starting = False

    def _judge_all(self) -> None:
        """If every node is lost, so are we; when that begins or ends, all are looked at again."""
        lost = self._tallies.all_lost
        if lost != self._all_lost:
            self._all_lost = lost
            for node in self.nodes.list():
                self.queue.add(node.metadata.name)

    # Reconciling

    async def reconcile(self, key: str) -> Result:
        node, health = self.nodes.get(key), self._health.get(key)
        if node is None or health is None:
            return Done()
        node = await self._check_silence(node, health)
        if health.ready == "True" and ready_status(node) != "True":
            self.recorder.event(node, "Normal", "NodeNotReady", f"Node {key} status is now: NodeNotReady")
            await self._mark_pods_not_ready(key)
        health.ready = ready_status(node)
        wait = await self._taint(node)
        silence = self._seconds_until_silent(health)
        if silence > 0:
            wait = silence if wait is None else min(wait, silence)
        return RequeueAfter(wait) if wait is not None else Done()

    def _seconds_until_silent(self, health: _Health) -> float:
        config = self.config
        grace = config.node_startup_grace_seconds if health.starting else config.node_monitor_grace_seconds
        return health.heard + grace - self.clock.monotonic()

    async def _check_silence(self, node: core_v1.Node, health: _Health) -> core_v1.Node:
        if self._seconds_until_silent(health) > 0:
            return node
        unknown = silent(node, self.clock.now())
        if unknown is None:
            return node
        status = msgspec.structs.replace(node.status, conditions=unknown)
        return await self._node_client.update_status(msgspec.structs.replace(node, status=status))

    async def _taint(self, node: core_v1.Node) -> float | None:
        """Bring taints in line; seconds after which an eviction that must wait may begin."""
        wait = self._eviction_wait(node)
        # A lost cluster drives nobody off: what it sees may be its own fault.
        seen = node if not self._all_lost else _without_eviction(node)
        new = taints(seen, wait == 0.0, self.clock.now())
        if new is None and seen is node:
            return wait or None
        if new is None:
            new = seen.spec.taints or []
        if new == (node.spec.taints or []):
            return wait or None
        body = {
            "metadata": {"resourceVersion": node.metadata.resourceVersion, "uid": node.metadata.uid},
            "spec": {"taints": new or None},
        }
        await self._node_client.patch(node.metadata.name, "", body, "merge")
        return wait or None

    def _eviction_wait(self, node: core_v1.Node) -> float | None:
        """0 if the node may begin to be emptied now, seconds until it may, None if it need not or must not."""
        if evicting_taint(node) is None or is_evicting(node) or self._all_lost:
            return None
        zone = zones.zone_of(node)
        rate = zones.rate(self._tallies.of(node), self.config.node_eviction_rate)
        now = self.clock.monotonic()
        if rate <= 0:
            return None
        due = self._next_eviction.get(zone, now)
        if due > now:
            return due - now
        self._next_eviction[zone] = now + 1 / rate
        return 0.0

    async def _mark_pods_not_ready(self, name: str) -> None:
        await asyncio.gather(*(self._mark(pod) for pod in self.pods.by_index("node", name) if podfacts.is_ready(pod)))

    async def _mark(self, pod: core_v1.Pod) -> None:
        condition = {"type": "Ready", "status": "False", "lastTransitionTime": times.format_time(self.clock.now())}
        body = {"metadata": {"uid": pod.metadata.uid}, "status": {"conditions": [condition]}}
        self.recorder.event(pod, "Warning", "NodeNotReady", "Node is not ready")
        try:
            await self._pod_client.patch(
                pod.metadata.name, pod.metadata.namespace, body, "strategic", subresource="status"
            )
        except (errors.NotFound, errors.Conflict, errors.Invalid):
            # Gone, or another Pod of that name.
            return


def _without_eviction(node: core_v1.Node) -> core_v1.Node:
    kept = [
        t for t in node.spec.taints or () if not (t.effect == "NoExecute" and t.key.startswith("node.kubernetes.io/"))
    ]
    return msgspec.structs.replace(node, spec=msgspec.structs.replace(node.spec, taints=kept or None))
